"""Pictures that are drawn from random numbers: dead leaves, and noise per pixel or smooth."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

SIDE = 256  # px: pictures are held as squares of this side


def dead_leaves(rng: np.random.Generator, count: int = 220) -> NDArray[np.uint8]:
    """One dead-leaves picture (SIDE, SIDE, 3) uint8: shapes of power-law size that hide one another.

    The classical model of a photograph's statistics (Matheron 1968; Lee, Mumford and Huang, Int. J.
    Comput. Vision 41, 2001), with a little texture inside each shape.
    """
    palette = rng.integers(0, 256, (rng.integers(3, 12), 3))
    image = Image.new("RGB", (SIDE, SIDE), tuple(int(v) for v in palette[0]))
    draw = ImageDraw.Draw(image)
    radii = np.clip(3.0 / rng.random(count) ** 0.7, 3.0, 90.0)
    for radius in radii:
        x, y = rng.uniform(-10, SIDE + 10, 2)
        colour = np.clip(palette[rng.integers(len(palette))] + rng.normal(0, 18, 3), 0, 255)
        fill = tuple(int(v) for v in colour)
        flat = rng.uniform(0.3, 1.0)
        if rng.random() < 0.5:
            draw.ellipse((x - radius, y - radius * flat, x + radius, y + radius * flat), fill=fill)
        else:
            angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 7)))
            corners = [(x + radius * np.cos(t), y + radius * flat * np.sin(t)) for t in angles]
            draw.polygon(corners, fill=fill)
    picture = np.asarray(image, dtype=np.float32)
    shade = smooth_noise(rng, rng.uniform(4, 40), channels=1) * rng.uniform(0, 30)
    grain = smooth_noise(rng, rng.uniform(0, 2), channels=3) * rng.uniform(0, 25)
    picture = picture + shade.transpose(1, 2, 0) + grain.transpose(1, 2, 0)
    return np.asarray(np.clip(picture, 0, 255), dtype=np.uint8)


def smooth_noise(rng: np.random.Generator, sigma: float, channels: int = 3, side: int = SIDE) -> NDArray[np.float32]:
    """Noise of unit variance (channels, side, side), smoothed by a Gaussian of `sigma` px on a torus."""
    noise = torch.from_numpy(rng.standard_normal((channels, side, side), dtype=np.float32))
    if sigma > 0:  # by torch, whose transforms take a tenth of numpy's time
        ky, kx = torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)
        weight = (-2 * (np.pi * sigma) ** 2 * (ky.square() + kx.square())).clamp_min(-40).exp()
        noise = torch.fft.irfft2(torch.fft.rfft2(noise) * weight, s=(side, side))
    normal: NDArray[np.float32] = noise.div_(noise.std(correction=0)).numpy()
    return normal


def noise_picture(rng: np.random.Generator) -> NDArray[np.float32]:
    """A noise picture (3, SIDE, SIDE) in [0, 1]: per pixel or smooth, in colour or grey."""
    sigma = 0.0 if rng.random() < 0.4 else float(np.exp(rng.uniform(np.log(0.7), np.log(8.0))))
    noise = smooth_noise(rng, sigma, channels=1 if rng.random() < 0.3 else 3)
    grey: NDArray[np.float32] = torch.from_numpy(noise).mul_(0.2).add_(0.5).clamp_(0, 1).expand(3, -1, -1).numpy()
    return grey
