"""Files read ahead of the network: by this process for a processor, by others for a card, which is faster than one."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..generating.workers import in_order
from ..reading.bands import Box
from ..reading.images import ImageError, ImageLike, Read, read
from ..reading.left_out import LeftOut
from ..reading.picture import Reading
from ..reading.pixel_size import PixelSize

FEW = 128  # files that this process has read before others would have started
Found = Read | ImageError
Apart = tuple[NDArray[np.float32], PixelSize | None, Box | None, tuple[LeftOut, ...]]


def read_each(
    images: Iterable[ImageLike], reading: Reading, workers: int = 1
) -> Generator[tuple[ImageLike, Found], None, None]:
    """Images in order, each with what was read of it, or why it cannot be used.

    More than `FEW` files are read by `workers` processes, some of them before they are asked for.
    """
    images = iter(images)
    first = list(islice(images, FEW + 1)) if workers > 1 else []
    if len(first) <= FEW or not all(isinstance(image, (str, Path)) for image in first):
        for image in chain(first, images):
            try:
                yield image, read(image, reading)
            except ImageError as error:
                yield image, error
        return
    asked: deque[ImageLike] = deque()

    def jobs() -> Iterator[tuple[ImageLike, Reading]]:
        for image in chain(first, images):
            asked.append(image)
            yield image, reading

    with closing(in_order(_read, jobs(), workers, ahead=8)) as found:
        for what in found:
            yield asked.popleft(), what if isinstance(what, ImageError) else Read(torch.from_numpy(what[0]), *what[1:])


def readers(device: torch.device) -> int:
    """How many processes read files for a network on `device`."""
    return 1 if device.type == "cpu" else os.cpu_count() or 1


def _read(job: tuple[ImageLike, Reading]) -> Apart | ImageError:
    """An image as an array, which travels between processes."""
    try:
        found = read(*job)
    except ImageError as error:
        return error
    return found.image.numpy(), found.pixel_size, found.box, found.left_out
