"""Where a pattern's content comes from: a `Pool` of photographs, or of bundled pictures and textures.

What a picture shows never depends on the group.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..hierarchy import HierError
from .textures import SIDE, dead_leaves

LEVELS = 3  # sizes, each half the one before, so that reading on a coarser scale does not alias
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}


class SourceError(HierError):
    """A source of pictures that cannot be used; the message says what was looked for, where, and what to do."""


@dataclass(frozen=True)
class Pool:
    """Pictures (P, 3, SIDE, SIDE) uint8, what they are called, and how many files could not be read."""

    pictures: Tensor
    names: tuple[str, ...]
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def whitened(self) -> Pool:
        """The same pictures with equal power at all frequencies.

        Their deviation is a fifth of the grey range, and what exceeds it is clipped. The phases, and so the edges,
        stay. Photographs have a power that falls with the square of the frequency (Field, J. Opt. Soc. Am. A 4,
        2379, 1987), and next to none at the scale of a pixel.
        """
        white = torch.cat([_whitened(self.pictures[k : k + 16]) for k in range(0, len(self), 16)])
        return Pool(white, self.names, self.skipped)

    def take(self, which: Sequence[int]) -> Tensor:
        """The pictures `which`: (B, 3, SIDE, SIDE) uint8."""
        return self.pictures[list(which)]


class DrawnPool(Pool):
    """A pool whose pictures (3, SIDE, SIDE) uint8 `draw` makes, each when it is first asked for."""

    _draw: Callable[[int], Tensor]
    _held: Tensor
    _drawn: list[bool]

    def __init__(self, names: tuple[str, ...], draw: Callable[[int], Tensor]) -> None:
        held = torch.empty(len(names), 3, SIDE, SIDE, dtype=torch.uint8)
        for name, value in {"names": names, "_draw": draw, "_held": held, "_drawn": [False] * len(names)}.items():
            object.__setattr__(self, name, value)  # a Pool is frozen

    def __reduce__(self) -> tuple[object, ...]:
        return DrawnPool, (self.names, self._draw)  # what was drawn is drawn anew, not sent

    @property
    def pictures(self) -> Tensor:
        """All of them."""
        return self.take(range(len(self)))

    @cached_property
    def whitened(self) -> Pool:
        """As of any pool; each is whitened when it is first asked for."""
        return DrawnPool(self.names, partial(_drawn_whitened, self))

    def take(self, which: Sequence[int]) -> Tensor:
        """As of any pool."""
        for k in which:
            if not self._drawn[k]:
                self._held[k] = self._draw(k)
                self._drawn[k] = True
        return self._held[list(which)]


def _drawn_whitened(pool: Pool, k: int) -> Tensor:
    return _whitened(pool.take([k]))[0]


def _whitened(pictures: Tensor) -> Tensor:
    """Pictures (B, 3, S, S) uint8 with all amplitudes 1, the mean grey."""
    waves = torch.fft.rfft2(pictures.float())
    waves = waves / waves.abs().clamp_min(1e-3)
    waves[..., 0, 0] = 0.0
    white: Tensor = torch.fft.irfft2(waves, s=pictures.shape[-2:])
    white = white / white.std((1, 2, 3), keepdim=True).clamp_min(1e-6)
    grey: Tensor = 127.5 + 51.0 * white
    return grey.round().clamp(0, 255).byte()


def square(image: Image.Image) -> NDArray[np.uint8]:
    """Central square of an RGB version of `image`, SIDE px a side: (SIDE, SIDE, 3) uint8."""
    image.draft("RGB", (SIDE, SIDE))
    rgb = image.convert("RGB")
    edge = min(rgb.size)
    left, top = (rgb.width - edge) // 2, (rgb.height - edge) // 2
    box = (left, top, left + edge, top + edge)
    return np.asarray(rgb.resize((SIDE, SIDE), Image.Resampling.LANCZOS, box), dtype=np.uint8)


def photo_content(photos: Path, split: str) -> str:
    """Digest of the photographs that `split_pool` finds: their names and bytes.

    Reads the folder once; files that a process has read before and that did not change since are not read again. Call
    it before `split_pool` where photographs may have changed: pictures held in memory are then read again.
    """
    return _content(photos / split if _is_split(photos) else photos)


def _content(folder: Path) -> str:
    whole = hashlib.sha256()
    for file in _files(folder):
        about = file.stat()
        own = _file_digest(file, about.st_size, about.st_mtime_ns)
        whole.update(f"{file.relative_to(folder).as_posix()}\0{own}\n".encode("utf-8", "surrogateescape"))
    found = whole.hexdigest()
    if _known.setdefault(folder, found) != found:
        _known[folder] = found
        photo_pool.cache_clear()
        split_pool.cache_clear()
    return found


_known: dict[Path, str] = {}  # content of the folders whose pictures this process holds


@lru_cache(maxsize=1_000_000)
def _file_digest(file: Path, size: int, modified: int) -> str:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError:  # `photo_pool` skips it
        return "unreadable"


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())


def _is_split(photos: Path) -> bool:
    return (photos / "train").is_dir() and (photos / "valid").is_dir()


@lru_cache(maxsize=4)
def photo_pool(folder: Path) -> Pool:
    """All photographs under `folder`, in order of their paths; unreadable files are skipped and counted."""
    if not folder.is_dir():
        raise SourceError(f"no folder {folder}: give a folder of photographs, or leave --photos out")
    _content(folder)  # so that a later change is noticed
    files = _files(folder)
    pictures, names = [], []
    for file in files:
        try:
            with Image.open(file) as image:
                pictures.append(square(image))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            continue
        names.append(str(file.relative_to(folder)))
    if not pictures:
        raise SourceError(
            f"no readable photograph in {folder} ({len(files)} picture files seen): "
            "give a folder with JPEG or PNG files, or leave --photos out"
        )
    stack = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
    return Pool(stack, tuple(names), len(files) - len(names))


BUNDLED = {
    "train": ("astronaut", "camera", "chelsea", "coins", "page", "rocket"),
    "valid": ("coffee", "moon", "text", "clock"),
}
TEXTURES = {"train": range(400), "valid": range(1_000_000, 1_000_150)}  # seeds


@lru_cache(maxsize=2)
def default_pool(split: str = "train") -> Pool:
    """The bundled pictures: scikit-image's, and dead-leaves textures, each drawn when it is first asked for.

    `split` is ``train`` or ``valid``; the two share no picture and no texture.
    """
    import skimage.data

    pictures, names = [], []
    for name in BUNDLED[split]:
        try:
            array = getattr(skimage.data, name)()
        except (OSError, ConnectionError, ModuleNotFoundError):  # not in every wheel; some are downloads
            continue
        image = Image.fromarray(array if array.ndim == 2 else array[..., :3])
        for turn in range(4):
            width, height = image.size
            box = (turn % 2 * width // 3, turn // 2 * height // 3)
            crop = image.crop((*box, box[0] + 2 * width // 3, box[1] + 2 * height // 3))
            pictures.append(_as_tensor(square(crop)))
            names.append(f"{name}-{turn}")
    names += [f"leaves-{seed}" for seed in TEXTURES[split]]
    return DrawnPool(tuple(names), partial(_bundled, tuple(pictures), TEXTURES[split]))


def _bundled(pictures: tuple[Tensor, ...], seeds: range, k: int) -> Tensor:
    if k < len(pictures):
        return pictures[k]
    return _as_tensor(dead_leaves(np.random.default_rng([seeds[k - len(pictures)], 20])))


def _as_tensor(picture: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


@lru_cache(maxsize=4)
def split_pool(photos: Path | None, split: str) -> Pool:
    """Pictures of one `split`, ``train`` or ``valid``, which are disjoint; the bundled ones for None.

    A folder with subfolders ``train`` and ``valid`` is split by them, any other by its files' names, one in
    five to ``valid``.
    """
    if photos is None:
        return default_pool(split)
    if _is_split(photos):
        return photo_pool(photos / split)
    pool = photo_pool(photos)
    fifth = [crc32(name.encode("utf-8", "surrogateescape")) % 5 == 0 for name in pool.names]
    chosen = [i for i, held_out in enumerate(fifth) if held_out == (split == "valid")]
    if not chosen:
        raise SourceError(
            f"{photos} has {len(pool)} photographs, too few to keep some for {split}: "
            "give more, or subfolders train and valid"
        )
    return Pool(pool.pictures[chosen], tuple(pool.names[i] for i in chosen), pool.skipped)


def levels(scale: Tensor) -> Tensor:
    """How often a picture is halved to suit `scale` (B,): how many of its px one pattern px spans."""
    return (scale.log2() - 0.25).ceil().clamp(0, LEVELS - 1).long()


def halved(pictures: Tensor, times: int) -> Tensor:
    """Pictures (B, 3, s, s), bytes or floats in [0, 1], as floats, halved `times` times: (B, 3, s', s')."""
    made = pictures.float()
    for _ in range(times):  # sums of slices: several times faster on a CPU than a pooling layer
        rows = made[..., ::2, :] + made[..., 1::2, :]
        made = rows[..., ::2] + rows[..., 1::2]
    factor = 0.25**times / (255 if pictures.dtype == torch.uint8 else 1)
    return made if factor == 1 else made * factor


def read(pictures: Tensor, offsets: Tensor) -> Tensor:
    """Read square pictures (B, 3, s, s) at `offsets` (B, P, 2) px of SIDE, relative to their middle: (B, 3, P).

    Bilinear; beyond the border a picture is continued by reflection.
    """
    normalised = (offsets / (SIDE / 2))[:, None]
    read = F.grid_sample(pictures, normalised, mode="bilinear", padding_mode="reflection", align_corners=False)
    return read[:, :, 0]
