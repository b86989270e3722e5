"""Corruptions of images, of severity 0 (nothing changes) to 5: what microscopes and cameras add.

A corruption is a function of images (B, 3, H, W) float32 in [0, 1], severities (B,) and one random generator
for each image, so that an image's corruption does not depend on its batch. The result is clipped to [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..arrays import gaussian_blur
from ..hierarchy import HierError, UnknownNameError
from .disorder import thermal, vacancies
from .distortions import DISTORTIONS, view_corruption
from .light import hot, lines, plane, shadow, vignette
from .workmanship import workmanship

Generators = Sequence[np.random.Generator]
Corrupt = Callable[[Tensor, Tensor, Generators], Tensor]


@dataclass(frozen=True)
class Corruption:
    """A corruption: its name in `CORRUPTIONS`, the range of severities, the share of images that get it.

    Raises UnknownNameError for an unknown name, HierError for a severity outside 0 to 5.
    """

    name: str
    severity: tuple[float, float]
    share: float = 1.0

    def __post_init__(self) -> None:
        if self.name not in CORRUPTIONS:
            raise UnknownNameError("corruption", self.name, CORRUPTIONS)
        low, high = self.severity
        if not 0 <= low <= high <= 5:
            raise HierError(f"corruption {self.name} of severity {low} to {high}: severities lie between 0 and 5")


def _normal(images: Tensor, rngs: Generators, channels: int = 3) -> Tensor:
    shape = (channels, *images.shape[-2:])
    drawn = np.stack([r.standard_normal(shape, dtype=np.float32) for r in rngs])
    return torch.from_numpy(drawn).to(images.device)


def _column(values: Sequence[float] | Tensor, images: Tensor) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float32, device=images.device)[:, None, None, None]


def blur(images: Tensor, severity: Tensor, rngs: Generators) -> Tensor:
    """Gaussian blur of 0.5 px a step, on the image continued by reflection."""
    sigma = (0.5 * severity).clamp_min(1e-3).to(images.device)
    return gaussian_blur(images, sigma, radius=8)  # three times the largest sigma


def noise(images: Tensor, severity: Tensor, rngs: Generators) -> Tensor:
    """Gaussian noise in every pixel, its deviation 0.06 of the grey range a step; grey on grey images."""
    grey = (images.amax(1) - images.amin(1)).amax((1, 2)) < 1e-3
    drawn = _normal(images, rngs)
    drawn = torch.where(grey[:, None, None, None], drawn[:, :1], drawn)
    return images + 0.06 * _column(severity, images) * drawn


def grain(images: Tensor, severity: Tensor, rngs: Generators) -> Tensor:
    """Gaussian noise in every pixel, its deviation 0.2 of the image's own a step; grey on grey images."""
    own = images.std((1, 2, 3)).to(severity.device)
    return noise(images, severity * own * (0.2 / 0.06), rngs)


def shot(images: Tensor, severity: Tensor, rngs: Generators) -> Tensor:
    """Poisson noise of ``400 / 4 ** severity`` counts in a white pixel, in its normal limit; none at 0."""
    counts = _column(severity, images)
    drawn = _normal(images, rngs, 1)
    return torch.where(counts > 0, images + (images / (400 * 4.0**-counts)).sqrt() * drawn, images)


def contrast(images: Tensor, severity: Tensor, rngs: Generators) -> Tensor:
    """Less contrast, another brightness and a gamma curve: down to a quarter of the range at severity 5."""
    s = _column(severity, images)
    gain = 1 - 0.15 * s
    level = _column([r.random() for r in rngs], images) * (1 - gain)
    gamma = torch.exp(0.14 * s * _column([r.uniform(-1, 1) for r in rngs], images))
    return gain * images.clamp(0, 1) ** gamma + level


def slope(images: Tensor, severity: Tensor, rngs: Generators) -> Tensor:
    """A background that rises across the image by 0.12 of the grey range a step, at the cost of contrast."""
    H, W = images.shape[-2:]
    angle = _column([r.uniform(0, 2 * np.pi) for r in rngs], images)
    y = torch.linspace(-0.5, 0.5, H, device=images.device)[:, None]
    x = torch.linspace(-0.5, 0.5, W, device=images.device)[None]
    ramp = 0.12 * _column(severity, images) * (x * angle.cos() + y * angle.sin())
    return images * (1 - 0.12 * _column(severity, images)) + ramp + 0.06 * _column(severity, images)


