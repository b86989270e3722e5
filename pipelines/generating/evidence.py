"""Evidence of many generated images: made once, in pieces, by all cores, and kept on disk so that nothing is lost."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, fields, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ...datasets import NonPatternDataset, Pattern, PatternDataset, photo_content, split_pool
from ...hierarchy import GROUP_NAMES, HierError
from ...hierarchy.files import whole
from ...models.evidence.groups import MOST, all_misfits, group_scores
from ...models.evidence.lattice import reduce_basis
from ...models.evidence.maps import finer_correlations, reflection_weights
from ...models.evidence.representation import SymmetryEvidence
from ...models.evidence.structure import structure_factors
from .workers import in_order

REVISION = 16  # raise it when datasets or representation change what they make
PIECE = 128  # images in one piece of work
BATCH = 16  # images at a time: large ones stay in the processor's cache
ALONE = 32  # images that one process makes sooner than others would start
logger = logging.getLogger("hier")

Dataset = PatternDataset | NonPatternDataset
Arrays = tuple[NDArray[np.float16], NDArray[np.float32], NDArray[np.float32]]


class EvidenceError(HierError):
    """Evidence that no network can read; names the image that it was taken from."""


@dataclass(frozen=True)
class Part:
    """Images `start` to `stop` of a dataset without its pictures; those come from `photos` and `split`.

    `whitened`: see `Pool.whitened`.
    """

    dataset: Dataset
    start: int
    stop: int
    photos: Path | None
    split: str
    whitened: bool = False

    def pieces(self) -> list[Part]:
        """The same images in pieces of at most `PIECE`."""
        starts = range(self.start, self.stop, PIECE)
        return [replace(self, start=k, stop=min(k + PIECE, self.stop)) for k in starts]

    @property
    def reads_pictures(self) -> bool:
        """Whether the images are made from pictures: all but patterns of atoms, noise or lines."""
        return not (isinstance(self.dataset, PatternDataset) and self.dataset.source != "photos")

    def with_pictures(self) -> Dataset:
        """The dataset with the pictures that it draws on, where it reads any."""
        if not self.reads_pictures:
            return self.dataset
        pool = split_pool(self.photos, self.split)
        return replace(self.dataset, pool=pool.whitened if self.whitened else pool)

    def content(self) -> str:
        """Digest of the pictures that the images are made from; empty for the bundled ones and where there are none."""
        return photo_content(self.photos, self.split) if self.photos is not None and self.reads_pictures else ""

    def digest(self, content: str | None = None) -> str:
        """Names the images: same digest, same evidence. `content` as from `content()`, where it is known already."""
        values = [(f.name, getattr(self.dataset, f.name)) for f in fields(self.dataset) if f.name != "pool"]
        pictures = (self.split, self.whitened, self.content() if content is None else content)
        of = type(self.dataset).__name__, values, self.start, self.stop, pictures if self.reads_pictures else ()
        return hashlib.sha256(repr((version("hier"), REVISION, *of)).encode()).hexdigest()[:20]


@dataclass(frozen=True)
class EvidenceSet:
    """Evidence of N images: `maps` (N, M, S, S) float16, `numbers` (N, E) float32, `labels` their names.

    `misfits` (N, 18) are those of the 17 groups before instruments spoilt the image, and of a finer lattice; see
    `true_misfits`. None where they are not known.
    """

    maps: Tensor
    numbers: Tensor
    labels: tuple[str, ...]
    misfits: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)


def gather(
    parts: Sequence[Part],
    cache: Path | None = None,
    device: str = "cpu",
    advance: Callable[[int], None] = lambda _: None,
) -> EvidenceSet:
    """Evidence of all `parts`, in their order; pieces found in `cache` are read, others written there.

    On the CPU every core makes pieces of its own. `advance` is called with the number of images in each finished piece.
    Raises EvidenceError, which names the image, for evidence that is not finite.
    """
    contents = {(part.photos, part.split): part.content() for part in parts if part.reads_pictures}
    pieces = [piece for part in parts for piece in part.pieces()]
    files = [cache and cache / f"{p.digest(contents.get((p.photos, p.split), ''))}.safetensors" for p in pieces]
    done: dict[int, tuple[Tensor, ...]] = {}
    for i, (piece, file) in enumerate(zip(pieces, files, strict=True)):
        kept = None if file is None else read_evidence(file, piece.stop - piece.start)
        if kept is not None:
            done[i] = kept["maps"], kept["numbers"], kept["misfits"]
            advance(len(kept["maps"]))
    missing = [i for i in range(len(pieces)) if i not in done]
    made = _made([pieces[i] for i in missing], device)
    try:
        for i, arrays in zip(missing, made, strict=True):
            maps, numbers, misfits = map(torch.from_numpy, arrays)
            _check_finite(pieces[i], maps, numbers)
            done[i] = maps, numbers, misfits
            if (file := files[i]) is not None:
                with whole(file) as unfinished:
                    save_file({"maps": maps, "numbers": numbers, "misfits": misfits}, unfinished)
            advance(len(maps))
    finally:
        made.close()
    maps, numbers, misfits = (torch.cat([done[i][k] for i in range(len(pieces))]) for k in range(3))
    labels = tuple(piece.dataset.label(j) for piece in pieces for j in range(piece.start, piece.stop))
    return EvidenceSet(maps, numbers, labels, misfits)


def read_evidence(file: Path, count: int) -> dict[str, Tensor] | None:
    """The tensors in `file`, evidence of `count` images; None without a file or, with a warning, for a bad one."""
    if not file.exists():
        return None
    try:
        kept = load_file(file)
        problem = _problem(kept, count)
    except (SafetensorError, OSError) as error:
        problem = str(error)
    if not problem:
        return kept
    logger.warning("evidence %s is damaged and is made again: %s", file, problem)
    return None


def _problem(kept: dict[str, Tensor], count: int) -> str:
    for name, dtype, axes in (("maps", torch.float16, 4), ("numbers", torch.float32, 2), ("misfits", torch.float32, 2)):
        tensor = kept.get(name)
        if tensor is None or tensor.dtype != dtype or tensor.ndim != axes or len(tensor) != count:
            return f"it does not hold {name} of {count} images"
        if not bool(tensor.isfinite().all()):
            return f"{name} are not finite"
    return ""


def _check_finite(part: Part, maps: Tensor, numbers: Tensor) -> None:
    good = maps.flatten(1).isfinite().all(1) & numbers.isfinite().all(1)
    if not bool(good.all()):
        index = part.start + int((~good).nonzero()[0, 0])
        raise EvidenceError(
            f"the evidence of {_source(part.dataset)} seed {part.dataset.seed} index {index} "
            f"({part.dataset.label(index)}, {part.dataset.size} px) is not finite, so that "
            "nothing can be trained on it. Please report this image; another seed avoids it"
        )


def _source(dataset: Dataset) -> str:
    return dataset.source if isinstance(dataset, PatternDataset) else "non-pattern"


def _made(pieces: Sequence[Part], device: str) -> Generator[Arrays, None, None]:
    few = sum(piece.stop - piece.start for piece in pieces) <= ALONE
    workers = 1 if few or device != "cpu" else min(os.cpu_count() or 1, len(pieces))
    return in_order(make, [(piece, device) for piece in pieces], workers)


def make(job: tuple[Part, str]) -> Arrays:
    """Draw the images of one piece and take their evidence: maps and numbers, as `EvidenceSet` has them."""
    part, device = job
    dataset = part.with_pictures()
    represent = SymmetryEvidence()
    made: list[tuple[Tensor, Tensor, Tensor]] = []
    size = BATCH if device == "cpu" else PIECE
    for k in range(part.start, part.stop, size):
        images, misfits = with_misfits(dataset, range(k, min(k + size, part.stop)), device)
        found = represent(images)
        made.append((found.maps.half().cpu(), found.numbers.cpu(), misfits.cpu()))
    maps, numbers, known = (torch.cat(some).numpy() for some in zip(*made, strict=True))
    return maps, numbers, known


def with_misfits(dataset: Dataset, indices: Sequence[int], device: str = "cpu") -> tuple[Tensor, Tensor]:
    """Images (B, 3, H, W) and their `true_misfits` (B, 18); those of images without a pattern are all the largest."""
    if not isinstance(dataset, PatternDataset):
        return dataset.batch(indices, device), torch.full((len(indices), len(GROUP_NAMES) + 1), MOST)
    patterns, _ = dataset.accepted(indices, device)
    rough, images = dataset.finish_rough(patterns, indices, device)
    return images, true_misfits(rough, patterns)


@torch.inference_mode()
def true_misfits(images: Tensor, patterns: Sequence[Pattern]) -> Tensor:
    """Misfits (B, 18) of the 17 groups, in the order of `GROUP_NAMES`, and of the finer lattice that fits best.

    `images` show the patterns, workmanship and all, but not what an instrument adds. The lattice is known.
    """
    basis = reduce_basis(torch.from_numpy(np.stack([p.frame.basis for p in patterns])).float().to(images.device))
    structure = structure_factors(images, basis)
    weight, power, _ = reflection_weights(structure)
    finer = 1 - finer_correlations(weight[:, -1:], power)[..., -1].amax(1)
    return torch.cat([all_misfits(group_scores(structure, basis)), finer[:, None].clamp(0, MOST)], 1)
