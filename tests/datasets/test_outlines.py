"""Drawings made of lines have the symmetry of their group, as drawn exactly; the guard sees those that have more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hier.datasets import PatternDataset
from hier.datasets.guard import GRID, Frame, frame, residuals
from hier.datasets.lattices import draw_basis, lattice_family
from hier.datasets.outlines import SEEN, Outlines, draw_outlines
from hier.datasets.rasterisers import METHODS, Layer, Tool
from hier.datasets.tilings import Motions, bent, dirichlet, draw_sites, net, stroke
from hier.hierarchy import GROUP_NAMES, group
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

Array = NDArray[np.float64]
WHITE, BLACK = np.ones(3), np.zeros(3)
names, seeds = st.sampled_from(GROUP_NAMES), st.integers(0, 10**6)


def setting(name: str, seed: int) -> tuple[np.random.Generator, Array, Frame]:
    """A generator, a conventional basis of the group and its primitive frame."""
    rng = np.random.default_rng(seed)
    basis = draw_basis(rng, lattice_family(group(name)), (900.0, 4000.0))
    return rng, basis, frame(group(name).operations, basis)


def motions(name: str, seed: int) -> tuple[np.random.Generator, Motions]:
    rng, basis, own = setting(name, seed)
    return rng, Motions.of(group(name).operations, basis, own.basis)


def lines_of(paths: Array, lattice: Array, closed: bool = False) -> Outlines:
    return Outlines((Layer(paths, BLACK, closed),), lattice, WHITE, Tool("exact", 2.0))


def invariant(drawing: Outlines, name: str, basis: Array) -> bool:
    """Whether every operation of the group, about the origin, maps the drawing onto itself."""
    u = np.random.default_rng(0).uniform(-0.5, 1, (60, 2))
    here = drawing.at(u @ basis.T)
    moved = (u @ np.array(op.W).T + [float(t) for t in op.w] for op in group(name).operations)
    return all(np.abs(drawing.at(v @ basis.T) - here).max() < 1e-4 for v in moved)


@settings(max_examples=40)
@given(names, seeds)
def test_operations_map_a_drawing_onto_itself(name: str, seed: int) -> None:
    rng, basis, own = setting(name, seed)
    drawing = draw_outlines(rng, group(name).operations, basis, own.basis)
    assert invariant(drawing, name, basis)
    for k in range(len(drawing.layers)):  # none hides behind another
        assert invariant(replace(drawing, layers=drawing.layers[k : k + 1]), name, basis)


@settings(max_examples=40)
@given(names, seeds)
def test_every_kind_of_line_has_the_symmetry_of_its_group(name: str, seed: int) -> None:
    rng, basis, own = setting(name, seed)
    moved = Motions.of(group(name).operations, basis, own.basis)
    borders, cells = dirichlet(moved, draw_sites(rng, moved, 6))
    for paths in (borders, bent(rng, moved, borders), net(rng, moved, 100.0), moved.orbit(stroke(rng, moved, 30.0)[0])):
        assert invariant(lines_of(paths, own.basis), name, basis)
    areas = [0.5 * np.cross(c, np.roll(c, -1, 0), axis=-1).sum() if len(c) else 0 for _, c in map(flat, cells)]
    assert np.sum(np.abs(areas)) == pytest.approx(moved.edge**2, rel=1e-6)


def flat(cell: tuple[int, Array]) -> tuple[int, Array]:
    """With a third coordinate, as numpy's cross product asks."""
    return cell[0], np.pad(cell[1], ((0, 0), (0, 1)))


@settings(max_examples=40)
@given(names, seeds)
def test_a_point_of_a_dirichlet_cell_s_border_is_as_near_to_two_sites(name: str, seed: int) -> None:
    rng, moved = motions(name, seed)
    sites = draw_sites(rng, moved, 8)
    borders, _ = dirichlet(moved, sites)
    steps = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 2), -1).reshape(-1, 2) @ moved.lattice.T
    points = (np.concatenate(sites)[:, None] + steps).reshape(-1, 2)
    middle = borders.mean(1)
    middle = middle - moved.whole(middle - np.concatenate(sites).mean(0))
    nearest = np.sort(np.linalg.norm(middle[:, None] - points, axis=-1), axis=1)[:, :2]
    np.testing.assert_allclose(nearest[:, 0], nearest[:, 1], rtol=1e-6)


@settings(max_examples=40)
@given(names, seeds)
def test_bending_keeps_the_ends(name: str, seed: int) -> None:
    rng, moved = motions(name, seed)
    borders, _ = dirichlet(moved, draw_sites(rng, moved, 8))
    # a border of less than a ten thousandth of the edge is its own reverse to `bent`, which gives it its middle
    np.testing.assert_allclose(bent(rng, moved, borders)[:, [0, -1]], borders, atol=1e-4 * moved.edge)


