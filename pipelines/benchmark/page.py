"""The page of a benchmark in Markdown: what was run on what, and every figure."""

from __future__ import annotations

from collections.abc import Sequence

from ...models.systems import SYSTEMS
from .cells import HEAD, SETS, cells, figure, foreign_names, full_rows, not_run, ranked, worst_set
from .rows import Row
from .settings import Preset
from .theirs import LATER, SAID, TABLE

CURVE, TRAINING = "learning_curve.png", "training.png"
MISTAKES = (
    "Severity: the mean height in the tree of the lowest node that the truth and the answer have in common, of "
    "mistakes alone (@1), or of the first five answers (@5). *bayes*: the answers of least expected cost, in place of "
    "the likeliest ones."
)


def markdown(
    rows: Sequence[Row], preset: Preset, command: str, where: str, photos: bool, curve: bool,
    training: bool = False,
) -> str:  # fmt: skip
    """The page: what was run on what, every figure, and the authors' own figures apart from them."""
    lines = [
        f"# Benchmark `{preset.name}`", "",
        f"`{command}` on {where}.", "",
        f"Images of {preset.size} x {preset.size} px with {preset.cells[0]:g} to {preset.cells[1]:g} cells in view; "
        f"trained on {preset.count} patterns of {'photographs' if photos else 'the bundled pictures and textures'}, "
        f"{preset.epochs} epochs in batches of {preset.batch}{_fresh(preset)}; "
        f"measured on {preset.valid_count} patterns of pictures "
        f"not trained on, {preset.cross_count} of atoms and {preset.cross_count} of noise, neither ever trained on. "
        f"Precision {preset.precision}, seed {preset.seed}.", "",
        "Accuracy in %, then mean log loss. *train* is measured after training, on as many training images as there "
        "are validation images. *images seen* counts every network of a system: a tree of networks sees an image once "
        "at every node above its group. *time* is of training, symmetry maps included. Groups are equally frequent: "
        "the same answer for every image is correct for 6 % of 17 groups, 29 % of the five orders of rotation, 47 % of "
        "the three families of rotation.", "",
    ]  # fmt: skip
    header = f"| {' | '.join(HEAD)} |"
    rule = "|---|---|" + "---:|" * (len(HEAD) - 2)
    routes = dict.fromkeys(s.route for s in SYSTEMS.values())
    mine, missing = full_rows(rows, preset), not_run(rows, preset)
    for route in [*routes, *dict.fromkeys(r.route for r in mine if r.route not in routes)]:
        lines += [f"## {route[0].upper()}{route[1:]}", "", header, rule]
        for row in (r for r in mine if r.route == route):
            lines.append(f"| {' | '.join(cells(row))} |")
        for name in (n for n in missing if SYSTEMS[n].route == route):
            lines.append(f"| {name} | not run |{' |' * (len(HEAD) - 2)}")
        lines += [""]
        about = {r.system: r.about for r in mine if r.route == route}
        about |= {n: s.about for n, s in SYSTEMS.items() if s.route == route}
        lines += [f"- {name}: {text}" for name, text in about.items()] + [""]
    points = sorted((r for r in rows if any(r.system == o.system and r.count != o.count for o in rows)),
                    key=lambda r: (r.system, r.count))  # fmt: skip
    if points:
        lines += ["## Accuracy by number of training images", ""]
        lines += [f"![learning curve]({CURVE})", ""] if curve else []
        lines += ["| system | images | valid | atoms | noise |", "|---|---:|---:|---:|---:|"]
        for row in points:
            three = (f"{100 * row.figures[f'{name}/accuracy']:.1f}" for name in list(SETS)[1:])
            lines.append(f"| {row.system} | {row.count} | {' | '.join(three)} |")
        lines += [""]
    lines += mistakes(mine) + foreign(mine)
    if training:
        lines += ["## In training", "", "Share of the training images that is right while the weights change, epoch by "
                  "epoch, of rows with one network.", "", f"![right in training]({TRAINING})", ""]  # fmt: skip
    lines += ["## Theirs", "", f"Not run here. {SAID} {LATER}", ""]
    lines += ["| network (theirs) | images | valid | atoms | noise |", "|---|---:|---:|---:|---:|"]
    lines += [f"| {t.network} | {t.images} | {t.valid:g} | {t.atoms:g} | {t.noise:g} |" for t in TABLE]
    return "\n".join([*lines, ""])


def _fresh(preset: Preset) -> str:
    """What rows on pixels see in place of the stored patterns."""
    if not preset.fresh:
        return ""
    return f", rows on pixels on {preset.fresh} new ones in each epoch"


def mistakes(rows: Sequence[Row]) -> list[str]:
    """How bad the mistakes are on atoms, of rows that answer with a label."""
    told = [row for row in rows if "cross_atoms/severity_1" in row.figures]
    if not told:
        return []
    lines = ["## Mistakes on atoms", "", MISTAKES, ""]
    lines += [
        "| system | atoms | severity @1 | severity @5 | bayes: atoms | bayes: severity @1 |",
        "|---|" + "---:|" * 5,
    ]
    for row in told:
        own = [figure(row, f"cross_atoms/{name}", unit) for name, unit in
               (("accuracy", 0.01), ("severity_1", 1.0), ("severity_5", 1.0), ("bayes", 0.01),
                ("bayes_severity_1", 1.0))]  # fmt: skip
        lines.append(f"| {row.system} | {' | '.join(own)} |")
    return [*lines, ""]


def foreign(rows: Sequence[Row]) -> list[str]:
    """Foreign sets, the row that is best at its worst set first."""
    names = foreign_names(rows)
    if not names:
        return []
    lines = ["## Foreign sets", "", "Folders of images that this project did not make; % correct, ordered by the worst "
             "set.", "", f"| system | worst | {' | '.join(names)} |", "|---|---:|" + "---:|" * len(names)]  # fmt: skip
    for row in ranked(rows):
        worst = worst_set(row)
        assert worst is not None
        own = [figure(row, f"sets/{name}/accuracy", 0.01) for name in names]
        lines.append(f"| {row.system} | {100 * worst[1]:.1f} ({worst[0]}) | {' | '.join(own)} |")
    return [*lines, ""]
