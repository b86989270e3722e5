"""Pasted patterns on their pixels: exact where whole pixels allow it, hexagonal groups as near as they allow."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hier.datasets import SOURCES, Pattern, PatternDataset, Pool
from hier.datasets.corruptions import blur
from hier.datasets.paste import into_tile
from hier.hierarchy import GROUP_NAMES, Operation, group
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
SIZE = 96
EXACT = [name for name in GROUP_NAMES if group(name).lattice_system != "hexagonal"]
HEXAGONAL = [name for name in GROUP_NAMES if group(name).lattice_system == "hexagonal"]


@dataclass(frozen=True)
class Pasted:
    dataset: PatternDataset
    patterns: list[Pattern]
    images: Tensor

    def of(self, name: str) -> list[tuple[Pattern, Tensor]]:
        chosen = range(GROUP_NAMES.index(name), len(self.patterns), len(GROUP_NAMES))
        return [(self.patterns[i], self.images[i]) for i in chosen]


@pytest.fixture(scope="module", params=SOURCES)
def pasted(request: pytest.FixtureRequest, pool: Pool) -> Pasted:
    dataset = PatternDataset(request.param, 4, SIZE, construction="paste", cells=(4, 9), pool=pool)
    patterns, _ = dataset.accepted(range(2 * len(GROUP_NAMES)))
    return Pasted(dataset, patterns, dataset.look.clean(patterns, "cpu"))


def pixels(pattern: Pattern) -> Array:
    """Places of all pixels (SIZE^2, 2) px relative to the pattern's origin."""
    ticks = np.arange(SIZE) - (SIZE - 1) / 2
    return np.stack(np.meshgrid(ticks, ticks), -1).reshape(-1, 2) - pattern.origin


def moved_pixels(pattern: Pattern, op: Operation) -> Array:
    """Where the pixels go under the translate of `op` that leaves most of them in view: (column, row), free."""
    lattice = pattern.basis if pattern.tile is None else pattern.tile.stretch @ pattern.basis
    W = pattern.basis @ np.array(op.W) @ np.linalg.inv(pattern.basis)
    here = pixels(pattern) @ W.T + pattern.basis @ [float(t) for t in op.w]
    shifts = np.array(list(product(range(-3, 4), repeat=2))) @ lattice.T
    middle = here.mean(0) + shifts + pattern.origin
    best = shifts[np.argmin((middle**2).sum(1))]
    return np.asarray(here + best + pattern.origin + (SIZE - 1) / 2)


@pytest.mark.parametrize("name", EXACT)
def test_operations_map_pixels_onto_equal_pixels(pasted: Pasted, name: str) -> None:
    if pasted.dataset.source == "outlines":
        pytest.skip("tools round lines one by one")
    for pattern, image in pasted.of(name):
        assert set(pattern.operations) == set(group(name).operations)
        flat = image.reshape(3, -1)
        for op in pattern.operations:
            to = moved_pixels(pattern, op)
            np.testing.assert_allclose(to, np.rint(to), atol=1e-6)
            column, row = np.rint(to).astype(int).T
            seen = (column >= 0) & (column < SIZE) & (row >= 0) & (row < SIZE)
            assert seen.mean() > 0.1
            error = (image[:, row[seen], column[seen]] - flat[:, seen]).abs().max()
            assert float(error) < 1e-5, op.xyz


@pytest.mark.parametrize("name", HEXAGONAL)
def test_hexagonal_operations_hold_to_a_pixel(pasted: Pasted, name: str) -> None:
    """After a blur that hides one pixel's rounding, which exact patterns would not need."""
    for pattern, image in pasted.of(name):
        soft = blur(image[None], torch.tensor([4.0]), [])
        flat = soft.reshape(3, -1)
        for op in pattern.operations:
            to = moved_pixels(pattern, op)
            seen = ((to >= 6) & (to <= SIZE - 7)).all(1)
            grid = torch.from_numpy((2 * to[seen] + 1) / SIZE - 1).float()
            there = F.grid_sample(soft, grid[None, None], align_corners=False)[0, :, 0]
            here = flat[:, seen]
            at_least = 0.93 if pasted.dataset.source in ("photos", "atoms") else 0.8
            assert correlation(here, there) > at_least, op.xyz


def correlation(a: Tensor, b: Tensor) -> float:
    a, b = (t - t.mean(1, keepdim=True) for t in (a, b))
    return float((a * b).sum() / (a.norm() * b.norm()))


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_the_tile_is_repeated_to_the_bit(pasted: Pasted, name: str) -> None:
    for pattern, image in pasted.of(name):
        assert pattern.tile is not None
        for x, y in pattern.tile.vectors.T.astype(int):
            moved = image.roll((-y, -x), (1, 2))
            rows = slice(max(-y, 0), SIZE - max(y, 0))
            columns = slice(max(-x, 0), SIZE - max(x, 0))
            assert rows.start < rows.stop
            torch.testing.assert_close(moved[:, rows, columns], image[:, rows, columns], atol=1e-5, rtol=0)


@given(st.sampled_from(GROUP_NAMES), st.integers(0, 10**6))
def test_cells_are_whole_pixels_of_the_area_asked_for(name: str, seed: int) -> None:
    """Sides are drawn, then rounded to whole pixels: nothing about them depends on the group within its system."""
    dataset = PatternDataset("atoms", seed, 256, (name,), construction="paste", cells=(4, 30))
    pattern = dataset.draw(0, 0)
    tile = pattern.tile
    assert tile is not None
    np.testing.assert_array_equal(tile.vectors, np.rint(tile.vectors))
    assert np.abs(tile.vectors - tile.exact).max() <= 1  # a hexagonal cell's height, rounded to an even number
    area = abs(np.linalg.det(pattern.frame.basis))
    assert 256**2 / 36 < area < 256**2 / 3.6
    for op in group(name).operations:
        turned = pattern.basis @ np.array(op.W) @ np.linalg.inv(pattern.basis)
        np.testing.assert_allclose(turned.T @ turned, np.eye(2), atol=1e-9)


@given(st.sampled_from(GROUP_NAMES), st.integers(0, 10**6))
def test_equal_points_of_the_tiling_meet_in_one_tile(name: str, seed: int) -> None:
    pattern = PatternDataset("atoms", seed, SIZE, (name,), construction="paste").draw(0, 0)
    tile = pattern.tile
    assert tile is not None
    places = torch.from_numpy(pixels(pattern)).float()
    one = into_tile(places, tile)
    u = one.double() @ torch.from_numpy(np.linalg.inv(tile.vectors)).T
    assert float(u.abs().max()) < 0.5 + 1e-4
    shift = torch.from_numpy(tile.vectors @ (2.0, -3.0)).float()
    assert torch.equal(into_tile(places + shift, tile), one)


def test_pasted_images_do_not_depend_on_their_batch(pasted: Pasted) -> None:
    indices = [20, 3, 16]
    together = pasted.dataset.batch(indices)
    for i, image in zip(indices, together, strict=True):
        assert torch.equal(pasted.dataset.batch([i])[0], image)
        assert torch.equal(pasted.images[i], image)


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_one_tile_repeated_is_every_pixel_made_for_itself(name: str) -> None:
    dataset = PatternDataset("noise", 3, SIZE, (name,), construction="paste")
    pattern = dataset.draw(0, 0)
    each = dataset.look.pictures([pattern], torch.from_numpy(pixels(pattern)).float()[None])
    assert torch.equal(dataset.finish([pattern], [0])[0].flatten(1), each[0])
