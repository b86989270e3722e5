"""Among how many cells content is shared: all in view for a pattern, no more than there are objects for a few."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hier.datasets import KINDS, NonPatternDataset, PatternDataset, Source
from hier.models.classifier import Classifier
from hier.models.evidence.copies import ACROSS, FEWEST, FLOOR, OFFSETS, copies
from hier.models.evidence.lattice import find_lattice
from hypothesis import given, settings
from hypothesis import strategies as st

SIZE = 64


def naive(image: np.ndarray, basis: np.ndarray) -> float:
    """The definition, px by px, on a background of 0."""
    content = np.maximum(image**2 - FLOOR * np.median(image**2), 0)
    cell = basis * np.maximum(np.ceil(SIZE / ACROSS / np.linalg.norm(basis, axis=0)), 1)
    least = np.inf
    for i in range(OFFSETS):
        for j in range(OFFSETS):
            held: dict[tuple[int, int], float] = {}
            for y, x in np.argwhere(content > 0):
                u, v = np.floor(np.linalg.solve(cell, [x + 0.5, y + 0.5]) + np.array([i, j]) / OFFSETS)
                held[u, v] = held.get((u, v), 0.0) + content[y, x]
            e = np.array(list(held.values()))
            least = min(least, e.sum() ** 2 / (e**2).sum())
    return least


@settings(max_examples=20)
@given(st.integers(1, 30), st.integers(0, 10**6), st.tuples(st.floats(5, 40), st.floats(5, 40), st.floats(60, 120)))
def test_it_is_the_participation_ratio_of_the_cells(count: int, seed: int, cell: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(seed)
    image = np.zeros((SIZE, SIZE))
    image[rng.integers(0, SIZE, count), rng.integers(0, SIZE, count)] = rng.uniform(0.5, 1)
    a, b, gamma = cell[0], cell[1], np.radians(cell[2])
    basis = np.array([[a, b * np.cos(gamma)], [0.013, b * np.sin(gamma)]])  # no point lies on an edge
    found = copies(torch.tensor(image, dtype=torch.float32)[None, None], torch.tensor(basis[None]).float())
    assert float(found) == pytest.approx(naive(image, basis), rel=1e-4)


@settings(max_examples=30)
@given(st.integers(1, 8), st.integers(0, 10**6), st.floats(4, 60), st.booleans(), st.floats(-0.4, 0.4))
def test_points_are_never_more_copies_than_they_are(
    count: int, seed: int, length: float, dark: bool, slope: float
) -> None:
    rng = np.random.default_rng(seed)
    image = np.zeros((SIZE, SIZE))
    image[rng.integers(0, SIZE, count), rng.integers(0, SIZE, count)] = 1
    image = (1 - image if dark else image) + slope * np.arange(SIZE) / SIZE
    basis = torch.tensor([[[length, -1.0], [0.5, 1.2 * length]]])
    assert float(copies(torch.tensor(image).float()[None, None], basis)) <= count + 0.01


@pytest.mark.parametrize("source", ["photos", "atoms", "noise", "outlines"])
def test_every_pattern_has_more_copies_than_is_asked(source: Source) -> None:
    images = PatternDataset(source, 31, 128, cells=(4, 6)).batch(range(17))
    found = copies(images, find_lattice(images).basis)
    assert float(found.min()) > FEWEST
    torch.testing.assert_close(copies(1 - images[:3], find_lattice(images[:3]).basis), found[:3], atol=0.05, rtol=0.02)


def test_an_image_of_one_colour_has_no_content_to_be_few() -> None:
    assert float(copies(torch.full((1, 3, 40, 56), 0.3), torch.eye(2)[None] * 9)) > FEWEST


def test_few_objects_are_no_pattern() -> None:
    images = NonPatternDataset(17, 160).batch(range(KINDS.index("objects"), 300, len(KINDS)))
    taken = sum(int((Classifier.load().answer(some).pattern >= 0.5).sum()) for some in images.split(25))
    assert taken <= 2, "without counting copies 15 of these 50"
