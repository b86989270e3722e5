"""Folding against the definition: of all points of an orbit, the nearest to the point in question."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hier.datasets.fold import SEAM, fold, orbit
from hier.datasets.lattices import draw_basis, lattice_family
from hier.hierarchy import GROUP_NAMES, group
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

Array = NDArray[np.float64]
seeds = st.integers(0, 2**32 - 1)


def naive(name: str, basis: Array, generic: Array, point: Array) -> tuple[list[tuple[float, Array]], list[Array]]:
    """Every orbit point about `point`, nearest first: its distance, and the offset it stands for."""
    found, places = [], []
    at = np.linalg.solve(basis, point)
    for op in group(name).operations:
        W, w = np.array(op.W, dtype=float), np.array([float(t) for t in op.w])
        q = W @ generic + w
        for i in range(-4, 5):
            for j in range(-4, 5):
                shifted = q + np.rint(at - q) + (i, j)
                offset = basis @ np.linalg.inv(W) @ (at - shifted)
                found.append((float(np.linalg.norm(basis @ (at - shifted))), offset))
                places.append(basis @ shifted)
    order = sorted(range(len(found)), key=lambda k: found[k][0])
    return [found[k] for k in order], [places[k] for k in order]


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_nearest_of_the_orbit_and_runner_up_are_those_of_a_search(name: str) -> None:
    rng = np.random.default_rng(GROUP_NAMES.index(name))
    for _ in range(3):
        basis = draw_basis(rng, lattice_family(group(name)), (300.0, 4000.0))
        generic = rng.random(2)
        o = orbit(group(name).operations, basis, generic)
        points = rng.uniform(-150, 150, (25, 2))
        first, second, weight = fold([o], torch.from_numpy(points)[None])
        for k, point in enumerate(points):
            (nearest, runner_up, *_), (p, q, *_) = naive(name, basis, generic, point)
            np.testing.assert_allclose(first[0, k], nearest[1], atol=1e-8)
            assert nearest[0] <= o.radius
            to_border = (runner_up[0] ** 2 - nearest[0] ** 2) / 2 / np.linalg.norm(p - q)
            assert float(weight[0, k]) == pytest.approx(min(0.5 + to_border / SEAM, 1), abs=1e-6)
            if float(weight[0, k]) < 1:  # else the runner-up is not read
                np.testing.assert_allclose(second[0, k], runner_up[1], atol=1e-8)


@given(st.sampled_from(GROUP_NAMES), seeds)
def test_a_point_and_its_images_fold_to_one(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    basis = draw_basis(rng, lattice_family(group(name)), (200.0, 8000.0))
    o = orbit(group(name).operations, basis, rng.random(2))
    u = rng.uniform(-2, 2, (8, 2))
    folded, _, weight = fold([o], torch.from_numpy(u @ basis.T)[None])
    clear = weight > 0.5 + 1e-6  # on a border there are two nearest
    for op in group(name).operations:
        moved = u @ np.array(op.W, dtype=float).T + [float(t) for t in op.w]
        again, _, same = fold([o], torch.from_numpy(moved @ basis.T)[None])
        torch.testing.assert_close(again[clear], folded[clear], atol=1e-7, rtol=0)
        torch.testing.assert_close(same, weight, atol=1e-7, rtol=0)


@given(st.sampled_from(GROUP_NAMES), seeds)
def test_the_generic_point_folds_to_itself_and_the_domain_has_its_share_of_the_cell(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    basis, generic = draw_basis(rng, lattice_family(group(name)), (2000.0, 4000.0)), rng.random(2)
    o = orbit(group(name).operations, basis, generic)
    own, _, _ = fold([o], torch.from_numpy(basis @ generic)[None, None])
    assert float(own.abs().max()) < 1e-9
    # A point is in the domain when it folds onto its own offset; the order of the group says how often.
    points = rng.random((4000, 2))
    first, _, _ = fold([o], torch.from_numpy(points @ basis.T)[None])
    offset = torch.from_numpy((points - generic) @ basis.T)
    at_home = torch.linalg.solve(torch.from_numpy(basis), (first[0] - offset).T).T
    translated = (at_home - at_home.round()).abs().amax(-1) < 1e-6
    share = 1 / group(name).order / len(group(name).centring)
    spread = (share * (1 - share) / 4000) ** 0.5
    assert float(translated.double().mean()) == pytest.approx(share, abs=5 * spread + 1e-9)


def test_orbits_of_different_sizes_share_a_batch() -> None:
    rng = np.random.default_rng(1)
    orbits = [
        orbit(group(n).operations, draw_basis(rng, lattice_family(group(n)), (900.0, 901.0)), rng.random(2))
        for n in ("p1", "p6m")
    ]
    points = torch.from_numpy(rng.uniform(-90, 90, (2, 50, 2)))
    together = fold(orbits, points)
    for i, o in enumerate(orbits):
        for one, all_ in zip(fold([o], points[i : i + 1]), together, strict=True):
            assert torch.equal(one[0], all_[i])


def test_turns_are_applied_to_the_offsets() -> None:
    rng = np.random.default_rng(2)
    o = orbit(group("p4g").operations, draw_basis(rng, "square", (900.0, 901.0)), rng.random(2))
    points, turn = torch.from_numpy(rng.uniform(-90, 90, (1, 50, 2))), torch.from_numpy(rng.normal(size=(1, 2, 2)))
    first, second, weight = fold([o], points)
    turned = fold([o], points, turn)
    torch.testing.assert_close(turned[0], first @ turn.mT, atol=1e-9, rtol=0)
    torch.testing.assert_close(turned[1], second @ turn.mT, atol=1e-9, rtol=0)
    assert torch.equal(turned[2], weight)
