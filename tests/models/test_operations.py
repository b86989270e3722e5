"""Operations on the image: found where the pattern was drawn with them, and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hier.datasets import Pattern, PatternDataset, Pool
from hier.hierarchy import GROUP_NAMES, Operation, group, is_subgroup
from hier.hierarchy.placements import in_reduced_basis, settings
from hier.models.evidence.lattice import find_lattice
from hier.models.evidence.structure import structure_factors
from hier.models.placing.operations import Placed, isometry, place
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
SIZE = 192


@dataclass(frozen=True)
class Case:
    pattern: Pattern
    image: Tensor
    placed: Placed


def placed_on(image: Tensor, name: str) -> Placed:
    lattice = find_lattice(image[None])
    basis = lattice.basis[0].double().numpy()
    return place(structure_factors(image[None], lattice.basis), basis, name)


@pytest.fixture(scope="module", params=["atoms", "photos"])
def cases(request: pytest.FixtureRequest, pool: Pool) -> dict[str, Case]:
    dataset = PatternDataset(request.param, 41, SIZE, cells=(6, 18), pool=pool)
    patterns, _ = dataset.accepted(range(17))
    images = dataset.finish(patterns, range(17))
    return {n: Case(p, x, placed_on(x, n)) for n, p, x in zip(GROUP_NAMES, patterns, images, strict=True)}


def true_isometries(pattern: Pattern) -> list[tuple[Array, Array]]:
    inverse = np.linalg.inv(pattern.basis)
    made = []
    for op in pattern.operations:
        A = pattern.basis @ np.array(op.W) @ inverse
        made.append((A, pattern.basis @ [float(t) for t in op.w] + (np.eye(2) - A) @ pattern.origin))
    return made


def same_mod_lattice(one: Array, two: Array, pattern: Pattern, within: float) -> bool:
    steps = np.linalg.solve(pattern.frame.basis, one - two)
    return bool(np.linalg.norm(pattern.frame.basis @ (steps - np.round(steps))) < within)


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_the_operations_are_those_that_the_pattern_was_drawn_with(cases: dict[str, Case], name: str) -> None:
    """As isometries of the image modulo its lattice, whatever origin and axes were chosen to write them."""
    case = cases[name]
    true = true_isometries(case.pattern)
    found = [isometry(case.placed, op) for op in group(name).operations]
    assert len(found) == len(true)
    for A, t in found:
        fits = [np.abs(A - B).max() < 0.03 and same_mod_lattice(t, s, case.pattern, 0.8) for B, s in true]
        assert any(fits), (A, t)
    area = abs(np.linalg.det(case.placed.basis))
    assert area == pytest.approx(abs(np.linalg.det(case.pattern.basis)), rel=0.02)


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_the_image_is_mapped_onto_itself_in_pixel_space(cases: dict[str, Case], name: str) -> None:
    case = cases[name]
    for op in group(name).operations:
        assert correlation(case.image, *isometry(case.placed, op)) > 0.9, op.xyz


@pytest.mark.parametrize("name", [n for n in GROUP_NAMES if n != "p1"])
def test_every_operation_holds_and_supergroups_do_not(cases: dict[str, Case], name: str) -> None:
    case = cases[name]
    assert len(case.placed.holdings) == group(name).order - 1
    assert case.placed.score > 0.97
    for refused in case.placed.refused:
        assert is_subgroup(name, refused.group)
        assert (refused.score is None) == (refused.strain >= 0.15)
        if refused.score is not None:
            assert refused.score < case.placed.score - 0.01, refused


def correlation(image: Tensor, A: Array, t: Array) -> float:
    """Of the image with itself after x' = A x + t, over the pixels that stay in view."""
    _, H, W = image.shape
    y, x = np.mgrid[:H, :W].astype(float)
    points = np.stack([x - (W - 1) / 2, y - (H - 1) / 2], -1) @ A.T + t
    grid = torch.from_numpy(points / [W / 2, H / 2]).float()[None]
    moved = torch.nn.functional.grid_sample(image[None], grid, mode="bicubic", align_corners=False)[0]
    inside = torch.from_numpy((np.abs(points) < [W / 2 - 2, H / 2 - 2]).all(-1))
    assert float(inside.float().mean()) > 0.05
    one, two = (u[:, inside] - u[:, inside].mean(1, keepdim=True) for u in (image, moved))
    return float((one * two).sum() / (one.square().sum() * two.square().sum()).sqrt())


