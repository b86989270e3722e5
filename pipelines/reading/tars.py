"""An image in a tar of images, as WebDataset keeps them: ``FILE.tar::NAME``, or by its page."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from .errors import ImageError, check_bytes
from .picture import Picture, Reading, page_index
from .pillow import open_common, pillow_suffixes

SHOWN = 3  # images of a tar named in an error


def read_tar(path: Path, inside: str, reading: Reading) -> Picture:
    """The image of a tar named `inside`, or image number `reading.page` of it, or its only one.

    Raises ImageError, and whatever Pillow raises. Compressed tars are not read.
    """
    try:
        with tarfile.open(path, "r:") as tar:
            images = [m for m in tar if m.isfile() and Path(m.name).suffix.lower() in pillow_suffixes()]
            chosen = _chosen(images, inside, reading.page)
            check_bytes(chosen.size)
            content = tar.extractfile(chosen)
            data = io.BytesIO(content.read() if content else b"")
    except tarfile.TarError as error:
        raise ImageError(f"not a tar that can be read: {error}") from error
    array = open_common(data, Reading())
    if array is None:
        raise ImageError(f"{chosen.name} is no image that is read from a tar: unpack it")
    return Picture(array)


def _chosen(images: list[tarfile.TarInfo], inside: str, page: int | None) -> tarfile.TarInfo:
    names = [m.name for m in images]
    if inside:
        if inside not in names:
            raise ImageError(f"{inside} is not there in this file; its images: {_some(names)}")
        return images[names.index(inside)]
    if not images:
        raise ImageError("holds no image")
    if page is None and len(images) > 1:
        raise ImageError(f"holds {len(images)} images ({_some(names)}): give --page N to choose one, or FILE.tar::NAME")
    return images[page_index(page, len(images))]


def _some(names: list[str]) -> str:
    return (", ".join(names[:SHOWN]) or "none") + (" ..." if len(names) > SHOWN else "")
