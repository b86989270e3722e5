"""The autocorrelation of images: how well each repeats after every shift, filtered, normalised and interpolated."""

from __future__ import annotations

import math
from functools import lru_cache, reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from .fourier import fast_length

REACH = 0.8  # of the image's side: longest shift looked at
RINGS = 64  # per cycle per px, of the power spectrum in which noise is measured
EULER = 0.5772156649
BEFORE = 3  # rows of negative shifts that are kept: interpolation reaches into them


def bragg_filtered(images: Tensor) -> Tensor:
    """Images (B, C, H, W) without most of their noise, means left out: a Wiener filter ring by ring.

    Noise is spread evenly over each ring of the power spectrum while a lattice's reflections are few and strong, so
    the ring's geometric mean, times exp(Euler's constant), is the noise in it (the power of white noise is
    exponentially distributed).
    """
    H, W = images.shape[-2:]
    spectrum = torch.fft.rfft2(images - images.mean((2, 3), keepdim=True))
    power = total_power(spectrum)
    ring, count = _rings(H, W, images.device)
    log = (power + 1e-12).log().flatten(1)
    mean = log.new_zeros(len(log), len(count)).index_add_(1, ring, log) / count
    noise = (mean + EULER).exp().index_select(1, ring).reshape(power.shape)
    torch.view_as_real(spectrum).mul_((power / (power + noise))[:, None, ..., None])
    filtered: Tensor = torch.fft.irfft2(spectrum, s=(H, W))
    return filtered


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _rings(H: int, W: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The ring of every coefficient of a real transform, flattened, and how many each ring holds, at least 1."""
    fy, fx = (f(n, device=device) for f, n in ((torch.fft.fftfreq, H), (torch.fft.rfftfreq, W)))
    ring = ((fy[:, None] ** 2 + fx**2).sqrt() * RINGS).long().flatten()
    return ring, torch.bincount(ring).clamp_min(1)


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (B, C, H, W) by `sigma` px, three of them wide, continued by reflection."""
    radius = max(1, int(3 * sigma + 0.5))
    weights = [math.exp(-0.5 * (i / sigma) ** 2) for i in range(-radius, radius + 1)]
    padded = F.pad(images, (radius, radius, radius, radius), mode="reflect")
    for axis in (-1, -2):
        # sums of shifted slices: several times faster on the CPU than a convolution of each channel
        length = images.shape[axis]
        total = torch.zeros_like(padded.narrow(axis, 0, length))
        for i, weight in enumerate(weights):
            total.add_(padded.narrow(axis, i, length), alpha=weight / sum(weights))
        padded = total
    return padded


def autocorrelation(images: Tensor, reach: float = REACH) -> Tensor:
    """Pearson correlation of images with themselves over every shift's overlap, channels together.

    (B, C, H, W) to (B, Y + 1, 2 X + 1) with Y, X = reach * (H, W): row dy in [0, Y], column X + dx for the
    shift (dx, dy). Each window's own mean is removed; a slope within it is not, see `without_slope`.
    """
    H, W = images.shape[-2:]
    Y, X = int(reach * H), int(reach * W)
    f = images - images.mean((2, 3), keepdim=True)
    high, wide = fast_length(H + Y), fast_length(W + X)
    power = total_power(torch.fft.rfft2(f, s=(high, wide)))
    # the power is real, and rows of the result that are not read need no transform
    product = torch.fft.irfft(torch.fft.ihfft(power, dim=-2)[:, : Y + 1], n=wide)

    square = _over_channels(f, f)
    mean = square.mean((1, 2), keepdim=True)
    # sums over all rectangles from the upper left corner, of what has no mean: single precision is enough
    sums = torch.cat([f, (square - mean)[:, None]], 1).cumsum(-1).mT.contiguous().cumsum(-1)
    sums = F.pad(sums, (1, 0, 1, 0)).mT
    upper, lower = sums[..., H - Y :, :].flip(-2), sums[..., H:, :] - sums[..., : Y + 1, :]
    dy, dx = torch.arange(Y + 1, device=f.device), torch.arange(X + 1, device=f.device)
    count = ((H - dy)[:, None] * (W - dx)).to(f)
    share, variance = 1 / count, count * mean
    floor = (1e-3 * variance).clamp_min(1e-9)

    def sides(rows: Tensor) -> tuple[Tensor, Tensor]:
        """Sums over the left and the right W - dx columns."""
        return rows[..., W - X :].flip(-1), rows[..., W:] - rows[..., : X + 1]

    def correlation(first: Tensor, second: Tensor, product: Tensor) -> Tensor:
        """From the sums over both windows, whose last channel are squares."""
        s1, s2 = first[:, :-1], second[:, :-1]
        v1, v2 = (t[:, -1] + variance - _over_channels(t[:, :-1], t[:, :-1]) * share for t in (first, second))
        return (product - _over_channels(s1, s2) * share) / (v1 * v2).clamp_min_(0).sqrt_().maximum(floor)

    (upper_left, upper_right), (lower_left, lower_right) = sides(upper), sides(lower)
    backward = torch.cat([product[..., :1], product[..., -X:].flip(-1)], -1)
    forward = correlation(upper_left, lower_right, product[..., : X + 1])
    return torch.cat([correlation(upper_right, lower_left, backward)[..., 1:].flip(-1), forward], -1)


def _over_channels(a: Tensor, b: Tensor) -> Tensor:
    """Sum of products (B, C, ...) over channels: (B, ...); faster than a reduction over so few."""
    total = a[:, 0] * b[:, 0]
    for c in range(1, a.shape[1]):
        total.addcmul_(a[:, c], b[:, c])
    return total


def total_power(spectrum: Tensor) -> Tensor:
    """Squared modulus of complex (B, C, ...), summed over channels: (B, ...)."""
    parts = torch.view_as_real(spectrum)
    both = _over_channels(parts, parts)
    return both[..., 0] + both[..., 1]


def squared(spectrum: Tensor) -> Tensor:
    """Squared modulus of complex numbers; several times faster than squaring the modulus."""
    power: Tensor = spectrum.real.square() + spectrum.imag.square()
    return power


def highest(surface: Tensor, reach: int) -> Tensor:
    """Highest value within `reach` px along both axes, of (B, H, W); faster on a CPU than a pooling layer."""
    for axis in (1, 2):
        length = surface.shape[axis]
        padded = F.pad(surface, (reach, reach) if axis == 2 else (0, 0, reach, reach), value=-torch.inf)
        shifted = [padded.narrow(axis, k, length) for k in range(2 * reach + 1)]
        surface = reduce(torch.maximum, shifted)
    return surface


def continued(surface: Tensor) -> Tensor:
    """The surface (B, Y + 1, 2 X + 1) with `BEFORE` rows more above that of no shift: a shift and its negative are one.

    (B, BEFORE + Y + 1, 2 X + 1), what `sample` and `quadratic` read.
    """
    return torch.cat([surface[:, 1 : BEFORE + 1].flip(1, 2), surface], 1)


def sample(surface: Tensor, points: Tensor) -> Tensor:
    """Bicubic values of a `continued` surface at the shifts `points` (B, ..., 2): (B, ...)."""
    _, rows, columns = surface.shape
    size = points.new_tensor([columns - 1, rows - 1])
    middle = points.new_tensor([columns // 2, BEFORE])
    xy = points * torch.where(points[..., 1:] < 0, -1.0, 1.0)
    values = F.grid_sample(
        surface[:, None],
        torch.addcmul(2 * middle / size - 1, xy, 2 / size).reshape(len(points), 1, -1, 2),
        mode="bicubic",
        padding_mode="border",
        align_corners=True,
    )
    return values.reshape(points.shape[:-1])


def quadratic(surface: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Slope (B, P, 2) and downward bend (B, P, 2, 2), positive semidefinite, at `points` (B, P, 2)."""
    v = sample(surface, points[..., None, :] + points.new_tensor(_STENCIL))
    slope = torch.stack([v[..., 1] - v[..., 2], v[..., 3] - v[..., 4]], -1) / 2
    xx = 2 * v[..., 0] - v[..., 1] - v[..., 2]
    yy = 2 * v[..., 0] - v[..., 3] - v[..., 4]
    xy = (v[..., 7] + v[..., 8] - v[..., 5] - v[..., 6]) / 4
    xx, yy = xx.clamp_min(0), yy.clamp_min(0)
    limit = (xx * yy).sqrt()
    xy = xy.clamp(-limit, limit)
    return slope, torch.stack([xx, xy, xy, yy], -1).reshape(*xx.shape, 2, 2)


_STENCIL = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1), (1, -1), (-1, 1))
