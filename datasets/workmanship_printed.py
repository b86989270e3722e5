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
from .workmanship_toned import Op

LEAST = 6.0  # px: a cell is stored on no fewer


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
    least = max(4, round(LEAST * sheet.size / sheet.side))

    def made(coarse: float) -> Op:
        n = max(least, min(sheet.size, round(sheet.size / coarse)))

        def op(image: Tensor) -> Tensor:
            small = F.interpolate(image[None], (n, n), mode="area")
            return F.interpolate(small, tuple(image.shape[-2:]), mode=mode)[0]

        return op

    return made(strength(lambda s: change(image, made(s)(image)), target, max(1.3, sheet.side / 20))[0])


def few_colours(sheet: Sheet, image: Tensor, rng: np.random.Generator, target: float) -> Op:
    """A palette of few colours, the image's own or equal steps of each channel, with or without dithering."""
    dither = Image.Dither.FLOYDSTEINBERG if rng.random() < 0.5 else Image.Dither.NONE
    own, whole = rng.random() < 0.6, _stored(image)

    def made(coarse: float) -> Op:
        count = round(max(2.0, min(64.0, 8 / coarse)))
        if own:
            palette = whole.quantize(count, Image.Quantize.MEDIANCUT, kmeans=1)
        else:
            steps = np.linspace(0, 255, max(2, min(6, round(count / 3)))).round().astype(np.uint8)
            cube = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1)
            palette = Image.new("P", (1, 1))
            palette.putpalette(np.resize(cube, 768).tobytes())
        return lambda image: _loaded(_stored(image).quantize(palette=palette, dither=dither), image)

    return made(strength(lambda s: change(image, made(s)(image)), target)[0])


def jpeg(sheet: Sheet, image: Tensor, rng: np.random.Generator, target: float) -> Op:
    """Stored as a JPEG file, perhaps at a smaller size."""
    smaller = [f for f in (1, 2, 3, 4) if f == 1 or sheet.side / f >= 2 * LEAST]
    n = round(sheet.size / smaller[int(rng.integers(len(smaller)))])

    def made(coarse: float) -> Op:
        quality = round(max(1.0, min(95.0, 50 / coarse)))

        def op(image: Tensor) -> Tensor:
            file = BytesIO()
            whole = _stored(image)
            whole.resize((n, n), Image.Resampling.BOX).save(file, "JPEG", quality=quality)
            return _loaded(Image.open(file).resize(whole.size, Image.Resampling.BICUBIC), image)

        return op

    return made(strength(lambda s: change(image, made(s)(image)), target, 2.0)[0])


def _stored(image: Tensor) -> Image.Image:
    """An image (3, H, W) in [0, 1], clipped, in 8 bits."""
    levels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(np.ascontiguousarray(levels))


def _loaded(stored: Image.Image, image: Tensor) -> Tensor:
    return torch.from_numpy(np.array(stored.convert("RGB"))).permute(2, 0, 1).to(image) / 255
