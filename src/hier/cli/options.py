"""What the commands share: options with one meaning, the choice of a device, how an error is shown."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from ..hierarchy import HierError
from ..screen.streams import fail, set_level
from .checks import check_device, check_model, check_models

ROOT = Path("mlruns")
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an output even if hier did not write it.")]


def _told(value: int) -> Callable[[bool], bool]:
    def set_it(given: bool) -> bool:
        if given:
            set_level(value)
        return given

    return set_it


Verbose = Annotated[
    bool,
    typer.Option(
        "-v", "--verbose", callback=_told(logging.INFO), help="Tell more, and progress in lines, not in bars."
    ),
]
Quiet = Annotated[
    bool, typer.Option("-q", "--quiet", callback=_told(logging.ERROR), help="Tell neither progress nor warnings.")
]
Device = Annotated[str, typer.Option(callback=check_device, help="cpu, cuda, mps, or auto for the fastest that works.")]
Photos = Annotated[Path | None, typer.Option(help="Folder of photographs; scikit-image's and textures if left out.")]
Model = Annotated[
    str | None,
    typer.Option(
        callback=check_model, help="Folder or card, or models:/NAME@ALIAS in MLflow; the bundled model if left out."
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", callback=check_models, help="Several models of one tree: their answers are averaged."),
]
RouterName = Annotated[
    str,
    typer.Option(
        help="soft (all nodes weighed), hard (likeliest choice at each node), beam (likeliest paths), climb (as far as "
        "--min-confidence is reached), bayes (least costly error), flat (no tree), blend (soft and flat), or stack "
        "(regression on all nodes); the last two are fitted by `hier calibrate`."
    ),
]


def _between(value: float | None) -> float | None:
    if value is not None and not 0 < value < 1:
        raise HierError(f"--tolerance {value:g}: give a number between 0 and 1, the largest misfit that still counts")
    return value


def _taken_out(value: float | None) -> float | None:
    if value is not None and not 0 < value <= 0.5:  # as `metric_change` has it, which would import torch
        raise HierError(f"--strain {value:g}: give a number above 0, and at most 0.5: 0.1 for 10 %")
    return value


def _forgiven(value: float | None) -> float | None:
    if value is not None and not 0 < value <= FORGIVEN:
        raise HierError(f"--strain {value:g}: give a number above 0, and at most {FORGIVEN} here: only `hier predict` "
                        "takes larger distortions out")  # fmt: skip
    return value


FORGIVEN = 0.0375  # the largest strain that a model allows for by itself
Forgiven = Annotated[
    float | None,
    typer.Option(
        "--strain",
        callback=_forgiven,
        help="Largest linear distortion of the lattice that a group may need, a change of lengths at constant area; "
        "0.0375 if left out. With 0.005 a cell whose sides differ by more than 1 %, or whose angle is off by more than "
        "0.6 degrees, is neither square nor hexagonal.",
    ),
]
Strain = Annotated[
    float | None,
    typer.Option(
        callback=_taken_out,
        help="Largest unknown linear distortion, a change of lengths at constant area. 0.1 takes out up to 10 % where "
        "that makes operations hold that fail otherwise; 0.005 takes a cell whose sides differ by more than 1 % for no "
        "square. Up to 0.0375 is forgiven if left out.",
    ),
]
Rectify = Annotated[
    str,
    typer.Option(
        help="Straighten bent images: auto (where the lattice then repeats better), none, affine (linear distortions "
        "only, see --strain and --metric), perspective, or smooth (a thin plate)."
    ),
]
MetricName = Annotated[
    str,
    typer.Option(
        "--metric",
        help="known: lengths and angles are evidence. unknown: they are not, all groups that remain possible are "
        "listed with the stretch that each needs. auto: known, but after a perspective without --focal.",
    ),
]
Focal = Annotated[
    float | None,
    typer.Option(
        help="Focal length of the camera relative to the image's longer side (a telephone's is about 0.75); 1.2 is "
        "assumed, and `hier predict` then lists what else remains possible."
    ),
]
Tolerance = Annotated[
    float | None,
    typer.Option(
        callback=_between,
        help="Largest misfit that still counts as a symmetry, between 0 and 1: 0.02 asks for exactness, 0.2 for the "
        "idea behind handwork. If left out, the model judges by how exact the image is otherwise.",
    ),
]
Regions = Annotated[
    bool,
    typer.Option(
        "--regions",
        help="Find the parts of the view in which one lattice repeats - grains, a crystal on a ground, without holes - "
        "and answer for each, the largest first. If left out, only where the image is not periodic otherwise.",
    ),
]
Table = Annotated[
    bool,
    typer.Option(
        "--table",
        help="Print how well each of the 17 groups holds: residuals of phases and amplitudes, what noise leaves of "
        "them, misfit, strain, Akaike weight and verdict; and the cell with standard uncertainties. Also in JSON and "
        "the report.",
    ),
]
TableCsv = Annotated[Path | None, typer.Option(help="Write these tables to one .csv, a row for each image and group.")]
CellFile = Annotated[
    Path | None, typer.Option(help="Write the averaged and the symmetrised cell, in floats, to this .tif or .npy.")
]
HklFile = Annotated[
    Path | None,
    typer.Option(help="Write h, k, amplitude, phase and sigma about the group's origin to this .hk, as text."),
]
CifFile = Annotated[
    Path | None, typer.Option(help="Write the plane group, its cell and its reflections to this .cif, as a layer.")
]
Basis = Annotated[
    str | None,
    typer.Option(
        help="Use this lattice: ax,ay,bx,by, two vectors in px of the image, x right and y down, that span a cell, "
        "primitive or centred. It is moved to the nearest one on which the image repeats best, see --no-refine.",
    ),
]
Refine = Annotated[
    bool, typer.Option("--refine/--no-refine", help="Refine the lattice of --basis, or take it as it is.")
]
AskedGroup = Annotated[
    str | None,
    typer.Option(
        "--group",
        help="Judge as if the group were this one, p4m for example: how well it holds, beside the answer. Overlay, "
        "--table, --cell, --hkl and --cif are then of this group.",
    ),
]
Origin = Annotated[
    str | None,
    typer.Option(
        help="X,Y in px of the image: of the origins that the group allows, take the one nearest to it, for the "
        "overlay and the phases of --hkl. If left out, one near the middle.",
    ),
]
Page = Annotated[int | None, typer.Option(help="Page of a TIFF or stack, from 1; the first if left out.")]

RawText = Annotated[
    str | None, typer.Option("--raw", help="What .raw and .bin hold: WIDTHxHEIGHT:TYPE, as in 512x512:uint16.")
]

Channel = Annotated[str | None, typer.Option(help="Channel of an AFM file; the height if left out.")]

Tile = Annotated[
    bool, typer.Option("--tile", help="Each image is one seamless repeat, which wraps at its edges: set it together.")
]

Crop = Annotated[
    str | None,
    typer.Option(
        "--crop",
        "--region",
        help="Judge this rectangle alone: X,Y,W,H, its left, top, width and height in px. Nothing else is cut then.",
    ),
]

MaskFile = Annotated[
    str | None,
    typer.Option("--mask", help="An image of the same size: what is not zero (black) in it is left out."),
]

Cut = Annotated[
    bool,
    typer.Option(
        "--cut/--no-cut",
        help="Cut off info bars, plain borders and scale bars, which are no part of the pattern, and say so; --no-cut "
        "judges images as they are.",
    ),
]

On = Annotated[
    str | None,
    typer.Option(
        help="Work on many machines: ray starts Ray on this one, or joins the cluster that RAY_ADDRESS names; "
        "ray://HOST:PORT takes a cluster."
    ),
]

Range = Annotated[
    str | None,
    typer.Option("--range", help="Only one part of the work, for job arrays: 3/64 is the third of 64 parts."),
]

Corrupt = Annotated[
    list[str] | None,
    typer.Option(
        help="NAME=SEVERITY, from 0 to 5; may be repeated. Of the pattern: workmanship; of atoms: thermal, vacancies; "
        "of the view: perspective, barrel, shear, creep, bend; of the instrument: noise, grain, shot, blur, contrast, "
        "invert, drift, jitter, lines, slope, plane, shadow, vignette, hot."
    ),
]
Width = Annotated[
    float | None,
    typer.Option(
        "--size",
        min=20,
        max=1000,
        help="Width of --overlay in mm, 85 for a journal's column; letters keep their size. 180 to 380 if left out.",
    ),
]
Dots = Annotated[
    float | None,
    typer.Option(
        "--dpi",
        min=30,
        max=2400,
        help="Px to the inch of an --overlay .png. If left out, each px of the image has one or more; 300 with --size.",
    ),
]
Caption = Annotated[
    bool, typer.Option("--caption/--no-caption", help="Write answer, cell and key below --overlay, or the image alone.")
]

PixelSizeText = Annotated[
    str | None, typer.Option("--pixel-size", help="Pixel size, e.g. 0.02nm; overrides the file's metadata.")
]


def device_named(name: str) -> str:
    """The torch device of that name; ``auto`` is the fastest on which hier works. HierError when it cannot be used."""
    from ..pipelines.devices import fastest, problem

    if name == "auto":
        return fastest(fail)
    if (found := problem(name)) is not None:
        raise HierError(f"device {name!r} cannot be used: {found}; cpu always works")
    return name


def part_of(text: str | None) -> tuple[int, int]:
    """Part k of n, (k, n), k from 1, that ``--range K/N`` names; (1, 1), the whole, for None. Raises HierError."""
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", "1/1" if text is None else text)
    k, n = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= k <= n:
        raise HierError(f"--range {text}: give a part and the number of parts, from 1/64 to 64/64")
    return k, n


@contextmanager
def connected(on: str | None, device: str) -> Iterator[str]:
    """Connected to the cluster that `on` names, if any; yields the torch device to use, there or here. HierError."""
    if on is None:
        yield device_named(device)
        return
    from ..pipelines.cluster import cluster, resources

    device = "cpu" if device == "auto" else device
    with cluster(on):
        resources(device)  # says so at once where the cluster has none
        yield device


def router_named(name: str) -> Any:
    """`name` if there is such a router; UnknownNameError with similar names otherwise."""
    from ..hierarchy import UnknownNameError
    from ..models.routing.names import ROUTERS

    if name not in ROUTERS:
        raise UnknownNameError("router", name, ROUTERS)
    return name


def numbers_in(text: str | None) -> Any:
    """The parts of ``1,2,3`` for `Asked.of`, which checks them; None for None."""
    return None if text is None else text.replace(" ", "").split(",")


@contextmanager
def told_as_options(*names: str) -> Iterator[None]:
    """Errors that begin with one of these arguments' names begin with the option's instead."""
    try:
        yield
    except HierError as error:
        if str(error).partition(" ")[0].rstrip(":") in names:
            raise HierError(f"--{error}") from error
        raise


def rectified_as(mode: str, metric: str) -> tuple[Any, Any]:
    """``--rectify`` and ``--metric`` as `load` takes them; UnknownNameError with similar names otherwise."""
    from ..hierarchy import UnknownNameError
    from ..pipelines.straightening.names import METRICS, MODES

    for option, value, known in (("--rectify", mode, MODES), ("--metric", metric, METRICS)):
        if value not in known:
            raise UnknownNameError(option, value, known)
    return mode, metric
