"""What a benchmark's rows are measured by: figures, foreign sets, local classifiers, rows known from another folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hier.hierarchy import HierError, UnknownNameError, compile_tree, load_tree
from hier.hierarchy.compiled import heights
from hier.pipelines.benchmark import jobs as bench_jobs
from hier.pipelines.benchmark.cells import figure, ranked, worst_set
from hier.pipelines.benchmark.fit import precision
from hier.pipelines.benchmark.foreign import foreign_set, labelled_files, named, square
from hier.pipelines.benchmark.jobs import chosen_systems
from hier.pipelines.benchmark.local_rows import chosen, padded, way
from hier.pipelines.benchmark.measured import measure
from hier.pipelines.benchmark.page import markdown
from hier.pipelines.benchmark.report import rows_in
from hier.pipelines.benchmark.rows import Row
from hier.pipelines.benchmark.settings import load_preset
from PIL import Image

TREE = load_tree("wallpaper")
PLAN = compile_tree(TREE)
PLACE = {name: k for k, name in enumerate(PLAN.labels)}


def certain(*names: str) -> torch.Tensor:
    """Answers that are sure of these groups."""
    logp = torch.full((len(names), 17), -9.0)
    logp[range(len(names)), [PLACE[n] for n in names]] = 0.0
    return logp.log_softmax(1)


def right(*names: str) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    return np.array([[label in n.split("|") for label in PLAN.labels] for n in names])


def test_severity_is_the_mean_height_of_mistakes() -> None:
    figures, counts = measure(PLAN, False, certain("p4m", "p4g", "p1"), right("p4m", "p4m", "p4m"))
    assert figures["accuracy"] == pytest.approx(1 / 3)
    far = heights(PLAN)[PLACE["p4m"], PLACE["p1"]]
    assert figures["severity_1"] == pytest.approx((1 + far) / 2)
    assert np.array(counts)[PLACE["p4m"]].sum() == 3
    perfect, _ = measure(PLAN, False, certain("p2", "p3"), right("p2", "p3"))
    assert (perfect["accuracy"], perfect["severity_1"]) == (1.0, 0.0)
    assert perfect["severity_5"] > 0, "the other four answers are others"


def test_several_right_answers_and_first_choices() -> None:
    figures, _ = measure(PLAN, False, certain("p4m", "p3"), right("p4|p4m", "p3m1|p31m"))
    assert figures["accuracy"] == 0.5
    first = PLAN.answers[0]
    logp = torch.full((2, int(first.max()) + 1), -5.0)
    logp[0, int(first[PLACE["p4g"]])] = 0
    logp[1, int(first[PLACE["p2"]])] = 0
    figures, counts = measure(PLAN, True, logp.log_softmax(1), right("p4|p6", "p1"))
    assert figures["accuracy"] == 0.5
    assert set(figures) == {"accuracy", "loss"}
    assert np.array(counts).sum() == 2


def test_answers_without_probabilities_have_no_loss() -> None:
    figures, _ = measure(PLAN, False, certain("p4m"), right("p4m"), probabilities=False)
    assert set(figures) == {"accuracy", "severity_1"}


def test_what_is_impossible_costs_no_more_than_one_in_a_million() -> None:
    logp = torch.full((1, 17), -1e4)
    logp[0, PLACE["p4"]] = 0.0
    figures, _ = measure(PLAN, False, logp, right("p4m"))
    assert figures["loss"] == pytest.approx(-np.log(1e-6), rel=1e-5)


def picture(file: Path, size: tuple[int, int] = (60, 40)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)


def test_foreign_folders_of_groups_and_of_tables(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    theirs, walls = tmp_path / "theirs", tmp_path / "walls"
    picture(theirs / "p4m" / "a.png")
    picture(theirs / "p4mm" / "b.png", (100, 90))
    (theirs / "p1").mkdir()
    (theirs / "p1" / "broken.png").write_bytes(b"no picture")
    found = foreign_set(theirs, "theirs", 48, tmp_path, lambda name, of: lambda n: None)
    assert found.labels == (("p4m",), ("p4m",))
    assert found.images.shape == (2, 3, 48, 48)
    assert "broken.png is left out" in caplog.text
    picture(walls / "x.png")
    picture(walls / "y.png")
    (walls / "labels.csv").write_text("file,acceptable\nx.png,p4|p4m\ny.png,none\n", encoding="utf-8")
    assert labelled_files(walls) == [(("p4", "p4m"), walls / "x.png")], "what is not periodic has no group"
    for folder, words in ((tmp_path / "nothing", "no images"), (tmp_path, "theirs")):
        with pytest.raises((HierError, UnknownNameError), match=words):
            labelled_files(folder)
    with pytest.raises(HierError, match="a set theirs is given already"):
        named([theirs, tmp_path / "more" / "theirs"])


def test_the_middle_square_is_taken() -> None:
    image = torch.zeros(3, 20, 60)
    image[:, :, 20:40] = 1.0
    assert float(square(image, 20).min()) == 1.0
    assert square(image, 64).shape == (3, 64, 64)
    assert float(square(image, 8).min()) == pytest.approx(1.0)


def test_ways_of_local_classifiers() -> None:
    assert way(TREE, "p4g") == ["reflection-4", "finer-4", "p4g"]
    rows = np.array(padded([way(TREE, label) for label in PLAN.labels]))
    assert rows.shape[0] == 17
    assert chosen(rows, PLAN.labels).argmax(1).tolist() == list(range(17))


def test_local_classifiers_learn_what_can_be_learnt() -> None:
    hiclass = pytest.importorskip("hiclass")
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    truth = np.tile(np.arange(17), 20)
    features = np.eye(17)[truth] + 0.1 * rng.standard_normal((len(truth), 17))
    ways = np.array(padded([way(TREE, label) for label in PLAN.labels]))
    for kind in (hiclass.LocalClassifierPerParentNode, hiclass.LocalClassifierPerLevel):
        model = kind(local_classifier=LogisticRegression(max_iter=500)).fit(features, ways[truth])
        answers = chosen(model.predict(features), PLAN.labels).argmax(1).numpy()
        assert (answers == truth).mean() > 0.95


def test_without_hiclass_its_rows_are_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bench_jobs, "can_be_run", lambda: False)
    found = chosen_systems(load_preset("smoke"), [])
    assert not any("hiclass" in name for name in found)
    assert "maps-hiclass-level are left out" in caplog.text
    with pytest.raises(HierError, match="hiclass-level needs HiClass: pip install"):
        chosen_systems(load_preset("smoke"), ["hiclass-level"])


def row(system: str, **foreign: float) -> Row:
    figures = {f"{key}/{what}": 0.5 for key in ("train", "valid", "cross_atoms", "cross_noise")
               for what in ("accuracy", "loss")}  # fmt: skip
    figures |= {f"sets/{name}/accuracy": value for name, value in foreign.items()}
    return Row(
        system=system, route="table 1", about="", network="", classes=PLAN.labels, count=51, images_seen=1, seconds=1,
        parameters=1, device="cpu", figures=figures, confusion={}, digest=f"of {system}",
    )  # fmt: skip


def test_rows_are_ranked_by_their_worst_foreign_set() -> None:
    rows = [row("flat", theirs=0.9, walls=0.2), row("fft", theirs=0.4, walls=0.5), row("radon")]
    assert [r.system for r in ranked(rows)] == ["fft", "flat"]
    assert worst_set(rows[0]) == ("walls", 0.2)
    page = markdown(rows, load_preset("smoke"), "hier benchmark", "a machine", True, False)
    table = page.partition("## Foreign sets")[2].partition("##")[0]
    assert table.index("| fft | 40.0 (theirs) | 40.0 | 50.0 |") < table.index("| flat | 20.0 (walls) | 90.0 | 20.0 |")
    assert "## Mistakes" not in page
    assert figure(rows[0], "nothing") == "–"


def test_rows_of_a_folder_are_read_and_of_others_not(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(json.dumps({"rows": [row("flat").model_dump(mode="json")]}))
    assert [r.digest for r in rows_in(tmp_path)] == ["of flat"]
    for text in ("", "[]", '{"rows": [{"system": 3}]}', '{"rows": 5}'):
        (tmp_path / "results.json").write_text(text)
        assert rows_in(tmp_path) == []
    assert rows_in(tmp_path / "none") == []


@pytest.mark.parametrize(("instructions", "mixed", "computed"), [
    ({"avx512_bf16": True}, True, torch.bfloat16),
    ({"amx_tile": True}, True, torch.bfloat16),
    ({}, True, torch.float32),
    ({"avx512_bf16": True, "amx_tile": True}, False, torch.float32),
])  # fmt: skip
def test_mixed_precision_is_for_processors_that_compute_in_it(
    monkeypatch: pytest.MonkeyPatch, instructions: dict[str, bool], mixed: bool, computed: torch.dtype
) -> None:
    """One that only imitates bfloat16 took ten times as long with it as in full precision."""
    for name in ("avx512_bf16", "amx_tile"):
        monkeypatch.setattr(f"torch.cpu._is_{name}_supported", lambda there=name in instructions: there)
    with precision("cpu", mixed):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == computed
