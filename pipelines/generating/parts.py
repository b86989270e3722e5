"""Parts of a training's images, and the evidence of one: what each process that makes evidence runs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...datasets import NonPatternDataset, Pattern, PatternDataset, photo_content, split_pool
from ...hierarchy import GROUP_NAMES
from ...models.evidence.groups import MOST, all_misfits, group_scores
from ...models.evidence.lattice import reduce_basis
from ...models.evidence.maps import finer_correlations, reflection_weights
from ...models.evidence.representation import SymmetryEvidence
from ...models.evidence.structure import structure_factors

REVISION = 17  # raise it when datasets or representation change what they make
PIECE = 128  # images in one piece of work
BATCH = 16  # images at a time: large ones stay in the processor's cache
LARGE = 256  # images at a time on a card, which is idle with fewer

Dataset = PatternDataset | NonPatternDataset
Arrays = tuple[NDArray[np.float16], NDArray[np.float32], NDArray[np.float32]]


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

    def pieces(self, most: int = PIECE) -> list[Part]:
        """The same images in pieces of at most so many."""
        starts = range(self.start, self.stop, most)
        return [replace(self, start=k, stop=min(k + most, self.stop)) for k in starts]

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


def digests(parts: Sequence[Part]) -> list[str]:
    """`Part.digest` of each; the photographs of a folder are looked through once."""
    contents: dict[tuple[Path | None, str], str] = {}
    for part in parts:
        if part.reads_pictures and (part.photos, part.split) not in contents:
            contents[part.photos, part.split] = part.content()
    return [part.digest(contents.get((part.photos, part.split), "")) for part in parts]


def make(job: tuple[Part, str]) -> Arrays:
    """The `evidence_of` a piece as arrays, which travel between processes."""
    part, device = job
    maps, numbers, misfits = (x.cpu().numpy() for x in evidence_of(part, range(part.start, part.stop), device))
    return maps, numbers, misfits


def evidence_of(part: Part, indices: Sequence[int], device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Draw images of a part's dataset and take their evidence: maps, numbers and misfits, as `EvidenceSet` has them."""
    dataset = part.with_pictures()
    represent = SymmetryEvidence()
    made: list[tuple[Tensor, Tensor, Tensor]] = []
    size = BATCH if device == "cpu" else LARGE
    for k in range(0, len(indices), size):
        images, misfits = with_misfits(dataset, indices[k : k + size], device)
        found = represent(images)
        made.append((found.maps.half(), found.numbers, misfits.to(found.numbers)))
    maps, numbers, known = (torch.cat(some) for some in zip(*made, strict=True))
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
