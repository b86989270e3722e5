"""Fields that straighten: their mathematics against oracles, and what they recover of a known distortion."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hier.datasets import Corruption, PatternDataset
from hier.models.evidence.lattice import find_lattice
from hier.models.straightening.doubts import bends
from hier.models.straightening.families import FAMILIES, PERSPECTIVE, STRAIGHT, Family
from hier.models.straightening.fields import Field
from hier.models.straightening.fit import Sighting, cross_validated, fitted
from hier.models.straightening.matching import Matcher, damped
from hier.models.straightening.metric import near
from hier.models.straightening.plane import Lattice, Measured, pixels
from hier.models.straightening.resample import rectified
from hier.models.straightening.straighten import straightened
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

EVERY = pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
BENT = pytest.mark.parametrize("family", FAMILIES[1:], ids=lambda f: f.name)


def parameters(family: Family, seed: int = 0, size: float = 0.02) -> Tensor:
    return size * torch.randn(family.size, generator=torch.Generator().manual_seed(seed))


def grid(n: int = 7) -> Tensor:
    return torch.cartesian_prod(*[torch.linspace(-1, 1, n)] * 2)


@EVERY
def test_the_inverse_leads_back(family: Family) -> None:
    c = parameters(family)
    back = family.inverse(family.apply(grid(), c), c)
    assert torch.allclose(back, grid(), atol=1e-4)


@BENT
def test_slopes_are_the_derivatives(family: Family) -> None:
    c = parameters(family)
    expected = torch.autograd.functional.jacobian(lambda p: family.apply(grid(), p), c)
    assert torch.allclose(family.slope(grid(), c), expected, atol=1e-5)


@BENT
def test_no_family_has_an_affine_map(family: Family) -> None:
    """Else the lattice and the field would not be told apart: no parameter's step is affine on the points."""
    z = grid(9)
    affine = torch.cat([z, torch.ones(len(z), 1)], 1)
    steps = family.slope(z, torch.zeros(family.size)).permute(2, 0, 1)
    for step in steps:
        left = step - affine @ torch.linalg.lstsq(affine, step).solution
        assert float(left.norm()) > 0.02 * float(step.norm())


