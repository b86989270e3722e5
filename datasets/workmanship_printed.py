"""Workmanship of printing and storing: halftone, few colours, JPEG, few pixels. Contract as in `workmanship_toned`."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from .workmanship_scale import added, change, strength
from .workmanship_sheet import Sheet
from .workmanship_toned import PART, Op

LEAST = 6.0  # px: a cell is stored on no fewer
SAMPLE = 1024  # pixels of which a palette is made
LLOYD = 4  # rounds in which it is made


def halftone(sheet: Sheet, image: Tensor, rng: np.random.Generator, target: float) -> Op:
    """Dots of a screen in a phase of its own, larger where the image is darker; as seen from afar."""
    pitch = rng.uniform(2.5, max(3.0, min(8.0, sheet.side / 5)))
    grey = bool((image.amax(0) - image.amin(0)).amax() < 1e-3)
    angles = rng.uniform(0, np.pi / 2) + np.zeros(3) if grey else rng.uniform(0, np.pi / 2, 3)
    phases = np.repeat(rng.uniform(0, 2 * np.pi, (1, 2)), 3, 0) if grey else rng.uniform(0, 2 * np.pi, (3, 2))
    turns = torch.from_numpy(2 * np.pi / pitch * np.stack([np.cos(angles), np.sin(angles)], -1)).float()
    starts = torch.from_numpy(phases).float()[..., None, None]
    x, y = sheet.ticks[None, None], sheet.ticks[None, :, None]
    c, s = turns[:, 0, None, None], turns[:, 1, None, None]
    screen = (c * x + s * y + starts[:, 0]).cos() + (c * y - s * x + starts[:, 1]).cos()
    threshold = (0.5 + 0.25 * screen).to(image.device)

    def more(image: Tensor) -> Tensor:
        return torch.sigmoid(12 * (image - threshold)) - image

    strong = min(added(image, more(image), target), 1.0)
    return lambda image: image + strong * more(image)


def few_pixels(sheet: Sheet, image: Tensor, rng: np.random.Generator, target: float) -> Op:
    """Stored on few pixels, in a phase of their own, and enlarged again by the nearest one or smoothly."""
    mode = "nearest" if rng.random() < 0.5 else "bicubic"
    least, part = LEAST / sheet.side, _part(image)

    def made(coarse: float) -> Op:
        def op(image: Tensor) -> Tensor:
            n = max(round(least * image.shape[-1]), round(image.shape[-1] / max(coarse, 1.0)))
            small = F.interpolate(image[None], (n, n), mode="area")
            return F.interpolate(small, tuple(image.shape[-2:]), mode=mode)[0]

        return op

    return made(strength(lambda s: change(part, made(s)(part)), target, max(1.3, sheet.side / 20))[0])


def few_colours(sheet: Sheet, image: Tensor, rng: np.random.Generator, target: float) -> Op:
    """A palette of few colours, the image's own or equal steps of each channel, with or without dithering."""
    dither = Image.Dither.FLOYDSTEINBERG if rng.random() < 0.5 else Image.Dither.NONE
    own, part = rng.random() < 0.6, _part(image)
    colours = part.flatten(1).T
    colours = colours[torch.from_numpy(rng.permutation(len(colours))[:SAMPLE]).to(image.device)]

    ends = np.quantile(colours.cpu().numpy(), (0.01, 0.99), axis=0).T.tolist()

    def made(coarse: float) -> Op:
        count = round(max(2.0, min(64.0, 8 / coarse)))
        n = max(2, min(6, round(count / 3)))
        steps = [torch.linspace(low, high, n) for low, high in ends]
        found = _means(colours, count) if own else torch.cartesian_prod(*steps)
        levels = (found * 255).round().byte().cpu().numpy()
        palette = Image.new("P", (1, 1))
        palette.putpalette(np.resize(levels, 768).tobytes())
        return lambda image: _loaded(_stored(image).quantize(palette=palette, dither=dither), image)

    return made(strength(lambda s: change(part, made(s)(part)), target)[0])


def _means(colours: Tensor, count: int) -> Tensor:
    """Means of `count` clusters of colours (P, 3): (count, 3). Lloyd's algorithm from colours far from each other."""
    chosen, off = [0], (colours - colours[0]).square().sum(1)
    for _ in range(count - 1):
        chosen.append(int(off.argmax()))
        off = torch.minimum(off, (colours - colours[chosen[-1]]).square().sum(1))
    means = colours[chosen]
    for _ in range(LLOYD):
        near = F.one_hot(torch.cdist(colours, means).argmin(1), count).float()
        means = torch.where(near.sum(0)[:, None] > 0, near.T @ colours / near.sum(0)[:, None].clamp_min(1), means)
    return means


def jpeg(sheet: Sheet, image: Tensor, rng: np.random.Generator, target: float) -> Op:
    """Stored as a JPEG file, perhaps at a smaller size, with colours as fine as the rest where this is too much."""
    smaller = [f for f in (1, 2, 3) if f == 1 or sheet.side / f >= 2 * LEAST]
    shrunk, part = smaller[int(rng.integers(len(smaller)))], _part(image)

    def made(shrunk: int, subsampling: int, coarse: float) -> Op:
        quality = round(max(1.0, min(95.0, 50 / coarse)))

        def op(image: Tensor) -> Tensor:
            file, whole = BytesIO(), _stored(image)
            n = round(image.shape[-1] / shrunk)
            stored = whole.resize((n, n), Image.Resampling.BOX) if shrunk > 1 else whole
            stored.save(file, "JPEG", quality=quality, subsampling=subsampling)
            loaded = Image.open(file)
            return _loaded(loaded.resize(whole.size, Image.Resampling.BICUBIC) if shrunk > 1 else loaded, image)

        return op

    least = change(part, made(shrunk, 2, 50 / 95)(part))
    shrunk, subsampling = (shrunk, 2) if least < target else (1, 0)
    s, _ = strength(lambda s: change(part, made(shrunk, subsampling, s)(part)), target, 2.0)
    return made(shrunk, subsampling, s)


def _part(image: Tensor) -> Tensor:
    """A corner of the image, enough to find a strength in."""
    return image[:, :PART, :PART]


def _stored(image: Tensor) -> Image.Image:
    """An image (3, H, W) in [0, 1], clipped, in 8 bits."""
    levels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(np.ascontiguousarray(levels))


def _loaded(stored: Image.Image, image: Tensor) -> Tensor:
    return torch.from_numpy(np.array(stored.convert("RGB"))).permute(2, 0, 1).to(image) / 255
