"""Structure factors of an image on its lattice: the averaged cell and the noise beside it, band-limited.

The sum of an image times exp(-2 pi i h u) over its pixels, u the fractional coordinates, averages all cells
in view without ever interpolating a pixel. It is taken on the doubled cell (2a, 2b), whose torus holds the
averages of the even and the odd cells side by side: their mean is the cell, what sets them apart is noise (in
a crystallographer's words: diffuse background and superlattice reflections).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ...arrays import in_pieces
from .background import without_slope
from .fourier import nodes, read, transforms

GRID = 32  # points of the cell along each axis
HARMONICS = 14  # highest index summed
TRUSTED = 12  # highest index used: the outer ones are spoilt by the division
NYQUIST, ALIASED = 0.46, 0.5  # cycles per px: highest used, and not even summed


@dataclass(frozen=True)
class Structure:
    """Averaged cells of a batch as Fourier coefficients.

    `coefficients` (B, C, GRID, GRID) complex, in FFT order, mean left out. `noise` (B, 3, C, GRID, GRID):
    coefficients of the differences between the four parities of cells, scaled to have the expected power
    of the noise that is left in `coefficients`. `radius` (B, GRID, GRID): |q| of every coefficient relative
    to the largest trusted one; above 1 it is not to be used.
    """

    coefficients: Tensor
    noise: Tensor
    radius: Tensor


def taper(n: int, device: torch.device) -> Tensor:
    """Tukey window of n points: flat in its middle half, cosine flanks."""
    x = (torch.arange(n, device=device) + 0.5) / n
    edge = torch.minimum(x, 1 - x) / 0.25
    return 0.5 - 0.5 * torch.cos(torch.pi * edge.clamp(0, 1))


@lru_cache(maxsize=4)
@torch.inference_mode(False)
def _window(H: int, W: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The window through which images of one size are seen, and its transform."""
    window = taper(H, device)[:, None] * taper(W, device)
    return window, transforms(window[None, None])


def harmonics(device: torch.device) -> Tensor:
    """Indices (h, k) on the torus in FFT order: (GRID, GRID, 2)."""
    h = torch.fft.fftfreq(GRID, 1 / GRID, device=device)
    return torch.stack(torch.meshgrid(h, h, indexing="ij"), -1)


def _torus(sums: Tensor) -> Tensor:
    """Doubled cells (..., 2 GRID, 2 GRID), real, from sums (..., 4 n + 1, 2 n + 1), n = HARMONICS."""
    n = 2 * HARMONICS
    table = sums.new_zeros(*sums.shape[:-2], 2 * GRID, GRID + 1)
    table[..., : n + 1, : n + 1] = sums[..., n:, :]
    table[..., -n:, : n + 1] = sums[..., :n, :]
    doubled: Tensor = torch.fft.irfft2(table, norm="forward")
    return doubled


def structure_factors(images: Tensor, basis: Tensor) -> Structure:
    """`images` (B, C, H, W) on the lattices `basis` (B, 2, 2) px; the origin is the image's middle."""
    B, _, H, W = images.shape
    device = images.device
    dual = torch.linalg.inv(basis)
    n = 2 * HARMONICS
    h = torch.arange(-n, n + 1, device=device).float() / 2
    hk = torch.stack(torch.meshgrid(h, h[n:], indexing="ij"), -1).reshape(-1, 2)
    q = hk @ dual
    window, seen = _window(H, W, device)
    table = in_pieces(lambda some: transforms(without_slope(some) * window), images)
    shape = (2 * n + 1, n + 1)
    at = nodes((H, W), q)
    # beyond that, pixels show frequencies as others: a small cell would be divided by a comb
    known = (q.norm(dim=-1) < ALIASED)[:, None]
    image = _torus((read(table, at) * known).reshape(B, -1, *shape))
    view = _torus((read(seen, at) * known).reshape(B, 1, *shape))

    def parities(t: Tensor) -> Tensor:
        """The four cells of a doubled cell: (B, C, 2 GRID, 2 GRID) to (B, 4, C, GRID, GRID)."""
        return t.reshape(B, -1, 2, GRID, 2, GRID).permute(0, 2, 4, 1, 3, 5).reshape(B, 4, -1, GRID, GRID)

    image, view = parities(image), parities(view)
    total = view.sum(1)
    mean = total.mean((-2, -1), keepdim=True)
    cell = image.sum(1) / torch.maximum(total, 0.1 * mean)
    cell = cell - cell.mean((-2, -1), keepdim=True)
    rest = image - cell[:, None] * view
    signs = rest.new_tensor([[1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]])
    noise = torch.einsum("st,btcxy->bscxy", signs, rest) / mean[:, None]

    limit = TRUSTED * torch.linalg.det(dual).abs() / dual.norm(dim=-1).amax(-1)
    index = harmonics(device)
    radius = (index @ dual[:, None]).norm(dim=-1) / limit.clamp_max(NYQUIST)[:, None, None]
    radius = torch.where((index.abs().amax(-1) <= TRUSTED) & (radius > 0), radius, 9.0)
    return Structure(torch.fft.fft2(cell, norm="forward"), torch.fft.fft2(noise, norm="forward"), radius)
