"""What the commands share: options with one meaning, the choice of a device, how an error is shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from ..hierarchy import HierError
from ..screen.streams import fail

ROOT = Path("mlruns")
CLEAR = 0.9  # least level of the lattice in a pattern that is exact
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an output even if hier did not write it.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, mps, or auto for the fastest that works.")]
Photos = Annotated[Path | None, typer.Option(help="Folder of photographs; scikit-image's and textures if left out.")]
Model = Annotated[
    str | None, typer.Option(help="Folder or card, or models:/NAME@ALIAS in MLflow; the bundled model if left out.")
]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", help="Several models of one tree: their answers are averaged."),
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
        "assumed, with a list of what else remains possible."
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
Page = Annotated[int | None, typer.Option(help="Page of a TIFF or stack, from 1; the first if left out.")]

RawText = Annotated[
    str | None, typer.Option("--raw", help="What .raw and .bin hold: WIDTHxHEIGHT:TYPE, as in 512x512:uint16.")
]

Channel = Annotated[str | None, typer.Option(help="Channel of an AFM file; the height if left out.")]

Tile = Annotated[
    bool, typer.Option("--tile", help="Each image is one seamless repeat, which wraps at its edges: set it together.")
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

PixelSizeText = Annotated[
    str | None, typer.Option("--pixel-size", help="Pixel size, e.g. 0.02nm; overrides the file's metadata.")
]


def device_named(name: str) -> str:
    """The torch device of that name; ``auto`` is the fastest on which hier works. HierError when it cannot be used."""
    import torch

    if name == "auto":
        offered = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        for device in (device for device, there in offered.items() if there):
            if (problem := _problem(device)) is None:
                return device
            fail(f"not using device {device!r}: {problem}")
        return "cpu"
    if (problem := _problem(name)) is not None:
        raise HierError(f"device {name!r} cannot be used: {problem}; cpu always works")
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


def _problem(device: str) -> str | None:
    """What goes wrong when a small pattern is drawn and analysed on a device, in one sentence; None if nothing does.

    That a device is there does not mean that its driver works, or that it has every operation.
    """
    import torch

    from ..datasets import PatternDataset
    from ..models.evidence.representation import SymmetryEvidence

    try:
        if torch.device(device) == torch.device("cpu"):
            return None
        found = SymmetryEvidence()(PatternDataset("atoms", seed=0, size=64).batch([0], device))
        level = float(found.lattice.level)
    except (RuntimeError, AssertionError, ImportError, TypeError, HierError) as error:
        return (str(error) or type(error).__name__).splitlines()[0].partition(". ")[0]
    return None if level > CLEAR else f"it finds no lattice in a pattern (level {level:.2f}, not {CLEAR} or more)"


def router_named(name: str) -> Any:
    """`name` if there is such a router; UnknownNameError with similar names otherwise."""
    from ..hierarchy import UnknownNameError
    from ..models.routing.router import ROUTERS

    if name not in ROUTERS:
        raise UnknownNameError("router", name, ROUTERS)
    return name


def rectified_as(mode: str, metric: str) -> tuple[Any, Any]:
    """``--rectify`` and ``--metric`` as `load` takes them; UnknownNameError with similar names otherwise."""
    from ..hierarchy import UnknownNameError
    from ..pipelines.answering.rectify import METRICS, MODES

    for option, value, known in (("--rectify", mode, MODES), ("--metric", metric, METRICS)):
        if value not in known:
            raise UnknownNameError(option, value, known)
    return mode, metric
