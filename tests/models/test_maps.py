"""Averaged cells and symmetry maps against naive versions, on patterns whose waves are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hier.hierarchy import group
from hier.models.evidence.maps import BANDS, MAPS, band_weights, symmetry_maps, wiener_weight
from hier.models.evidence.structure import GRID, Structure, structure_factors
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
SIZE = 176
BASES = {
    "oblique": ((31.0, 4.0), (-11.0, 38.0)),
    "rectangular": ((28.0, 6.0), (-9.0, 42.0)),
    "rhombic": ((30.0, 0.0), (-30 * math.cos(1.2), 30 * math.sin(1.2))),
    "square": ((33.0, 5.0), (-5.0, 33.0)),
    "hexagonal": ((32.0, 0.0), (-16.0, 16 * math.sqrt(3))),
}
NAMES = [name for name, _, _ in MAPS]
ALONG = ("mirror a+b", "mirror along a", "mirror along b")  # axes of a hexagonal lattice on short vectors
ACROSS = ("mirror a-b", "mirror across a", "mirror across b")
# a group, a primitive basis in which it stands as it does in the tables, and the maps that it has
GROUPS = {
    "p1": ("oblique", set()),
    "p2": ("oblique", {"2-fold"}),
    "pm": ("rectangular", {"mirror b"}),
    "pg": ("rectangular", {"glide b"}),
    "pmm": ("rectangular", {"2-fold", "mirror a", "mirror b"}),
    "pmg": ("rectangular", {"2-fold", "mirror b", "glide a"}),
    "pgg": ("rectangular", {"2-fold", "glide a", "glide b"}),
    "p4": ("square", {"2-fold", "4-fold"}),
    "p4m": ("square", {"2-fold", "4-fold", "mirror a", "mirror b", "mirror a+b", "mirror a-b"}),
    "p4g": ("square", {"2-fold", "4-fold", "glide a", "glide b", "mirror a+b", "mirror a-b"}),
    "p3": ("hexagonal", {"3-fold"}),
    "p3m1": ("hexagonal", {"3-fold", *ACROSS}),
    "p31m": ("hexagonal", {"3-fold", *ALONG}),
    "p6": ("hexagonal", {"2-fold", "3-fold", "6-fold"}),
    "p6m": ("hexagonal", {"2-fold", "3-fold", "6-fold", *ALONG, *ACROSS}),
}


def coefficients(seed: int, reach: int = 4) -> Array:
    """Random waves (3, 2 reach + 1, 2 reach + 1) of a real p1 pattern, indices from -reach, no mean."""
    rng = np.random.default_rng(seed)
    h = np.arange(-reach, reach + 1)
    size = 1 / (1 + h[:, None] ** 2 + h**2)
    c = size * (rng.normal(size=(3, *size.shape)) + 1j * rng.normal(size=(3, *size.shape)))
    c = (c + np.conj(c[:, ::-1, ::-1])) / 2
    c[:, reach, reach] = 0
    return c


def symmetrised(c: Array, name: str) -> Array:
    """The mean over the operations of a group given on a primitive cell: F(h) of f(Wx + w) lands on h W."""
    reach = c.shape[-1] // 2
    h = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2, indexing="ij"), -1)
    operations = [(np.array(op.W), np.array([float(t) for t in op.w])) for op in group(name).operations]
    targets = [h @ W + reach for W, _ in operations]
    whole = np.all([((to >= 0) & (to <= 2 * reach)).all(-1) for to in targets], 0)  # orbits cut off would lack symmetry
    total = np.zeros_like(c)
    for (_, w), to in zip(operations, targets, strict=True):
        phase = np.exp(2j * np.pi * (h @ w))
        for x, y in np.argwhere(whole):
            total[:, to[x, y, 0], to[x, y, 1]] += (c * phase)[:, x, y]
    return total


def image(c: Array, basis: Array, shift: Array) -> Tensor:
    """The waves as an image (3, SIZE, SIZE), the cell's place `shift` in its middle."""
    reach = c.shape[-1] // 2
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    u = (np.linalg.inv(basis) @ np.stack([x.ravel(), y.ravel()])).T + shift
    h = np.arange(-reach, reach + 1)
    a, b = (np.exp(2j * np.pi * np.outer(u[:, k], h)) for k in (0, 1))
    value = np.einsum("ph,chk,pk->cp", a, c, b).real
    return torch.from_numpy(0.5 + 0.1 * value.reshape(3, SIZE, SIZE)).float()


