"""Atoms against a sum over many cells, pixel by pixel, and special positions counted once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hier.datasets import PatternDataset
from hier.datasets.atoms import WIDEST, Atoms, draw_atoms, multiplicities
from hier.datasets.spots import Spots, render, spots
from hier.hierarchy import GROUP_NAMES, group
from numpy.typing import NDArray

Array = NDArray[np.float64]
RECTANGLE = np.array([[25.0, 0.0], [0.0, 32.0]])


def one_atom(*site: float) -> Atoms:
    return Atoms(np.array([site]), np.array([2.0]), np.array([[1.0, 0.5, 0.2]]), np.zeros(3))


def placed(atoms: Atoms, name: str, basis: Array, lower: Array, upper: Array) -> Spots:
    return spots([atoms], [group(name).operations], basis[None], lower[None], upper[None])[0]


def naive(atoms: Atoms, name: str, basis: Array, origin: Array, x: float, y: float) -> Array:
    """The sum at one pixel over all operations and 31 x 31 cells; atoms that coincide are one."""
    total = atoms.background.copy()
    cells = np.stack(np.meshgrid(np.arange(-15, 16), np.arange(-15, 16)), -1).reshape(-1, 2)
    for site, width, colour in zip(atoms.sites, atoms.widths, atoms.colours, strict=True):
        different: list[Array] = []
        for op in group(name).operations:
            q = (np.array(op.W) @ site + [float(t) for t in op.w]) % 1
            if all(np.abs((q - other + 0.5) % 1 - 0.5).max() > 1e-6 for other in different):
                different.append(q)
        for q in different:
            at = (q + cells) @ basis.T + origin
            squared = ((at - (x, y)) ** 2).sum(1)
            total = total + colour * np.exp(-0.5 * squared / width**2).sum()
    return total


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_rendered_pixels_are_the_sum_over_all_cells(name: str) -> None:
    dataset = PatternDataset("atoms", 6, size=64, cells=(4, 16), groups=(name,))
    patterns, _ = dataset.accepted(range(2))
    ticks = torch.arange(64, dtype=torch.float32) - 31.5
    images = dataset.look.atoms(patterns, ticks)
    rng = np.random.default_rng(0)
    for image, p in zip(images, patterns, strict=True):
        assert p.atoms is not None
        for i, j in rng.integers(0, 64, (4, 2)):
            expected = naive(p.atoms, name, p.basis, p.origin, j - 31.5, i - 31.5)
            np.testing.assert_allclose(image[:, i, j], expected, atol=2e-3)


def test_images_are_the_sum_stretched_into_range_colours_together() -> None:
    dataset = PatternDataset("atoms", 6, size=64, cells=(4, 16))
    patterns, _ = dataset.accepted(range(34))
    ticks = torch.arange(64, dtype=torch.float32) - 31.5
    sums, images = dataset.look.atoms(patterns, ticks), dataset.batch(range(34))
    assert float(sums.max()) > 1
    for s, image in zip(sums, images, strict=True):
        low, high = min(float(s.min()), 0.0), max(float(s.max()), 1.0)
        torch.testing.assert_close(image, (s - low) / (high - low))


@pytest.mark.parametrize(
    ("name", "site", "count"),
    [
        ("p2", (0.0, 0.0), 1),
        ("p2", (0.5, 0.5), 1),
        ("p2", (0.1, 0.2), 2),
        ("pm", (0.5, 0.3), 1),
        ("pg", (0.0, 0.3), 2),
        ("cmm", (0.0, 0.0), 2),
        ("p4m", (0.2, 0.2), 4),
        ("p4m", (0.1, 0.3), 8),
        ("p3", (1 / 3, 2 / 3), 1),
        ("p6m", (1 / 3, 2 / 3), 2),
        ("p6m", (0.5, 0.0), 3),
        ("p6m", (0.11, 0.32), 12),
    ],
)
def test_multiplicity_of_special_positions(name: str, site: tuple[float, float], count: int) -> None:
    """The Wyckoff positions of International Tables: so many atoms in a cell."""
    basis = RECTANGLE if name in ("pm", "pg", "cmm", "p2") else np.diag([30.0, 30.0])
    if name in ("p3", "p6m"):
        basis = 30 * np.array([[1.0, -0.5], [0.0, 3**0.5 / 2]])
    radius = 20
    box = np.full(2, 60.0)
    places, sites = placed(one_atom(*site), name, basis, -box, box)
    assert set(sites.tolist()) == {0}
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1) + np.diag(np.full(len(places), 99.0))
    assert apart.min() > 1  # none twice
    cell = np.linalg.solve(basis, places.T).T
    inside = ((cell > -1e-6) & (cell < 1 - 1e-6)).all(1)
    assert inside.sum() == count
    assert np.abs(places).max() < 60 + radius


def test_spots_reach_into_the_box_from_outside() -> None:
    atoms = one_atom(0.0, 0.0)
    basis = np.diag([100.0, 100.0])
    near, _ = placed(atoms, "p1", basis, np.array([2.0, 2.0]), np.array([60.0, 60.0]))
    assert near.tolist() == [[0.0, 0.0]]
    far, _ = placed(atoms, "p1", basis, np.array([12.0, 12.0]), np.array([60.0, 60.0]))
    assert len(far) == 0


def test_an_image_without_any_spot_is_its_background() -> None:
    atoms = Atoms(np.zeros((0, 2)), np.zeros(0), np.zeros((0, 3)), np.array([0.1, 0.2, 0.3]))
    ticks = torch.arange(4.0)[None]
    image = render([atoms], [(np.zeros((0, 2)), np.zeros(0, dtype=np.int64))], ticks, ticks)
    assert image[0, :, 0, 0].tolist() == pytest.approx([0.1, 0.2, 0.3])


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_drawn_sites_are_general_or_fixed_by_an_operation(name: str) -> None:
    rng = np.random.default_rng(4)
    special = total = 0
    for _ in range(60):
        atoms = draw_atoms(rng, group(name).operations, 900.0)
        assert 1 <= len(atoms.sites) <= 4
        assert (atoms.widths >= 0.9).all()
        assert (atoms.widths <= 0.2 * 30).all()
        for site in atoms.sites:
            images = [np.array(op.W) @ site + [float(t) for t in op.w] for op in group(name).operations]
            same = sum(np.abs((q - site + 0.5) % 1 - 0.5).max() < 1e-6 for q in images)
            special += same > 1
            total += 1
    fix_a_point = sum(op.kind() in ("rotation", "mirror") for op in group(name).operations)
    expected = 0.4 * fix_a_point / len(group(name).operations)
    assert special / total == pytest.approx(expected, abs=4 * (expected / total) ** 0.5)


def test_atoms_cover_the_same_share_of_the_cell_whatever_the_group() -> None:
    """Else their widths would tell p1, with one atom for a general site, from p6m with twelve."""
    area = 900.0

    def covered(name: str) -> float:
        """Median of the squared widths of all atoms in the primitive cell, relative to its area."""
        operations = group(name).operations
        drawn = [draw_atoms(np.random.default_rng(seed), operations, area) for seed in range(150)]
        each = [float((multiplicities(operations, a.sites) * a.widths**2).sum()) for a in drawn]
        return float(np.median(each)) / area / len(group(name).centring)

    shares = {name: covered(name) for name in GROUP_NAMES}
    assert max(shares.values()) < 1.5 * min(shares.values()), shares


def test_widths_are_relative_to_the_cell() -> None:
    """The same draw in a cell of four times the area has atoms twice as wide."""
    for name in ("p1", "pmg", "p6m"):
        for seed in range(20):
            small, large = (draw_atoms(np.random.default_rng(seed), group(name).operations, s) for s in (1e4, 4e4))
            np.testing.assert_allclose(large.widths, 2 * small.widths)
            assert (small.widths <= WIDEST * 1e4**0.5 + 1e-9).all()
