"""Any folder ``DIR/<label>/*`` of images as a dataset: the same calls as a `PatternDataset`, for any tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..hierarchy import GROUP_NAMES, HierError, UnknownNameError, group
from .images import ImageError, images_in, read_image


@dataclass(frozen=True)
class FolderDataset:
    """Images in order of their paths, cut to their central square and scaled to `size` px.

    Made by `open_folder`. Satisfies `datasets.Labelled`, so `node_view` and its kin work on it.
    """

    root: Path
    files: tuple[tuple[str, Path], ...]
    size: int

    def __len__(self) -> int:
        return len(self.files)

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels in order of the subfolders."""
        return tuple(dict.fromkeys(label for label, _ in self.files))

    def label(self, index: int) -> str:
        """Label of image `index`."""
        return self.files[index][0]

    def find(self, label: str, k: int) -> int:
        """Index of image number `k` of `label`; after the last comes the first again."""
        indices = [i for i, (name, _) in enumerate(self.files) if name == label]
        if not indices:
            raise UnknownNameError(f"label in {self.root}", label, self.labels)
        return indices[k % len(indices)]

    def batch(self, indices: Sequence[int], device: str | torch.device = "cpu") -> Tensor:
        """Images (B, 3, size, size) in [0, 1]. HierError names a file that cannot be read."""
        return torch.stack([self._image(self.files[i][1]) for i in indices]).to(device)

    def _image(self, file: Path) -> Tensor:
        try:
            image = read_image(file)
        except ImageError as error:
            raise HierError(f"{file}: {error}") from error
        edge = min(image.shape[1:])
        top, left = ((side - edge) // 2 for side in image.shape[1:])
        square = image[None, :, top : top + edge, left : left + edge]
        if edge == self.size:
            return square[0]
        return F.interpolate(square, (self.size, self.size), mode="bilinear", antialias=True)[0].clamp(0, 1)


def open_folder(folder: Path, size: int = 256) -> FolderDataset:
    """The images under ``folder/<label>/``. Symbols of wallpaper groups such as ``p2mg`` become their short names.

    Raises HierError where there is no such image.
    """
    files = list(images_in(folder)) if folder.is_dir() else []
    if not files:
        raise HierError(f"no image in {folder}: a folder with one subfolder of images for each label is needed")
    return FolderDataset(folder, tuple((_short(label), file) for label, file in files), size)


def _short(label: str) -> str:
    if label in GROUP_NAMES:
        return label
    try:
        return group(label).name
    except UnknownNameError:
        return label