@pytest.mark.parametrize("name", ["p2", "pg", "cm", "pmg", "p4g", "p31m"])
def test_operations_turn_and_shift_with_the_image(cases: dict[str, Case], name: str) -> None:
    case = cases[name]
    quarter = np.array([[0.0, 1.0], [-1.0, 0.0]])  # rot90 turns counter-clockwise as seen, y is down
    turned = placed_on(case.image.rot90(1, (1, 2)), name)
    shifted = placed_on(case.image[:, 14:, 10:], name)  # its middle lies (5, 7) px further
    for A, t in (isometry(case.placed, op) for op in group(name).operations):
        B, s = quarter @ A @ quarter.T, quarter @ t
        for other, C, r in ((turned, B, s), (shifted, A, t + (A - np.eye(2)) @ [5.0, 7.0])):
            basis = other.basis @ (np.array([[0.5, 0.5], [0.5, -0.5]]) if group(name).centred else np.eye(2))
            fits = []
            for D, q in (isometry(other, op) for op in group(name).operations):
                steps = np.linalg.solve(basis, q - r)
                fits.append(np.abs(C - D).max() < 0.03 and np.linalg.norm(basis @ (steps - steps.round())) < 0.8)
            assert any(fits)


def test_noise_lowers_scores_by_as_much_as_it_is_said_to(pool: Pool) -> None:
    dataset = PatternDataset("atoms", 5, 256, groups=("p4m",), cells=(20, 30), pool=pool)
    (image,) = dataset.batch([0])
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    placed = placed_on(image + float(image.std()) * noise, "p4m")
    for held in placed.holdings:
        assert 0.5 < (1 - held.score) / held.noise < 2.0
    assert max(h.noise for h in placed.holdings) > 3 * max(h.noise for h in placed_on(image, "p4m").holdings)


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_the_cells_of_a_setting_give_the_same_operations(name: str) -> None:
    for setting in settings(name):
        for cell in setting.cells:
            moved = in_reduced_basis(group(name), cell)
            assert moved is not None
            assert set(moved) == set(setting.operations)


def test_a_pattern_on_a_lattice_of_higher_symmetry_gets_its_own_axes() -> None:
    """Mirrors of a pm pattern on a square lattice stand on one of its two axes, of cm on hexagonal one of six."""
    y, x = torch.meshgrid(torch.arange(160.0), torch.arange(160.0), indexing="ij")
    tau = 2 * np.pi / 32
    image = torch.cos(tau * x) + torch.cos(tau * y) + torch.sin(2 * tau * y + 1) + torch.sin(tau * (x + y))
    image = image + torch.sin(tau * (y - x)) + 0.5 * torch.sin(tau * (x - 2 * y)) + 0.5 * torch.sin(tau * (-x - 2 * y))
    placed = placed_on(image[None], "pm")
    (mirror,) = placed.holdings
    assert mirror.operation == Operation.from_xyz("-x,y")
    assert mirror.score > 0.99
    assert abs(placed.basis[1, 0]) < 0.1, "a lies across the mirrors, along x"
    assert [r.score is None for r in placed.refused if r.group == "pmm"] == [False]


@pytest.mark.parametrize(("aspect", "asked"), [(1.05, True), (1.12, False), (1.2, False)])
def test_a_supergroup_is_tried_where_the_lattice_nearly_has_its_metric(aspect: float, asked: bool) -> None:
    """p4m above pmm: on rectangles it is refused by the metric alone, and what it would score is not told."""
    ticks = torch.arange(SIZE)
    y, x = torch.meshgrid(2 * torch.pi * ticks / 24, 2 * torch.pi * ticks / (24 * aspect), indexing="ij")
    image = 0.5 + 0.1 * (x.cos() + y.cos() + 0.6 * x.cos() * y.cos() + 0.4 * (2 * x).cos() + 0.3 * (2 * y).cos())
    (square,) = (r for r in placed_on(image.expand(3, -1, -1), "pmm").refused if r.group == "p4m")
    assert square.strain == pytest.approx((aspect**2 - 1) / aspect, abs=0.02)
    assert (square.score is not None) == asked
