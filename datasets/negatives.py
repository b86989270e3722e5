"""Images without a pattern, which the gate must reject: photographs, noise, stripes, atoms, slopes, few objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from .corruptions import Corruption, corrupt
from .sources import Pool, default_pool
from .textures import smooth_noise

KINDS = ("photograph", "noise", "stripes", "scattered", "gradient", "objects")
FINEST = 0.6  # px: least deviation of the Gaussian that smooths a profile of stripes
MOST = 8  # objects on an empty background: by chance a few of them repeat one another
GREYS = 255  # steps of grey in most files: what is left of a slope once a plane is taken away
STREAM = 9  # keeps these draws apart from those of patterns with the same seed


@dataclass(frozen=True)
class NonPatternDataset:
    """Unlimited images without two independent translations: image `index` is of kind ``KINDS[index % 6]``.

    The same rules as for `PatternDataset`: an image depends on the fields below and the index alone.
    """

    seed: int
    size: int = 256
    pool: Pool | None = field(default=None, repr=False)
    corruptions: tuple[Corruption, ...] = ()

    def label(self, index: int) -> str:
        """Kind of image `index`."""
        return KINDS[index % len(KINDS)]

    def batch(self, indices: Sequence[int], device: str | torch.device = "cpu") -> Tensor:
        """The images `indices`: (B, 3, size, size) float32 in [0, 1]."""
        # an image alone would keep the order of its axes in memory, and so that in which its pixels are summed
        images = torch.from_numpy(np.stack([self._image(i) for i in indices])).contiguous().to(device)
        return corrupt(images, self.corruptions, [(self.seed, STREAM, i, 1) for i in indices])

    def _image(self, index: int) -> NDArray[np.float32]:
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, STREAM, index, 0])))
        pool = self.pool if self.pool is not None else default_pool()
        match self.label(index):
            case "photograph":
                image = _crop(rng, pool.take([int(rng.integers(len(pool)))])[0], self.size)
            case "noise":
                sigma = 0.0 if rng.random() < 0.3 else float(np.exp(rng.uniform(np.log(0.6), np.log(12))))
                noise = smooth_noise(rng, sigma, 1 if rng.random() < 0.5 else 3, max(64, self.size))
                image = 0.5 + 0.2 * noise[:, : self.size, : self.size]
            case "stripes":
                image = _stripes(rng, self.size)
            case "scattered":
                image = _scattered(rng, self.size)
            case "gradient":
                image = _gradient(rng, self.size)
            case _:
                image = _objects(rng, self.size)
        return np.broadcast_to(np.clip(image, 0, 1), (3, self.size, self.size)).astype(np.float32)


def _crop(rng: np.random.Generator, picture: Tensor, size: int) -> NDArray[np.float32]:
    side = picture.shape[-1]
    edge = int(rng.integers(side // 2, side + 1))
    top, left = rng.integers(0, side - edge + 1, 2)
    crop = picture[None, :, top : top + edge, left : left + edge].float() / 255
    scaled = F.interpolate(crop, (size, size), mode="bilinear", antialias=True)
    resized: NDArray[np.float32] = scaled[0].numpy()
    return resized.mean(0, keepdims=True) if rng.random() < 0.3 else resized


def _grid(size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return x, y


def _stripes(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    """A random periodic profile along one direction: one translation, and every translation across it."""
    x, y = _grid(size)
    angle, period = rng.uniform(0, np.pi), np.exp(rng.uniform(np.log(5), np.log(size / 3)))
    if rng.random() < 0.3:  # along rows, columns or diagonals of pixels the stripes are perfect
        angle = np.pi / 4 * np.round(4 * angle / np.pi)
    phase = (x * np.cos(angle) + y * np.sin(angle)) / period + rng.random()
    # finer than the pixels a profile would make moiré, which repeats in two directions and has a group
    finest = FINEST * 256 / period
    profile = smooth_noise(rng, float(max(rng.uniform(1, 24), finest)), 3, 256)[:, 0]
    profile = profile if rng.random() < 0.5 else profile[:1]
    if rng.random() < 0.3:
        profile = np.sin(2 * np.pi * np.arange(256) / 256)[None]
    ticks = np.arange(257) / 256
    image = np.stack([np.interp(phase % 1, ticks, np.append(p, p[0])) for p in profile])
    return (0.5 + 0.2 * image / max(float(image.std()), 1e-6)).astype(np.float32)


def _scattered(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    """Atoms at random positions, with or without a minimum distance."""
    count = int(np.exp(rng.uniform(np.log(15), np.log(400))))
    spacing = size / np.sqrt(count)
    places = rng.uniform(0, size, (count, 2))
    if rng.random() < 0.6:  # a liquid: a grid, shaken until its reflections are below a thousandth
        ticks = np.arange(-1, int(np.sqrt(count)) + 2) * spacing
        grid = np.stack(np.meshgrid(ticks, ticks), -1).reshape(-1, 2)
        places = grid + rng.uniform(0.45, 0.7) * spacing * rng.standard_normal(grid.shape)
    width = max(spacing * rng.uniform(0.08, 0.3), 0.9)
    ticks_px = np.arange(size)
    gx = np.exp(-0.5 * ((ticks_px - places[:, :1]) / width) ** 2)
    gy = np.exp(-0.5 * ((ticks_px - places[:, 1:]) / width) ** 2)
    height = rng.uniform(0.3, 0.9) * (1 + rng.uniform(0, 0.5) * rng.standard_normal((len(places), 1)))
    return np.asarray(0.1 + (gy * height).T @ gx, dtype=np.float32)[None]


def _gradient(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    """A nearly flat image: a slope or a bow with a little noise, every other one rounded to the greys of a file."""
    x, y = _grid(size)
    angle = rng.uniform(0, 2 * np.pi)
    ramp = (x * np.cos(angle) + y * np.sin(angle)) / size + rng.uniform(-1, 1) * (x**2 + y**2) / size**2
    strength = np.exp(rng.uniform(np.log(1e-3), np.log(0.1)))
    grain = strength * smooth_noise(rng, float(rng.uniform(0, 2)), 1, size)
    image = rng.uniform(0.2, 0.8) + rng.uniform(0, 0.6) * ramp + grain
    image = np.round(GREYS * image) / GREYS if rng.random() < 0.5 else image
    return np.asarray(image, dtype=np.float32)


def _objects(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    """One to `MOST` points, discs, squares or blobs, alike or not, dark or bright, with a slope or noise in some."""
    x, y = _grid(size)
    shape = int(rng.integers(4))
    count, width = int(rng.integers(1, MOST + 1)), size * np.exp(rng.uniform(np.log(0.012), np.log(0.1)))
    widths = np.full(count, width) if rng.random() < 0.5 else width * np.exp(rng.uniform(-0.7, 0.7, count))
    image = np.zeros((size, size))
    for (at_x, at_y), w in zip(rng.uniform(-0.46, 0.46, (count, 2)) * size, widths, strict=True):
        off_x, off_y = x - at_x, y - at_y
        drawn = [
            np.maximum(abs(off_x), abs(off_y)) < 0.5,
            np.hypot(off_x, off_y) < w,
            np.maximum(abs(off_x), abs(off_y)) < w,
            np.exp(-0.5 * (off_x**2 + off_y**2) / w**2),
        ][shape]
        image = np.maximum(image, drawn)
    angle = rng.uniform(0, 2 * np.pi)
    slope = rng.uniform(0, 0.3) * (rng.random() < 0.3) * (x * np.cos(angle) + y * np.sin(angle)) / size
    grain = rng.uniform(0, 0.08) * (rng.random() < 0.4) * rng.standard_normal((size, size))
    made = 0.15 + rng.uniform(0.3, 0.7) * image + slope + grain
    return np.asarray(1 - made if rng.random() < 0.5 else made, dtype=np.float32)[None]
