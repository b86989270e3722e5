"""`hier map`: the groups at every position of a large micrograph."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from ..pipelines.drawing.lettering import SUFFIXES
from ..screen.streams import fail, tell
from .checks import check_there
from .options import (
    Channel,
    Device,
    Focal,
    Force,
    Forgiven,
    Json,
    Model,
    Page,
    PixelSizeText,
    RawText,
    Tolerance,
    device_named,
)

EPILOG = "Example:  hier map micrograph.tif --stride 32 --pixel-size 0.02nm --out map.pdf"


def map_(
    image: Annotated[str, typer.Argument(help="A micrograph in any format that `hier predict` reads.")],
    window: Annotated[
        int | None,
        typer.Option(
            help="Side in px of the window that is classified at once. If left out, it is chosen from the lattices in "
            "the field: nine cells, and 128 px or more."
        ),
    ] = None,
    stride: Annotated[int, typer.Option(help="Px from one window to the next.")] = 32,
    exact: Annotated[
        bool, typer.Option("--exact", help="Measure every window position; about ten times slower.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The picture, .png, or .svg and .pdf with axes and scale bar; the arrays go beside it as .npz. "
            "NAME_map.png if left out."
        ),
    ] = None,
    force: Force = False,
    pixel_size: PixelSizeText = None,
    page: Page = None,
    raw: RawText = None,
    channel: Channel = None,
    model: Model = None,
    tolerance: Tolerance = None,
    strain: Forgiven = None,
    rectify: Annotated[
        str,
        typer.Option(help="Straighten a bent crystal: auto (where the map then has fewer boundaries), or none."),
    ] = "auto",
    focal: Focal = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Map the wallpaper group, the lattice's direction and the confidence in both over a large image.

    Windows are measured one window apart first, then closer, down to the stride, wherever neighbours differ in group
    or lattice: without --exact a position between positions that agree gets their answer. Domains smaller than a
    window may be missed. The array `measured` in the .npz file shows which positions were measured.

    Where that finds boundaries, a field is looked for that makes the whole one straight lattice: a bent crystal is one
    domain. All lengths and places are those of the image as it is.
    """
    from ..hierarchy import HierError, UnknownNameError
    from ..pipelines.field.sizes import LARGEST, check_window
    from ..pipelines.reading.files import split_inside
    from ..pipelines.reading.picture import Reading
    from ..pipelines.straightening.names import MAP_MODES

    if rectify not in MAP_MODES:
        raise UnknownNameError("--rectify", rectify, MAP_MODES)
    if focal is not None and not 0 < focal < math.inf:
        raise HierError(f"--focal {focal}: give the focal length relative to the image's longer side, above 0")
    reading = Reading.of(page, raw, channel, pixel_size)
    picture_file = out or Path(f"{split_inside(image)[0].stem}_map.png")
    if picture_file.suffix.lower() not in SUFFIXES:
        raise HierError(
            f"--out {picture_file}: give a name that ends in {', '.join(SUFFIXES)}; the arrays go beside it as .npz"
        )
    check_there([image])
    check_window(window or LARGEST, stride)
    from ..pipelines.field.domains import as_arrays
    from ..pipelines.field.measure import save_arrays, suits
    from ..pipelines.field.plot import draw_map
    from ..pipelines.field.straight import best_map
    from ..pipelines.field.table import summary
    from ..pipelines.field.vector import draw_vector
    from ..pipelines.field.window import window_for
    from ..pipelines.loading import cards_of, load
    from ..pipelines.outputs import check_outputs
    from ..pipelines.reading.images import ImageError, open_picture
    from ..screen.console import Screen
    from ..screen.progress import counter
    from ..screen.tables import map_table

    arrays_file = picture_file.with_suffix(".npz")
    check_outputs({"--out": picture_file, "--out, arrays in": arrays_file}, [image, *cards_of(model)], force=force)
    replaced = [str(file) for file in (picture_file, arrays_file) if file.exists()]
    try:
        picture = open_picture(image, reading, mapped=True)
    except ImageError as error:
        raise HierError(f"{image}: {error}") from error
    classifier = load(model, device_named(device), tolerance=tolerance, strain=strain).classifier
    if window is None:
        window = window_for(picture)
        tell(f"windows of {window} px", err=True)
    with counter(Screen(stderr=True), "windows") as advance:
        mode: Any = rectify
        seen_at = {} if focal is None else {"focal": focal}
        found, what = best_map(classifier, picture, window, stride, exact, advance, tolerance, mode, **seen_at)
    if picture_file.suffix.lower() == ".png":
        draw_map(picture.array, found, what, picture_file)
    else:
        draw_vector(picture.array, found, what, picture.pixel_size, picture_file)
    save_arrays(arrays_file, as_arrays(found, what, picture.pixel_size))
    figures = summary(found, what, picture.pixel_size)
    if as_json:
        typer.echo(json.dumps({"picture": str(picture_file), "arrays": str(arrays_file), **figures}, indent=2))
    else:
        Screen().print(map_table(figures))
        if figures["field"] is not None:
            tell("straightened: {kind}, error {error:.2f} +- {error_se:.2f} px".format(**figures["field"]))
        tell(f"drew {picture_file}, arrays in {arrays_file}")
    if replaced:
        tell(f"replaced what was there before: {', '.join(replaced)}", err=True)
    warning = suits(found, what.areas)
    if warning:
        fail(warning)
    if found.unreadable:
        fail(f"{found.unreadable} windows hold values that are NaN or infinite; they count as not periodic")