def drift(images: Tensor, severity: Tensor, rngs: Generators) -> Tensor:
    """Affine distortion of 0.5 % a step, as of a sample that moves during the scan; the middle stays."""
    strain = torch.from_numpy(np.stack([r.uniform(-1, 1, (2, 2)) for r in rngs])).float().to(images.device)
    strain = strain / strain.abs().amax((1, 2), keepdim=True)
    matrix = torch.eye(2, device=images.device) + 0.005 * severity.to(images.device)[:, None, None] * strain
    theta = torch.cat([matrix, matrix.new_zeros(len(matrix), 2, 1)], -1)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, mode="bicubic", padding_mode="reflection", align_corners=False)
    return torch.where(_column(severity, images) > 0, moved, images)


def jitter(images: Tensor, severity: Tensor, rngs: Generators) -> Tensor:
    """Every scan line is shifted along itself, by 0.3 px (standard deviation) a step."""
    B, _, H, W = images.shape
    drawn = np.stack([r.standard_normal(H, dtype=np.float32) for r in rngs])
    shift = 0.3 * severity.to(images.device)[:, None] * torch.from_numpy(drawn).to(images.device)
    y, x = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    x = x.to(images.device) + shift[:, :, None]
    grid = torch.stack([(2 * x + 1) / W - 1, ((2 * y + 1) / H - 1).to(images.device).expand(B, H, W)], -1)
    moved = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return torch.where(_column(severity, images) > 0, moved, images)


def invert(images: Tensor, severity: Tensor, rngs: Generators) -> Tensor:
    """Inverted contrast, at any severity above 0."""
    return torch.where(_column(severity, images) > 0, 1 - images, images)


CORRUPTIONS: dict[str, Corrupt] = {
    "workmanship": workmanship,
    "thermal": thermal,
    "vacancies": vacancies,
    "invert": invert,
    "drift": drift,
    "jitter": jitter,
    "blur": blur,
    "contrast": contrast,
    "slope": slope,
    "vignette": vignette,
    "shadow": shadow,
    "plane": plane,
    "lines": lines,
    "shot": shot,
    "noise": noise,
    "grain": grain,
    "hot": hot,
    **{kind: view_corruption(kind) for kind in DISTORTIONS},
}


OF_PATTERN = "workmanship"  # done to the pattern before all others, where there is one
OF_VIEW = DISTORTIONS  # done as a pattern is drawn, before what instruments add
OF_ATOMS = ("thermal", "vacancies")  # done to the atoms themselves where a pattern is made of atoms


def draws(
    step: Corruption, position: int, keys: Sequence[Sequence[int]]
) -> tuple[list[np.random.Generator], list[float]]:
    """A generator and a severity for each image, of the corruption at `position` in its sequence."""
    seeds = [np.random.SeedSequence([*key, position]) for key in keys]
    rngs = [np.random.Generator(np.random.Philox(seed)) for seed in seeds]
    return rngs, [r.uniform(*step.severity) if r.random() < step.share else 0.0 for r in rngs]


def corrupt(
    images: Tensor, corruptions: Sequence[Corruption], keys: Sequence[Sequence[int]], leave_out: Sequence[str] = ()
) -> Tensor:
    """Apply `corruptions` in their order to images (B, 3, H, W); `keys`, a few integers each, seed them."""
    for position, step in enumerate(corruptions):
        if step.name in leave_out:
            continue
        rngs, drawn = draws(step, position, keys)
        severity = torch.tensor(drawn, dtype=torch.float32)
        chosen = severity.nonzero().flatten()
        if len(chosen):
            their = [rngs[i] for i in chosen.tolist()]
            some = CORRUPTIONS[step.name](images[chosen], severity[chosen], their)
            images = images.index_copy(0, chosen.to(images.device), some.clamp(0, 1))
    return images
