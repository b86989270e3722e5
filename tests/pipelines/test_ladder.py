"""The ladder: from log-probabilities at rising tolerances to rungs, on the command line and in JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hier.hierarchy import GROUP_NAMES, HierError
from hier.models.classifier import Classifier
from hier.models.evidence.representation import EVIDENCE, MAP_CHANNELS, SIDE
from hier.models.ladder import TOLERANCES, Stretch
from hier.models.node import NodeClassifier, NodeSettings
from hier.pipelines.answering.ladder import ORDER, in_words, rungs
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import hier
from hier.cli.app import main

LABELS = ("p1", "p2", "p4", "p4m")
UNSURE = 0.02


def stretch(winners: list[int], lower: float = 0.0, upper: float = 1.0, side: float = 20.0) -> Stretch:
    p = torch.full((len(winners), len(LABELS)), UNSURE / 3)
    p[torch.arange(len(winners)), torch.tensor(winners)] = 1 - UNSURE
    return Stretch(lower, upper, side * torch.eye(2), p.log())


def test_borders_lie_where_two_groups_are_equally_likely() -> None:
    ladder = rungs([stretch([0] * 8 + [1] * 4 + [3] * 21)], LABELS)
    assert [r.group for r in ladder] == ["p1", "p2", "p4m"]
    assert (ladder[0].lower, ladder[-1].upper) == (0, 1)
    for rung, k in ((ladder[1], 8), (ladder[2], 12)):
        assert rung.lower == pytest.approx(np.sqrt(TOLERANCES[k - 1] * TOLERANCES[k]))
    assert all(r.probability == pytest.approx(1 - UNSURE) for r in ladder)
    assert in_words(ladder) == "p1 up to 0.012 · p2 up to 0.021 · p4m from there"


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=len(TOLERANCES), max_size=len(TOLERANCES)))
def test_who_forgives_more_never_finds_less(winners: list[int]) -> None:
    ladder = rungs([stretch(winners)], LABELS)
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
            "a": 20.0, "b": 20.0, "gamma": pytest.approx(90.0),
        }  # fmt: skip


SOME = st.lists(st.integers(0, 3), min_size=len(TOLERANCES), max_size=len(TOLERANCES))


@settings(deadline=None)
@given(SOME, SOME, SOME, st.floats(0.01, 0.05), st.floats(0.06, 0.3))
def test_a_ladder_over_several_lattices_is_whole_and_never_finds_less(
    coarse: list[int], own: list[int], fine: list[int], one: float, two: float
) -> None:
    parts = [stretch(coarse, 0, one, 40.0), stretch(own, one, two), stretch(fine, two, 1, 10.0)]
    ladder = rungs(parts, LABELS, scale=2.0)
    assert (ladder[0].lower, ladder[-1].upper) == (0, 1)
    assert ladder[0].a == 80.0
    for before, after in pairwise(ladder):
        assert before.upper == after.lower
        assert after.density >= 0.9 * before.density
        assert (before.group, before.a) != (after.group, after.a)


def test_a_rung_on_a_finer_lattice_is_named_with_its_cell() -> None:
    parts = [stretch([2] * 33, 0, 0.1, 36.0), stretch([3] * 33, 0.1, 1, 16.1)]
    assert in_words(rungs(parts, LABELS)) == "p4 with a = 36.0 px up to 0.1 · p4m with a = 16.1 px from there"


def test_labels_that_are_no_groups_have_no_ladder() -> None:
    assert rungs([stretch([0] * len(TOLERANCES))], ("cat", "dog", "p4", "p4m")) == ()
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
    known = [round(s.misfit, 5) for s in found.scores if s.misfit is not None]
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
    assert set(shown["ladder"][0]) == {"group", "from", "to", "probability", "a", "b", "gamma"}
    assert shown["scores"][0] == {"group": "p1", "misfit": 0.0, "mean": 1.0, "rings": [], "strain": 0.0}
    panel = said()
    assert "up to" in panel
    assert "from there" in panel
    monkeypatch.setattr("sys.argv", ["hier", "predict", str(file), "--tolerance", "1.5"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert capfd.readouterr().err.startswith("hier: --tolerance 1.5: give a number between 0 and 1")


def test_every_fifth_site_darker_is_a_superlattice_below_its_misfit(tmp_path: Path) -> None:
    """Square lattice of 16 px, one site in five at half its height: p4 with a cell of 16 times the root of 5."""
    image = spots(16.0, lambda i, j: 0.5 if (i + 2 * j) % 5 == 0 else 1.0)
    found = hier.load().predict(image)[0]
    assert [r.group for r in found.ladder] == ["p4", "p4m"]
    first, last = found.ladder
    assert (first.a, last.a) == (pytest.approx(16 * 5**0.5, rel=0.01), pytest.approx(16, rel=0.01))
    assert 0.05 < first.upper < 0.2
    assert found.group == "p4", "visibly darker: the superlattice is the lattice"
    for tolerance, side in ((first.upper / 2, first.a), (2 * first.upper, last.a)):
        at = hier.load(tolerance=tolerance).predict(image)[0]
        assert at.lattice is not None
        assert at.lattice.a == pytest.approx(side, rel=0.01)
        assert at.group == ("p4" if tolerance < first.upper else "p4m")
        assert [r.group for r in at.ladder] == ["p4", "p4m"]


def test_a_strain_takes_groups_off_a_cell_that_is_not_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Cosines of p4m on a cell of 20 by 20.8 px: a p4m stretched by 4 %, or a pmm."""
    u, v = (np.arange(256) * 2 * np.pi / side for side in (20, 20.8))
    image = np.cos(u)[:, None] + np.cos(v)[None] + 0.5 * np.cos(2 * u)[:, None] * np.cos(2 * v)[None]
    for strain, group in ((None, "p4m"), (0.025, "p4m"), (0.0125, "pmm")):
        found = hier.load(strain=strain).predict(image)[0]
        assert found.group == group
        assert [r.group for r in found.ladder][-1] == group, "at no tolerance"
        assert hier.load(strain=strain, tolerance=0.2).predict(image)[0].group == group
    assert found.groups["p4m"] < 1e-6
    Image.fromarray((60 * image + 128).clip(0, 255).astype(np.uint8)).save(tmp_path / "off.png")
    monkeypatch.setattr("sys.argv", ["hier", "predict", str(tmp_path / "off.png"), "--strain", "0.0125", "--json"])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert json.loads(capfd.readouterr().out)[0]["group"] == "pmm"
    for wrong in (0, -1, 0.6):
        with pytest.raises(HierError, match=r"strain = .*above 0"):
            hier.load(strain=wrong)
    monkeypatch.setattr("sys.argv", ["hier", "predict", str(tmp_path / "off.png"), "--strain", "0.7"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert capfd.readouterr().err.startswith("hier: --strain 0.7: give a number above 0")


def spots(side: float, height: Callable[[int, int], float]) -> np.ndarray:
    """Round spots on a square lattice."""
    y, x = np.mgrid[:224, :224]
    cells = range(-1, int(224 / side) + 2)
    return sum(
        height(i, j) * np.exp(-((x - side * i) ** 2 + (y - side * j) ** 2) / (0.05 * side**2))
        for i in cells
        for j in cells
    )


def test_the_classifier_answers_at_every_tolerance_of_the_ladder(checks: np.ndarray) -> None:
    model = Classifier.load()
    image = torch.from_numpy(checks).float()[None, None]
    answer = model.answer(image, ladder=True)
    assert answer.ladder is not None
    ladder = answer.ladder.log_probabilities
    assert ladder.shape == (len(TOLERANCES), 1, len(model.labels))
    alone = model.answer(image, tolerance=TOLERANCES[9])
    torch.testing.assert_close(ladder[9], alone.log_probabilities, atol=1e-4, rtol=1e-4)
