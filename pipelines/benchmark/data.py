"""Images of a benchmark, drawn once and kept on disk, so that every system sees exactly the same ones."""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ...datasets import Pattern, PatternDataset, split_pool
from ...datasets.fresh import FreshPhotos
from ...hierarchy import HierError, group
from ...hierarchy.elements import rotation_centres
from ...hierarchy.files import whole
from ...hierarchy.kept import keep_text, kept_text, make_room
from ...models.evidence.representation import SymmetryEvidence
from ...models.systems import centred_side
from ..generating.evidence import keep_evidence, read_evidence
from ..generating.parts import REVISION, Part
from ..training.data import CROSS, TRAIN, VALID
from .settings import Preset

BATCH = 16  # images drawn at a time on the CPU
BATCH_GPU = 256
SETS = ("train", "valid", "cross_atoms", "cross_noise")
logger = logging.getLogger("hier")
Stage = Callable[[str, int], Callable[[int], None]]


@dataclass(frozen=True)
class ImageSet:
    """N images on disk: `images` (N, 3, S, S) and `windows` (N, 3, w, w) about hand-picked centres, both uint8.

    `labels` are the groups that are right answers, of our own images one each, whose centres alone are known. `file`
    begins the names of everything that is kept of the set.
    """

    images: NDArray[np.uint8]
    windows: NDArray[np.uint8] | None
    labels: tuple[tuple[str, ...], ...]
    file: Path

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Evidence:
    """Symmetry maps (N, M, S, S) float16 and numbers (N, E) of an image set, and the seconds that they took."""

    maps: Tensor
    numbers: Tensor
    seconds: float


def plan_of(preset: Preset, photos: Path | None) -> dict[str, Part]:
    """Which images each set holds: photographs for training and validation, atoms and noise for cross-validation."""

    def part(source: Any, base: int, count: int, split: str) -> Part:
        dataset = PatternDataset(
            source, base + 1000 * preset.seed + 999, preset.size, cells=preset.cells, orientation=preset.orientation
        )
        return Part(dataset, 0, count, photos, split)

    return {
        "train": part("photos", TRAIN, preset.count, "train"),
        "valid": part("photos", VALID, preset.valid_count, "valid"),
        "cross_atoms": part("atoms", CROSS, preset.cross_count, "valid"),
        "cross_noise": part("noise", CROSS, preset.cross_count, "valid"),
    }


def fresh_of(preset: Preset, photos: Path | None, device: str) -> FreshPhotos | None:
    """The patterns that rows on pixels see once each; None where they see the stored ones again and again."""
    if not preset.fresh:
        return None
    seed, pool = TRAIN + 1000 * preset.seed + 998, split_pool(photos, "train")
    return FreshPhotos(pool, preset.size, preset.cells, preset.orientation, seed, device)


def images_digest(plan: dict[str, Part]) -> str:
    """Names the images of all sets."""
    return hashlib.sha256("".join(plan[name].digest() for name in SETS).encode()).hexdigest()[:16]


def check_disk(plan: dict[str, Part], folder: Path) -> None:
    """HierError when the images that are not there yet do not fit on the disk of `folder`."""
    need = 0
    for part in plan.values():
        if not (folder / f"{part.digest()}.npy").exists():
            need += (part.stop - part.start) * 3 * (part.dataset.size**2 + centred_side(part.dataset.size) ** 2)
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if need > 0.95 * free:
        count = plan["train"].stop
        raise HierError(
            f"the images need {need / 1e9:.1f} GB and {folder} has {free / 1e9:.1f} GB free: make room, or give "
            f"--budget-images {int(count * 0.9 * free / need)} or fewer"
        )


def image_set(part: Part, name: str, folder: Path, device: str, stage: Stage) -> ImageSet:
    """The images of `part`, read from `folder` or drawn now."""
    file = folder / f"{part.digest()}.npy"
    windows = file.with_suffix(".windows.npy")
    if not _kept(file, windows):
        _draw(part, name, file, windows, device, stage)
        keep_text(file.with_suffix(".sha256"), _digest(file, windows))
    labels = tuple((part.dataset.label(i),) for i in range(part.start, part.stop))
    return ImageSet(np.load(file, mmap_mode="r"), np.load(windows, mmap_mode="r"), labels, file)


