"""Calibrate: fit temperatures and routers of a model on patterns used neither in training nor in tests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...datasets import OF_PATTERN, Corruption, NonPatternDataset, PatternDataset, split_pool
from ...hierarchy import GROUP_NAMES, CompiledTree, HierError
from ...hierarchy.files import output
from ...hierarchy.locks import only_one
from ...models.bundle import BUNDLED, GATE, Bundle, Routing, check_replaceable, find_card, load_bundle, save_bundle
from ...models.classifier import Answer, Classifier
from ...models.routing.calibration import fit_temperature
from ...models.routing.mixture import Stack
from ...models.routing.router import FLAT, NEED_FLAT, ROUTERS
from ..generating.evidence import EvidenceSet, gather
from ..generating.parts import Part
from ..marks import save_figure
from ..measuring.evaluate import Report, report_of
from ..measuring.metrics import Reliability, reliability
from ..outputs import check_outputs
from ..tracking.artifacts import slug
from ..tracking.registry_files import SCHEME, local_model
from ..tracking.runs import Store
from .data import AUGMENTATION, ROUGH, ROUGHEST, SIZE
from .fit_routers import Outputs, fit_routers, fit_temperatures, targets_at

CALIBRATE = 4 * 10**12  # beyond the seeds of training, validation and cross-validation; see `data`
SPOILT = (*AUGMENTATION, Corruption(OF_PATTERN, ROUGH, 0.8), Corruption(OF_PATTERN, ROUGHEST, 0.3))
SPLITS = 3  # temperatures, routers, and what both are checked on
Stage = Callable[[str, int], Callable[[int], None]]


@dataclass(frozen=True)
class Split:
    """Evidence of patterns, and of images that are not periodic."""

    patterns: EvidenceSet
    others: EvidenceSet


@dataclass(frozen=True)
class Calibrated:
    """A bundle with its temperatures and fits; figures and reliability on a third split, before and after.

    `figures`: ``before`` and ``after`` those of ``soft``, then of each other router. `curves`: reliability before and
    after of each node, of the gate, and of ``group``, the answer of ``soft``.
    """

    bundle: Bundle
    temperatures: dict[str, float]
    figures: dict[str, dict[str, float]]
    curves: dict[str, tuple[Reliability, Reliability]]

    def as_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        routing = self.bundle.card.routing.model_dump(include={"temperature", "how", "weight", "images"})
        errors = {k: {"before": a.error, "after": b.error} for k, (a, b) in self.curves.items()}
        return {"temperatures": self.temperatures, "routing": routing, "figures": self.figures, "ece": errors}


def sources_of(bundle: Bundle) -> tuple[str, ...]:
    """What a model was trained on: to calibrate it on more would spoil cross-validation."""
    root = bundle.card.nodes.get(bundle.tree.root)
    return tuple(root.training.get("source", ("photos",))) if root else ("photos",)


def split_parts(split: int, count: int, seed: int, sources: Sequence[str], photos: Path | None) -> list[Part]:
    """About `count` patterns, at least one of each group: half of those of every source are rough and corrupted."""
    each = max(len(GROUP_NAMES), count // (2 * len(sources)))
    parts = []
    for source in sources:
        clean = PatternDataset(source, CALIBRATE + SPLITS * seed + split, SIZE)  # type: ignore[arg-type]
        spoilt = replace(clean, corruptions=SPOILT)
        parts += [Part(clean, 0, each, photos, "valid"), Part(spoilt, each, 2 * each, photos, "valid")]
    return parts


def other_parts(split: int, count: int, seed: int, photos: Path | None) -> list[Part]:
    """A third as many images that are not periodic."""
    clean = NonPatternDataset(CALIBRATE + SPLITS * seed + split, SIZE)
    half = max(1, count // 6)
    spoilt = replace(clean, corruptions=AUGMENTATION)
    return [Part(clean, 0, half, photos, "valid"), Part(spoilt, half, 2 * half, photos, "valid")]


def calibration_splits(
    bundle: Bundle, count: int, seed: int = 0, photos: Path | None = None, sources: Sequence[str] | None = None,
    cache: Path | None = None, device: str = "cpu", stage: Stage = lambda name, total: lambda n: None,
) -> list[Split]:  # fmt: skip
    """Evidence for `calibrate`: three splits of about `count` patterns, from pictures that are not trained on.

    HierError for a tree whose labels are not those of patterns.
    """
    if set(bundle.tree.labels) != set(GROUP_NAMES):
        raise HierError(
            f"tree {bundle.tree.name!r} has other labels than the {len(GROUP_NAMES)} wallpaper groups: "
            "hier generates no patterns of them to calibrate with"
        )
    if photos is not None:
        split_pool(photos, "valid")  # SourceError at once, rather than from every process later
    made = []
    for k, name in enumerate(("temperatures", "routers", "check")):
        both = split_parts(k, count, seed, sources or sources_of(bundle), photos), other_parts(k, count, seed, photos)
        advance = stage(f"images: {name}", sum(p.stop - p.start for parts in both for p in parts))
        made.append(Split(*(gather(parts, cache, device, advance) for parts in both)))
    return made


def calibrate(bundle: Bundle, splits: Sequence[Split], device: str = "cpu") -> Calibrated:
    """Fit the temperatures on the first split, the routers on the second, and measure both on the third.

    Earlier fits are ignored. No node's choice changes.
    """
    plain = _with(bundle, {}, Routing(), None)
    classifier = Classifier(plain, device)
    plan = classifier.plan
    first, second, third = splits
    heated, gates = _outputs(classifier, first)
    temperatures = fit_temperatures(plan, heated)
    temperatures[GATE] = fit_temperature(*gates)
    fitted = fit_routers(plan, _outputs(classifier, second)[0].tempered(temperatures))
    mixed = FLAT in bundle.nodes
    routing = Routing(
        temperature=fitted.temperature, how=fitted.how if mixed else None, weight=fitted.weight if mixed else None,
        images=len(first.patterns) + len(second.patterns),
    )  # fmt: skip
    made = _with(bundle, temperatures, routing, fitted.stack)
    after = Classifier(made, device)
    raw, raw_others = _run(classifier, third.patterns), _run(classifier, third.others)
    names = third.patterns.labels
    before, then = classifier.combine(raw), after.combine(raw)
    figures = {"before": _figures(report_of(classifier, [before], names, {}, {}))}
    figures["after"] = _figures(report_of(after, [then], names, {}, {}))
    for router in ROUTERS:
        if router != "soft" and (mixed or router not in NEED_FLAT):
            figures[router] = _figures(report_of(after, [after.combine(raw, router)], names, {}, {}))
    kept = {f"{k}/{name}": v for k in ("before", "after") for name, v in figures[k].items()}
    card = made.card.model_copy(update={"routing": routing.model_copy(update={"figures": kept})})
    old = _curves(plan, before, classifier.combine(raw_others), names)
    new = _curves(plan, then, after.combine(raw_others), names)
    curves = {name: (old[name], new[name]) for name in old}
    return Calibrated(replace(made, card=card), temperatures, figures, curves)


def diagram_of(card: Path) -> Path:
    """The file of the reliability diagram that belongs to a card: ``NAME-reliability.png``."""
    return card.with_name(f"{card.stem}-reliability.png")


def check_files(card: Path, force: bool = False) -> None:
    """Raises HierError, BundleError where `save_calibrated` would replace a file that hier did not write."""
    check_replaceable(card, force)
    check_outputs({"--out, diagram in": diagram_of(card)}, [], force=force)


def save_calibrated(made: Calibrated, card: Path, force: bool = False) -> Path:
    """Write the bundle and its diagram, whose path is returned. Raises HierError, BundleError: see `save_bundle`."""
    from ..drawing.charts import reliability_figure

    save_bundle(card, made.bundle.card, made.bundle.nodes, stack=made.bundle.stack, force=force)
    picture = diagram_of(card)
    with output(picture) as file:
        save_figure(reliability_figure(made.curves), file, ".png", dpi=110)
    return picture


@dataclass(frozen=True)
class Wanted:
    """What to calibrate with: see `calibration_splits`. No `sources` are those that the model was trained on."""

    count: int = 1020
    seed: int = 0
    photos: Path | None = None
    sources: tuple[str, ...] = ()


def calibrate_file(
    model: Path | str | None, out: Path | None, wanted: Wanted, root: Path, store: Store | None = None,
    device: str = "cpu", stage: Stage = lambda name, total: lambda n: None, force: bool = False,
) -> tuple[Calibrated, Path, Path]:  # fmt: skip
    """Calibrate the model in a bundle, write it to the folder `out` or over itself, and record it in the store.

    Returns the calibration, its card and its diagram. HierError when it would overwrite the bundled model, or a file
    that hier did not write, unless `force` replaces that; also when another call writes there.
    """
    card = find_card(BUNDLED if model is None else local_model(model, root))
    if out is None and (model is None or str(model).startswith(SCHEME)):
        raise HierError(f"refusing to overwrite {model or 'the bundled model'}; pass --out FOLDER")
    bundle = load_bundle(card)
    target = card if out is None else out / card.name
    check_files(target, force)
    with only_one(target.parent, "calibration"):
        return _calibrate_file(bundle, target, wanted, root, store, device, stage, force)


def _calibrate_file(
    bundle: Bundle, target: Path, wanted: Wanted, root: Path, store: Store | None, device: str, stage: Stage,
    force: bool,
) -> tuple[Calibrated, Path, Path]:  # fmt: skip
    splits = calibration_splits(
        bundle, wanted.count, wanted.seed, wanted.photos, wanted.sources, root / "work" / "evidence", device, stage
    )
    made = calibrate(bundle, splits, device)
    picture = save_calibrated(made, target, force)
    if store is not None:
        params = asdict(wanted) | {"photos": wanted.photos is not None, "sources": wanted.sources or sources_of(bundle)}
        resume = root / "work" / f"calibrate-{digest(bundle, params)}.txt"
        with store.training(f"calibrate {bundle.tree.name}", params, {"hier.tree": bundle.tree.name}, resume) as run:
            run.metrics({f"{k}/{name}": v for k, some in made.figures.items() for name, v in some.items()})
            run.metrics({f"temperature/{slug(name)}": value for name, value in made.temperatures.items()})
            run.file(picture)
    return made, target, picture


def digest(bundle: Bundle, settings: Mapping[str, object]) -> str:
    """Names a calibration: equal models and settings are calibrated alike."""
    text = bundle.card.model_dump_json(exclude={"routing"}) + repr(sorted(settings.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _with(bundle: Bundle, temperatures: Mapping[str, float], routing: Routing, stack: Stack | None) -> Bundle:
    nodes = {
        name: card.model_copy(update={"temperature": temperatures.get(name, 1.0)})
        for name, card in bundle.card.nodes.items()
    }
    card = bundle.card.model_copy(update={"nodes": nodes, "routing": routing})
    return replace(bundle, card=card, stack=stack)


def _outputs(classifier: Classifier, split: Split) -> tuple[Outputs, tuple[Tensor, Tensor]]:
    """Outputs for the patterns, and those of the gate for all images with 1 for patterns."""
    found, other = ({n: x[0] for n, x in _run(classifier, e).items()} for e in (split.patterns, split.others))
    truth = torch.tensor([classifier.labels.index(name) for name in split.patterns.labels])
    gates = torch.cat([found.pop(GATE), other[GATE]])
    return Outputs(found, truth), (gates, (torch.arange(len(gates)) < len(truth)).long())


def _run(classifier: Classifier, found: EvidenceSet, batch: int = 512) -> dict[str, Tensor]:
    """`Classifier.outputs`, batch by batch, on the CPU."""
    starts = range(0, len(found), batch)
    # what is ruled out by a wrong lattice would swamp the fits
    parts = [classifier.outputs(found.maps[k : k + batch], found.numbers[k : k + batch], free=True) for k in starts]
    return {name: torch.cat([part[name].cpu() for part in parts], 1) for name in parts[0]}


def _curves(plan: CompiledTree, answer: Answer, others: Answer, labels: Sequence[str]) -> dict[str, Reliability]:
    """Reliability of the answer, of every node on the images below it, and of the gate on all."""
    truth = torch.tensor([plan.labels.index(name) for name in labels])
    made = {"group": _curve(answer.log_probabilities, truth)}
    for name, found in answer.nodes.items():
        want = targets_at(plan, name, truth)
        made[name] = _curve(found[want >= 0], want[want >= 0])
    p = torch.cat([answer.pattern, others.pattern]).double()
    pattern = torch.arange(len(p)) < len(truth)
    made[GATE] = _curve(torch.stack([1 - p, p], 1).log(), pattern.long())
    return made


def _curve(logp: Tensor, truth: Tensor) -> Reliability:
    best = logp.double().exp().max(1)
    return reliability(best.values.numpy(), (best.indices == truth).numpy())


def _figures(found: Report) -> dict[str, float]:
    named = {"accuracy": found.accuracy, "loss": found.loss, "ece": found.ece, "brier": found.brier, "aurc": found.aurc}
    return {name: float(f"{value:.6g}") for name, value in named.items()}
