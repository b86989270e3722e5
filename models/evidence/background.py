"""The background of images: values far outside the others' range, and brightness that rises across the view."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from ...arrays import finest, in_pieces, pieces

LEAST = 1e-3  # share of the variance that must remain, unless it is more than the rounding of greys
FAINT = 0.02  # share of the variance beside a plane under which an image may be nothing but the plane
ROUNDING = 1.0  # steps between greys: what rounding leaves of a bare slope, which repeats, deviates by 0.3 of one
OUTLIERS = 2000  # px for each that may lie outside the others' range, at either end
FEW = 2048  # px in which greys are counted first
FAR = 10.0  # deviations between the darkest and the brightest pixel from which outliers are looked for


def clipped(images: Tensor) -> tuple[Tensor, Tensor]:
    """Images (B, C, H, W) without values far outside the others' range, and which of them had such values (B,).

    If the highest or lowest values of a channel, one in `OUTLIERS`, reach farther beyond the rest than the rest spans,
    they become the rest's bounds, and the image is scaled to [0, 1], channels together. All else stays as it is.
    """

    def suspect(part: Tensor) -> Tensor:
        least, most = part.flatten(2).aminmax(dim=-1)
        # several times faster than std
        deviation = (part - part.mean((2, 3), keepdim=True)).square().mean((2, 3)).sqrt()
        return (most - least > FAR * deviation).any(1)

    values, suspects = images.flatten(2), in_pieces(suspect, images).nonzero()[:, 0]
    found = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    if not len(suspects):
        return images, found
    some = values[suspects]
    k = max(1, some.shape[-1] // OUTLIERS) + 1
    high, low = some.topk(k).values[..., -1:], some.topk(k, largest=False).values[..., -1:]
    rest = high - low
    beyond = torch.maximum(some.amax(-1, keepdim=True) - high, low - some.amin(-1, keepdim=True))
    outlying = ((beyond > rest) & (rest > 0)).any(1)[:, 0]
    at = suspects[outlying]
    some, high, low = some[outlying], high[outlying], low[outlying]
    bottom, top = low.amin(1, keepdim=True), high.amax(1, keepdim=True)
    scaled = (torch.minimum(torch.maximum(some, low), high) - bottom) / (top - bottom)
    scaled = scaled.reshape(-1, *images.shape[1:])
    return images.index_copy(0, at, scaled), found.index_fill(0, at, True)


def without_slope(images: Tensor) -> Tensor:
    """Images (B, C, H, W) less their means and the plane that fits each channel best, of any range: see `levelled`."""
    return levelled(images)[0]


def levelled(images: Tensor) -> tuple[Tensor, Tensor]:
    """Images (B, C, H, W) of any range less means and planes, and whose plane hid all but `LEAST` of the variance (B,).

    The fit is weighted by a Hann window in x and y, so that a pattern of few cells in view, which a plane could follow
    in part, changes little. A plane that hides the rest is fitted with all the device's precision; an image keeps its
    slope where what would remain is no more than the rounding of its greys.
    """
    made = [_levelled(some) for some in pieces(images)]
    return made[0] if len(made) == 1 else (torch.cat([flat for flat, _ in made]), torch.cat([at for _, at in made]))


def _levelled(images: Tensor) -> tuple[Tensor, Tensor]:
    whole, flat = _fitted(images)
    hidden = flat.square().sum((1, 2, 3)) < LEAST * whole.square().sum((1, 2, 3))
    if not hidden.any():
        return flat, hidden
    at = hidden.nonzero()[:, 0]
    precise = _fitted(images[at].to(finest(images.device)))[1].to(images.dtype)
    steep = above_rounding(precise, images[at])
    kept = torch.where(steep[:, None, None, None], precise, whole[at])
    return flat.index_copy(0, at, kept), hidden.index_copy(0, at, steep)


def bare_slopes(images: Tensor) -> Tensor:
    """Whether images (B, C, H, W) are of one colour, or planes and no more than the rounding of their greys: (B,)."""

    def bare(some: Tensor) -> Tensor:
        whole, flat = _fitted(some)
        faint = flat.square().sum((1, 2, 3)) < FAINT * whole.square().sum((1, 2, 3))
        at = faint.nonzero()[:, 0]
        if len(at):
            faint = faint.index_copy(0, at, ~above_rounding(flat[at], some[at]))
        least, most = some.flatten(2).aminmax(dim=-1)
        return faint | (least == most).all(1)

    return in_pieces(bare, images)


def above_rounding(residual: Tensor, images: Tensor) -> Tensor:
    """Whether a residual (B, C, H, W) deviates by more than `ROUNDING` mean steps between the greys of the images."""
    values = images.flatten(2)
    least, most = values.aminmax(dim=-1)
    deviation = residual.flatten(2).std(-1)

    def above(rows: Tensor, at: Tensor) -> Tensor:
        greys = 1 + (rows.sort(-1).values.diff(dim=-1) != 0).sum(-1)
        return (deviation[at] > ROUNDING * (most - least)[at] / (greys - 1).clamp_min(1)).any(1)

    at = torch.arange(len(images), device=images.device)
    # a few pixels have no more greys than all: what deviates enough beside those needs no further count
    found = above(values[..., :: max(1, values.shape[-1] // FEW)], at)
    if images.device.type == "cpu":
        at = at[~found]
    return found.index_copy(0, at, above(values[at], at)) if len(at) else found


def _fitted(images: Tensor) -> tuple[Tensor, Tensor]:
    """Images less their means, and those less their planes."""
    H, W = images.shape[-2:]
    (y, wy), (x, wx) = (_axis(n, images.dtype, images.device) for n in (H, W))
    whole = images - images.mean((2, 3), keepdim=True)
    # weighted sums along rows, of the pixels and of their moments, then down them
    rows = whole @ torch.stack([wx * x / (wx * x * x).sum(), wx], -1)
    down = torch.stack([wy, wy * y / (wy * y * y).sum()])
    across, up = ((rows[..., k] * down[k]).sum(-1)[..., None, None] for k in range(2))
    return whole, whole - (across * x + up * y[:, None])


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _axis(n: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Positions of n pixels about their middle, in units of the side, and Hann weights that sum to 1."""
    x = (torch.arange(n, device=device, dtype=dtype) - (n - 1) / 2) / n
    weight = torch.cos(torch.pi * x).square()
    return x, weight / weight.sum()
