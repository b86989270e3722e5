"""A page of evidence for each call of `hier predict --report`: one HTML file that needs nothing else."""

from __future__ import annotations

import math
import pickle
import tempfile
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...hierarchy import HierError
from ...hierarchy.files import output
from ...hierarchy.names import on_screen
from ...models.ladder import TOLERANCES
from ..answering.asked import asked_in_words
from ..answering.confidence import doubts
from ..answering.figure import cell_in_words
from ..answering.ladder import in_words
from ..answering.refused import advice, level_in_words
from ..answering.results import Failure, Prediction
from ..answering.words import percent
from ..marks import SOFTWARE
from .pictures import map_pictures, pictures

TEMPLATE = "report.html"
TICKS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)  # of the ladder
BAR = 220  # px: a bar of probability one


def write_report(path: Path, results: Iterable[Prediction | Failure], title: str = "Symmetry of images") -> None:
    """Write the page of `results` to `path`; images that are not in memory are read again. Raises HierError."""
    page = Report()
    for result in results:
        page.add(result)
    page.write(path, title)


class Report:
    """A page being built: results are added while their images are in memory; pictures go to a temporary file."""

    def __init__(self) -> None:
        self._index: list[dict[str, str]] = []
        self._sections = tempfile.SpooledTemporaryFile(2**25)  # noqa: SIM115, `write` closes it

    def add(self, result: Prediction | Failure) -> None:
        """Draw the section of a result."""
        self._index.append(_entry(result))
        try:
            pickle.dump(_section(result, self._index[-1]), self._sections)
        except OSError as error:
            raise HierError(f"cannot keep the report's pictures: {error.strerror or error}") from error

    def write(self, path: Path, title: str = "Symmetry of images") -> None:
        """Write the page of all results to `path`, once. Raises HierError."""
        import jinja2

        loader = jinja2.FileSystemLoader(Path(__file__).parent)
        page = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True).get_template(TEMPLATE)
        with self._sections as kept:
            kept.seek(0)
            sections = (pickle.load(kept) for _ in self._index)
            with output(path) as unfinished, unfinished.open("w", encoding="utf-8") as file:
                file.writelines(
                    page.generate(
                        title=title, version=version("hier"), software=SOFTWARE, index=self._index, sections=sections
                    )
                )


def _entry(result: Prediction | Failure) -> dict[str, str]:
    if isinstance(result, Failure):
        return {"file": on_screen(result.file), "error": on_screen(result.error)}
    answer = result.group or result.statement
    probability = result.probability if result.periodic else 1 - result.periodic_probability
    cell = cell_in_words(result) if result.symmetry is not None else ""
    told = {"answer": answer, "probability": percent(probability), "confidence": result.confidence}
    return {"file": on_screen(result.file), "cell": cell, "doubts": doubts(result), **told}


def _section(result: Prediction | Failure, entry: dict[str, str]) -> dict[str, Any]:
    made: dict[str, Any] = {"entry": entry}
    if isinstance(result, Failure):
        return made
    made |= {"steps": list(steps_told(result)), "groups": _groups(result), "note": _note(result)}
    made |= {
        "ladder": list(ladder_bars(result)),
        "ticks": list(ladder_ticks()),
        "ladder_words": in_words(result.ladder),
    }
    if result.symmetry is not None:
        made["scores"] = list(_scores(result))
        made["table"] = list(table_cells(result)) if "table" in vars(result) else []
        made["as_asked"] = result.symmetry.group if result.fares is not None else ""
        made["operations"] = [
            {"xyz": o.xyz, "kind": o.kind, **_numbers(o.score, o.noise)} for o in result.symmetry.operations
        ]
        made["supergroups"] = [
            {"group": s.group, "operations": s.operations, "strain": f"{s.strain:.2f}", **_numbers(s.score, s.noise)}
            for s in result.symmetry.supergroups
        ]
    try:
        if result.source is not None:
            analysis = result.source.analysis()
            with result.source.at_hand(analysis):
                made["pictures"] = pictures(result)
            if result.periodic:
                made["maps"], impossible = map_pictures(analysis)
                made["impossible"] = f"This lattice does not allow: {', '.join(impossible)}." if impossible else ""
    except HierError as error:
        made["note"] = f"{made['note']} No pictures: {error}".strip()
    return made


