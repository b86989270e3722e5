"""Nothing but the pattern tells the group: not the cell, its orientation, brightness or contrast."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
import torch
from hier.datasets import SOURCES, Pattern, PatternDataset, Pool
from hier.datasets.lattices import lattice_family
from hier.hierarchy import GROUP_NAMES, group
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier

Array = NDArray[np.float64]
EITHER = list(product(SOURCES, ("fold", "paste")))


def numbers(dataset: PatternDataset, patterns: Sequence[Pattern]) -> Array:
    """Area, lengths, angle, orientation, mean and variance of each pattern and its image: (N, 10)."""
    rows = []
    for start in range(0, len(patterns), 64):
        some = patterns[start : start + 64]
        for pattern, image in zip(some, dataset.look.clean(some, "cpu"), strict=True):
            a, b = pattern.frame.basis.T
            la, lb = np.linalg.norm(a), np.linalg.norm(b)
            angle, turn = np.degrees(np.arccos(a @ b / la / lb)), np.degrees(np.arctan2(-a[1], a[0])) % 180
            area = abs(np.linalg.det(pattern.frame.basis))
            rows.append([area, la, lb, angle, turn, *image.mean((1, 2)), image.mean(), image.var(), *image.var((1, 2))])
    return np.array(rows, dtype=np.float64)


def excess(features: Array, names: Sequence[str]) -> tuple[float, float]:
    """What shallow trees get right on the second half beyond chance within each lattice system, and its deviation."""
    labels = np.array(names)
    families = np.array([lattice_family(group(name)) for name in names])
    right = chance = spread = 0.0
    for family in dict.fromkeys(families):
        here = np.flatnonzero(families == family)
        known = len(set(labels[here]))
        train, test = here[: len(here) // 2], here[len(here) // 2 :]
        tree = DecisionTreeClassifier(max_depth=4, min_samples_leaf=max(5, len(train) // 50), random_state=0)
        found = tree.fit(features[train], labels[train]).predict(features[test])
        right += float((found == labels[test]).sum())
        chance += len(test) / known
        spread += len(test) / known * (1 - 1 / known)
    tested = len(names) / 2
    return (right - chance) / tested, spread**0.5 / tested


def check(dataset: PatternDataset, patterns: Sequence[Pattern]) -> None:
    names = [dataset.label(i) for i in range(len(patterns))]
    beyond, deviation = excess(numbers(dataset, patterns), names)
    assert beyond < 4 * deviation, (beyond, deviation)


@pytest.mark.parametrize(("source", "construction"), EITHER)
def test_numbers_tell_no_more_than_the_lattice_system(source: str, construction: str, pool: Pool) -> None:
    """Draws before the guard, of which it keeps nearly all; the slow test below takes those it keeps."""
    count = len(GROUP_NAMES) * (90 if source == "atoms" else 20)
    size = 64 if source == "atoms" else 32
    dataset = PatternDataset(source, 31, size, construction=construction, cells=(4, 16), pool=pool)  # type: ignore[arg-type]
    check(dataset, [dataset.draw(i, 0) for i in range(count)])


@pytest.mark.slow
@pytest.mark.parametrize(("source", "construction"), EITHER)
def test_numbers_of_accepted_patterns_tell_no_more_than_the_lattice_system(
    source: str, construction: str, pool: Pool
) -> None:
    dataset = PatternDataset(source, 32, 48, construction=construction, cells=(4, 16), pool=pool)  # type: ignore[arg-type]
    check(dataset, dataset.accepted(range(len(GROUP_NAMES) * 40))[0])


@pytest.mark.parametrize("leak", ["area", "contrast"])
def test_a_leak_would_be_seen(leak: str) -> None:
    """As in a published generator, whose fundamental region is equally large for every group."""
    dataset = PatternDataset("atoms", 31, 96, cells=(4, 16))
    patterns = [dataset.draw(i, 0) for i in range(len(GROUP_NAMES) * 60)]
    names = [dataset.label(i) for i in range(len(patterns))]
    features = numbers(dataset, patterns)
    order = np.array([group(name).order for name in names])
    if leak == "area":
        features[:, 0] *= order
    else:
        features[:, -4:] *= order[:, None]
    beyond, deviation = excess(features, names)
    assert beyond > 4 * deviation


@pytest.mark.parametrize("construction", ["fold", "paste"])
def test_cells_of_a_lattice_system_are_those_of_every_group_of_it(construction: str) -> None:
    """To the number: the same generator draws the same cell, whatever the group."""
    for a, b in (("pm", "pgg"), ("p4", "p4g"), ("p3", "p6m"), ("cm", "cmm"), ("p1", "p2")):
        one, other = (
            PatternDataset("noise", 6, 96, (name,), construction=construction, cells=(4, 16))  # type: ignore[arg-type]
            for name in (a, b)
        )
        for i in range(20):
            p, q = one.draw(i, 0), other.draw(i, 0)
            np.testing.assert_array_equal(p.basis, q.basis)
            np.testing.assert_array_equal(p.origin, q.origin)
            assert (p.turn, p.reach, p.grey) == (q.turn, q.reach, q.grey)
            assert torch.equal(torch.from_numpy(np.asarray(p.picture)), torch.from_numpy(np.asarray(q.picture)))
