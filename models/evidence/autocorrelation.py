"""The autocorrelation of images: how well each repeats after every shift, filtered, normalised and interpolated."""

from __future__ import annotations

from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from ...arrays import finest
from .fourier import fast_length

REACH = 0.8  # of the image's side: longest shift looked at
RINGS = 64  # per cycle per px, of the power spectrum in which noise is measured
EULER = 0.5772156649


def bragg_filtered(images: Tensor) -> Tensor:
    """Images (B, C, H, W) without most of their noise, means left out: a Wiener filter ring by ring.

    Noise is spread evenly over each ring of the power spectrum while a lattice's reflections are few and strong, so
    the ring's geometric mean, times exp(Euler's constant), is the noise in it (the power of white noise is
    exponentially distributed).
    """
    H, W = images.shape[-2:]
    spectrum = torch.fft.rfft2(images - images.mean((2, 3), keepdim=True))
    power = squared(spectrum).sum(1)
    fy, fx = (f(n, device=images.device) for f, n in ((torch.fft.fftfreq, H), (torch.fft.rfftfreq, W)))
    ring = ((fy[:, None] ** 2 + fx**2).sqrt() * RINGS).long().flatten()
    count = torch.bincount(ring)
    log = (power + 1e-12).log().flatten(1)
    mean = log.new_zeros(len(log), len(count)).index_add_(1, ring, log) / count.clamp_min(1)
    noise = (mean + EULER).exp().index_select(1, ring).reshape(power.shape)
    filtered: Tensor = torch.fft.irfft2(spectrum * (power / (power + noise))[:, None], s=(H, W))
    return filtered


def autocorrelation(images: Tensor, reach: float = REACH) -> Tensor:
    """Pearson correlation of images with themselves over every shift's overlap, channels together.

    (B, C, H, W) to (B, Y + 1, 2 X + 1) with Y, X = reach * (H, W): row dy in [0, Y], column X + dx for the
    shift (dx, dy). Each window's own mean is removed; a slope within it is not, see `without_slope`.
    """
    H, W = images.shape[-2:]
    Y, X = int(reach * H), int(reach * W)
    f = images - images.mean((2, 3), keepdim=True)
    high, wide = fast_length(H + Y), fast_length(W + X)
    # rows of zeros need no transform along x, nor do rows of the result that are not read
    power = squared(torch.fft.fft(torch.fft.rfft(f, n=wide), n=high, dim=-2)).sum(1)
    full = torch.fft.irfft(torch.fft.ifft(power, dim=-2)[:, : Y + 1], n=wide)
    product = torch.cat([full[..., -X:], full[..., : X + 1]], -1)

    def windows(g: Tensor) -> tuple[Tensor, Tensor]:
        """Sums of g (B, C, H, W) over the first and the second window of every shift."""
        P = F.pad(g.to(finest(g.device)).cumsum(-1).cumsum(-2), (1, 0, 1, 0))
        head, tail = P[:, :, H - Y :].flip(2).float(), (P[:, :, H:] - P[:, :, : Y + 1]).float()
        first = torch.cat([(head[..., W:] - head[..., 1 : X + 1]).flip(-1), head[..., W - X :].flip(-1)], -1)
        return first, torch.cat([tail[..., W - X : W], tail[..., W:] - tail[..., : X + 1]], -1)

    dy, dx = torch.arange(Y + 1, device=f.device), torch.arange(X + 1, device=f.device)
    n = (H - dy)[:, None] * (W - torch.cat([dx[1:].flip(0), dx]))[None]
    s1, s2 = windows(f)
    q1, q2 = windows(f.square().sum(1, keepdim=True))
    covariance = product - ((s1 * s2).sum(1) / n)
    v1 = q1[:, 0] - s1.square().sum(1) / n
    v2 = q2[:, 0] - s2.square().sum(1) / n
    floor = 1e-3 * q1[:, 0, :1, X : X + 1] * n / (H * W)
    return covariance / (v1 * v2).clamp_min(0).sqrt().clamp_min(floor.clamp_min(1e-9))


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


def sample(surface: Tensor, points: Tensor) -> Tensor:
    """Bicubic values of the surface (B, Y + 1, 2 X + 1) at the shifts `points` (B, ..., 2): (B, ...).

    A shift and its negative are one; the rows next to zero are continued by that symmetry.
    """
    B, rows, columns = surface.shape
    X = columns // 2
    mirrored = torch.cat([surface[:, 1:4].flip(1, 2), surface], 1)
    flip = torch.where(points[..., 1:] < 0, -1.0, 1.0)
    xy = (points * flip).reshape(B, 1, -1, 2)
    gx = (xy[..., 0] + X) / (columns - 1) * 2 - 1
    gy = (xy[..., 1] + 3) / (rows + 2) * 2 - 1
    values = F.grid_sample(
        mirrored[:, None],
        torch.stack([gx, gy], -1),
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
