"""What of an HDF5 file is neither followed nor unfolded: other files, and pieces without measure.

A file may say that its pixels lie in another one, of which a reader then shows the bytes as an image, or that a few
bytes stand for gigabytes.
"""

from __future__ import annotations

import math
from typing import Any

from .errors import BYTES, ImageError, damaged

LINKS = 32  # that lead from one to the next
UNWRITTEN = 2**20  # bytes that nobody wrote and that are nevertheless made, in arrays that are not images


def check_array(array: Any) -> None:
    """ImageError for a data set whose pixels lie in another file, were never written, or unfold in huge pieces."""
    wrong = _storage(array, 0)
    if wrong is not None:
        raise wrong


def check_file(file: Any) -> None:
    """The same for all that a file holds, for readers that look for the image themselves. Raises ImageError."""
    import h5py

    def link(name: str, found: Any) -> ImageError | None:  # what is not None ends the visit; raising confuses HDF5
        return _leaves(name, found.filename) if isinstance(found, h5py.ExternalLink) else None

    def item(_: str, found: Any) -> ImageError | None:
        return _storage(found, UNWRITTEN) if isinstance(found, h5py.Dataset) else None

    wrong = file.visititems_links(link) or file.visititems(item)
    if wrong is not None:
        raise wrong


def within(file: Any, path: str) -> Any:
    """The item at `path`, whose links all stay in the file; None where there is none. Raises ImageError."""
    import h5py

    at, parts, links = file["/"], [p for p in reversed(path.split("/")) if p not in ("", ".")], 0
    while parts:
        name = parts.pop()
        link = at.get(name, getlink=True) if isinstance(at, h5py.Group) and name in at.keys() else None  # noqa: SIM118
        if link is None:
            return None
        if isinstance(link, h5py.ExternalLink):
            raise _leaves(name, link.filename)
        if not isinstance(link, h5py.SoftLink):
            at = at[name]
            continue
        links += 1
        if links > LINKS:
            raise damaged(f"{path} is a circle of links")
        if link.path.startswith("/"):
            at = file["/"]
        parts += [p for p in reversed(link.path.split("/")) if p not in ("", ".")]
    return at


def _storage(array: Any, unwritten: int) -> ImageError | None:
    """Why an array is not read; one of up to `unwritten` bytes need not have been written."""
    if array.external:
        return _leaves(array.name, array.external[0][0])
    if array.is_virtual:
        return ImageError(f"{array.name} is put together from other arrays, which are not followed: copy it as one")
    if array.nbytes > unwritten and not array.id.get_storage_size():
        return ImageError(f"{array.name} holds no pixels: they were never written")
    if array.chunks and math.prod(array.chunks) * array.dtype.itemsize > BYTES:
        return ImageError(f"{array.name} is stored in pieces of more than {BYTES / 1e9:g} GB: copy it in smaller ones")
    return None


def _leaves(name: str, file: str) -> ImageError:
    return ImageError(f"{name} lies in another file ({file[:100]}), which is not opened: copy it into this one")
