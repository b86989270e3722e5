"""An image compared with the average of its own cells: where its content lies beside it, window by window.

The average is taken on fractional coordinates; how far the image is displaced from it follows from brightness and
slope (Lucas and Kanade, 1981), in windows of less than a cell. Nothing is resampled but the average.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from ..evidence.autocorrelation import blurred
from ..evidence.background import without_slope
from .families import Family
from .plane import Lattice, Windows, pixels

FINEST, COARSEST = 12, 160  # points of the average cell along an axis
APART, WIDTH = 0.6, 0.35  # of a cell's side: from window to window, and their standard deviation
FEWEST, MOST = 6, 20  # windows along an axis
SCORED = 8  # windows along each axis in which agreement is measured
LEAST_ERROR = 0.05  # px: no displacement is trusted more than that
CORRELATED = 4  # px that count as one, of noise and texture
COARSE = 65  # points along each axis at which fields of many parameters are taken
MANY = 10
BEYOND = 1.1  # of the view, so that none of it lies at the grid's edge


@dataclass
class Matcher:
    """An image (C, H, W) to be compared with its own average cell, in units of `unit` px.

    Only what has a `weight` (H, W) is looked at, everything if None.
    """

    image: Tensor
    weight: Tensor | None = None
    points: Tensor = field(init=False, repr=False)
    unit: float = field(init=False)

    def __post_init__(self) -> None:
        self.image = without_slope(self.image[None])[0]
        _, height, width = self.image.shape
        self.unit = math.sqrt(height * width) / 2
        self.points = pixels(height, width, self.image.device)
        self._blurred: dict[float, Tensor] = {}

    def blurred(self, sigma: float) -> Tensor:
        """The image after a Gaussian blur of `sigma` px, rounded to a tenth."""
        key = round(sigma, 1)
        if key not in self._blurred:
            self._blurred[key] = blurred(self.image[None], key)[0]
        return self._blurred[key]

    def straight(self, family: Family, c: Tensor) -> Tensor:
        """The straight points of all pixels: (H, W, 2)."""
        if family.size < MANY:
            return family.apply(self.points, c)
        ends = BEYOND * self.points[-1, -1]
        x, y = (torch.linspace(-end, end, COARSE, device=c.device) for end in ends.tolist())
        coarse = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
        moved = (family.apply(coarse, c) - coarse).permute(2, 0, 1)[None]
        fine = F.grid_sample(moved, (self.points / ends)[None], mode="bicubic", align_corners=True)[0]
        return self.points + fine.permute(1, 2, 0)

    def windows(self, side: float) -> Windows:
        """Windows for cells of `side` px."""
        apart = min(max(APART * side, 2 * self.unit / MOST), 2 * self.unit / FEWEST)
        height, width = self.image.shape[-2:]
        return self._laid((max(4, round(height / apart)), max(4, round(width / apart))), max(WIDTH * side, apart / 2))

    def _laid(self, grid: tuple[int, int], sigma: float) -> Windows:
        return Windows.laid((self.image.shape[-2], self.image.shape[-1]), grid, sigma, self.image.device)

    def inside(self, windows: Windows) -> Tensor:
        """Which windows have a weight for the most part: (K,)."""
        ones = torch.ones_like(self.image[:1])
        return windows.sums(self._weighed(ones))[0] > 0.5 * windows.sums(ones)[0]

    def average(self, straight: Tensor, lattice: Lattice, sigma: float) -> tuple[Tensor, Tensor, Tensor]:
        """The average cell at every pixel (C, H, W), its slopes (2, C, H, W) a px, and how many cells it has (H, W)."""
        image = self.blurred(sigma)
        channels = len(image)
        basis = lattice.basis * self.unit
        n, m = (min(COARSEST, max(FINEST, math.ceil(float(v)))) for v in basis.norm(dim=0))
        fractions = lattice.fractions(straight)
        at = (fractions - fractions.floor()) * fractions.new_tensor([n, m])
        source = torch.cat([image, torch.ones_like(image[:1])]).flatten(1)
        if self.weight is not None:
            source = source * self.weight.flatten()
        sums = _spread(source, at.reshape(-1, 2), (n, m))
        dual = torch.linalg.inv(basis)
        h = torch.fft.fftfreq(n, 1 / n, device=image.device)[:, None, None] * dual[0]
        q = h + torch.fft.rfftfreq(m, 1 / m, device=image.device)[None, :, None] * dual[1]
        soft = torch.exp(-2 * (0.8 * math.pi) ** 2 * q.square().sum(-1))
        sums = torch.fft.irfft2(torch.fft.rfft2(sums) * soft, s=(n, m))
        cell = sums[:channels] / sums[channels:].clamp_min(1e-3)
        waves = torch.fft.rfft2(cell)
        slopes = torch.fft.irfft2(torch.stack([2j * math.pi * q[..., k] * waves for k in (0, 1)]), s=(n, m))
        cells = sums[channels:] * (n * m / float(torch.linalg.det(basis).abs()))
        maps = F.pad(torch.cat([cell, slopes.flatten(0, 1), cells])[None], (0, 1, 0, 1), mode="circular")
        where = 2 * torch.stack([at[..., 1] / m, at[..., 0] / n], -1) - 1
        found = F.grid_sample(maps, where[None], mode="bilinear", align_corners=True)[0]
        return found[:channels], found[channels : 3 * channels].reshape(2, channels, *found.shape[1:]), found[-1]

    def displacements(
        self, straight: Tensor, lattice: Lattice, sigma: float, windows: Windows
    ) -> tuple[Tensor, Tensor, Tensor]:
        """How far content lies from the average (K, 2), the information on that (K, 2, 2), and agreement (K,)."""
        cell, slopes, _ = self.average(straight, lattice, sigma)
        image = self.blurred(sigma)
        C, off = len(image), image - cell
        gx, gy = slopes
        products = [(gx, gx), (gx, gy), (gy, gy), (gx, off), (gy, off), (off, off), (image, image), (cell, cell),
                    (image, cell)]  # fmt: skip
        every = torch.cat([*[(a * b).sum(0, keepdim=True) for a, b in products], gx, gy, off, image, cell])
        sums = windows.sums(self._weighed(torch.cat([every, torch.ones_like(image[:1])])))
        count, means = (
            sums[-1].clamp_min(1e-6),
            dict(zip("xyoic", torch.split(sums[len(products) : -1], C), strict=True)),
        )
        names = ("xx", "xy", "yy", "xo", "yo", "oo", "ii", "cc", "ic")
        v = {k: s - (means[k[0]] * means[k[1]]).sum(0) / count for k, s in zip(names, sums, strict=False)}
        normal = torch.stack([v["xx"], v["xy"], v["xy"], v["yy"]], -1).reshape(-1, 2, 2)
        right = torch.stack([v["xo"], v["yo"]], -1)
        moved = torch.linalg.solve(damped(normal), right)
        left = (v["oo"] - (moved * right).sum(-1)).clamp_min(1e-9) / (count * C)
        agreement = v["ic"] / (v["ii"] * v["cc"]).clamp_min(1e-12).sqrt()
        return moved / self.unit, normal / (CORRELATED * left)[:, None, None] * self.unit**2, agreement

    def _weighed(self, maps: Tensor) -> Tensor:
        return maps if self.weight is None else maps * self.weight

    def agreement(
        self, straight: Tensor, lattice: Lattice, sigma: float = 1.0, scored: int = SCORED, everywhere: bool = False
    ) -> Tensor:
        """Correlation of the image with the average of all *other* cells, -1 to 1, in `scored` x `scored` windows.

        (scored ** 2,), or less: windows most of which has no weight are left out, unless they are wanted `everywhere`.
        """
        cell, _, cells = self.average(straight, lattice, sigma)
        image = self.blurred(sigma)
        cells, own = cells.clamp_min(1), 1.0 if self.weight is None else self.weight
        others = torch.where(cells > 0.5 + own, (cells * cell - own * image) / (cells - own).clamp_min(0.5), 0.0)
        weighed = (lambda maps: maps) if everywhere else self._weighed
        windows = self._laid((scored, scored), self.unit / scored)
        sums = windows.sums(weighed(torch.cat([image, others, torch.ones_like(image[:1])])))
        count, (a, b) = sums[-1].clamp_min(1e-6), torch.split(sums[:-1], len(image))
        pairs = ((image, image, a, a), (others, others, b, b), (image, others, a, b))
        its, other, both = (
            windows.sums(weighed((x * y).sum(0, keepdim=True)))[0] - (s * t).sum(0) / count for x, y, s, t in pairs
        )
        correlation: Tensor = both / (its * other).clamp_min(1e-12).sqrt()
        return correlation.clamp(-1, 1)[slice(None) if self.weight is None or everywhere else self.inside(windows)]


def damped(normal: Tensor) -> Tensor:
    """Normal matrices (K, 2, 2) with a hundredth of the median of their traces added, so that they can be solved.

    And a little of their own trace: of a window that shows stripes, while most others show nothing, the matrix is
    singular to rounding otherwise.
    """
    steep = normal.diagonal(dim1=-2, dim2=-1).sum(-1)
    damping = 1e-2 * steep.median() + 1e-5 * steep.clamp_min(0) + 1e-9
    return normal + damping[:, None, None] * torch.eye(2, device=normal.device)


def _spread(source: Tensor, at: Tensor, shape: tuple[int, int]) -> Tensor:
    """Values (C, P) added to the four nearest points of a torus, `at` (P, 2) in its points: (C, *shape)."""
    n, m = shape
    low = at.floor()
    part, low = at - low, low.long()
    sums = source.new_zeros(len(source), n * m)
    for i in (0, 1):
        for j in (0, 1):
            share = (part[:, 0] if i else 1 - part[:, 0]) * (part[:, 1] if j else 1 - part[:, 1])
            sums.index_add_(1, (low[:, 0] + i) % n * m + (low[:, 1] + j) % m, source * share)
    return sums.reshape(-1, n, m)