def _kept(file: Path, windows: Path) -> bool:
    """Whether the images are there and are those that were drawn."""
    if not (file.is_file() and windows.is_file()):
        make_room(file)
        make_room(windows)
        return False
    found = kept_text(file.with_suffix(".sha256"), f"the images in {file} are drawn again")
    if found is not None and found != _digest(file, windows):
        logger.warning("%s is damaged: its images are drawn again", file)
        return False
    return found is not None


def _digest(*files: Path) -> str:
    both = hashlib.sha256()
    for path in files:
        with path.open("rb") as opened:
            both.update(hashlib.file_digest(opened, "sha256").digest())
    return both.hexdigest()


def _draw(part: Part, name: str, file: Path, windows: Path, device: str, stage: Stage) -> None:
    dataset = part.dataset
    assert isinstance(dataset, PatternDataset)
    if dataset.source == "photos":
        dataset = replace(dataset, pool=split_pool(part.photos, part.split))
    count, side = part.stop - part.start, centred_side(dataset.size)
    advance = stage(f"images: {name}", count)
    step = BATCH if device == "cpu" else BATCH_GPU
    with whole(windows) as second, whole(file) as first:
        out, cropped = (
            np.lib.format.open_memmap(path, "w+", np.uint8, (count, 3, s, s))
            for path, s in ((first, dataset.size), (second, side))
        )
        for k in range(0, count, step):
            indices = range(part.start + k, part.start + min(k + step, count))
            patterns, _ = dataset.accepted(indices, device)
            images = dataset.finish(patterns, indices, device)
            centres = np.stack([centre(p, dataset.label(i)) for p, i in zip(patterns, indices, strict=True)])
            at = slice(k, k + len(indices))
            out[at] = _bytes(images)
            cropped[at] = _bytes(crops(images, torch.from_numpy(centres).float().to(images.device), side))
            advance(len(indices))
        out.flush()
        cropped.flush()


def _bytes(images: Tensor) -> NDArray[np.uint8]:
    array: NDArray[np.uint8] = (images.clamp(0, 1) * 255).round().byte().cpu().numpy()
    return array


def centre(pattern: Pattern, name: str) -> NDArray[np.float64]:
    """Px from the image's middle to the nearest centre of the highest order of rotation; any point if there is none."""
    centres = rotation_centres(group(name))
    best = max((c.order for c in centres), default=1)
    places = [[float(t) for t in c.at] for c in centres if c.order == best] or [list(pattern.generic)]
    inverse = np.linalg.inv(pattern.basis)
    found = []
    for place in places:
        cells = np.rint(-inverse @ pattern.origin - place)
        found.append(pattern.origin + pattern.basis @ (cells + place))
    return np.asarray(min(found, key=lambda at: float(np.hypot(*at))))


def crops(images: Tensor, centres: Tensor, side: int) -> Tensor:
    """Windows (B, C, side, side) about `centres` (B, 2) px from the middle of images (B, C, S, S); bilinear."""
    ticks = torch.arange(side, device=images.device) - (side - 1) / 2
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    at = torch.stack([x, y], -1) + centres[:, None, None]
    return F.grid_sample(images, at * (2 / images.shape[-1]), padding_mode="reflection", align_corners=False)


def evidence_of(images: ImageSet, name: str, device: str, stage: Stage) -> Evidence:
    """Symmetry maps of the very images that the pixel networks see, kept beside them."""
    file = images.file.with_suffix(f".maps-{REVISION}.safetensors")
    kept = read_evidence(file, len(images), ("maps", "numbers"))
    if kept is None:
        advance = stage(f"symmetry maps: {name}", len(images))
        represent, maps, numbers = SymmetryEvidence(), [], []
        started, step = time.monotonic(), BATCH if device == "cpu" else BATCH_GPU
        for k in range(0, len(images), step):
            found = represent(pixels(images.images, range(k, min(k + step, len(images))), device))
            maps.append(found.maps.half().cpu())
            numbers.append(found.numbers.cpu())
            advance(len(maps[-1]))
        kept = {"maps": torch.cat(maps), "numbers": torch.cat(numbers)}
        kept["seconds"] = torch.tensor(time.monotonic() - started)
        keep_evidence(file, kept)
    return Evidence(kept["maps"], kept["numbers"], float(kept["seconds"]))


def pixels(images: NDArray[np.uint8], indices: Sequence[int] | NDArray[np.int64], device: str) -> Tensor:
    """Images (B, 3, H, W) in [0, 1] on `device`."""
    return torch.from_numpy(np.asarray(images[np.asarray(indices)])).to(device).float() / 255
