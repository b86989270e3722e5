"""A dataset of patterns is (source, seed, index): any image can be made anywhere, alone, in any order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..hierarchy import GROUP_NAMES, HierError, Operation, UnknownNameError, group
from .about import About, about
from .atoms import draw_atoms
from .corruptions import OF_ATOMS, OF_PATTERN, OF_VIEW, Corruption, corrupt, draws
from .distortions import Distortion, bent, draw_distortion, enough
from .drawn import Pattern
from .fold import at_once
from .guard import GRID, Frame, cell_points, frames, residuals
from .lattices import Orientation, draw_basis, lattice_family
from .looks import Look
from .near_miss import NearMiss, draw_near_miss, set_apart
from .outlines import draw_outlines
from .paste import Tile, snap
from .sources import Pool, default_pool
from .textures import noise_picture

Source = Literal["photos", "atoms", "noise", "outlines"]
SOURCES: tuple[str, ...] = get_args(Source)
FOLDED = ("photos", "noise")  # sources of which a picture is folded into the pattern
Construction = Literal["fold", "paste"]
ATTEMPTS = 60
PART, PART_IN_CACHE = 256, 16  # images made together: on a card, and on a CPU, whose cache holds no more
LEAST_CELL = 64  # px^2: a p6m cell smaller than this has fewer pixels than operations to tell apart


class _Begun(NamedTuple):
    """What is drawn for a pattern before its content, and the generator that draws what follows."""

    rng: np.random.Generator
    operations: tuple[Operation, ...]
    basis: NDArray[np.float64]
    miss: NearMiss | None
    tile: Tile | None


class DatasetError(HierError):
    """A dataset that cannot be made; the message gives the value and what is allowed."""


@dataclass(frozen=True)
class PatternDataset:
    """Unlimited, reproducible images of the wallpaper groups.

    Image `index` shows group ``groups[index % len(groups)]``. It depends on nothing but the fields below
    and the index: not on the batch, the order or earlier draws.

    Parameters
    ----------
    source : ``photos`` (a picture folded into the pattern), ``atoms`` (Gaussian spots), ``noise`` or
        ``outlines`` (tilings and ornaments of lines, by several drawing tools).
    seed : draws that differ in it are independent.
    size : height and width in px.
    construction : ``fold``, exact to a fraction of a pixel, or ``paste``, whole-pixel cells tiled (always aligned,
        no near misses): see `paste`.
    cells : fewest and most primitive cells in view, by area.
    pool : the pictures behind ``photos``; the bundled ones when None.
    near_misses : share of images that come within reach of a supergroup, see `near_miss`. Not of outlines, and not
        pasted; for training.
    margin : least residual (see `guard.residuals`) of any symmetry that the group does not have.
    corruptions : what is done to the finished pattern, in order; ``workmanship`` to the pattern before all others,
        ``thermal`` and ``vacancies`` to the atoms, ``perspective``, ``barrel``, ``bend``, ``creep`` and ``shear`` to
        the view, before what instruments add: see `distortions`.

    Raises UnknownNameError for an unknown source, group, orientation or construction, DatasetError for cells that
    cannot be shown.
    """

    source: Source
    seed: int
    size: int = 256
    groups: tuple[str, ...] = GROUP_NAMES
    orientation: Orientation = "any"
    construction: Construction = "fold"
    cells: tuple[float, float] = (4.0, 60.0)
    pool: Pool | None = field(default=None, repr=False)
    near_misses: float = 0.0
    margin: float = 0.05
    corruptions: tuple[Corruption, ...] = ()

    def __post_init__(self) -> None:
        _check(self)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the groups."""
        return self.groups

    def find(self, label: str, k: int) -> int:
        """Index of image number `k`, from 0, of the group `label`."""
        return self.groups.index(label) + k * len(self.groups)

    def label(self, index: int) -> str:
        """Name of the group of image `index`."""
        return self.groups[index % len(self.groups)]

    def batch(self, indices: Sequence[int], device: str | torch.device = "cpu") -> Tensor:
        """The images `indices`: (B, 3, size, size) float32 in [0, 1].

        A large batch is made in parts, so that what is needed on the way does not grow with it.
        """
        part = PART if at_once(torch.device(device)) else PART_IN_CACHE
        images = torch.empty(len(indices), 3, self.size, self.size, device=device)
        for k in range(0, len(indices), part):
            some = indices[k : k + part]
            images[k : k + part] = self.finish(self.accepted(some, device)[0], some, device)
        return images

    def finish(self, patterns: Sequence[Pattern], indices: Sequence[int], device: str | torch.device = "cpu") -> Tensor:
        """The images of `patterns` accepted for `indices`, corruptions and all: (B, 3, size, size)."""
        return self.finish_rough(patterns, indices, device)[1]

    def rough(self, patterns: Sequence[Pattern], indices: Sequence[int], device: str | torch.device = "cpu") -> Tensor:
        """The images of `patterns` with workmanship and nothing else, not even disorder: (B, 3, size, size)."""
        return self.look.roughened(patterns, device, self._keys(indices), disorder=False)[0]

    def finish_rough(
        self, patterns: Sequence[Pattern], indices: Sequence[int], device: str | torch.device = "cpu"
    ) -> tuple[Tensor, Tensor]:
        """What `rough` and `finish` return, in about the time of one."""
        keys = self._keys(indices)
        rough, images = self.look.roughened(patterns, device, keys, disorder=True)
        for k, (pattern, key) in enumerate(zip(patterns, keys, strict=True)):
            if drawn := self._distortions(pattern, key):
                wide = replace(self.look, size=enough(drawn))
                images[k] = bent(wide.roughened([pattern], device, [key], disorder=True)[1][0], drawn)
        left_out = (OF_PATTERN, *OF_VIEW, *(OF_ATOMS if self.source == "atoms" else ()))
        return rough, corrupt(images, self.corruptions, keys, left_out)

    def distortions(self, index: int) -> list[Distortion]:
        """The distortions of the view of image `index`, exactly: the first is nearest to the pattern."""
        return self._distortions(self.accepted([index])[0][0], self._keys([index])[0])

    def about(self, patterns: Sequence[Pattern], indices: Sequence[int]) -> list[About]:
        """What is known exactly of the images of `patterns` accepted for `indices`."""
        found = []
        for pattern, index, key in zip(patterns, indices, self._keys(indices), strict=True):
            severities: dict[str, float] = {}
            for position, step in enumerate(self.corruptions):
                severities[step.name] = severities.get(step.name, 0.0) + draws(step, position, [key])[1][0]
            distorted = self._distortions(pattern, key)
            found.append(about(pattern, index, self.label(index), self.size, severities, distorted))
        return found

    def labelled(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Images (B, 3, size, size) and the places of their groups in `GROUP_NAMES` (B,) int64.

        With a range of indices this is the ``collate_fn`` of a loader::

            DataLoader(range(10_000), batch_size=64, shuffle=True, collate_fn=dataset.labelled, num_workers=4)
        """
        return self.batch(indices), torch.tensor([GROUP_NAMES.index(self.label(i)) for i in indices])

    def _distortions(self, pattern: Pattern, key: tuple[int, ...]) -> list[Distortion]:
        made, cell = [], abs(float(np.linalg.det(pattern.frame.basis))) ** 0.5
        for position, step in enumerate(self.corruptions):
            if step.name in OF_VIEW:
                (rng,), (severity,) = draws(step, position, [key])
                if severity > 0:
                    made.append(draw_distortion(step.name, severity, self.size, cell, rng))
        return made

    def _keys(self, indices: Sequence[int]) -> list[tuple[int, ...]]:
        return [(self.seed, SOURCES.index(self.source), index, ATTEMPTS) for index in indices]

    def accepted(self, indices: Sequence[int], device: str | torch.device = "cpu") -> tuple[list[Pattern], int]:
        """The first draw of every index that the label guard accepts, and how many draws were rejected."""
        done: dict[int, Pattern] = {}
        refused = 0
        pending = list(dict.fromkeys(indices))
        for attempt in range(ATTEMPTS):
            drawn = self.draws(pending, attempt)
            clear = (self.clearance(drawn, device) >= self.margin).tolist()
            done.update({i: p for i, p, ok in zip(pending, drawn, clear, strict=True) if ok})
            pending = [i for i, ok in zip(pending, clear, strict=True) if not ok]
            refused += len(pending)
            if not pending:
                return [done[i] for i in indices], refused
        raise DatasetError(
            f"no {self.label(pending[0])} pattern at {self.source} seed {self.seed} index {pending[0]} "
            f"breaks its supergroups by {self.margin} in {ATTEMPTS} draws: lower the margin"
        )

    def draw(self, index: int, attempt: int) -> Pattern:
        """Draw number `attempt` for `index`, not yet checked by the guard."""
        return self.draws([index], attempt)[0]

    def draws(self, indices: Sequence[int], attempt: int) -> list[Pattern]:
        """`draw` for each of `indices`."""
        begun = [self._begun(index, attempt) for index in indices]
        bases = [b.basis if b.tile is None else b.tile.stretch @ b.basis for b in begun]
        found = frames([b.operations for b in begun], np.stack(bases))
        return [self._drawn(b, own, attempt) for b, own in zip(begun, found, strict=True)]

    def _begun(self, index: int, attempt: int) -> _Begun:
        key = [self.seed, SOURCES.index(self.source), index, attempt, *([1] if self.construction == "paste" else [])]
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))
        name = self.label(index)
        areas = (self.size**2 / self.cells[1], self.size**2 / self.cells[0])
        pasted = self.construction == "paste"
        # without a share no number is drawn for atoms, so that their images stay what they were
        can_miss = self.source in FOLDED or (self.source == "atoms" and self.near_misses > 0)
        mixed = can_miss and rng.random() < self.near_misses and not pasted
        miss = draw_near_miss(rng, name) if mixed else None
        home = group(name if miss is None else miss.supergroup)
        basis = draw_basis(rng, lattice_family(home), areas, "aligned" if pasted else self.orientation)
        tile = None
        if pasted:
            basis, tile = snap(rng, basis, home.lattice_system == "hexagonal")
        if miss is not None:
            return _Begun(rng, miss.operations, basis @ miss.cell / miss.shrink, miss, tile)
        return _Begun(rng, tuple(home.operations), basis, miss, tile)

    def _drawn(self, begun: _Begun, primitive: Frame, attempt: int) -> Pattern:
        rng, operations, basis, miss, tile = begun
        picture: int | NDArray[np.float32] | None = None
        atoms, outlines = None, None
        match self.source:
            case "photos":
                picture = int(rng.integers(len(self._pool)))
            case "noise":
                picture = noise_picture(rng)
            case "atoms":
                area = abs(np.linalg.det(primitive.basis))
                atoms = draw_atoms(rng, operations if miss is None else miss.parent, area)
                if miss is not None:
                    atoms, miss = set_apart(rng, atoms, miss, basis), None
            case "outlines":
                exact = primitive.basis if tile is None else np.linalg.inv(tile.stretch) @ primitive.basis
                outlines = draw_outlines(rng, operations, basis, exact)
        return Pattern(
            operations, basis, self._origin(rng, basis, tile), primitive, rng.random(2), miss, tile, picture,
            rng.uniform(0, 2 * np.pi), rng.random(), bool(rng.random() < 0.2), atoms, outlines, attempt,
        )  # fmt: skip

    def _origin(self, rng: np.random.Generator, basis: NDArray[np.float64], tile: Tile | None) -> NDArray[np.float64]:
        origin: NDArray[np.float64] = basis @ rng.random(2)
        if tile is None:
            return origin
        # pixels lie at whole px plus (size - 1) / 2 from the image's middle
        return np.rint(origin) + (self.size - 1) / 2 - tile.half

    def clearance(self, patterns: Sequence[Pattern], device: str | torch.device = "cpu") -> Tensor:
        """`guard.residuals` of the patterns: (B,)."""
        own = [p.frame for p in patterns]
        bases = torch.from_numpy(np.stack([f.basis for f in own])).float().to(device)
        points = torch.einsum("bij,pj->bpi", bases, cell_points().to(device))
        cells = self.look.cells(patterns, points)
        cells = cells.reshape(len(patterns), 3, GRID, GRID)
        flat = cells.std((1, 2, 3)) < 0.02
        return torch.where(flat, 0.0, residuals(cells, own))

    @property
    def _pool(self) -> Pool:
        return self.pool if self.pool is not None else default_pool()

    @property
    def look(self) -> Look:
        """How patterns are drawn."""
        pool = self._pool if self.source == "photos" else None
        return Look(self.source, self.size, pool, self.corruptions)


def _check(dataset: PatternDataset) -> None:
    for what, value, known in (
        ("source", dataset.source, SOURCES),
        ("orientation", dataset.orientation, ("any", "aligned")),
        ("construction", dataset.construction, ("fold", "paste")),
        *(("wallpaper group", name, GROUP_NAMES) for name in dataset.groups),
    ):
        if value not in known:
            raise UnknownNameError(what, value, known)
    fewest, most = dataset.cells
    if not dataset.groups:
        raise DatasetError("no groups given: name at least one, or leave them out for all 17")
    if not 4 <= fewest <= most:
        raise DatasetError(f"{fewest:g} to {most:g} cells in view: at least 4 are needed to see that they repeat")
    if dataset.size**2 / most < LEAST_CELL:
        raise DatasetError(
            f"{most:g} cells in {dataset.size} x {dataset.size} px leave less than {LEAST_CELL} px^2 to a cell: "
            f"ask for larger images or for at most {dataset.size**2 // LEAST_CELL} cells"
        )
