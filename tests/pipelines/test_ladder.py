"""The ladder: from log-probabilities at rising tolerances to rungs, on the command line and in JSON."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hier.hierarchy import GROUP_NAMES, HierError
from hier.models.classifier import LADDER, Classifier
from hier.models.evidence.representation import EVIDENCE, MAP_CHANNELS, SIDE
from hier.models.node import NodeClassifier, NodeSettings
from hier.pipelines.answering.ladder import ORDER, in_words, rungs
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import hier
from hier.cli.app import main

LABELS = ("p1", "p2", "p4", "p4m")
UNSURE = 0.02


def rows(winners: list[int]) -> torch.Tensor:
    p = torch.full((len(winners), len(LABELS)), UNSURE / 3)
    p[torch.arange(len(winners)), torch.tensor(winners)] = 1 - UNSURE
    return p.log()


def test_borders_lie_where_two_groups_are_equally_likely() -> None:
    tolerances = (0.01, 0.02, 0.04, 0.08, 0.16)
    ladder = rungs(tolerances, rows([0, 0, 1, 3, 3]), LABELS)
    assert [r.group for r in ladder] == ["p1", "p2", "p4m"]
    assert (ladder[0].lower, ladder[-1].upper) == (0, 1)
    assert ladder[1].lower == ladder[0].upper == pytest.approx(np.sqrt(0.02 * 0.04))
    assert ladder[2].lower == ladder[1].upper == pytest.approx(np.sqrt(0.04 * 0.08))
    assert all(r.probability == pytest.approx(1 - UNSURE) for r in ladder)
    assert in_words(ladder) == "p1 up to 0.028 · p2 up to 0.057 · p4m from there"


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=len(LADDER), max_size=len(LADDER)))
def test_who_forgives_more_never_finds_less(winners: list[int]) -> None:
    ladder = rungs(LADDER, rows(winners), LABELS)
    orders = [ORDER[r.group] for r in ladder]
    assert orders == sorted(orders)
    assert ladder[0].lower == 0
    assert ladder[-1].upper == 1
    for one, two in pairwise(ladder):
        assert one.upper == two.lower
        assert one.lower < one.upper
        assert one.group != two.group
    for rung in ladder:
        assert rung.group in {LABELS[w] for w in winners}
        assert rung.as_dict() == {
            "group": rung.group, "from": rung.lower, "to": rung.upper, "probability": rung.probability,
        }  # fmt: skip


def test_labels_that_are_no_groups_have_no_ladder() -> None:
    assert rungs(LADDER, rows([0] * len(LADDER)), ("cat", "dog", "p4", "p4m")) == ()
    assert in_words(()) == ""


def test_all_tolerances_at_once_are_as_each_alone() -> None:
    node = NodeClassifier(NodeSettings(("no", "yes", "maybe"))).eval()
    torch.manual_seed(3)
    maps, numbers = torch.rand(5, MAP_CHANNELS, SIDE, SIDE), torch.rand(5, EVIDENCE)
    with torch.inference_mode():
        seen = node.see(maps, numbers)
        asked = torch.tensor([0.01, 0.1, 0.3])
        together = node.decide(seen, asked[:, None])
        for t, row in zip(asked, together, strict=True):
            torch.testing.assert_close(row, node(maps, numbers, t.expand(5)))
        torch.testing.assert_close(node(maps, numbers), node(maps, numbers, torch.full((5,), torch.nan)))
        assert float((together[0] - together[2]).abs().max()) > 1e-4


@pytest.fixture(scope="module")
def checks() -> np.ndarray:
    """A p4m pattern of which every mirror is off by a little: p4 to the last, p4m to the eye."""
    x = np.arange(192) * 2 * np.pi / 32
    u, v = x[:, None], x[None]
    even = np.cos(u) + np.cos(v) + 0.5 * np.cos(2 * u) * np.cos(2 * v)
    odd = np.cos(2 * u + v) + np.cos(2 * v - u)  # turns with a quarter turn, and has no mirror
    return even + 0.22 * odd


def test_the_ladder_climbs_from_what_is_exact_to_what_is_meant(checks: np.ndarray) -> None:
    found = hier.load().predict(checks)[0]
    assert [r.group for r in found.ladder][-1] == "p4m"
    scores = {s.group: s for s in found.scores}
    assert len(scores) == len(GROUP_NAMES)
    assert scores["p4"].misfit == pytest.approx(0, abs=0.01)
    border = next(r.lower for r in found.ladder if r.group == "p4m")
    assert border == pytest.approx(scores["p4m"].misfit, rel=0.5)
    known = [s.misfit for s in found.scores if s.misfit is not None]
    assert known == sorted(known)
    exact, kind = (hier.load(tolerance=t).predict(checks)[0] for t in (border / 3, min(0.9, 3 * border)))
    assert (exact.group, kind.group) == ("p4", "p4m")
    assert (exact.tolerance, found.tolerance) == (pytest.approx(border / 3), None)


@pytest.mark.parametrize("tolerance", [0, 1, -0.1, 1.5, float("nan")])
def test_a_tolerance_outside_0_to_1_is_refused(tolerance: float) -> None:
    with pytest.raises(HierError, match=r"tolerance = .*between 0 and 1"):
        hier.load(tolerance=tolerance)


def test_command_line(
    checks: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "checks.png"
    Image.fromarray((255 * (checks - checks.min()) / np.ptp(checks)).astype(np.uint8)).save(file)

    def said(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["hier", "predict", str(file), *arguments])
        with pytest.raises(SystemExit, match="0"):
            main()
        return capfd.readouterr().out

    shown = json.loads(said("--json", "--tolerance", "0.3"))[0]
    assert shown["tolerance"] == 0.3
    assert shown["group"] == "p4m"
    assert set(shown["ladder"][0]) == {"group", "from", "to", "probability"}
    assert shown["scores"][0] == {"group": "p1", "misfit": 0.0, "mean": 1.0, "rings": [], "strain": 0.0}
    panel = said()
    assert "up to" in panel
    assert "from there" in panel
    monkeypatch.setattr("sys.argv", ["hier", "predict", str(file), "--tolerance", "1.5"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert capfd.readouterr().err.startswith("hier: --tolerance 1.5: give a number between 0 and 1")


def test_the_classifier_answers_at_every_tolerance_of_the_ladder(checks: np.ndarray) -> None:
    model = Classifier.load()
    image = torch.from_numpy(checks).float()[None, None]
    answer = model.answer(image, ladder=True)
    assert answer.ladder is not None
    assert answer.ladder.shape == (len(LADDER), 1, len(model.labels))
    alone = model.answer(image, tolerance=LADDER[9])
    torch.testing.assert_close(answer.ladder[9], alone.log_probabilities, atol=1e-4, rtol=1e-4)