@pytest.mark.parametrize(
    ("name", "site", "lines", "holder"),
    [
        ("p6m", (0.0, 0.0), 3, "p6m"),  # honeycomb
        ("p6m", (1 / 3, 2 / 3), 3, "p6m"),  # triangles
        ("p3", (0.0, 0.0), 3, "p6m"),
        ("p4m", (0.0, 0.0), 2, "p4m"),  # squares
        ("p4", (0.0, 0.0), 2, "p4m"),
        ("p2", (0.0, 0.0), 3, "p2"),  # hexagons with parallel sides
        ("cmm", (0.0, 0.0), 3, "cmm"),  # rhombic
        ("pmm", (0.0, 0.0), 2, "pmm"),
    ],
)
def test_the_guard_knows_plain_tilings(name: str, site: tuple[float, float], lines: int, holder: str) -> None:
    """The Dirichlet cells of a lattice have at least its symmetry: refused below it, accepted at it."""
    for candidate in dict.fromkeys((name, holder)):
        _, basis, own = setting(holder, 3)
        moved = Motions.of(group(candidate).operations, basis, own.basis)
        borders, _ = dirichlet(moved, [moved.orbit((basis @ site)[None])[:, 0]])
        if candidate == name:
            assert len(borders) == lines
        lattice = frame(group(candidate).operations, basis)
        left = residuals(torch.from_numpy(lines_of(borders, own.basis).cell(GRID))[None], [lattice])
        assert (float(left) > 0.05) == (candidate == holder), (candidate, float(left))


@settings(max_examples=40)
@given(names, seeds)
def test_the_guard_s_grid_is_the_drawing(name: str, seed: int) -> None:
    rng, basis, own = setting(name, seed)
    drawing = draw_outlines(rng, group(name).operations, basis, own.basis)
    spacing = abs(np.linalg.det(own.basis)) ** 0.5 / GRID
    # enlarged so that the grid's spacing is a pixel, which is what `at` takes lines' edges from
    layers = tuple(replace(layer, paths=layer.paths / spacing) for layer in drawing.layers)
    tool = replace(drawing.tool, width=max(drawing.tool.width / spacing, SEEN / spacing, 1.5))
    large = replace(drawing, layers=layers, lattice=drawing.lattice / spacing, tool=tool)
    ticks = np.arange(GRID) / GRID
    u = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), -1).reshape(-1, 2)[:: 7 * 13]
    expected = large.at(u @ large.lattice.T)
    np.testing.assert_allclose(drawing.cell(GRID).reshape(3, -1)[:, :: 7 * 13], expected, atol=1e-3)


def test_the_exact_tool_draws_the_drawing() -> None:
    dataset = PatternDataset("outlines", 4, 64, cells=(4, 9))
    for i in range(len(GROUP_NAMES)):
        pattern = dataset.draw(i, 0)
        assert pattern.outlines is not None
        exact = replace(pattern.outlines, tool=replace(pattern.outlines.tool, method="exact"))
        pattern = replace(pattern, outlines=exact)
        image = dataset.finish([pattern], [i])[0].numpy()
        x, y = np.meshgrid(np.arange(64) - 31.5, np.arange(64) - 31.5)
        expected = exact.at(np.stack([x, y], -1).reshape(-1, 2) - pattern.origin).reshape(3, 64, 64)
        np.testing.assert_allclose(image, expected, atol=1e-4)


def test_images_depend_on_nothing_but_seed_and_index() -> None:
    dataset = PatternDataset("outlines", 8, 96, cells=(4, 16))
    assert [dataset.label(i) for i in range(17)] == list(GROUP_NAMES)
    together = dataset.batch([30, 2, 19, 2])
    assert torch.equal(together[1], together[3])
    for i, image in zip((30, 2, 19), together, strict=False):
        assert torch.equal(PatternDataset("outlines", 8, 96, cells=(4, 16)).batch([i])[0], image)
    assert not torch.equal(PatternDataset("outlines", 9, 96, cells=(4, 16)).batch([2]), together[1:2])


def test_every_tool_and_every_kind_of_layer_occurs() -> None:
    dataset = PatternDataset("outlines", 1, 128)
    drawn = [dataset.draw(i, 0).outlines for i in range(340)]
    assert {d.tool.method for d in drawn if d} == set(METHODS)
    kinds = {(layer.closed, layer.filled) for d in drawn if d for layer in d.layers}
    assert kinds == {(False, False), (True, False), (False, True)}
    assert all(1 <= d.tool.width <= 5 for d in drawn if d)


def test_few_draws_are_refused_whatever_the_group() -> None:
    dataset = PatternDataset("outlines", 2)
    patterns: Sequence[int] = range(17 * 12)
    clear = dataset.clearance([dataset.draw(i, 0) for i in patterns]) >= dataset.margin
    refused = 1 - clear.float().reshape(-1, 17).mean(0)
    assert float(refused.mean()) < 0.1
    assert float(refused.max()) < 0.4
