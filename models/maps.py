"""Symmetry maps: how well each point operation of a lattice maps the averaged cell onto itself, everywhere.

In the reduced basis each candidate operation is an integer matrix, so its action on structure factors is a
permutation of indices: no interpolation, for 3- and 6-fold axes too. The correlation of the cell with its
image over all translations is one FFT; its value at the translation (I - W) u is how well W holds about the
point u.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

import torch
from torch import Tensor

from .structure import GRID, Structure, harmonics

# Rotations by order, then mirrors of rectangular lattices (W = I mod 2, where mirror and glide lines are told
# apart by the translation along the axis), then of rhombic ones (mirror and glide lines alternate). Angle of
# the reduced basis obtuse. Along: the axis is a short lattice vector of a hexagonal lattice; across: not.
ROTATIONS = {
    2: ((-1, 0), (0, -1)),
    3: ((0, -1), (1, -1)),
    4: ((0, -1), (1, 0)),
    6: ((1, -1), (1, 0)),
}
RECTANGULAR = {"a": ((1, 0), (0, -1)), "b": ((-1, 0), (0, 1))}
RHOMBIC = {
    "a+b": ((0, 1), (1, 0)),
    "a-b": ((0, -1), (-1, 0)),
    "along a": ((1, -1), (0, -1)),
    "across a": ((-1, 1), (0, 1)),
    "along b": ((-1, 0), (-1, 1)),
    "across b": ((1, 0), (1, -1)),
}
MAPS: tuple[tuple[str, tuple[tuple[int, int], tuple[int, int]], tuple[float, float]], ...] = (
    *((f"{n}-fold", W, (0.0, 0.0)) for n, W in ROTATIONS.items()),
    *((f"mirror {k}", W, (0.0, 0.0)) for k, W in RECTANGULAR.items()),
    ("glide a", RECTANGULAR["a"], (0.5, 0.0)),
    ("glide b", RECTANGULAR["b"], (0.0, 0.5)),
    *((f"mirror {k}", W, (0.0, 0.0)) for k, W in RHOMBIC.items()),
)
BANDS = (0.25, 0.5, 1.0)  # resolution limits, relative to the largest trusted |q|
WEIGHTINGS = (*(f"|q| < {b}" for b in BANDS), "Wiener")  # of the reflections in a correlation
RINGS = 12  # in |q|, in which signal and noise are compared
FLOOR = 1e-3  # residuals below this are one


@dataclass(frozen=True)
class SymmetryMaps:
    """Correlations of a batch, M as in `MAPS`, in [-1, 1].

    `maps` (B, M, W, GRID, GRID), W as in `WEIGHTINGS`, place u on the cell's grid; `peaks` (B, M, W) their highest
    values between grid points; `noise` (B, W) the residual 1 - r that noise alone would leave; `finer`
    (B, 7, W) the same correlation for halves and thirds of lattice vectors; `strain` (B, M) how far W
    changes the metric of the basis (0: an isometry).
    """

    maps: Tensor
    peaks: Tensor
    noise: Tensor
    finer: Tensor
    strain: Tensor


def band_weights(radius: Tensor) -> Tensor:
    """Weights of every coefficient in every band: (B, len(BANDS), GRID, GRID), smooth at the upper limit."""
    limits = radius.new_tensor(BANDS)[:, None, None]
    return ((limits * 1.08 - radius[:, None]) / (0.16 * limits)).clamp(0, 1) * (radius[:, None] <= 1)


def wiener_weight(radius: Tensor, power: Tensor, noise: Tensor) -> Tensor:
    """Share of signal in the power of each ring of |q|: (B, GRID, GRID) in [0, 1], from power and noise power.

    One weight for a whole ring, so that it does not favour reflections that noise happens to have raised.
    """
    ring = (radius * RINGS).long().clamp_max(RINGS).flatten(1)
    total, spoilt = (t.new_zeros(len(t), RINGS + 1).scatter_add_(1, ring, t.flatten(1)) for t in (power, noise))
    share = (1 - spoilt / total.clamp_min(1e-12)).clamp(0, 1)
    return share.gather(1, ring).reshape(radius.shape)


def symmetry_maps(structure: Structure, basis: Tensor) -> SymmetryMaps:
    """The maps of averaged cells (B, C, GRID, GRID) on the reduced lattices `basis` (B, 2, 2)."""
    F = structure.coefficients
    device = F.device
    power = F.abs().square().sum(1)
    level = structure.noise.abs().square().sum(2).mean(1)
    weight = band_weights(structure.radius)
    wiener = weight[:, -1] * wiener_weight(structure.radius, power, level)
    weight = torch.cat([weight, wiener[:, None]], 1)
    total = (weight * power[:, None]).sum((-2, -1)).clamp_min(1e-12)
    hk = harmonics(device).long()
    fine = 2 * GRID
    ticks = torch.arange(GRID, device=device)
    place = torch.stack(torch.meshgrid(ticks, ticks, indexing="ij"), -1)

    maps, peaks = [], []
    for _, W, glide in MAPS:
        matrix = torch.tensor(W, device=device)
        target = hk @ matrix
        reachable = (target.abs() < GRID // 2).all(-1)
        to = target % GRID
        cross = (F * F[:, :, to[..., 0], to[..., 1]].conj()).sum(1)
        shared = weight * weight[:, :, to[..., 0], to[..., 1]] * reachable
        own = (shared * power[:, None]).sum((-2, -1))
        other = (shared * power[:, None, to[..., 0], to[..., 1]]).sum((-2, -1))
        norm = torch.sqrt((own * other).clamp_min(1e-24)).maximum(0.5 * total)
        spectrum = shared * cross[:, None] / norm[..., None, None]
        surface = _upsampled(spectrum, fine)
        shift = ((torch.eye(2, device=device, dtype=torch.long) - matrix) @ (2 * place)[..., None])[..., 0]
        at = (shift + (torch.tensor(glide, device=device) * fine).long()) % fine
        chosen = surface[:, :, at[..., 0], at[..., 1]]
        maps.append(chosen)
        peaks.append(_peak(spectrum, surface, _admissible(W, glide, fine).to(device), matrix))
    patterson = _upsampled(weight * power[:, None] / total[..., None, None], 6 * (GRID // 4))
    n = patterson.shape[-1]
    thirds, halves = n // 3, n // 2
    parts = [(0, halves), (halves, 0), (halves, halves)]
    parts += [(0, thirds), (thirds, 0), (thirds, thirds), (thirds, 2 * thirds)]
    finer = torch.stack([patterson[..., i, j] for i, j in parts], 1)
    noise = (weight * level[:, None]).sum((-2, -1)) / total
    metric = basis.mT @ basis
    all_W = torch.tensor([W for _, W, _ in MAPS], device=device).float()
    strain = all_W.mT @ metric[:, None] @ all_W - metric[:, None]
    strain = strain.abs().amax((-2, -1)) / torch.linalg.det(basis).abs().clamp_min(1e-6)[:, None]
    return SymmetryMaps(torch.stack(maps, 1), torch.stack(peaks, 1), noise, finer, strain)


def _upsampled(spectrum: Tensor, size: int) -> Tensor:
    """Real inverse transform of (..., GRID, GRID) on a finer grid (..., size, size)."""
    half = GRID // 2
    table = spectrum.new_zeros(*spectrum.shape[:-2], size, size, dtype=torch.complex64)
    for a in (slice(0, half), slice(-half, None)):
        for b in (slice(0, half), slice(-half, None)):
            table[..., a, b] = spectrum[..., a, b]
    surface: Tensor = torch.fft.ifft2(table, norm="forward").real
    return surface


def _admissible(W: tuple[tuple[int, int], tuple[int, int]], glide: tuple[float, float], fine: int) -> Tensor:
    """Translations (I - W) u + glide on a grid of `fine` points to the cell: (K, 2), a plane or a line of them."""
    (a, b), (c, d) = (1 - W[0][0], -W[0][1]), (-W[1][0], 1 - W[1][1])
    ticks = torch.arange(fine)
    if a * d - b * c:
        return torch.stack(torch.meshgrid(ticks, ticks, indexing="ij"), -1).reshape(-1, 2)
    x, y = (a, c) if (a, c) != (0, 0) else (b, d)
    line = torch.tensor([x, y]) // gcd(x, y)
    return (ticks[:, None] * line + (torch.tensor(glide) * fine).long()) % fine


def _peak(spectrum: Tensor, surface: Tensor, at: Tensor, matrix: Tensor) -> Tensor:
    """Highest correlation at admissible translations, by Newton steps from the best of `at` (K, 2): (B, W)."""
    fine = surface.shape[-1]
    chosen = surface[:, :, at[:, 0], at[:, 1]]
    t = at[chosen.argmax(-1)].float() / fine
    hk = harmonics(spectrum.device).reshape(-1, 2)
    s = spectrum.flatten(2)
    # admissible shifts only: (I - W) u, so a mirror stays a mirror
    span = torch.eye(2, device=t.device) - matrix.float()
    project = span @ torch.linalg.pinv(span)
    value = chosen.amax(-1)
    for _ in range(2):
        phase = 2 * torch.pi * (t @ hk.T)
        real = s.real * torch.cos(phase) - s.imag * torch.sin(phase)
        imag = s.real * torch.sin(phase) + s.imag * torch.cos(phase)
        value = torch.maximum(value, real.sum(-1))
        slope = -2 * torch.pi * imag @ hk
        outer = hk[:, :, None] * hk[:, None, :]
        bend = -((2 * torch.pi) ** 2) * torch.einsum("bnk,kij->bnij", real, outer)
        bend = project @ bend @ project - (torch.eye(2, device=t.device) - project) * 1e3
        slope = slope @ project
        bend = bend - 1e-3 * torch.eye(2, device=t.device)
        step = -torch.linalg.solve(bend, slope[..., None])[..., 0] @ project
        t = t + step * (0.5 / fine / step.abs().amax(-1, keepdim=True).clamp_min(1e-9)).clamp_max(1.0)
    phase = 2 * torch.pi * (t @ hk.T)
    return torch.maximum(value, (s.real * torch.cos(phase) - s.imag * torch.sin(phase)).sum(-1))
