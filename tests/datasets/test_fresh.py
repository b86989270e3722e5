"""Patterns folded where a network trains: they have their group and no content gives it away."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hier.datasets import Pool
from hier.datasets.fresh import FreshPhotos, moved_waves, representatives
from hier.hierarchy import GROUP_NAMES
from hier.models.evidence.lattice import find_lattice
from hypothesis import given, settings
from hypothesis import strategies as st

import hier

EVERY = range(len(GROUP_NAMES))


@pytest.fixture(scope="module")
def fresh(pool: Pool) -> FreshPhotos:
    return FreshPhotos(pool, 96, (4.0, 12.0), seed=5)


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6))
def test_all_copies_of_a_point_have_one_representative(fresh: FreshPhotos, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    points, amplitudes = torch.rand(17, 60, 2, generator=draw), torch.randn(17, 8, generator=draw)
    operations, labels = fresh._operations, torch.arange(17)
    mixed = moved_waves(operations)
    found = representatives(points, labels, amplitudes, operations, mixed)
    for k in range(operations.shape[1]):
        moved = (operations[:, k, None, :, :2] @ points[..., None])[..., 0] + operations[:, k, None, :, 2]
        other = representatives(moved, labels, amplitudes, operations, mixed) - found
        off = (other - other.round()).abs().amax(-1)
        assert float((off > 1e-3).float().mean()) < 0.01, "but for two copies that are equally high to rounding"


def test_each_point_is_a_copy_of_its_representative(fresh: FreshPhotos) -> None:
    points, amplitudes, labels = torch.rand(17, 60, 2), torch.randn(17, 8), torch.arange(17)
    operations = fresh._operations
    found = representatives(points, labels, amplitudes, operations, moved_waves(operations))
    copies = torch.einsum("gkij,gpj->gkpi", operations[..., :2], points) + operations[:, :, None, :, 2]
    off = copies - found[:, None]
    assert float((off - off.round()).abs().amax(-1).amin(1).max()) < 1e-5


def test_the_model_reads_the_groups_that_they_are_labelled_with(fresh: FreshPhotos) -> None:
    images, labels = replace(fresh, size=160).batch(3, 51)
    assert images.shape == (51, 3, 160, 160)
    assert 0 <= float(images.min()) <= float(images.max()) <= 1
    answers = [found.group for found in hier.load().predict(list(images))]
    assert np.mean([a == GROUP_NAMES[k] for a, k in zip(answers, labels.tolist(), strict=True)]) > 0.95


def test_a_batch_is_that_of_its_step(fresh: FreshPhotos) -> None:
    one, same, other = (replace(fresh).batch(step, 8) for step in (7, 7, 8))
    assert torch.equal(one[0], same[0])
    assert torch.equal(one[1], same[1])
    assert not torch.equal(one[0], other[0])
    few = replace(fresh, groups=(10, 11)).batch(7, 40)[1]
    assert set(few.tolist()) == {10, 11}


def test_aligned_patterns_have_their_first_vector_across(fresh: FreshPhotos) -> None:
    squares = tuple(k for k in EVERY if GROUP_NAMES[k] in ("p4", "p4m"))
    images, _ = replace(fresh, orientation="aligned", groups=squares, size=160).batch(1, 6)
    first = find_lattice(images).basis[..., 0].double().numpy()
    angle = np.degrees(np.arctan2(first[:, 1], first[:, 0]))
    assert np.abs((angle + 45) % 90 - 45).max() < 0.5
