"""Pictures of a report as data URIs: image, overlay, averaged cell, symmetrised image, difference, symmetry maps."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...hierarchy import group
from ...models.evidence.maps import MAPS, symmetry_maps
from ...models.evidence.representation import STRAIN
from ...models.placing.cells import averaged_cell, symmetrised_cell, tiled
from ..answering.figure import plotted, seen
from ..answering.results import Prediction
from ..answering.symmetry import Analysis
from ..drawing.overlay import encoded

LARGEST = 900  # px: longer side of a picture
MAP_SIDE, MAP_CELLS = 150, 2.2  # px, and cells along a map's side
AMPLIFIED = 2.0  # factor by which the difference is shown


@dataclass(frozen=True)
class Shown:
    """A picture with its title, as a data URI."""

    title: str
    data: str


def pictures(found: Prediction) -> list[Shown]:
    """The pictures of a prediction; image and lattice where no symmetry was found. Raises HierError, ImageError."""
    if found.symmetry is None and found.tried is None:
        return [Shown("Image", uri(found.source.read()))] if found.source is not None else []
    view = seen(found)
    overlay = Image.open(io.BytesIO(encoded(plotted(found), ".png"))).convert("RGB")
    if found.symmetry is None:
        beside = "" if found.periodic else ", and the autocorrelation"
        return [Shown("Image", uri(view)), Shown(f"The best lattice that was tried{beside}", _uri(overlay))]
    frame = found.symmetry.frame
    cell = averaged_cell(view, frame.basis, frame.origin)
    ideal = symmetrised_cell(cell, group(found.symmetry.group).operations)
    _, H, W = view.shape
    whole = tiled(ideal, frame.basis, frame.origin, H, W)
    difference = view - whole
    spread = view - view.mean((1, 2), keepdim=True)
    share = float(difference.square().mean().sqrt() / spread.square().mean().sqrt().clamp_min(1e-9))
    return [
        Shown("Image", uri(view)),
        Shown("Cell, lattice and symmetry elements", _uri(overlay)),
        Shown("Averaged cell", _cell_picture(cell, frame.basis)),
        Shown(f"Symmetrised under {found.symmetry.group}", uri(whole)),
        Shown(
            f"What is left of the image, amplified {AMPLIFIED:g} times: {100 * share:.1f} % of its contrast",
            uri(0.5 + AMPLIFIED * difference),
        ),
    ]


def _cell_picture(cell: Tensor, basis: np.ndarray) -> str:
    """The cell as it lies in the image, enlarged, on a transparent ground."""
    zoom = max(1.0, 300 / float(np.linalg.norm(basis, axis=0).max()))
    large = basis * zoom
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) @ large.T
    low = corners.min(0)
    width, height = np.ceil(np.ptp(corners, axis=0)).astype(int) + 1
    picture = tiled(cell, large, -low, int(height), int(width))
    y, x = np.mgrid[:height, :width]
    u = np.linalg.solve(large, (np.stack([x, y], -1) + low).reshape(-1, 2).T).T.reshape(height, width, 2)
    inside = ((u > -0.004) & (u < 1.004)).all(-1)
    rgba = np.dstack([_bytes(picture), np.where(inside, 255, 0).astype(np.uint8)])
    return _uri(Image.fromarray(rgba))


@torch.inference_mode()
def map_pictures(analysis: Analysis) -> tuple[list[Shown], list[str]]:
    """The symmetry maps of an image that its lattice allows, and the names of those that it does not."""
    from matplotlib import colormaps

    view = analysis.view.image
    found = symmetry_maps(analysis.structure, analysis.lattice.basis)
    basis = analysis.lattice.basis[0].double().numpy()
    side = min(MAP_CELLS * float(np.linalg.norm(basis, axis=0).max()), *view.shape[1:])
    zoom = MAP_SIDE / side
    middle = np.full(2, (MAP_SIDE - 1) / 2)
    shown, impossible = [], []
    crop = _middle(view, side)
    shown.append(Shown("Image", uri(torch.nn.functional.interpolate(crop[None], MAP_SIDE, mode="bilinear")[0])))
    for m, (name, _, _) in enumerate(MAPS):
        if float(found.strain[0, m]) >= STRAIN:
            impossible.append(name)
            continue
        surface = found.maps[0, m, -1].clamp(0, 1)[None]
        picture = tiled(surface, basis * zoom, middle, MAP_SIDE, MAP_SIDE)[0].clamp(0, 1).numpy()
        colours = (colormaps["magma"](picture)[..., :3] * 255).astype(np.uint8)
        peak = min(max(float(found.peaks[0, m, -1]), 0.0), 1.0)
        shown.append(Shown(f"{name}: {peak:.3f}", _uri(Image.fromarray(colours))))
    return shown, impossible


def _middle(view: Tensor, side: float) -> Tensor:
    """A square of `side` px about the middle, as far as the view reaches."""
    _, H, W = view.shape
    half = max(1, round(side / 2))
    return view[:, H // 2 - half : H // 2 + half, W // 2 - half : W // 2 + half]


def uri(image: Tensor) -> str:
    """An image (3, H, W) in [0, 1]; small ones are enlarged with their pixels kept square."""
    picture = Image.fromarray(_bytes(image))
    times = LARGEST // (2 * max(picture.size))
    if times > 1:
        picture = picture.resize((times * picture.width, times * picture.height), Image.Resampling.NEAREST)
    return _uri(picture)


def _bytes(image: Tensor) -> np.ndarray:
    return (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()


def _uri(picture: Image.Image) -> str:
    picture.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, "webp", quality=88, method=2)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
