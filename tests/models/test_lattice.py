"""Lattices: the autocorrelation against direct sums, and lattices found against those that were drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hier.datasets import Corruption, Pattern, PatternDataset, Pool
from hier.models.evidence import lattice
from hier.models.evidence.autocorrelation import autocorrelation, blurred, continued, sample
from hier.models.evidence.lattice import find_lattice, reduce_basis
from hier.models.evidence.repeats import surfaces
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from hier.arrays import gaussian_blur

Array = NDArray[np.float64]
METRICS = ("oblique", "rectangular", "rhombic", "square", "hexagonal")


def metric(name: str, rng: np.random.Generator) -> Array:
    """A basis of that metric, at any angle."""
    a = rng.uniform(18, 34)
    aspect, gamma = {
        "oblique": (rng.uniform(1.2, 1.6), rng.uniform(66, 80)),
        "rectangular": (rng.uniform(1.2, 1.8), 90),
        "rhombic": (1.0, rng.uniform(98, 112)),
        "square": (1.0, 90),
        "hexagonal": (1.0, 120),
    }[name]
    turn, gamma = rng.uniform(0, 2 * np.pi), math.radians(gamma)
    angles = np.array([turn, turn + gamma])
    return np.array([np.cos(angles), np.sin(angles)]) * [a, a * aspect]


def waves(basis: Array, rng: np.random.Generator, size: tuple[int, int] = (144, 144)) -> Tensor:
    """A p1 pattern on the lattice: waves of random phases, the lowest ones never faint."""
    H, W = size
    y, x = np.mgrid[:H, :W]
    u = np.linalg.inv(basis) @ np.stack([x.ravel(), y.ravel()])
    value = np.zeros((3, H * W))
    for h in range(-3, 4):
        for k in range(4):
            phase = 2 * np.pi * (h * u[0] + k * u[1] + rng.random((3, 1)))
            value += rng.uniform(0.5, 1, (3, 1)) / (1 + h * h + k * k) * np.cos(phase)
    value = (value - value.min()) / np.ptp(value)
    return torch.from_numpy(value.reshape(3, H, W)).float()


def unimodular(found: Array, drawn: Array, tolerance: float) -> bool:
    """Whether two bases span one lattice."""
    change = np.linalg.inv(drawn) @ found
    whole = np.rint(change)
    return bool(np.abs(change - whole).max() < tolerance and abs(round(np.linalg.det(whole))) == 1)


@pytest.mark.parametrize("shape", [(1, 3, 24, 20), (2, 1, 17, 30)])
def test_autocorrelation_equals_direct_sums(shape: tuple[int, ...]) -> None:
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0)) + torch.linspace(0, 1, shape[-1])
    B, _, H, W = shape
    found = autocorrelation(images, reach=0.8)
    Y, X = int(0.8 * H), int(0.8 * W)
    assert found.shape == (B, Y + 1, 2 * X + 1)
    for dy in range(Y + 1):
        for dx in range(-X, X + 1):
            right = images[..., dy:, max(dx, 0) : W + min(dx, 0)].double()
            left = images[..., : H - dy, max(-dx, 0) : W + min(-dx, 0)].double()
            if right[0, 0].numel() < 12:
                continue
            right, left = (t - t.mean((2, 3), keepdim=True) for t in (right, left))
            total = (right * left).sum((1, 2, 3))
            norm = (right.square().sum((1, 2, 3)) * left.square().sum((1, 2, 3))).sqrt()
            torch.testing.assert_close(found[:, dy, X + dx].double(), total / norm, atol=2e-4, rtol=0)


def test_the_blur_is_that_of_everything_else() -> None:
    images = torch.rand(2, 3, 20, 30, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(blurred(images, 1.0), gaussian_blur(images, 1.0), atol=1e-6, rtol=0)


def test_greys_repeat_as_one_of_their_channels() -> None:
    grey = waves(metric("oblique", np.random.default_rng(3)), np.random.default_rng(4))[None, :1]
    copies = grey.expand(-1, 3, -1, -1).contiguous()
    apart = copies + torch.tensor([0.0, 0.0, 1e-6])[:, None, None]
    torch.testing.assert_close(surfaces(copies), surfaces(grey), atol=1e-5, rtol=0)
    torch.testing.assert_close(surfaces(copies), surfaces(apart), atol=1e-3, rtol=0)


@given(st.lists(st.floats(-40, 40), min_size=4, max_size=4))
def test_reduced_bases_span_the_same_lattice_by_its_shortest_vectors(entries: list[float]) -> None:
    basis = np.array(entries).reshape(2, 2)
    assume(abs(np.linalg.det(basis)) > 20)
    reduced = reduce_basis(torch.tensor(basis)[None])[0].numpy()
    assert unimodular(reduced, basis, 1e-6)
    a, b = reduced.T
    lengths = [np.linalg.norm(n * a + m * b) for n in range(-3, 4) for m in range(-3, 4) if (n, m) != (0, 0)]
    assert np.linalg.norm(a) <= np.linalg.norm(b) * (1 + 1e-9)
    assert np.linalg.norm(a) <= min(lengths) * (1 + 1e-9)
    assert a @ b <= 1e-9
    assert abs(a @ b) <= a @ a / 2 * (1 + 1e-9)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("size", [(144, 144), (120, 180)])
def test_the_lattice_of_a_pattern_is_the_one_it_was_made_on(name: str, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(len(name))
    drawn = [metric(name, rng) for _ in range(6)]
    found = find_lattice(torch.stack([waves(basis, rng, size) for basis in drawn]))
    for k, basis in enumerate(drawn):
        assert unimodular(found.basis[k].double().numpy(), basis, 0.02)
        assert float(found.level[k]) > 0.93
    a, b = found.basis.unbind(-1)
    assert (a.norm(dim=1) <= b.norm(dim=1)).all()
    assert ((a * b).sum(1) <= 0).all()


@pytest.mark.parametrize("source", ["atoms", "photos"])
def test_lattices_of_generated_patterns_are_found(source: str, pool: Pool) -> None:
    dataset = PatternDataset(source, 10**8, 160, groups=("p1",), cells=(5, 30), pool=pool)  # type: ignore[arg-type]
    indices = range(20)
    found = find_lattice(dataset.batch(indices)).basis.double().numpy()
    drawn = [pattern.frame.basis for pattern in dataset.accepted(indices)[0]]
    right = sum(unimodular(f, d, 0.05) for f, d in zip(found, drawn, strict=True))
    assert right >= 18


def test_a_lattice_does_not_depend_on_its_batch() -> None:
    rng = np.random.default_rng(3)
    noise = torch.from_numpy(rng.random((3, 144, 144))).float()
    images = torch.stack([*(waves(metric(name, rng), rng) for name in METRICS), noise])
    together = find_lattice(images)
    for i in range(len(images) - 1):
        alone = find_lattice(images[i : i + 1])
        torch.testing.assert_close(alone.basis[0], together.basis[i], atol=1e-2, rtol=0)
        torch.testing.assert_close(alone.level[0], together.level[i], atol=1e-3, rtol=0)
        torch.testing.assert_close(alone.coset[0], together.coset[i], atol=1e-2, rtol=0)


def test_brightness_contrast_and_inversion_do_not_move_a_lattice() -> None:
    rng = np.random.default_rng(4)
    image = waves(metric("oblique", rng), rng)
    turned = find_lattice(torch.stack([image, 1 - image, 0.2 * image + 0.5, 1000 * image - 3]))
    for k in range(1, 4):
        torch.testing.assert_close(turned.basis[k], turned.basis[0], atol=1e-2, rtol=0)
        torch.testing.assert_close(turned.level[k], turned.level[0], atol=1e-3, rtol=0)


def test_noise_repeats_nowhere() -> None:
    noise = torch.rand(4, 3, 128, 128, generator=torch.Generator().manual_seed(1))
    found = find_lattice(noise)
    assert (found.level < 0.5).all()
    assert (torch.linalg.det(found.basis).abs() > 20).all()


@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 32, 500), (1, 33, 47), (3, 300, 40)])
def test_any_image_has_a_finite_answer(shape: tuple[int, int, int]) -> None:
    _, H, W = shape
    rng = np.random.default_rng(0)
    point = torch.zeros(shape)
    point[:, H // 2, W // 2] = 1
    half = torch.zeros(shape)
    half[:, :, : W // 2] = 1
    y, x = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    images = {
        "noise": torch.from_numpy(rng.random(shape)).float(),
        "one pixel": point,
        "half and half": half,
        "chess": ((x + y) % 2).float().expand(shape),
        "stripes": ((x // 3) % 2).float().expand(shape),
        "slope": (x / W).float().expand(shape),
    }
    found = find_lattice(torch.stack(list(images.values())))
    for k, name in enumerate(images):
        assert found.basis[k].isfinite().all(), name
        assert found.level[k].isfinite(), name


def _fine_lattice_found(images: Tensor, patterns: Sequence[Pattern]) -> list[bool]:
    found = find_lattice(images).basis.double().numpy()
    return [unimodular(f, p.frame.basis, 0.1) for f, p in zip(found, patterns, strict=True)]


def test_hexagonal_cells_of_noise_rounded_to_pixels_are_not_taken_for_rectangular_ones() -> None:
    dataset = PatternDataset("noise", 71, 192, ("p3", "p3m1", "p31m", "p6", "p6m"), construction="paste")
    pictures = {i: dataset.draw(i, 0).picture for i in range(60)}
    # whatever is rounded hurts most where every pixel differs from the next
    fine = [i for i, p in pictures.items() if isinstance(p, np.ndarray) and np.abs(np.diff(p)).mean() > 0.15][:12]
    patterns, _ = dataset.accepted(fine)
    assert sum(_fine_lattice_found(dataset.finish(patterns, fine), patterns)) >= 11


@pytest.mark.parametrize("seed", range(4))
def test_a_rectangular_cell_of_hexagonal_sides_is_left_whole(seed: int) -> None:
    # its middle is nearly a lattice point, but the texture is too smooth for that to be rounding
    rng = np.random.default_rng(seed)
    basis = np.diag([26.0, 26.0 * 3**0.5])
    centred = basis @ np.array([[0.5, 0.5], [-0.5, 0.5]])
    mixed = waves(centred, rng) + 0.5 * waves(basis, rng)
    found = find_lattice(mixed[None]).basis[0].double().numpy()
    assert unimodular(found, basis, 0.05)


@pytest.mark.parametrize(("name", "least"), [("thermal", 0.85), ("vacancies", 0.85)])
def test_disorder_does_not_make_cells_larger(name: str, least: float) -> None:
    dataset = PatternDataset("atoms", 72, 192, corruptions=(Corruption(name, (2, 2)),), cells=(6, 30))
    indices = list(range(34))
    patterns, _ = dataset.accepted(indices)
    right = _fine_lattice_found(dataset.finish(patterns, indices), patterns)
    assert np.mean(right) >= least


def test_missing_atoms_do_not_make_cells_larger_where_only_four_to_six_are_in_view() -> None:
    # two of a few disordered copies may agree better than all of them do
    dataset = PatternDataset("atoms", 72, 256, corruptions=(Corruption("vacancies", (5, 5)),), cells=(4, 6))
    indices = list(range(34))
    patterns, _ = dataset.accepted(indices)
    assert np.mean(_fine_lattice_found(dataset.finish(patterns, indices), patterns)) >= 0.9


def test_short_vectors_and_small_cells_are_not_looked_for() -> None:
    """Every second pixel alike, say, is the camera's raster or an interlaced file, and no lattice to have a group."""
    y, x = torch.meshgrid(torch.arange(120), torch.arange(120), indexing="ij")
    rasters = [
        ((x % 2) + (y % 2)).float(),
        ((x + y) % 3).float(),
        (x % 2 + (y % 20 < 9)).float(),
        (x % 4 + y % 5).float(),
    ]
    rng = np.random.default_rng(5)
    fine = [waves(np.diag([2.5, 12.5]), rng, (120, 120)), waves(np.diag([5.0, 5.0]), rng, (120, 120))]
    images = torch.stack([*(r.expand(3, -1, -1) for r in rasters), *fine])
    noisy = images + 0.05 * torch.rand(images.shape, generator=torch.Generator().manual_seed(0))
    for found in (find_lattice(images).basis, find_lattice(noisy).basis):
        assert float(found.norm(dim=1).min()) > 3  # px
        assert float(torch.linalg.det(found).abs().min()) > 30  # px^2


