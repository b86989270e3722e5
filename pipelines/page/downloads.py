"""The files of an answer, made by the writers of the command line's options."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

from ...hierarchy import HierError
from ..answering.corrected import write as write_corrected
from ..answering.exports import write_cif, write_hkl
from ..answering.figure import drawable, plotted
from ..answering.results import Prediction
from ..answering.tabled import table_file
from ..drawing.overlay import encoded
from ..reporting.report import write_report

KINDS = {
    "picture": (".png", "image/png"),
    "drawing": (".svg", "image/svg+xml"),
    "report": (".html", "text/html"),
    "table": (".csv", "text/csv"),
    "json": (".json", "application/json"),
    "hkl": (".hk", "text/plain"),
    "cif": (".cif", "chemical/x-cif"),
    "corrected": (".tif", "image/tiff"),
}


def download(found: Prediction, kind: str) -> tuple[str, str, bytes]:
    """Name, media type and content of a file of one of `KINDS` of a prediction that is at hand. Raises HierError."""
    suffix, media = KINDS[kind]
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(found.file).stem)[:60].strip("._") or "image"
    with tempfile.TemporaryDirectory(prefix="hier-") as folder:
        path = Path(folder) / f"{stem}{suffix}"
        if not _made(found, kind, path):
            lacking = "nothing was straightened" if kind == "corrected" else "no group was found"
            raise HierError(f"{found.file}: {lacking}, there is no such file")
        return f"{stem}_{kind}{suffix}", media, path.read_bytes()


def _made(found: Prediction, kind: str, path: Path) -> bool:
    """Write the file; whether there was anything to write."""
    match kind:
        case "picture" | "drawing":
            drawable(found)
            path.write_bytes(encoded(plotted(found), path.suffix))
        case "report":
            _ = found.table, found.refined  # a report shows them where they have been made
            write_report(path, [found], f"Symmetry of {found.file}")
        case "table":
            if not found.table:
                return False
            with table_file(path) as add:
                add(found)
        case "json":
            _ = found.table, found.refined
            path.write_text(json.dumps(found.as_dict(), indent=2), encoding="utf-8")
        case "hkl":
            return write_hkl(found, path)
        case "cif":
            if found.pixel_size is None:
                raise HierError("a CIF is in angstroms: give the size of a pixel first, 0.02nm for example")
            return write_cif(found, path)
        case _:
            return write_corrected(found, path)
    return True
