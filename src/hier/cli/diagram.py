"""`hier tree --diagram`: a group's cell with its symmetry elements, as a picture or as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from ..hierarchy import WallpaperGroup, group
from ..screen.streams import tell


def diagram(name: str, out: Path | None, as_json: bool, force: bool = False) -> None:
    """Draw group `name` to `out` (SVG or PNG), by default ``<group>.svg`` here; with `as_json` print the elements."""
    drawn = group(name)
    if as_json and out is None:
        typer.echo(json.dumps(elements(drawn), indent=2))
        return
    from ..pipelines.drawing.diagram import draw_diagram
    from ..pipelines.outputs import check_outputs

    path = out or Path(f"{drawn.name}.svg")
    check_outputs({"--out": path}, [], force=force)
    draw_diagram(drawn, path)
    tell(json.dumps({"diagram": str(path)}) if as_json else f"drew {path}")


def elements(of: WallpaperGroup) -> dict[str, Any]:
    """Centres and lines of the cell as plain data; coordinates as text such as ``1/3``."""
    from ..hierarchy.elements import reflection_lines, rotation_centres

    return {
        "group": of.name,
        "centres": [{"at": [str(t) for t in c.at], "order": c.order} for c in rotation_centres(of)],
        "lines": [
            {"from": [str(t) for t in k.start], "to": [str(t) for t in k.end], "kind": "glide" if k.glide else "mirror"}
            for k in reflection_lines(of)
        ],
    }