def measured(family: Family, c: Tensor, basis: Tensor, noise: float = 0.0) -> Measured:
    z = grid(13)
    fractions = family.apply(z, c) @ torch.linalg.inv(basis).T
    fractions = fractions + noise * torch.randn(fractions.shape, generator=torch.Generator().manual_seed(1))
    n = len(z)
    fold = (torch.arange(n) // 13 + 2 * torch.arange(n)) % 5
    return Measured(z, fractions, torch.eye(2).expand(n, 2, 2), torch.ones(n), torch.ones(n, dtype=torch.bool), fold)


@BENT
def test_a_fit_finds_the_field_that_made_what_was_measured(family: Family) -> None:
    c, basis = parameters(family, size=0.01 if family.size < 20 else 0.002), torch.tensor([[0.3, 0.1], [0.0, 0.25]])
    found = measured(family, c, basis)
    # windows that are wrong altogether do not matter
    found.fractions[5::17] += 0.4
    fit, lattice = fitted(Sighting.of(found), family, torch.zeros(family.size))
    good = torch.ones(len(found.at), dtype=torch.bool)
    good[5::17] = False
    assert float(Sighting.of(found, good).errors(family, fit, lattice).median()) < (2e-3 if family.size < 20 else 5e-3)
    if family.size < 20:  # plates of random weights are nearly affine in part
        assert torch.allclose(lattice.basis, basis, atol=0.02)


def test_windows_that_were_left_out_tell_which_family_it_was() -> None:
    basis = torch.tensor([[0.3, 0.1], [0.0, 0.25]])
    for family in FAMILIES[1:4]:
        found = measured(family, parameters(family, size=0.05), basis, 0.002)
        off = [cross_validated(found, f, torch.zeros(f.size), 0.27)[0] for f in FAMILIES[:4]]
        assert off[FAMILIES.index(family)] == min(off)
        assert off[0] > 2 * min(off)


def test_the_average_cell_is_the_mean_of_its_copies() -> None:
    """Of whole-pixel cells it is that of the pixels with equal fractions, softened; the oracle loops."""
    rng = np.random.default_rng(3)
    waves = rng.standard_normal((16, 9)) * (np.hypot(*np.meshgrid(np.arange(9), np.fft.fftfreq(16, 1 / 16))) < 3)
    tile = torch.fft.irfft2(torch.from_numpy(waves), s=(16, 16))[None].float()
    tile = tile / tile.std()
    image = tile.repeat(1, 5, 5) + 0.2 * torch.from_numpy(rng.standard_normal((1, 80, 80))).float()
    matcher = Matcher(image)
    lattice = Lattice(torch.eye(2) * 16 / matcher.unit, torch.zeros(2))
    cell, slopes, cells = matcher.average(matcher.points, lattice, 1.0)
    copies = matcher.blurred(1.0)[0].reshape(5, 16, 5, 16)
    mean = np.zeros((16, 16))
    for y in range(16):
        for x in range(16):
            mean[y, x] = np.mean([float(copies[i, y, j, x]) for i in range(5) for j in range(5)])
    found = cell[0].reshape(5, 16, 5, 16)[2, :, 2].numpy()
    assert np.corrcoef(found.ravel(), mean.ravel())[0, 1] > 0.97
    assert float(cells.mean()) == pytest.approx(25, rel=0.05)
    # slopes a px, against differences
    across = (cell[0, 30, 3:-3].roll(-1) - cell[0, 30, 3:-3].roll(1))[1:-1] / 2
    assert np.corrcoef(across, slopes[0, 0, 30, 3:-3][1:-1])[0, 1] > 0.97


def test_what_is_displaced_is_found_where_it_is() -> None:
    image = PatternDataset("noise", 11, size=128, cells=(12, 20)).batch([1])[0]
    matcher = Matcher(image)
    found = find_lattice(image[None])
    lattice = Lattice(found.basis[0] / matcher.unit, torch.zeros(2))
    windows = matcher.windows(lattice.side * matcher.unit)
    shift = torch.tensor([0.6, -0.4]) / matcher.unit
    half = (matcher.points[..., :1] > 0).float() * shift  # the right half lies elsewhere
    moved, _, _ = matcher.displacements(matcher.points + half, lattice, 1.0, windows)
    there = moved[windows.at[:, 0] > 0.3].median(0).values - moved[windows.at[:, 0] < -0.3].median(0).values
    assert torch.allclose(there * matcher.unit, -shift * matcher.unit, atol=0.25)


def test_stripes_in_a_corner_of_nothing_can_be_solved_for() -> None:
    """There the slopes have one direction, and elsewhere none: singular in single precision but for the damping."""
    normal = torch.zeros(400, 2, 2)
    normal[:3] = torch.tensor([[4.0, 2.0], [2.0, 1.0]]) * torch.tensor([1.0, 1e-3, 1e4])[:, None, None]
    moved = torch.linalg.solve(damped(normal), torch.ones(400, 2))
    assert bool(moved.isfinite().all())
    plain = torch.diag_embed(torch.rand(50, 2) + 1)
    assert torch.allclose(damped(plain), plain, rtol=0.03), "what can be solved anyway hardly changes"


def bent_image(kind: str, severity: float, index: int, source: str = "photos", size: int = 192) -> tuple[Tensor, float]:
    dataset = PatternDataset(
        source, 41, size=size, cells=(9, 20), corruptions=(Corruption(kind, (severity, severity)),)  # type: ignore[arg-type]
    )  # fmt: skip
    return dataset.batch([index])[0], dataset.distortions(index)[0].parameters[0]


@pytest.mark.parametrize("index", [1, 5, 9, 13])
def test_the_tilt_of_a_perspective_is_recovered(index: int) -> None:
    image, tilt = bent_image("perspective", 4, index)
    found = straightened(image)
    assert found is not None
    assert found.kind == "perspective"
    assert found.tilt()[0] == pytest.approx(tilt, abs=1)
    assert found.error < 0.1
    assert found.agreement > 0.95


@pytest.mark.parametrize(("kind", "names"), [("barrel", ("barrel",)), ("creep", ("creep", "polynomial"))])
def test_lens_and_slow_scan_are_told_as_such(kind: str, names: tuple[str, ...]) -> None:
    image, _ = bent_image(kind, 5, 6)
    found = straightened(image)
    assert found is not None
    assert found.kind in names
    straight = rectified(image, found)
    assert straight is not None
    before, after = (float(find_lattice(x[None]).level[0]) for x in (image, straight.image))
    assert after > before


def test_a_straight_image_does_not_bend_and_one_without_lattice_has_no_field() -> None:
    for source in ("photos", "atoms", "noise"):
        image = PatternDataset(source, 42, size=192, cells=(6, 20)).batch([7])[0]  # type: ignore[arg-type]
        assert not bends(image, find_lattice(image[None]).basis[0])
    image, _ = bent_image("barrel", 5, 7)
    assert bends(image, find_lattice(image[None]).basis[0])
    nothing = torch.rand(3, 128, 128, generator=torch.Generator().manual_seed(5))
    assert straightened(nothing) is None


@given(st.floats(-0.2, 0.2), st.floats(-0.2, 0.2))
@settings(deadline=None, max_examples=15)
def test_the_way_back_leads_to_the_pixel_that_was_taken(x: float, y: float) -> None:
    height, width = 90, 120
    ramp = torch.stack([*torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")]).float()
    image = torch.cat([ramp, torch.zeros(1, height, width)]) / 120
    field = Field(
        PERSPECTIVE, torch.tensor([x, y]), Lattice(torch.eye(2), torch.zeros(2)), 0.0, 0.0, 1.0, width, height
    )  # fmt: skip
    made = rectified(image, field)
    assert made is not None
    at = torch.tensor([[10.0, 12.0], [30.0, 20.0]])
    back = made.original(at)
    values = 120 * torch.stack([made.image[:2, int(p[1]), int(p[0])] for p in at])
    assert torch.allclose(values.flip(-1), back, atol=0.6)


def test_nothing_is_left_of_an_image_seen_edge_on() -> None:
    field = Field(PERSPECTIVE, torch.tensor([40.0, 0.0]), Lattice(torch.eye(2), torch.zeros(2)), 0, 0, 1, 64, 64)
    assert rectified(torch.rand(3, 64, 64), field) is None


@given(st.floats(1.01, 1.15), st.floats(0, 180))
@settings(deadline=None, max_examples=30)
def test_a_stretched_square_is_a_square_within_that_strain(ratio: float, direction: float) -> None:
    angle = math.radians(direction)
    turn = torch.tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    stretch = turn.T @ torch.diag(torch.tensor([ratio, 1.0])) @ turn
    found = {n.kind: n for n in near(30 * stretch, 0.2)}
    assert found["square"].ratio == pytest.approx(ratio, abs=1e-4)
    assert found["square"].strain == pytest.approx(math.sqrt(ratio) - 1, abs=1e-4)
    made = found["square"].linear @ stretch
    assert torch.allclose(made.T @ made, made.T[0] @ made[:, 0] * torch.eye(2), atol=1e-4)
    assert torch.linalg.det(found["square"].linear) == pytest.approx(1, abs=1e-5)
    assert "square" not in {n.kind for n in near(30 * stretch, math.sqrt(ratio) - 1.001)}


def test_the_nearest_lattice_of_a_kind_is_the_nearest_of_a_search() -> None:
    """The least strain to a hexagonal lattice against a search over stretches."""
    basis = torch.tensor([[30.0, -13.0], [0.0, 28.0]])
    found = next(n for n in near(basis, 0.3) if n.kind == "hexagonal")
    best = math.inf
    for ratio in np.linspace(1, 1.3, 61):
        for angle in np.linspace(0, math.pi, 181):
            c, s = math.cos(angle), math.sin(angle)
            turn = np.array([[c, s], [-s, c]])
            a, b = (turn.T @ np.diag([ratio**0.5, ratio**-0.5]) @ turn @ basis.numpy()).T
            off = abs(a @ a - b @ b) / (a @ a) + abs(a @ b / (a @ a) + 0.5)
            if off < 0.015:
                best = min(best, ratio**0.5 - 1)
    assert found.strain == pytest.approx(best, abs=0.01)


def test_pixels_are_about_the_middle() -> None:
    z = pixels(4, 6, torch.device("cpu"))
    assert torch.allclose(z.mean((0, 1)), torch.zeros(2), atol=1e-6)
    assert float(z[0, 1, 0] - z[0, 0, 0]) == pytest.approx(2 / math.sqrt(24))
    assert STRAIGHT.apply(z, torch.zeros(0)) is z
