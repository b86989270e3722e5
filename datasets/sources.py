"""Where a pattern's content comes from: photographs, bundled pictures and textures, or noise.

A source is a `Pool` of pictures (photographs) or drawn for each index (noise). What a picture shows
never depends on the group.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from ..hierarchy import HierError

SIDE = 256  # px: pictures are held as squares of this side
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


@lru_cache(maxsize=2)
def default_pool(split: str = "train") -> Pool:
    """The bundled pictures: scikit-image's, and dead-leaves textures.

    `split` is ``train`` or ``valid``; the two share no picture and no texture.
    """
    import skimage.data

    bundled = {
        "train": ("astronaut", "camera", "chelsea", "coins", "page", "rocket"),
        "valid": ("coffee", "moon", "text", "clock"),
    }[split]
    pictures, names = [], []
    for name in bundled:
        try:
            array = getattr(skimage.data, name)()
        except (OSError, ConnectionError, ModuleNotFoundError):  # not in every wheel; some are downloads
            continue
        image = Image.fromarray(array if array.ndim == 2 else array[..., :3])
        for turn in range(4):
            width, height = image.size
            box = (turn % 2 * width // 3, turn // 2 * height // 3)
            crop = image.crop((*box, box[0] + 2 * width // 3, box[1] + 2 * height // 3))
            pictures.append(square(crop))
            names.append(f"{name}-{turn}")
    count, base = {"train": (400, 0), "valid": (150, 1_000_000)}[split]
    for k in range(count):
        pictures.append(dead_leaves(np.random.default_rng([base + k, 20])))
        names.append(f"leaves-{base + k}")
    return Pool(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous(), tuple(names))


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