def steps_told(result: Prediction) -> Iterator[dict[str, Any]]:
    """The steps of the path, each with all choices at its node."""
    for step in result.path:
        choices = [
            {"name": name, "percent": percent(p), "width": round(BAR * p), "taken": name == step.choice}
            for name, p in step.choices.items()
        ]
        yield {"level": step.level, "node": step.node, "choices": choices}


def ladder_bars(result: Prediction) -> Iterator[dict[str, str]]:
    """The rungs as shares of a line from the least tolerance to the largest, logarithmic."""
    for rung in result.ladder:
        left, right = (_place(t) for t in (rung.lower, rung.upper))
        yield {
            "group": rung.group,
            "left": f"{left:.2f}",
            "width": f"{right - left:.2f}",
            "title": f"{rung.group}, a = {rung.a:.1f} px, from {rung.lower:.2g} to {rung.upper:.2g}, "
            f"{percent(rung.probability)}",
        }


def ladder_ticks() -> Iterator[dict[str, str]]:
    """Tolerances to write below the ladder, and where."""
    for t in TICKS:
        yield {"text": f"{t:g}", "left": f"{_place(t):.2f}"}


def _place(tolerance: float) -> float:
    """Where a tolerance lies on the ladder's line, in percent."""
    first, last = (math.log(t) for t in (TOLERANCES[0], 1.0))
    return 100 * (max(first, math.log(max(tolerance, 1e-9))) - first) / (last - first)


def _scores(result: Prediction) -> Iterator[dict[str, str]]:
    for s in result.scores:
        known = s.misfit is not None
        yield {
            "group": s.group,
            "misfit": f"{s.misfit:.2g}" if known else "–",
            "mean": f"{s.mean:.4f}" if s.mean is not None else "–",
            "rings": " ".join(f"{r:.2f}" for r in s.rings),
            "strain": f"{s.strain:.3f}" if math.isfinite(s.strain) else "–",
        }


def table_cells(result: Prediction) -> Iterator[dict[str, str]]:
    """The rows of the table of groups as texts."""
    for row in result.table:
        numbers = {
            "phase": row.phase_deg, "target": row.target_deg, "amplitude": row.amplitude_percent,
            "ratio": row.noise_ratio, "misfit": row.misfit, "strain": row.strain_percent, "weight": row.akaike_weight,
            "nets": row.probability,
        }  # fmt: skip
        made = {name: "–" if v is None else f"{v:.3f}" if name in ("misfit", "weight", "nets") else f"{v:.1f}"
                for name, v in numbers.items()}  # fmt: skip
        count = "–" if row.reflections is None else str(row.reflections)
        yield {"group": row.group, "verdict": row.verdict, "reason": row.reason, "reflections": count, **made}


def _groups(result: Prediction) -> list[dict[str, str]]:
    """All labels, likeliest first."""
    order = sorted(result.groups.items(), key=lambda item: -item[1])
    return [{"name": name, "percent": percent(p)} for name, p in order]


def _note(result: Prediction) -> str:
    periodic = f"Periodic with probability {percent(result.periodic_probability)}."
    if result.left_out:
        periodic += f" Left out: {'; '.join(map(str, result.left_out))}."
    tried = result.tried
    if tried is not None:
        cell = cell_in_words(result)
        periodic += f" {cell[:1].upper()}{cell[1:]}; {level_in_words(tried.level)}."
    periodic += "".join(f" {line[:1].upper()}{line[1:]}." for line in advice(result))
    asked = asked_in_words(result)
    periodic += f" A say of the user: {'; '.join(asked)}." if asked else ""
    if result.symmetry is None:
        return periodic
    left, top, width, height = result.symmetry.view
    if result.region is not None:
        part = f" The whole image is not periodic. Read and shown: {width} × {height} px from ({left}, {top})."
    else:
        some = f"{width} × {height} px from ({left}, {top})" if result.judged else f"the middle {width} × {height} px"
        part = f" Read and shown: {some}." if left or top or result.judged else ""
    return periodic + part


def _numbers(score: float | None, noise: float) -> dict[str, str]:
    if score is None:
        return {"score": "–", "missing": "–", "noise": "–"}
    return {"score": f"{score:.4f}", "missing": f"{1 - score:.2g}", "noise": f"{noise:.2g}"}
