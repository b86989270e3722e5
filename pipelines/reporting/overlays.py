"""Where the overlays of one call go: one file, a folder, or a name for each."""

from __future__ import annotations

import os
import re
from collections import defaultdict, deque
from collections.abc import Sequence
from pathlib import Path

from ...hierarchy import HierError, UnknownNameError
from ..answering.figure import drawable, plotted
from ..answering.results import Prediction
from ..drawing.lettering import SUFFIXES
from ..drawing.overlay import Style, save
from ..outputs import Inputs

NAME = "{name}"


class OverlayFiles:
    """Overlays in files that `target` names: ``out.svg`` for one image, ``folder`` or ``folder/{name}.pdf`` for many.

    `images` are all images of the call, none of which is ever replaced. In a folder overlays are called
    ``NAME_overlay.png``. Raises HierError for one file and several images, and for a file that hier did not write,
    unless `force` replaces it; UnknownNameError for another kind of picture.
    """

    def __init__(self, target: str, images: Sequence[str], force: bool = False, style: Style | None = None) -> None:
        path = Path(target)
        if target.endswith(("/", "\\")) or os.path.isdir(path) or not path.suffix:
            path = path / f"{NAME}_overlay.png"
        if path.suffix.lower() not in SUFFIXES:
            raise UnknownNameError("kind of overlay", path.suffix, SUFFIXES)
        if len(images) > 1 and NAME not in str(path):
            raise HierError(
                f"--overlay {target} is one file and there are several images: give a folder, or {NAME} in it, as in "
                f"overlays/{NAME}{path.suffix}"
            )
        self.style = style
        inputs = Inputs(images, force)
        used: set[str] = set()
        self.paths: dict[str, deque[Path]] = defaultdict(deque)  # an image may be given twice
        for image in images:
            self.paths[image].append(Path(str(path).replace(NAME, _free(image, used))))
            inputs.check(self.paths[image][-1], "--overlay")

    def draw(self, found: Prediction) -> Path:
        """Draw one image's overlay; its file. HierError where there is nothing to draw or it cannot be written."""
        drawable(found)
        path = self.paths[found.file].popleft()
        save(plotted(found, style=self.style), path)
        return path


def _free(image: str, used: set[str]) -> str:
    """A name that no other image of this call has: images of one name in two folders are numbered."""
    stem = re.sub(r"[^\w.-]+", "_", Path(image).stem) or "image"
    name, count = stem, 1
    while name in used:
        count += 1
        name = f"{stem}-{count}"
    used.add(name)
    return name
