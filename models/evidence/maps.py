"""Symmetry maps: how well each point operation of a lattice maps the averaged cell onto itself, everywhere.

In the reduced basis each candidate operation is an integer matrix, so its action on structure factors is a
permutation of indices: no interpolation, for 3- and 6-fold axes too. The correlation of the cell with its
image over all translations is one FFT; its value at the translation (I - W) u is how well W holds about the
point u.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import gcd

import torch
from torch import Tensor

from .autocorrelation import squared
from .structure import GRID, TRUSTED, Structure, harmonics

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
FLOOR = 1e-3  # residuals below this count as equal


@dataclass(frozen=True)
class SymmetryMaps:
    """Correlations of a batch, M as in `MAPS`, in [-1, 1].

    `maps` (B, M, W, GRID, GRID), W as in `WEIGHTINGS`, position u on the cell's grid; `peaks` (B, M, W) their highest
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


@dataclass(frozen=True)
class _Plan:
    """What the `MAPS` need, the same for every image. N = GRID**2 coefficients, T = (2 GRID)**2 translations.

    `to` (M, N): which coefficient W sends each to; `reachable` (M, N): whether it is on the grid at all; `at` (M, N):
    the translation of each position; `refused` (M, T): minus infinity at translations that belong to no position, else
    0; `project` (M, 2, 2) onto those that do; `half` (K,): one of each pair of opposite coefficients that are used,
    and their indices `hk` (K, 2).
    """

    matrices: Tensor
    to: Tensor
    reachable: Tensor
    at: Tensor
    refused: Tensor
    project: Tensor
    half: Tensor
    hk: Tensor


