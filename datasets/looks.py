"""What patterns look like: their images clean, rough and disordered, and their cells at single points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .corruptions import OF_ATOMS, OF_PATTERN, Corruption, draws
from .drawn import Pattern, spots_of
from .fold import at_once
from .guard import GRID
from .paste import pixels_of, tile_read
from .pictures import orbits_of, pictures_at
from .sources import Pool
from .spots import Spots, render, values_at
from .workmanship import Rough, as_material, rough
from .workmanship_moved import Crystal, Picture
from .workmanship_sheet import Sheet


@dataclass(frozen=True)
class Look:
    """How the patterns of a `source` are drawn: `size` px a side, photographs from `pool`, `corruptions` of patterns.

    Of the corruptions those of the pattern itself and of atoms are applied here, all others to the finished image.
    """

    source: str
    size: int
    pool: Pool | None
    corruptions: tuple[Corruption, ...]

    def clean(
        self, patterns: Sequence[Pattern], device: str | torch.device, keys: Sequence[Sequence[int]] = ()
    ) -> Tensor:
        """Images without corruptions, but for the atoms' own where `keys` seed them."""
        half = (self.size - 1) / 2
        ticks = torch.arange(self.size, dtype=torch.float32, device=device) - half
        if self.source == "atoms":
            return _levels(self.atoms(patterns, ticks, keys))
        if self.source == "outlines":
            return torch.stack([self._outlines(p, ticks.cpu()) for p in patterns]).to(device)
        # planes of x and y are read and written in half the time of pairs
        pixels = torch.stack([ticks.repeat(self.size), ticks.repeat_interleave(self.size)]).T[None]
        own, origins = orbits_of(patterns), _origins(patterns).to(pixels)
        images = torch.empty(len(patterns), 3, self.size**2, device=device)
        # one image at a time stays in the processor's cache; a GPU wants them all at once
        step = len(patterns) if at_once(pixels.device) else 1
        for i in range(0, len(patterns), step):
            these = slice(i, i + step)
            some, points = patterns[these], pixels - origins[these, None]
            if step == 1 and some[0].tile:
                positions, which = pixels_of(points[0], some[0].tile)
                torch.index_select(self.pictures(some, positions[None])[0], 1, which, out=images[i])
            else:
                images[these] = pictures_at(some, points, self.pool, own[these])
        return images.reshape(len(patterns), 3, self.size, self.size)

    def roughened(
        self, patterns: Sequence[Pattern], device: str | torch.device, keys: Sequence[Sequence[int]], disorder: bool
    ) -> tuple[Tensor, Tensor]:
        """Images with workmanship, and the same with the atoms' own disorder if that is asked for.

        Several workmanships add up.
        """
        steps, severity = self._severities((OF_PATTERN,), keys)
        shaken = np.zeros(len(keys), dtype=bool)
        if disorder and self.source == "atoms":
            shaken = self._severities(OF_ATOMS, keys)[1] > 0
        images = torch.empty(len(keys), 3, self.size, self.size, device=device)
        moved = images.clone() if shaken.any() else images
        plain = np.flatnonzero(severity == 0).tolist()
        if len(plain) == len(keys) and not shaken.any():
            images = moved = self.clean(patterns, device)
        elif plain:
            images[plain] = self.clean([patterns[i] for i in plain], device)
        if both := np.flatnonzero((severity == 0) & shaken).tolist():
            moved[both] = self.clean([patterns[i] for i in both], device, [keys[i] for i in both])
        for i in np.flatnonzero(severity).tolist():
            worked = self._worked(patterns[i], severity[i], steps[0][0][i], torch.device(device))
            images[i] = worked.image
            if shaken[i] and isinstance(worked.material, Crystal):
                found = self._disordered(patterns[i], worked.material.spots, keys[i])
                moved[i] = worked.drawn(replace(worked.material, spots=found))
        if moved is not images:
            still = torch.from_numpy(~shaken)
            moved[still] = images[still]
        return images, moved

    def _severities(
        self, names: Sequence[str], keys: Sequence[Sequence[int]]
    ) -> tuple[list[tuple[list[np.random.Generator], list[float]]], NDArray[np.float64]]:
        """What `draws` gives for each of the corruptions `names`, and the root of the sum of squared severities."""
        steps = [draws(step, k, keys) for k, step in enumerate(self.corruptions) if step.name in names]
        return steps, np.sqrt(np.square([drawn for _, drawn in steps]).sum(0)) if steps else np.zeros(len(keys))

    def _worked(self, pattern: Pattern, severity: float, rng: np.random.Generator, device: torch.device) -> Rough:
        sheet = Sheet.of(pattern, self.size)
        if self.source == "outlines":
            return rough(sheet, as_material(self.clean([pattern], device)[0]), severity, rng)
        if pattern.atoms is None:
            origin = torch.from_numpy(pattern.origin).float().to(device)

            def read(points: Tensor) -> Tensor:
                return self.pictures([pattern], points[None])[0]

            if pattern.tile is None:
                material = Picture.of_cells(sheet, lambda x: read(x - origin), device)
            else:
                pixels = tile_read(pattern.tile, read, device)
                material = Picture(lambda x: pixels(x - origin), lambda x: pixels(x - origin), device)
            return rough(sheet, material, severity, rng)
        reach = self.size / 2 + 0.1 * sheet.side
        at, site = pattern.spots(-reach - pattern.origin, reach - pattern.origin)
        return rough(sheet, Crystal(pattern.atoms, (at + pattern.origin, site), device), severity, rng)

    def _disordered(self, pattern: Pattern, found: Spots, key: Sequence[int]) -> Spots:
        """The spots `found` after what ``thermal`` and ``vacancies`` do to them."""
        for position, step in enumerate(self.corruptions):
            if step.name in OF_ATOMS:
                (rng,), (severity,) = draws(step, position, [key])
                found = pattern.disordered(found, step.name, severity, rng)
        return found

    def cells(self, patterns: Sequence[Pattern], points: Tensor) -> Tensor:
        """Patterns at the guard's points (B, P, 2) px relative to their origins: (B, 3, P), or on the guard's grid."""
        if self.source == "atoms":
            return self.atoms_at(patterns, points)
        if self.source == "outlines":
            drawn = [p.outlines.cell(GRID) for p in patterns if p.outlines]
            return torch.from_numpy(np.stack(drawn)).to(points.device)
        return self.pictures(patterns, points)

    def pictures(self, patterns: Sequence[Pattern], points: Tensor) -> Tensor:
        """Patterns of pictures at points (B, P, 2) px relative to their origins: (B, 3, P)."""
        return pictures_at(patterns, points, self.pool)

    def atoms_at(self, patterns: Sequence[Pattern], points: Tensor) -> Tensor:
        """Atoms at free points (B, P, 2) relative to the patterns' origins: (B, 3, P), without their background."""
        low, high = torch.stack([points.amin(1), points.amax(1)]).cpu().double().numpy()
        return values_at([p.atoms for p in patterns if p.atoms], spots_of(patterns, low, high), points)

    def _outlines(self, pattern: Pattern, ticks: Tensor) -> Tensor:
        """Drawn on the image's pixels, or on those of one tile that are then repeated: (3, size, size), on the CPU."""
        assert pattern.outlines is not None
        if pattern.tile is None:
            return torch.from_numpy(pattern.outlines.drawn(float(ticks[0]) - pattern.origin, (self.size, self.size)))
        y, x = torch.meshgrid(ticks, ticks, indexing="ij")
        pixels = torch.stack([x, y], -1).reshape(-1, 2) - torch.from_numpy(pattern.origin).float()
        positions, which = pixels_of(pixels, pattern.tile)
        low, high = positions[0], positions[-1]
        columns, rows = ((high - low).round().long() + 1).tolist()
        tile = torch.from_numpy(pattern.outlines.drawn(low.double().numpy(), (rows, columns)))
        return tile.transpose(1, 2).flatten(1)[:, which].reshape(3, self.size, self.size)

    def atoms(self, patterns: Sequence[Pattern], ticks: Tensor, keys: Sequence[Sequence[int]] = ()) -> Tensor:
        """Patterns of atoms on the pixels ``(ticks[i], ticks[j])``, disordered where `keys` seed that: not clipped."""
        half, origins = (self.size - 1) / 2, np.stack([p.origin for p in patterns])
        placed = spots_of(patterns, -half - origins, half - origins)
        if keys:
            placed = [self._disordered(p, s, key) for p, s, key in zip(patterns, placed, keys, strict=True)]
        placed = [(at + origin, site) for (at, site), origin in zip(placed, origins, strict=True)]
        grid = ticks.expand(len(patterns), -1)
        return render([p.atoms for p in patterns if p.atoms], placed, grid, grid)


def _origins(patterns: Sequence[Pattern]) -> Tensor:
    return torch.from_numpy(np.stack([p.origin for p in patterns])).float()


def _levels(images: Tensor) -> Tensor:
    """Stretch images that leave [0, 1] into it, colours together."""
    low = images.flatten(1).amin(1).clamp_max(0)[:, None, None, None]
    high = images.flatten(1).amax(1).clamp_min(1)[:, None, None, None]
    return images.sub_(low).div_(high - low)