def sublattices(prime: int) -> list[Array]:
    """The prime + 1 sublattices of that index, as integer matrices whose columns span them."""
    return [np.array([[prime, k], [0, 1]]) for k in range(prime)] + [np.array([[1, 0], [0, prime]])]


@pytest.mark.parametrize(
    ("prime", "long"), [(2, 1.0), (3, 1.0), (5, 1.0), (7, 1.0), (11, 1.0), (13, 1.0), (17, 1.0), (2, 2.8), (3, 4.2)]
)
def test_a_lattice_too_coarse_by_a_prime_in_any_direction_is_made_finer(
    prime: int, long: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever peaks the search begins with: nothing lies between a lattice and its sublattice of prime index.

    In long cells the vector that is too long by the prime is still the shorter of the two.
    """
    basis = np.array([[8.6, -2.4], [0.9, 9.7]]) @ np.diag([1, long])
    side = max(144, 14 * prime)  # px: the longest vectors have to fit in
    image = waves(basis, np.random.default_rng(prime), (side, side))
    starts = np.stack([basis @ coarse for coarse in sublattices(prime)])
    monkeypatch.setattr(lattice, "candidates", lambda *_: torch.from_numpy(starts).float())
    found = find_lattice(image.expand(len(starts), -1, -1, -1)).basis.double().numpy()
    for start, f in zip(starts, found, strict=True):
        assert unimodular(f, basis, 0.05), (start, f)


def test_a_cell_of_two_by_three_is_made_finer_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    basis = np.array([[14.0, -3.0], [1.0, 15.0]])
    monkeypatch.setattr(lattice, "candidates", lambda *_: torch.from_numpy(basis @ np.diag([2.0, 3.0]))[None].float())
    found = find_lattice(waves(basis, np.random.default_rng(1))[None]).basis[0].double().numpy()
    assert unimodular(found, basis, 0.02)


@pytest.mark.parametrize(("cells", "kept"), [(3.0, False), (9.0, True)])
def test_a_cell_of_which_few_copies_are_in_view_is_given_up_for_a_finer_one_more_easily(
    cells: float, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A little of what the finer lattice does not repeat may be chance where there are but two or three copies."""
    fine = np.diag([24.0, 25.0])
    coarse = fine @ np.diag([2.0, 1.0])
    side = round((cells * abs(np.linalg.det(coarse))) ** 0.5)
    rng = np.random.default_rng(2)
    image = waves(fine, rng, (side, side)) + 0.25 * waves(coarse, rng, (side, side))
    monkeypatch.setattr(lattice, "candidates", lambda *_: torch.from_numpy(coarse)[None].float())
    found = find_lattice(image[None]).basis[0].double().numpy()
    assert unimodular(found, coarse if kept else fine, 0.05)


def test_the_autocorrelation_is_read_where_it_was_asked_for() -> None:
    """At whole shifts its own values, at their negatives the same, and no jump across the first row."""
    images = torch.rand(2, 1, 30, 26, generator=torch.Generator().manual_seed(0))
    surface = autocorrelation(images, reach=0.8)
    X = surface.shape[2] // 2
    y, x = torch.meshgrid(torch.arange(0, surface.shape[1] - 2), torch.arange(2 - X, X - 1), indexing="ij")
    points = torch.stack([x, y], -1).reshape(1, -1, 2).float().expand(2, -1, -1)
    expected = surface[:, :-2, 2:-2].flatten(1)
    torch.testing.assert_close(sample(continued(surface), points), expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(sample(continued(surface), -points), expected, atol=1e-4, rtol=0)
    above, below = (sample(continued(surface), torch.tensor([[[3.0, dy]]]).expand(2, 1, 2)) for dy in (1e-3, -1e-3))
    torch.testing.assert_close(above, below, atol=5e-3, rtol=0)
