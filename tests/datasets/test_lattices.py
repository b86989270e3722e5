"""Random bases: what the family asks for, the area asked for, and exact reduction."""

from __future__ import annotations

import numpy as np
import pytest
from hier.datasets.lattices import draw_basis, lattice_family, reduce_basis
from hier.hierarchy import GROUP_NAMES, group
from hypothesis import given
from hypothesis import strategies as st

seeds = st.integers(0, 2**32 - 1)
FAMILIES = ("oblique", "rectangular", "rhombic", "square", "hexagonal")


@given(st.sampled_from(GROUP_NAMES), seeds)
def test_every_operation_of_the_group_is_an_isometry_of_its_lattice(name: str, seed: int) -> None:
    basis = draw_basis(np.random.default_rng(seed), lattice_family(group(name)), (100.0, 5000.0))
    for op in group(name).operations:
        moved = basis @ np.array(op.W) @ np.linalg.inv(basis)
        np.testing.assert_allclose(moved.T @ moved, np.eye(2), atol=1e-9)


@given(st.sampled_from(FAMILIES), seeds)
def test_the_primitive_cell_has_an_area_in_the_range(family: str, seed: int) -> None:
    basis = draw_basis(np.random.default_rng(seed), family, (100.0, 5000.0))
    lattice_points = 2 if family == "rhombic" else 1
    assert 100 <= abs(np.linalg.det(basis)) / lattice_points <= 5000 * (1 + 1e-9)


@pytest.mark.parametrize("family", FAMILIES)
def test_areas_are_log_uniform_and_orientations_uniform(family: str) -> None:
    rng = np.random.default_rng(3)
    bases = [draw_basis(rng, family, (100.0, 10_000.0)) for _ in range(1500)]
    areas = np.log([abs(np.linalg.det(b)) / (2 if family == "rhombic" else 1) for b in bases])
    turns = [np.degrees(np.arctan2(-b[1, 0], b[0, 0])) % 360 for b in bases]
    for values, low, high in ((areas, np.log(100), np.log(10_000)), (turns, 0, 360)):
        counts, _ = np.histogram(values, 10, (low, high))
        chi = ((counts - 150) ** 2 / 150).sum()
        assert chi < 33  # 9 degrees of freedom: one in ten thousand


@pytest.mark.parametrize("family", FAMILIES)
def test_aligned_lattices_have_their_first_axis_along_x_and_are_as_seen(family: str) -> None:
    a, b = draw_basis(np.random.default_rng(0), family, (100.0, 5000.0), "aligned").T
    assert a[0] > 0
    assert a[1] == pytest.approx(0)
    assert b[1] < 0  # y points down, so b lies above a as seen


@given(seeds, st.lists(st.sampled_from([((1, 1), (0, 1)), ((1, 0), (1, 1)), ((0, 1), (1, 0))]), max_size=8))
def test_reduction_finds_the_shortest_vectors_of_the_same_lattice(
    seed: int, steps: list[tuple[tuple[int, int], tuple[int, int]]]
) -> None:
    rng = np.random.default_rng(seed)
    basis = draw_basis(rng, FAMILIES[seed % len(FAMILIES)], (100.0, 5000.0))
    skew = basis
    for step in steps:
        skew = skew @ np.array(step)
    reduced = reduce_basis(skew)
    M = np.linalg.inv(skew) @ reduced
    np.testing.assert_allclose(M, np.rint(M), atol=1e-6)
    assert abs(round(np.linalg.det(M))) == 1
    n = np.arange(-4, 5)
    vectors = np.stack(np.meshgrid(n, n), -1).reshape(-1, 2) @ basis.T
    lengths = np.sort(np.linalg.norm(vectors, axis=1))
    found = np.linalg.norm(reduced, axis=0)
    assert found[0] == pytest.approx(lengths[1])  # lengths[0] is the zero vector
    first = reduced[:, 0]
    apart = np.abs(vectors[:, 0] * first[1] - vectors[:, 1] * first[0]) > 1e-6
    assert found[1] == pytest.approx(np.linalg.norm(vectors[apart], axis=1).min())
