"""The mark in what hier writes, by which it knows its own files again: a line of the file's metadata.

=============  =====================================================
PNG            the text ``Software``
JPEG           a comment
SVG, PDF       the creator
HTML           ``<meta name="generator">``
``.npz``       the comment of the ZIP archive, which arrays do not see
TIFF           the tag ``Software``
``.npy``       a line behind the array, which readers leave unread
CIF, ``.hk``   the first line, a comment
tables         of groups: the names of the first columns
=============  =====================================================

Tables of predictions, a row for each image, are known by their columns, models by their card, exports by their
manifest.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SOFTWARE = f"hier {version('hier')}"
UNREAD = f"\n{SOFTWARE}\n".encode()  # what stands behind an array in .npy
NEAR = 1 << 16  # bytes of a file's beginning and end in which its mark stands
_JPEG = re.compile(rb"\xff\xfe..hier ", re.DOTALL)
MARKS = {
    ".png": re.compile(rb"tEXtSoftware\0hier "), ".jpg": _JPEG, ".jpeg": _JPEG,
    ".svg": re.compile(rb"<dc:title>hier "), ".pdf": re.compile(rb"/Creator \(hier "),
    ".html": re.compile(rb'<meta name="generator" content="hier '),
    ".npz": re.compile(rb"PK\x05\x06.{18}hier ", re.DOTALL),
    ".tif": re.compile(rb"(?:^|\0)hier [0-9]"),
    ".cell": re.compile(rb"\nhier [0-9][^\n]*\n\Z"), 
    ".hk": re.compile(rb"\A# hier "), ".cif": re.compile(rb"\A# hier "),
    ".table": re.compile(rb"\Afile,group,verdict,"),
}  # fmt: skip


def is_marked(path: Path, suffix: str) -> bool:
    """Whether a file is one that hier wrote, of the kind that `suffix`, one of `MARKS`, names. Raises OSError."""
    with path.open("rb") as file:
        beginning = file.read(NEAR)
        file.seek(max(NEAR, path.stat().st_size - NEAR))
        return MARKS[suffix].search(beginning + file.read(NEAR)) is not None


def save_picture(picture: Image.Image, file: Path | IO[bytes], suffix: str) -> None:
    """Save a picture as PNG or JPEG, with the mark."""
    if suffix == ".png":
        info = PngInfo()
        info.add_text("Software", SOFTWARE)
        picture.save(file, "png", pnginfo=info)
    else:
        picture.save(file, "jpeg", comment=SOFTWARE)


def save_figure(figure: Figure, file: Path | IO[bytes], suffix: str, **options: Any) -> None:
    """Save a figure as PNG, SVG or PDF, with the mark and without a date: the same figure is the same file."""
    dateless: dict[str, dict[str, Any]] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    metadata = {"Software" if suffix == ".png" else "Creator": SOFTWARE} | dateless.get(suffix, {})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from", UserWarning)  # names are in any script
        figure.savefig(file, format=suffix[1:], metadata=metadata, **options)


def mark_archive(file: Path) -> None:
    """Mark an ``.npz`` file."""
    with zipfile.ZipFile(file, "a") as archive:
        archive.comment = SOFTWARE.encode()