@lru_cache(maxsize=4)
@torch.inference_mode(False)
def _plan(device: torch.device) -> _Plan:
    hk = harmonics(torch.device("cpu")).long().reshape(-1, 2)
    ticks, fine = torch.arange(GRID), 2 * GRID
    place = torch.stack(torch.meshgrid(ticks, ticks, indexing="ij"), -1).reshape(-1, 2)
    to, reachable, at, refused, project = [], [], [], [], []
    for _, W, glide in MAPS:
        matrix = torch.tensor(W)
        target = hk @ matrix
        reachable.append((target.abs() < GRID // 2).all(-1))
        target = target % GRID
        to.append(target[:, 0] * GRID + target[:, 1])
        span = torch.eye(2, dtype=torch.long) - matrix
        offset = (torch.tensor(glide) * fine).long()
        shift = (2 * place @ span.T + offset) % fine
        at.append(shift[:, 0] * fine + shift[:, 1])
        admissible = torch.full((fine * fine,), -torch.inf)
        line = _admissible(W, offset)
        admissible[line[:, 0] * fine + line[:, 1]] = 0
        refused.append(admissible)
        project.append(span.float() @ torch.linalg.pinv(span.float()))
    first = (hk[:, 0] > 0) | ((hk[:, 0] == 0) & (hk[:, 1] > 0))
    half = (first & (hk.abs().amax(-1) <= TRUSTED)).nonzero().flatten()
    parts = (torch.tensor([W for _, W, _ in MAPS]).float(), *map(torch.stack, (to, reachable, at, refused, project)))
    return _Plan(*(x.to(device) for x in (*parts, half, hk[half].float())))


def _admissible(W: tuple[tuple[int, int], tuple[int, int]], offset: Tensor) -> Tensor:
    """Translations (I - W) u + `offset` on a grid of 2 GRID points to the cell: (K, 2), a plane or a line of them."""
    (a, b), (c, d) = (1 - W[0][0], -W[0][1]), (-W[1][0], 1 - W[1][1])
    ticks = torch.arange(2 * GRID)
    if a * d - b * c:
        return torch.stack(torch.meshgrid(ticks, ticks, indexing="ij"), -1).reshape(-1, 2)
    x, y = (a, c) if (a, c) != (0, 0) else (b, d)
    line = torch.tensor([x, y]) // gcd(x, y)
    return (ticks[:, None] * line + offset) % (2 * GRID)


def reflection_weights(structure: Structure) -> tuple[Tensor, Tensor, Tensor]:
    """Weights (B, W, GRID, GRID) of every coefficient, W as in `WEIGHTINGS`; power and noise power (B, GRID, GRID)."""
    power = squared(structure.coefficients).sum(1)
    level = squared(structure.noise).sum(2).mean(1)
    weight = band_weights(structure.radius)
    wiener = weight[:, -1] * wiener_weight(structure.radius, power, level)
    return torch.cat([weight, wiener[:, None]], 1), power, level


def noise_share(structure: Structure) -> Tensor:
    """(B,) share of noise in what is correlated, in [0, 1], with weights as in `groups.group_scores`."""
    weights, power, level = reflection_weights(structure)
    shared = weights[:, -1].square()
    share: Tensor = (shared * level).sum((-2, -1)) / (shared * power).sum((-2, -1)).clamp_min(1e-12)
    return share.clamp(0, 1)


def finer_correlations(weight: Tensor, power: Tensor) -> Tensor:
    """Correlations of the cell with itself moved by halves and thirds of lattice vectors: `SymmetryMaps.finer`.

    From weights and power as `reflection_weights` has them.
    """
    total = (weight * power[:, None]).sum((-2, -1), keepdim=True).clamp_min(1e-12)
    patterson = upsampled(weight * power[:, None] / total, 6 * (GRID // 4))
    n = patterson.shape[-1]
    thirds, halves = n // 3, n // 2
    parts = [(0, halves), (halves, 0), (halves, halves)]
    parts += [(0, thirds), (thirds, 0), (thirds, thirds), (thirds, 2 * thirds)]
    return torch.stack([patterson[..., i, j] for i, j in parts], 1)


def symmetry_maps(structure: Structure, basis: Tensor) -> SymmetryMaps:
    """The maps of averaged cells (B, C, GRID, GRID) on the reduced lattices `basis` (B, 2, 2)."""
    F = structure.coefficients
    plan = _plan(F.device)
    M = len(MAPS)
    weight, power, level = reflection_weights(structure)
    finer = finer_correlations(weight, power)
    total = (weight * power[:, None]).sum((-2, -1)).clamp_min(1e-12)
    noise = (weight * level[:, None]).sum((-2, -1)) / total

    flat, power, weight = F.flatten(2), power.flatten(1), weight.flatten(2)

    def moved(t: Tensor) -> Tensor:
        """Coefficients (..., N) as every W sends them: (..., M, N)."""
        return t.index_select(-1, plan.to.flatten()).reshape(*t.shape[:-1], M, -1)

    cross = (flat[:, :, None] * moved(flat).conj()).sum(1)
    shared = weight[:, None] * moved(weight).transpose(1, 2) * plan.reachable[:, None]
    own = torch.einsum("bmwn,bn->bmw", shared, power)
    other = torch.einsum("bmwn,bmn->bmw", shared, moved(power))
    norm = torch.sqrt((own * other).clamp_min(1e-24)).maximum(0.5 * total[:, None])
    spectrum = shared / norm[..., None] * cross[:, :, None]
    surface = upsampled(_square(spectrum), 2 * GRID).flatten(-2)
    maps = surface.gather(-1, plan.at[:, None].expand(len(F), -1, weight.shape[1], -1))
    metric = basis.mT @ basis
    strain = plan.matrices.mT @ metric[:, None] @ plan.matrices - metric[:, None]
    strain = strain.abs().amax((-2, -1)) / torch.linalg.det(basis).abs().clamp_min(1e-6)[:, None]
    peaks = _peaks(spectrum, surface, plan)
    return SymmetryMaps(_square(maps), peaks, noise, finer, strain)


def _square(t: Tensor) -> Tensor:
    """(..., GRID**2) to (..., GRID, GRID)."""
    return t.reshape(*t.shape[:-1], GRID, GRID)


def upsampled(spectrum: Tensor, size: int) -> Tensor:
    """Inverse transform of Hermitian (..., GRID, GRID) on a finer grid (..., size, size), real."""
    half = GRID // 2
    table = spectrum.new_zeros(*spectrum.shape[:-2], size, size // 2 + 1, dtype=torch.complex64)
    for rows in (slice(0, half), slice(-half, None)):
        table[..., rows, :half] = spectrum[..., rows, :half]
    surface: Tensor = torch.fft.irfft2(table, s=(size, size), norm="forward")
    return surface


def _peaks(spectrum: Tensor, surface: Tensor, plan: _Plan) -> Tensor:
    """Highest correlations (B, M, W) at admissible translations, by Newton steps from the best on the grid.

    From spectra (B, M, W, N), Hermitian, and the correlations on the grid (B, M, W, T).
    """
    fine = 2 * GRID
    value, start = (surface + plan.refused[:, None]).max(-1)
    t = torch.stack([start // fine, start % fine], -1) / fine
    s = 2 * spectrum.index_select(-1, plan.half)
    outer = (plan.hk[:, :, None] * plan.hk[:, None, :]).flatten(1)
    # admissible shifts only: (I - W) u, so a mirror stays a mirror
    project, one = plan.project[:, None], torch.eye(2, device=t.device)

    def waves(t: Tensor) -> tuple[Tensor, Tensor]:
        phase = 2 * torch.pi * (t @ plan.hk.T)
        c, d = torch.cos(phase), torch.sin(phase)
        return s.real * c - s.imag * d, s.real * d + s.imag * c

    for _ in range(2):
        real, imag = waves(t)
        value = torch.maximum(value, real.sum(-1))
        slope = -2 * torch.pi * (imag @ plan.hk)
        bend = -((2 * torch.pi) ** 2) * (real @ outer).reshape(*real.shape[:-1], 2, 2)
        bend = project @ bend @ project - (one - project) * 1e3 - 1e-3 * one
        slope = (project @ slope[..., None])[..., 0]
        step = -(project @ torch.linalg.solve(bend, slope)[..., None])[..., 0]
        # a step to the neighbouring grid points at most
        t = t + step * (0.5 / fine / step.abs().amax(-1, keepdim=True).clamp_min(1e-9)).clamp_max(1.0)
    return torch.maximum(value, waves(t)[0].sum(-1))
