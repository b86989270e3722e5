"""Superlattices and finer lattices, and by how much they misfit, against patterns whose misfit is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hier.datasets import PatternDataset
from hier.models.evidence.lattice import find_lattice, reduce_basis
from hier.models.evidence.structure import structure_factors
from hier.models.evidence.superlattice import superlattice, translation_misfits
from torch import Tensor

SIDE, CELL = 256, 19.3


def waves(*parts: tuple[float, float, float], noise: float = 0.0) -> Tensor:
    """(1, 1, SIDE, SIDE): cosines of these indices (h, k) on a square cell of `CELL` px, turned, and amplitudes."""
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    y, x = np.mgrid[:SIDE, :SIDE]
    u, v = (np.stack([x, y], -1) @ turn / CELL).transpose(2, 0, 1)
    image = sum(a * np.cos(2 * np.pi * (h * u + k * v)) for h, k, a in parts)
    image = image + noise * np.random.default_rng(0).standard_normal((SIDE, SIDE))
    return torch.from_numpy(image).float()[None, None]


PLAIN = ((1, 0, 1.0), (0, 1, 1.0), (1, 1, 0.4), (1, -1, 0.4), (2, 0, 0.3), (0, 2, 0.3))
POWER = sum(a * a for *_, a in PLAIN)


@pytest.mark.parametrize("noise", [0.0, 0.5])
@pytest.mark.parametrize(
    ("h", "k", "index"), [(0.5, 0.0, 2), (0.5, 0.5, 2), (1 / 3, 0.0, 3), (0.2, 0.4, 5), (1 / 3, 1 / 3, 3)]
)
def test_a_faint_superlattice_is_found_with_its_misfit(h: float, k: float, index: int, noise: float) -> None:
    amplitude = 0.1
    image = waves(*PLAIN, (h, k, amplitude), noise=noise)
    lattice = find_lattice(image)
    assert float(torch.linalg.det(lattice.basis).abs()) == pytest.approx(CELL**2, rel=0.01)
    assert float(torch.linalg.det(lattice.coarser).abs()) == pytest.approx(index * CELL**2, rel=0.01)
    structure = structure_factors(image, lattice.coarser)
    # moved by a lattice vector the faint wave is out of phase by a multiple of 1 / index: at worst about a half
    worst = 1 - min(np.cos(2 * np.pi * n / index) for n in range(index))
    expected = amplitude**2 * worst / (POWER + amplitude**2)
    assert float(translation_misfits(structure, lattice.coarser, lattice.basis)[0]) == pytest.approx(expected, rel=0.2)


@pytest.mark.parametrize("noise", [0.0, 0.3, 1.0])
def test_without_one_none_is_found(noise: float) -> None:
    lattice = find_lattice(waves(*PLAIN, noise=noise))
    torch.testing.assert_close(reduce_basis(lattice.coarser), lattice.basis)
    assert float(lattice.coarser_level[0]) == pytest.approx(float(lattice.level[0]), abs=0.01)


def test_a_strong_superlattice_is_the_lattice_and_the_plain_one_finer() -> None:
    lattice = find_lattice(waves(*PLAIN, (0.2, 0.4, 0.5)))
    assert float(torch.linalg.det(lattice.basis).abs()) == pytest.approx(5 * CELL**2, rel=0.01)
    assert float(torch.linalg.det(lattice.finer).abs()) == pytest.approx(CELL**2, rel=0.01)


@pytest.mark.parametrize("index", [13, 14, 15, 16, 30, 31, 32, 33])
def test_rounding_to_whole_pixels_makes_no_superlattice(index: int) -> None:
    """A centred or hexagonal lattice in cells of whole pixels: the smaller cell repeats to about half a pixel only."""
    dataset = PatternDataset("noise", 99, 256, construction="paste")
    found = find_lattice(dataset.batch([index]))
    area = abs(float(np.linalg.det(dataset.accepted([index])[0][0].frame.basis)))
    assert float(torch.linalg.det(found.basis).abs()) == pytest.approx(area, rel=0.02)


def test_points_along_one_line_show_no_superlattice() -> None:
    """Stripes, or rows of atoms that slip against one another: only shifts along them repeat."""
    nm = half_plane()
    values = torch.where(nm[:, 1] == 0, 1.0, 0.1)[None]
    basis, inside, outside = superlattice(values, torch.ones_like(values), nm)
    torch.testing.assert_close(basis[0], torch.eye(2))
    assert float(inside) == float(outside) == pytest.approx(float(values.mean()))


def half_plane() -> Tensor:
    n = torch.arange(-8, 9)
    nm = torch.cartesian_prod(n, n)
    return nm[(nm[:, 1] > 0) | ((nm[:, 1] == 0) & (nm[:, 0] > 0))].float()


def test_levels_tell_the_superlattice_that_explains_most() -> None:
    """Against a direct count: points that the rule (n + 2 m) mod 5 picks repeat by 1, all others by 0.9."""
    nm = half_plane()
    picked = (nm[:, 0] + 2 * nm[:, 1]) % 5 == 0
    values = torch.where(picked, 1.0, 0.9)[None]
    basis, inside, outside = superlattice(values, torch.ones_like(values), nm)
    assert float(torch.linalg.det(basis).abs()) == pytest.approx(5)
    assert bool((((basis[0, 0] + 2 * basis[0, 1]) % 5).abs() < 1e-5).all())
    assert (float(inside), float(outside)) == (pytest.approx(1.0), pytest.approx(0.9))


def test_a_finer_lattice_misfits_by_what_is_out_of_phase() -> None:
    image = waves((1, 0, 1.0), (0, 1, 1.0), (0, 2, 0.5))
    lattice = find_lattice(image)
    basis = lattice.basis
    structure = structure_factors(image, basis)
    for k in range(2):
        halved = basis.clone()
        halved[0, :, k] /= 2
        # half a cell along one axis turns one of the unit waves round, and leaves the wave of twice that index
        expected = 2 * 1.0 / (1 + 1 + 0.25)
        assert float(translation_misfits(structure, basis, halved)[0]) == pytest.approx(expected, rel=0.02)
    assert float(translation_misfits(structure, basis, basis)[0]) == pytest.approx(0, abs=1e-5)
