"""An array in a Zarr store, a folder: ``image.zarr::/path/inside``, or the one that OME-NGFF and HyperSpy mean.

Read through zarr, the extra ``zarr``. Codecs come from the file, and one of them (pickle) runs what is in it: only
those that compress numbers are used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .errors import ImageError, check_bytes, missing_reader
from .hdf5 import SHOWN, axes_pixel_size, page_of_array
from .picture import Picture, Reading
from .pixel_size import PixelSize, from_sides

STORES = (".zarr", ".zspy")
DEPTH = 6  # of groups that are looked through
CODECS = ("blosc", "bytes", "bz2", "crc32c", "delta", "gzip", "lz4", "lzma", "sharding_indexed", "shuffle", "transpose",
          "zlib", "zstd")  # fmt: skip


def read_zarr(path: Path, inside: str, reading: Reading, largest: int | None) -> Picture:
    """The array at `inside`, or the finest of a pyramid, or the only one. For a stack, the page asked for.

    The pixel size is read from the multiscales of OME-NGFF and from HyperSpy's axes.
    """
    try:
        import zarr
    except ImportError as error:
        raise missing_reader(path.suffix, "zarr") from error
    try:
        root = zarr.open(str(path), mode="r")
    except (FileNotFoundError, KeyError) as error:
        raise ImageError(f"is no Zarr store: {'; '.join(str(error).split(chr(10)))[:100]}") from error
    array, group = (root, None) if isinstance(root, zarr.Array) and not inside else _find(root, inside.strip("/"))
    _check(array)
    size = None if group is None else _ngff_pixel_size(array, group) or axes_pixel_size(array, group)
    return Picture(page_of_array(array, reading.page, largest), size)


def _find(root: Any, inside: str) -> tuple[Any, Any]:
    """The array, and the group that says what its axes are."""
    import zarr

    if isinstance(root, zarr.Array):
        raise ImageError(f"{inside} is not there: the store is one array")
    item = root.get(inside) if inside else root
    if isinstance(item, zarr.Array):
        above, _, _ = item.path.rpartition("/")
        return item, root[above] if above else root
    arrays = [a for _, a in root.members(max_depth=DEPTH) if isinstance(a, zarr.Array) and a.ndim >= 2]
    names = ", ".join(f"/{a.path} {a.shape}" for a in arrays[:SHOWN]) + (" ..." if len(arrays) > SHOWN else "")
    if item is None:
        raise ImageError(f"{inside} is not there in this store; its arrays: {names or 'none'}")
    if (finest := _multiscale(item)) and isinstance(array := item.get(str(finest["datasets"][0]["path"])), zarr.Array):
        return array, item
    here = [a for a in arrays if not item.path or a.path.startswith(f"{item.path}/")]
    if len(here) == 1:
        above, _, _ = here[0].path.rpartition("/")
        return here[0], root[above] if above else root
    raise ImageError(f"name the array after the store, as in FILE.zarr::/path; its arrays: {names or 'none'}")


def _check(array: Any) -> None:
    """ImageError for an array that holds no numbers, or that other codecs than `CODECS` would unpack."""
    if array.dtype.kind not in "buif":
        raise ImageError(f"{array.name} holds {array.dtype}: an array of integers or floats is needed")
    check_bytes(array.dtype.itemsize * math.prod(array.chunks), "a chunk")
    for name in _codecs(array.metadata.to_dict()):
        if name not in CODECS:
            raise ImageError(f"{array.name} is packed by {name!r}, which is not used: {', '.join(CODECS)} are")


def _codecs(told: Any) -> list[str]:
    """Names of all codecs, those inside others too."""
    if isinstance(told, Mapping):
        if "zarr_format" in told:
            return _codecs([told.get(key) for key in ("codecs", "filters", "compressor")])
        name = str(told.get("name", told.get("id"))).removeprefix("numcodecs.")
        return [name, *_codecs([v for k, v in (told.get("configuration") or {}).items() if "codecs" in k])]
    return [name for one in told for name in _codecs(one)] if isinstance(told, Sequence) else []


def _multiscale(group: Any) -> Mapping[str, Any] | None:
    """The first pyramid that a group tells of, as OME-NGFF 0.4 and 0.5 have it."""
    told = group.attrs.get("ome", group.attrs)
    several = told.get("multiscales") if isinstance(told, Mapping) else None
    first = several[0] if isinstance(several, Sequence) and several else None
    return first if isinstance(first, Mapping) and first.get("datasets") else None


def _ngff_pixel_size(array: Any, group: Any) -> PixelSize | None:
    found = _multiscale(group)
    if found is None:
        return None
    units = [str(axis.get("unit", "")) for axis in found.get("axes", ()) if isinstance(axis, Mapping)]
    own = [d for d in found["datasets"] if array.path.endswith(str(d.get("path")))]
    scales = [t["scale"] for part in (*own[:1], found) for t in part.get("coordinateTransformations", ())
              if isinstance(t, Mapping) and t.get("type") == "scale"]  # fmt: skip
    if len(units) != array.ndim or not scales or any(len(s) != array.ndim for s in scales):
        return None
    y, x = (math.prod(float(s[k]) for s in scales) for k in (-2, -1))
    return from_sides(x, units[-1], y, units[-2])
