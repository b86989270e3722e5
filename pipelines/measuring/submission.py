"""The score of a submission: probabilities of the 17 groups for the images of a release, against its labels."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...hierarchy import GROUP_NAMES, CompiledTree, HierError, compile_tree, load_tree
from ...hierarchy.compiled import heights
from .metrics import Floats, Ints, calibration_error, hierarchical

SUM = 1e-3  # by how much the probabilities of an image may miss 1
REPEATS, LEVEL, SEED = 2000, 0.95, 0  # of the bootstrap
AT_ONCE = 100
LEAST = 1e-6  # probabilities below count as this in the log loss


class SubmissionError(HierError):
    """A submission that cannot be scored; `problems` has a line for each thing that is wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Figure:
    """A mean over images, and the interval in which 95 % of its bootstrap means lie."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Score:
    """`figures` over all images; accuracy `by` source and part; the source in which the submission is `worst`.

    The figures: ``accuracy``, ``rotation`` and so on down to each level of the tree, ``log_loss`` in nats, ``brier``,
    ``severity_1`` and ``severity_5``: the mean height of the lowest common ancestor of the truth and the first, or
    first five, answers, of mistakes alone for the first (Bertinetto et al., 2020). `calibration` is the expected
    calibration error, `hierarchical` precision, recall and F of the sets of ancestors.
    """

    images: int
    figures: dict[str, Figure]
    by: dict[str, dict[str, Figure]]
    worst: str
    calibration: float
    hierarchical: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Truth:
    """The labels of a release: `group` is the place in `GROUP_NAMES`."""

    ids: tuple[str, ...]
    group: Ints
    source: tuple[str, ...]
    part: tuple[str, ...]


def read_truth(path: Path) -> Truth:
    """A release's ``labels.csv``. HierError if it is none."""
    rows = _table(path, "labels")
    missing = [name for name in ("id", "group", "source", "part") if rows and name not in rows[0]]
    if missing or not rows:
        raise HierError(f"{path} is no labels.csv of a release: it lacks {', '.join(missing) or 'rows'}")
    unknown = {row["group"] for row in rows} - set(GROUP_NAMES)
    if unknown:
        raise HierError(f"{path}: {', '.join(sorted(map(str, unknown)))} are no wallpaper groups")
    group = np.array([GROUP_NAMES.index(row["group"]) for row in rows])
    ids, source, part = (tuple(row[key] for row in rows) for key in ("id", "source", "part"))
    return Truth(ids, group, source, part)


def read_submission(path: Path, truth: Truth) -> Floats:
    """Probabilities (N, 17) of the images of `truth` from a CSV with the columns id and the 17 groups, in any order.

    Raises SubmissionError with every problem: columns and images that are missing or unknown, images that come twice,
    what is no probability, sums that are not 1.
    """
    rows = _table(path, "submission")
    columns = [name for name in (rows[0] if rows else {}) if name is not None]
    problems = [f"{path}: column {name} is missing" for name in ("id", *GROUP_NAMES) if name not in columns]
    problems += [f"{path}: column {name!r} is unknown" for name in columns if name not in ("id", *GROUP_NAMES)]
    if problems:
        raise SubmissionError(problems)
    place = {name: k for k, name in enumerate(truth.ids)}
    p, seen = np.full((len(place), len(GROUP_NAMES)), np.nan), dict.fromkeys(place, 0)
    for line, row in enumerate(rows, 2):
        where = f"{path}, line {line}"
        if row["id"] not in place:
            problems.append(f"{where}: image {row['id']!r} is unknown")
            continue
        seen[row["id"]] += 1
        values, wrong = _probabilities(row)
        if seen[row["id"]] > 1:
            problems.append(f"{where}: image {row['id']} comes a second time")
        elif wrong:
            problems.append(f"{where}, image {row['id']}: {wrong}")
        p[place[row["id"]]] = values
    problems += [f"{path}: image {name} is missing" for name, count in seen.items() if not count]
    if problems:
        raise SubmissionError(problems)
    scaled: Floats = p / p.sum(1, keepdims=True)
    return scaled


def _probabilities(row: Mapping[str, str | None]) -> tuple[list[float], str]:
    """The probabilities in a row, and what is wrong with them."""
    values = []
    for name in GROUP_NAMES:
        try:
            value = float(row[name] or "nothing")
        except ValueError:
            return [np.nan] * len(GROUP_NAMES), f"{name} is {row[name]!r}, not a number"
        if not 0 <= value <= 1 + SUM:
            return [np.nan] * len(GROUP_NAMES), f"{name} is {value:g}, not between 0 and 1"
        values.append(value)
    total = sum(values)
    return values, f"the probabilities sum to {total:.4g}, not to 1" if abs(total - 1) > SUM else ""


def _table(path: Path, what: str) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [dict(row) for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise HierError(f"{what} {path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def score(p: Floats, truth: Truth) -> Score:
    """The score of probabilities (N, 17)."""
    plan = compile_tree(load_tree("wallpaper"))
    order = [plan.labels.index(name) for name in GROUP_NAMES]
    mine = np.empty_like(p)
    mine[:, order] = p
    group = np.array(order)[truth.group]
    answer = mine.argmax(1)
    values = _values(plan, mine, group, answer)
    figures = dict(zip(values, _figures(np.stack(list(values.values()), 1)), strict=True))
    by = {
        what: {name: _figures(values["accuracy"][np.array(of) == name, None])[0] for name in dict.fromkeys(of)}
        for what, of in (("source", truth.source), ("part", truth.part))
    }
    worst = min(by["source"], key=lambda name: by["source"][name].value)
    return Score(len(p), figures, by, worst, calibration_error(mine, answer, group), hierarchical(plan, group, answer))


def _values(plan: CompiledTree, p: Floats, truth: Ints, answer: Ints) -> dict[str, Floats]:
    """What each image (N,) adds to each mean; NaN where it adds nothing."""
    n = np.arange(len(p))
    values: dict[str, Floats] = {"accuracy": (answer == truth).astype(float)}
    for k, level in enumerate(plan.levels):
        upto = plan.level_of_node <= k
        here = (plan.answers[plan.level_of_node == k] >= 0).any(0)[truth]
        same = (plan.answers[upto][:, truth] == plan.answers[upto][:, answer]).all(0)
        values[level] = np.where(here, same, np.nan)
    values["log_loss"] = -np.log(np.maximum(p[n, truth], LEAST))
    values["brier"] = ((p - np.eye(p.shape[1])[truth]) ** 2).sum(1)
    apart = heights(plan)
    values["severity_1"] = np.where(answer == truth, np.nan, apart[truth, answer])
    best = np.argsort(-p, 1, kind="stable")[:, :5]
    values["severity_5"] = apart[truth[:, None], best].mean(1)
    return values


def _figures(values: Floats) -> list[Figure]:
    """Means of the columns of (N, M) over what is no NaN, with their bootstrap intervals: images are drawn anew."""
    rng, n = np.random.default_rng(SEED), len(values)
    there, filled = np.isfinite(values).astype(float), np.nan_to_num(values)
    means = []
    for k in range(0, REPEATS, AT_ONCE):
        counts = rng.multinomial(n, np.full(n, 1 / n), min(AT_ONCE, REPEATS - k)).astype(float)
        means.append(counts @ filled / np.maximum(counts @ there, 1))
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(np.concatenate(means), (tail, 100 - tail), axis=0)
    value = filled.sum(0) / np.maximum(there.sum(0), 1)
    return [Figure(*map(float, row)) for row in zip(value, low, high, strict=True)]
