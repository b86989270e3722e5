"""`hier map`: the groups at every position of a large micrograph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ..screen.streams import fail, tell
from .options import (
    Channel,
    Device,
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

EPILOG = "Example:  hier map micrograph.tif --window 128 --stride 32 --pixel-size 0.02nm"


def map_(
    image: Annotated[str, typer.Argument(help="A micrograph in any format that `hier predict` reads.")],
    window: Annotated[
        int, typer.Option(help="Side in px of the window that is classified at once: four cells or more.")
    ] = 128,
    stride: Annotated[int, typer.Option(help="Px from one window to the next.")] = 32,
    exact: Annotated[
        bool, typer.Option("--exact", help="Measure every window position; about ten times slower.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="The picture, .png; the arrays go beside it as .npz. NAME_map.png if left out.")
    ] = None,
    force: Force = False,
    pixel_size: PixelSizeText = None,
    page: Page = None,
    raw: RawText = None,
    channel: Channel = None,
    model: Model = None,
    tolerance: Tolerance = None,
    strain: Forgiven = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Map the wallpaper group, the lattice's direction and the confidence in both over a large image.

    Windows are measured one window apart first, then closer, down to the stride, wherever neighbours differ in group
    or lattice: without --exact a position between positions that agree gets their answer. Domains smaller than a
    window may be missed. The array `measured` in the .npz file shows which positions were measured.
    """
    from ..hierarchy import HierError
    from ..pipelines.field.domains import as_arrays, domains
    from ..pipelines.field.measure import map_field, save_arrays, suits
    from ..pipelines.field.plot import draw_map
    from ..pipelines.field.table import summary
    from ..pipelines.loading import cards_of, load
    from ..pipelines.outputs import check_outputs
    from ..pipelines.reading.files import split_inside
    from ..pipelines.reading.images import ImageError, open_picture
    from ..pipelines.reading.picture import Reading
    from ..screen.console import Screen
    from ..screen.progress import counter
    from ..screen.tables import map_table

    reading = Reading.of(page, raw, channel, pixel_size)
    picture_file = out or Path(f"{split_inside(image)[0].stem}_map.png")
    if picture_file.suffix.lower() != ".png":
        raise HierError(f"--out {picture_file}: give a name that ends in .png; the arrays go beside it as .npz")
    arrays_file = picture_file.with_suffix(".npz")
    check_outputs({"--out": picture_file, "--out, arrays in": arrays_file}, [image, *cards_of(model)], force=force)
    try:
        picture = open_picture(image, reading, mapped=True)
    except ImageError as error:
        raise HierError(f"{image}: {error}") from error
    classifier = load(model, device_named(device), tolerance=tolerance, strain=strain).classifier
    with counter(Screen(stderr=True), "windows") as advance:
        found = map_field(classifier, picture, window, stride, exact, advance, tolerance)
    what = domains(found)
    draw_map(picture.array, found, what, picture_file)
    save_arrays(arrays_file, as_arrays(found, what, picture.pixel_size))
    figures = summary(found, what, picture.pixel_size)
    if as_json:
        typer.echo(json.dumps({"picture": str(picture_file), "arrays": str(arrays_file), **figures}, indent=2))
    else:
        Screen().print(map_table(figures))
        tell(f"drew {picture_file}, arrays in {arrays_file}")
    warning = suits(found, what.areas)
    if warning:
        fail(warning)
    if found.unreadable:
        fail(f"{found.unreadable} windows hold values that are NaN or infinite; they count as not periodic")