def structure_of(images: Tensor, *names: str) -> tuple[Structure, Tensor]:
    basis = torch.stack([torch.tensor(BASES[name]).T for name in names])
    return structure_factors(images, basis), basis


@pytest.mark.parametrize("name", BASES)
def test_structure_factors_are_the_waves_of_the_pattern(name: str) -> None:
    c = coefficients(1)
    basis = np.array(BASES[name]).T
    found, _ = structure_of(image(c, basis, np.zeros(2))[None], name)
    F = found.coefficients[0].numpy()
    for h in range(-4, 5):
        for k in range(-4, 5):
            assert np.abs(F[:, h, k] - 0.1 * c[:, h + 4, k + 4]).max() < 2e-3, (h, k)
    assert float(found.noise.abs().max()) < 3e-3


def test_structure_factors_turn_with_the_origin() -> None:
    c, shift = coefficients(2), np.array([0.3, -0.2])
    basis = np.array(BASES["oblique"]).T
    images = torch.stack([image(c, basis, s) for s in (np.zeros(2), shift)])
    F = structure_of(images, "oblique", "oblique")[0].coefficients
    h = torch.fft.fftfreq(GRID, 1 / GRID)
    phase = torch.exp(2j * torch.pi * (h[:, None] * 0.3 + h * -0.2))
    torch.testing.assert_close(F[1], F[0] * phase, atol=3e-3, rtol=0)


