"""One row of a benchmark: train every network of a system, put their answers together, measure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from ...hierarchy import CompiledTree, compile_tree, load_tree
from ...models.systems import BACKBONES, BUNDLED, MAPS, Sizes, System
from ...models.systems.table import timm_name
from .bench import Bench, Outcome, Report
from .bundled_row import as_it_is
from .data import SETS
from .local_rows import on_features, on_numbers
from .map_rows import on_maps
from .measured import measure
from .pixel_rows import on_pixels


class Row(BaseModel):
    """The results of one system on `count` training images.

    `figures`, see `measured`: ``<set>/accuracy`` and others on train, valid, cross_atoms and cross_noise, and
    ``sets/<folder>/accuracy`` on foreign sets. `confusion` the first four by true class (rows) and answer. `seconds` of
    training, evidence included; `images_seen` by all its networks together. `curve`: the share that was right in
    training, epoch by epoch, by part. `digest` names what the row is made of.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    system: str
    route: str
    about: str
    network: str
    classes: tuple[str, ...]
    count: int
    images_seen: int
    seconds: float
    parameters: int
    device: str
    figures: dict[str, float]
    confusion: dict[str, list[list[int]]]
    curve: dict[str, list[float]] = {}
    digest: str = ""

    @property
    def key(self) -> str:
        """Name of the row, with the number of images where it is a point of a learning curve."""
        return f"{self.system}@{self.count}"


def network_name(system: System, sizes: Sizes) -> str:
    """What the row's networks are, for the table."""
    if system.representation == BUNDLED:
        return "wallpaper"
    if system.local and system.representation == MAPS:
        return "logistic"
    if system.representation == MAPS:
        return sizes.networks["maps"]
    if system.backbone == "pyramid":
        return f"FPN on {sizes.networks['pyramid']}"
    if system.backbone in BACKBONES:
        return system.backbone if system.backbone == "dense" else f"width {sizes.width}"
    return timm_name(system.backbone, sizes)


def runner(system: System) -> Callable[[str, System, int, Bench, CompiledTree, Path, Report], Outcome]:
    """What trains a system's networks and has them answer."""
    if system.representation == BUNDLED:
        return as_it_is
    if system.local:
        return on_numbers if system.representation == MAPS else on_features
    return on_maps if system.representation == MAPS else on_pixels


def run_row(name: str, system: System, count: int, bench: Bench, work: Path, after: Report) -> Row:
    """Train and measure `system` on the first `count` training images, and resume what is in `work`."""
    tree = load_tree(system.tree or bench.preset.tree)
    plan = compile_tree(tree)
    found = runner(system)(name, system, count, bench, plan, work, after)
    root = system.questions == "root"
    figures: dict[str, float] = {}
    confusion: dict[str, list[list[int]]] = {}
    for key, logp in found.logp.items():
        right = bench.acceptable(key, plan)[: len(logp)]
        own, counts = measure(plan, root, logp, right, found.probabilities)
        prefix = key if key in SETS else f"sets/{key}"
        figures |= {f"{prefix}/{what}": value for what, value in own.items()}
        if key in SETS:
            confusion[key] = counts
    return Row(
        system=name, route=system.route, about=system.about, network=network_name(system, bench.sizes),
        classes=tuple(tree.choices(plan.nodes[0])) if root else plan.labels, count=count,
        images_seen=found.images_seen, seconds=round(found.seconds, 1), parameters=found.parameters,
        device=bench.device, figures=figures, confusion=confusion, curve=found.curve,
    )  # fmt: skip
