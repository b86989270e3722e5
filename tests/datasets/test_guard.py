"""The label guard's residuals against brute force, and what it does with patterns that break nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hier.datasets import DatasetError, PatternDataset, Pool
from hier.datasets.guard import GRID, REACH, Frame, candidate_matrices, cell_points, frame, residuals
from hier.datasets.lattices import draw_basis, lattice_family
from hier.hierarchy import GROUP_NAMES, group
from numpy.typing import NDArray
from torch import Tensor

IDENTITY = (1, 0, 0, 1)
SQUARE = np.diag([20.0, 20.0])
OBLIQUE = np.array([[20.0, -6.0], [0.0, 31.0]])


def smooth_cell(seed: int, reach: float = 6) -> Tensor:
    """A random cell (3, GRID, GRID) of the harmonics up to `reach`, mean left out."""
    rng = np.random.default_rng(seed)
    h = np.fft.fftfreq(GRID, 1 / GRID)
    keep = (h[:, None] ** 2 + h**2 < reach**2) & (h[:, None] ** 2 + h**2 > 0)
    noise = np.fft.fft2(rng.standard_normal((3, GRID, GRID))) * keep
    return torch.from_numpy(np.fft.ifft2(noise).real).float()


def brute_force(cell: Tensor, W: NDArray[np.int64]) -> float:
    """1 minus the best correlation of a cell with its image under W and any translation of the grid."""
    c = cell.numpy().reshape(3, -1)
    place = np.stack(np.meshgrid(np.arange(GRID), np.arange(GRID), indexing="ij"), -1).reshape(-1, 2)
    moved = (place @ W.T) % GRID
    best = max(
        float((c * c[:, ((moved + shift) % GRID) @ (GRID, 1)]).sum())
        for shift in place  # every origin
    )
    return 1 - best / float((c**2).sum())


def test_residual_is_the_best_correlation_of_any_extra_matrix_about_any_origin() -> None:
    cell = smooth_cell(0)
    lattice = [W for W in candidate_matrices() if np.array_equal(W.T @ W, np.eye(2))]
    assert len(lattice) == 7  # the square lattice has 4mm, the identity left out
    for W in lattice[::3]:
        others = frozenset(tuple(V.ravel()) for V in lattice if (V != W).any()) | {IDENTITY}
        found = float(residuals(cell[None], [Frame(SQUARE, others)]))
        assert found == pytest.approx(brute_force(cell, W), abs=1e-4)


@pytest.mark.parametrize("shift", [(24, 0), (0, 24), (24, 24), (16, 0), (32, 16), (16, 16)])
def test_finer_lattices_are_seen(shift: tuple[int, int]) -> None:
    cell = smooth_cell(1)
    no_matrix = frozenset(tuple(W.ravel()) for W in candidate_matrices()) | {IDENTITY}
    alone = float(residuals(cell[None], [Frame(SQUARE, no_matrix)]))
    assert alone > 0.5
    order = 2 if 24 in shift else 3
    periodic = sum(cell.roll((k * shift[0], k * shift[1]), (1, 2)) for k in range(order))
    assert isinstance(periodic, Tensor)
    assert float(residuals(periodic[None], [Frame(SQUARE, no_matrix)])) == pytest.approx(0, abs=1e-5)
    mixed = cell + 3 * periodic
    assert 0.001 < float(residuals(mixed[None], [Frame(SQUARE, no_matrix)])) < alone


def test_matrices_that_the_lattice_forbids_do_not_count() -> None:
    cell = smooth_cell(2)
    turned = sum(torch.rot90(cell, k, (1, 2)) for k in range(4))  # 4-fold in its indices
    assert isinstance(turned, Tensor)
    own = frozenset({IDENTITY, (-1, 0, 0, -1)})
    assert float(residuals(turned[None], [Frame(SQUARE, own)])) == pytest.approx(0, abs=1e-5)
    assert float(residuals(turned[None], [Frame(OBLIQUE, own)])) > 0.3


@pytest.mark.parametrize(("aspect", "seen"), [(1.02, True), (1.05, True), (1.08, False), (1.2, False)])
def test_a_lattice_that_is_nearly_square_counts_as_one(aspect: float, seen: bool) -> None:
    """An observer, or a camera with a few per cent of distortion, would call its pattern fourfold."""
    turned = sum(torch.rot90(smooth_cell(2), k, (1, 2)) for k in range(4))
    assert isinstance(turned, Tensor)
    own = frozenset({IDENTITY, (-1, 0, 0, -1)})
    found = float(residuals(turned[None], [Frame(np.diag([20.0, 20.0 * aspect]), own)]))
    assert (found < 1e-4) == seen
    assert seen or found > 0.3


def test_detail_beyond_the_reach_and_brightness_do_not_count() -> None:
    cell, own = smooth_cell(3), frozenset({IDENTITY})
    here = residuals(cell[None], [Frame(SQUARE, own)])
    h = torch.arange(GRID) / GRID
    fine = torch.cos(2 * torch.pi * (REACH + 2) * h)[:, None].expand(GRID, GRID)
    torch.testing.assert_close(residuals((cell + fine)[None], [Frame(SQUARE, own)]), here, atol=1e-4, rtol=0)
    paler = residuals((0.2 * cell + 4)[None], [Frame(SQUARE, own)])
    torch.testing.assert_close(paler, here, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_frame_is_the_primitive_cell_with_the_point_group_in_it(name: str) -> None:
    g = group(name)
    basis = draw_basis(np.random.default_rng(5), lattice_family(g), (400.0, 401.0))
    f = frame(g.operations, basis)
    area = abs(np.linalg.det(basis))
    assert abs(np.linalg.det(f.basis)) == pytest.approx(area / len(g.centring))
    assert len(f.matrices) == g.order
    isometries = [basis @ np.array(op.W) @ np.linalg.inv(basis) for op in g.operations]
    for W in f.matrices:
        moved = f.basis @ np.array(W).reshape(2, 2) @ np.linalg.inv(f.basis)
        assert any(np.allclose(moved, known) for known in isometries)


def test_a_pattern_with_more_symmetry_than_its_label_is_drawn_again(pool: Pool) -> None:
    """One atom in p1 is pmm or more: seen at once, and another draw is taken, the same in any batch."""
    dataset = PatternDataset("atoms", 2, groups=("p1",), margin=0.05)
    first = [dataset.draw(i, 0) for i in range(60)]
    single = [i for i, p in enumerate(first) if p.atoms is not None and len(p.atoms.sites) == 1]
    assert single
    assert float(dataset.clearance([first[i] for i in single]).max()) < 0.05
    patterns, refused = dataset.accepted(range(60))
    assert refused >= len(single)
    assert float(dataset.clearance(patterns).min()) >= 0.05
    assert all(p.atoms is not None and len(p.atoms.sites) > 1 for p in patterns)
    again, _ = dataset.accepted([single[0]])
    np.testing.assert_array_equal(again[0].basis, patterns[single[0]].basis)


def test_a_flat_pattern_is_refused_and_a_margin_out_of_reach_is_an_error(pool: Pool) -> None:
    dark = Pool(torch.full((1, 3, 256, 256), 40, dtype=torch.uint8), ("dark",))
    dataset = PatternDataset("photos", 2, groups=("p4",), pool=dark)
    assert float(dataset.clearance([dataset.draw(0, 0)])) == 0
    with pytest.raises(DatasetError, match=r"p4 pattern at photos seed 2 index 0 .*lower the margin"):
        dataset.batch([0])
    with pytest.raises(DatasetError, match=r"by 1\.5 in 60 draws"):
        replace(dataset, pool=pool, margin=1.5).batch([0])


def test_grid_points_are_those_of_one_cell() -> None:
    u = cell_points().reshape(GRID, GRID, 2)
    assert u[0, 0].tolist() == [0, 0]
    assert u[1, 0].tolist() == pytest.approx([1 / GRID, 0])
    assert float(u.max()) < 1