def test_noise_is_estimated_beside_the_cell() -> None:
    c = coefficients(3)
    clean = image(c, np.array(BASES["oblique"]).T, np.zeros(2))
    noise = 0.1 * torch.randn(6, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    found, _ = structure_of(torch.cat([clean[None], clean + noise]), *["oblique"] * 7)
    used = found.radius[0] < 1
    error = (found.coefficients[1:] - found.coefficients[:1]).abs().square()[..., used].mean()
    told = found.noise[1:].abs().square()[..., used].mean()
    assert 0.6 < float(told / error) < 1.7


@pytest.mark.parametrize("name", BASES)
def test_maps_equal_a_walk_over_the_averaged_cell(name: str) -> None:
    """About every place u of the grid, correlate the cell f(x) with f(W (x - u) + u), band by band."""
    basis = np.array(BASES[name]).T
    structure, bases = structure_of(image(coefficients(4), basis, np.array([0.1, 0.2]))[None], name)
    found = symmetry_maps(structure, bases)
    weight = band_weights(structure.radius)
    cells = torch.fft.ifft2(structure.coefficients[:, None] * weight[:, :, None], norm="forward").real[0]
    ticks = torch.arange(GRID)
    x = torch.stack(torch.meshgrid(ticks, ticks, indexing="ij"), -1).reshape(-1, 2)
    checked = 0
    for m, (_, W, glide) in enumerate(MAPS):
        if float(found.strain[0, m]) > 1e-3:
            continue
        matrix = torch.tensor(W)
        for place in ([0, 0], [3, 11], [16, 7], [31, 30]):
            u = torch.tensor(place)
            moved = ((x - u) @ matrix.T + u + (torch.tensor(glide) * GRID).long()) % GRID
            there = cells[:, :, moved[:, 0], moved[:, 1]]
            here = cells.flatten(2)
            naive = (here * there).sum((1, 2)) / here.square().sum((1, 2))
            torch.testing.assert_close(found.maps[0, m, : len(BANDS), place[0], place[1]], naive, atol=2e-3, rtol=0)
            checked += 1
    assert checked >= 4


@pytest.mark.parametrize("name", BASES)
def test_peaks_are_the_highest_values_even_between_grid_points(name: str) -> None:
    basis = np.array(BASES[name]).T
    generator = np.random.default_rng(0)
    images = torch.stack([image(coefficients(s), basis, generator.random(2)) for s in range(4)])
    found = symmetry_maps(*structure_of(images, *[name] * 4))
    assert (found.peaks >= found.maps.amax((-2, -1)) - 1e-5).all()
    moved = torch.stack([image(coefficients(s), basis, generator.random(2)) for s in range(4)])
    again = symmetry_maps(*structure_of(moved, *[name] * 4))
    possible = (found.strain < 0.1)[:, :, None].expand_as(found.peaks)
    torch.testing.assert_close(again.peaks[possible], found.peaks[possible], atol=0.01, rtol=0)


@pytest.mark.parametrize("name", GROUPS)
def test_a_pattern_has_the_maps_of_its_group_and_no_others(name: str) -> None:
    metric, expected = GROUPS[name]
    basis = np.array(BASES[metric]).T
    for seed in range(3):
        c = symmetrised(coefficients(seed), name)
        shift = np.random.default_rng(seed).random(2)
        found = symmetry_maps(*structure_of(image(c, basis, shift)[None], metric))
        assert float(found.peaks.max()) <= 1 + 1e-3
        for m, operation in enumerate(NAMES):
            peak = float(found.peaks[0, m, -1])
            if operation in expected:
                assert peak > 0.999, operation
                assert float(found.strain[0, m]) < 1e-3
            elif float(found.strain[0, m]) < 0.1:
                assert peak < 0.99, operation


def test_a_centre_is_mapped_where_it_lies() -> None:
    c = symmetrised(coefficients(5), "p2")
    place = np.array([5, 9]) / GRID  # a half turn about it: the tables' origin is shifted there
    found = symmetry_maps(*structure_of(image(c, np.array(BASES["oblique"]).T, -place)[None], "oblique"))
    surface = found.maps[0, 0, -1]
    for da in (0, GRID // 2):
        for db in (0, GRID // 2):
            assert float(surface[(5 + da) % GRID, (9 + db) % GRID]) > 0.999
    assert int((surface > 0.99).sum()) < 40


def test_finer_lattices_show() -> None:
    c = coefficients(6)
    h = np.arange(-4, 5)
    halved = np.where((h % 2 == 0)[None, :, None], c, 0)  # a/2 becomes a lattice vector
    images = torch.stack([image(w, np.array(BASES["oblique"]).T, np.zeros(2)) for w in (c, halved)])
    finer = symmetry_maps(*structure_of(images, "oblique", "oblique")).finer[..., -1]
    assert finer.shape == (2, 7)
    assert float(finer[1, 1]) > 0.999
    assert float(finer[0].max()) < 0.95
    assert float(finer[1, [0, 2, 3, 4, 5, 6]].max()) < 0.95


def test_a_cell_does_not_depend_on_its_batch() -> None:
    images = torch.stack([image(coefficients(k), np.array(BASES[n]).T, np.zeros(2)) for k, n in enumerate(BASES)])
    structure, basis = structure_of(images, *BASES)
    together = symmetry_maps(structure, basis)
    for i, name in enumerate(BASES):
        alone = symmetry_maps(*structure_of(images[i : i + 1], name))
        torch.testing.assert_close(alone.maps[0], together.maps[i], atol=1e-3, rtol=0)
        torch.testing.assert_close(alone.peaks[0], together.peaks[i], atol=1e-3, rtol=0)
        torch.testing.assert_close(alone.noise[0], together.noise[i], atol=1e-4, rtol=1e-2)


def test_bands_nest() -> None:
    structure, _ = structure_of(image(coefficients(0), np.array(BASES["square"]).T, np.zeros(2))[None], "square")
    weight = band_weights(structure.radius)[0]
    assert weight.shape == (len(BANDS), GRID, GRID)
    assert (weight[:-1] <= weight[1:] + 1e-6).all()
    assert (weight[:, 0, 0] == 0).all(), "the mean is no detail"


def test_wiener_weights_leave_out_the_scales_that_are_noise() -> None:
    """Signal in the inner half of the frequencies, noise everywhere: nearly all is kept within, nothing beyond."""
    radius = torch.linspace(0, 1, 32 * 32).reshape(1, 32, 32)
    noise = torch.ones_like(radius)
    weight = wiener_weight(radius, noise + 19.0 * (radius < 0.5), noise)
    assert weight[radius < 0.4].tolist() == pytest.approx([0.95] * int((radius < 0.4).sum()), abs=1e-4)
    assert float(weight[radius > 0.6].max()) < 1e-4
    assert float(wiener_weight(radius, noise, 2 * noise).max()) == 0, "more noise than power is no negative signal"


def test_fine_noise_does_not_hide_a_symmetry_of_coarse_detail() -> None:
    c = symmetrised(coefficients(7), "p4")
    clean = image(c, np.array(BASES["square"]).T, np.zeros(2))
    noisy = clean + 0.25 * torch.randn(3, SIZE, SIZE, generator=torch.Generator().manual_seed(2))
    found = symmetry_maps(*structure_of(noisy[None], "square")).peaks[0, NAMES.index("4-fold")]
    wiener, whole = float(found[-1]), float(found[-2])
    assert 1 - wiener < 0.6 * (1 - whole)
