"""Workmanship in light and sharpness: shading, copies and cells toned or blurred, the shape of a probe.

Each construction takes a sheet, an image (3, S, S), the generator and the change to reach, and gives a function of
images, so that the same can be done to the image with other disorder.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..arrays import gaussian_blur
from .workmanship_scale import added, factor
from .workmanship_sheet import Sheet, by_cell, periodic, waves

Op = Callable[[Tensor], Tensor]
PART = 128  # px: a corner of the image, enough to find a width in
WINDOW = 12  # px: a probe's kernel reaches so far from its middle


def _toned(image: Tensor, gain: Tensor, offset: Tensor, target: float) -> Op:
    """``gain`` and ``offset`` (3 or 1, S, S) of the deviations from the mean, as strongly as changes by `target`."""
    mean, spread = image.mean((1, 2), keepdim=True), image.std()

    def more(image: Tensor) -> Tensor:
        return gain * (image - mean) + spread * offset

    s = added(image, more(image), target)
    s = 0.0 if s == inf else s
    return lambda image: image + s * more(image)


def _colours(rng: np.random.Generator, image: Tensor) -> Tensor:
    """A factor for each channel (3, 1, 1), all alike on grey images."""
    grey = bool((image.amax(0) - image.amin(0)).amax() < 1e-3)
    drawn = np.ones(3) if grey or rng.random() < 0.5 else rng.uniform(-1, 1, 3)
    return torch.from_numpy(drawn).to(image)[:, None, None]


def shading(sheet: Sheet, image: Tensor, rng: np.random.Generator, target: float) -> Op:
    """Light and shade across the cell, alike in every cell: smooth, or rising through each copy from seam to seam."""
    share, angle = rng.random(), rng.uniform(0, 2 * np.pi)
    field = periodic(sheet, waves(rng, 2))
    if sheet.orbit is not None and rng.random() < 0.4:
        light = torch.tensor([[np.cos(angle), np.sin(angle)]], dtype=torch.float32) / (0.25 * sheet.side)
        field = sheet.affine(light.expand(sheet.copies, 1, 2), torch.zeros(sheet.copies, 1))
    values = sheet.picture(field, image.device)
    return _toned(image, share * values[:1], (1 - share) * values[-1:] * _colours(rng, image), target)


def copies_toned(sheet: Sheet, image: Tensor, rng: np.random.Generator, target: float) -> Op:
    """Each copy of the fundamental domain brighter, paler or tinted by its own amount, alike in every cell."""
    drawn = torch.from_numpy(rng.standard_normal((sheet.copies, 2))).float()
    values, share = sheet.picture(sheet.by_copy(drawn), image.device), rng.random()
    return _toned(image, share * values[:1], (1 - share) * values[1:] * _colours(rng, image), target)


def cells_toned(sheet: Sheet, image: Tensor, rng: np.random.Generator, target: float) -> Op:
    """Each cell, or each row of cells, brighter, paler or tinted by its own amount."""
    values, share = sheet.picture(by_cell(sheet, rng, 2), image.device), rng.random()
    return _toned(image, share * values[:1], (1 - share) * values[1:] * _colours(rng, image), target)


def copies_blurred(sheet: Sheet, image: Tensor, rng: np.random.Generator, target: float) -> Op:
    """Each copy of the fundamental domain out of focus by its own amount, alike in every cell."""
    drawn = rng.random(sheet.copies) ** 2
    drawn[rng.integers(sheet.copies)] = 1.0
    weight = sheet.picture(sheet.by_copy(torch.from_numpy(drawn).float()[:, None]), image.device)

    def more(image: Tensor, width: float, part: int) -> Tensor:
        image = image[:, :part, :part]
        return weight[:, :part, :part] * (gaussian_blur(image[None], width)[0] - image)

    width, s, part = 0.7, inf, min(PART, sheet.size)
    while width < max(2.0, 0.15 * sheet.side) and s > 1:
        width *= 1.6
        s = added(image[:, :part, :part], more(image, width, part), target)
    s = min(added(image, more(image, width, sheet.size), target), 1.0)
    return lambda image: image + s * more(image, width, sheet.size)


def probe(sheet: Sheet, image: Tensor, rng: np.random.Generator, target: float) -> Op:
    """A probe with one arm (coma), two (astigmatism) or three (trefoil), the same over the whole image.

    The smallest whose full strength changes the image enough, its core as strong as needed. The kernel's centre of
    mass is where it was, so that the image does not shift.
    """
    arms, turn = int(rng.integers(1, 4)), rng.uniform(0, 2 * np.pi)
    angles = turn + 2 * np.pi * np.arange(arms) / arms
    points = [(0.0, 0.0, 1.0)]
    points += [(j * np.cos(t), j * np.sin(t), 0.7**j / arms**0.5) for t in angles for j in (1.0, 2.0)]
    places = torch.tensor(points, dtype=torch.float32)
    places[:, :2] -= (places[:, :2] * places[:, 2:]).sum(0) / places[:, 2].sum()
    tick = torch.arange(-WINDOW, WINDOW + 1, dtype=torch.float32)
    padded = _padded(image)
    spectrum = torch.fft.rfft2(padded)

    def kernel(length: float) -> Tensor:
        width = max(0.35 * length, 0.4)
        gx, gy = (torch.exp(-0.5 * ((tick - length * places[:, i : i + 1]) / width) ** 2) for i in (0, 1))
        gx, gy = gx / gx.sum(1, keepdim=True), gy / gy.sum(1, keepdim=True)
        spot = (gy * places[:, 2:]).T @ gx
        whole = torch.zeros(padded.shape[-2:])
        whole[: 2 * WINDOW + 1, : 2 * WINDOW + 1] = spot / spot.sum()
        response: Tensor = torch.fft.rfft2(whole.roll((-WINDOW, -WINDOW), (0, 1)).to(image.device))
        return response - 1

    def more(spectrum: Tensor) -> Tensor:
        inner: Tensor = torch.fft.irfft2(spectrum * change, s=padded.shape[-2:])
        return inner[:, WINDOW:-WINDOW, WINDOW:-WINDOW]

    power = spectrum.abs().square().sum(0)
    power[0, 0] = 0
    power[:, 0] /= 2  # half of the spectrum is left out, but for its first column
    total = power.sum().clamp_min(1e-6)
    length, s = 0.5, inf
    while length < min(WINDOW / 2.5, max(1.0, 0.12 * sheet.side)) and s > 1:
        length *= 1.5
        change = kernel(length)
        s = factor(
            float((power * change.real).sum() / total), float((power * change.abs().square()).sum() / total), target
        )
    s = min(s, 1.0)
    return lambda image: image + s * more(torch.fft.rfft2(_padded(image)))


def _padded(image: Tensor) -> Tensor:
    return F.pad(image[None], (WINDOW,) * 4, mode="reflect")[0]
