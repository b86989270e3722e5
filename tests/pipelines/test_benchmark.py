"""The benchmark: a few rows through the command line, interrupted and taken up; every row at the preset `smoke`."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hier.datasets import PatternDataset, Pool
from hier.hierarchy import GROUP_NAMES, HierError, compile_tree, load_tree
from hier.models.systems import BUNDLED, MAPS, SYSTEMS, Sizes, centred_side
from hier.models.systems.symmetry_filter import CentredFilter
from hier.pipelines.benchmark.bench import Clock
from hier.pipelines.benchmark.data import centre, crops
from hier.pipelines.benchmark.explain import explain_pixels, load_ensemble
from hier.pipelines.benchmark.memory import check_memory, need_of
from hier.pipelines.benchmark.page import markdown
from hier.pipelines.benchmark.report import blocks_of
from hier.pipelines.benchmark.rows import Row
from hier.pipelines.benchmark.settings import built_in, load_preset
from hier.pipelines.training.settings import SettingsError
from PIL import Image

from hier.cli.app import main

SMOKE = load_preset("smoke")
TINY = SMOKE.model_dump(mode="json") | {"name": "tiny", "size": 64, "count": 34, "epochs": 2, "batch": 8}
TINY |= {"fresh": 0, "precision": "full"}
TINY["curve"] = {"systems": ["group-4"], "counts": [17]}
ROWS = ("group-4", "filter-centres", "rotation-3", "maps-tree")
ONLY = tuple(word for name in ROWS for word in ("--only", name))
Outcome = tuple[int, str, str]
Hier = Callable[..., Outcome]


@pytest.fixture
def folder(with_pictures: Path) -> Path:
    """A folder with a preset and a few pictures."""
    (with_pictures / "tiny.yaml").write_text(yaml.safe_dump(TINY), encoding="utf-8")
    return with_pictures


@pytest.fixture
def hier(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Hier:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(folder)

    def run(*arguments: str) -> Outcome:
        options = ("--device", "cpu", "--photos", "pictures")
        monkeypatch.setattr(sys, "argv", ["hier", "benchmark", *arguments, *options])
        capfd.readouterr()
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capfd.readouterr()

    return run


@pytest.mark.slow
def test_a_few_rows_leave_tables_and_pictures_and_runs(hier: Hier, folder: Path) -> None:
    code, out, err = hier("--preset", "tiny.yaml", *ONLY, "--out", "results")
    assert code == 0, err
    for name in ROWS:
        assert name in out
    assert "not run: resnet" in out
    results = json.loads((folder / "results" / "results.json").read_text(encoding="utf-8"))
    rows = {(r["system"], r["count"]): Row.model_validate(r) for r in results["rows"]}
    assert set(rows) == {*((name, 34) for name in ROWS), ("group-4", 17)}
    assert set(results["not_run"]) == set(SYSTEMS) - set(ROWS)
    assert rows["group-4", 34].images_seen == 2 * 32, "two epochs of four batches of eight"
    for row in rows.values():
        for name in ("valid", "cross_atoms", "cross_noise"):
            counts = np.array(row.confusion[name])
            assert counts.shape == (len(row.classes),) * 2
            assert counts.sum() == 17
            assert np.trace(counts) / 17 == pytest.approx(row.figures[f"{name}/accuracy"], abs=1e-6)
        assert row.figures["valid/loss"] > 0
    assert rows["rotation-3", 34].classes == ("no rotation", "2-fold", "3-fold")
    assert np.array(rows["rotation-3", 34].confusion["valid"]).sum(1).tolist() == [4, 8, 5]
    assert np.array(rows["filter-centres", 34].confusion["valid"]).sum(1).tolist() == [4, 5, 3, 3, 2]
    page = (folder / "results" / "benchmark.md").read_text(encoding="utf-8")
    assert "| resnet | not run |" in page
    assert "## Theirs" in page
    assert str(folder) not in page
    with (folder / "results" / "results.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 5
    for picture in ("learning_curve.png", "confusion/group-4.png", "confusion/group-4-17.png"):
        assert Image.open(folder / "results" / picture).size[0] > 300

    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    (parent,) = (r for r in runs if "mlflow.parentRunId" not in r.data.tags)
    children = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert {r.info.run_name for r in children} == {*(f"system/{n}" for n in ROWS), "system/group-4-on-17"}
    assert all(r.info.status == "FINISHED" for r in runs)
    assert len({frozenset(r.data.params) for r in children}) == 1, "the same columns"
    assert all("cross_atoms/accuracy" in r.data.metrics for r in children)

    code, again, err = hier("--preset", "tiny.yaml", *ONLY, "--out", "results", "--json")
    assert json.loads(again)["rows"] == results["rows"], "finished rows are kept"

    ensemble, side = load_ensemble(folder / "mlruns", "group-4")
    found = explain_pixels(ensemble, torch.rand(3, side, side))
    assert found.answer in rows["group-4", 34].classes
    assert float(found.saliency.max()) == pytest.approx(1)


@pytest.mark.slow
def test_an_interrupted_benchmark_goes_on_in_its_row(hier: Hier, folder: Path) -> None:
    environment = os.environ | {"NO_COLOR": "1", "TERM": "dumb", "OMP_NUM_THREADS": "1"}
    command = ("benchmark", "--preset", "tiny.yaml", "--only", "group-4", "--only", "flat", "--photos", "pictures")
    process = subprocess.Popen(
        [sys.executable, "-c", "from hier.cli.app import main; main()", *command, "--device", "cpu"],
        cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 300
    while process.poll() is None and not list(folder.glob("mlruns/work/benchmark/*/part-0.pt")):
        assert time.monotonic() < deadline, "nothing was written"
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "hier: interrupted" in err
    assert "Traceback" not in err
    resume = ("--preset", "tiny.yaml", "--only", "group-4", "--only", "flat", "--json")
    code, out, err = hier(*resume)
    assert code == 0, err
    (folder / "mlruns").rename(folder / "before")
    _, whole, _ = hier(*resume)
    for one, other in zip(json.loads(out)["rows"], json.loads(whole)["rows"], strict=True):
        assert one["system"] == other["system"]
        for name, value in one["figures"].items():
            assert value == pytest.approx(other["figures"][name], abs=1e-4), name


@pytest.mark.slow
def test_a_benchmark_gets_over_whatever_happened_to_what_it_kept(hier: Hier, folder: Path) -> None:
    command = ("--preset", "tiny.yaml", "--only", "group-4", "--only", "maps-tree", "--json")
    code, out, err = hier(*command)
    assert code == 0, err
    rows, work = json.loads(out)["rows"], folder / "mlruns" / "work" / "benchmark"
    for k in range(4):
        there = sorted(file for file in work.rglob("*") if file.is_file() and file.name != ".lock")
        assert len(there) > 20
        for file in there:
            damage(file, k)
        code, out, err = hier(*command, "--out", f"results-{k}")  # which holds no row
        assert code == 0, err
        assert "Traceback" not in err
        for one, other in zip(json.loads(out)["rows"], rows, strict=True):
            assert one["figures"] == pytest.approx(other["figures"], abs=1e-4)


def damage(file: Path, kind: int) -> None:
    """Cut it off, empty it, change a bit in the middle, put a folder in its place."""
    content = bytearray(file.read_bytes())
    if kind == 0:
        file.write_bytes(content[: len(content) // 2])
    elif kind == 1:
        file.write_bytes(b"")
    elif kind == 2:
        content[len(content) // 2] ^= 4
        file.write_bytes(content)
    else:
        file.unlink()
        file.mkdir()


@pytest.mark.slow
def test_smoke_runs_every_row(hier: Hier, folder: Path) -> None:
    code, out, err = hier("--preset", "smoke", "--json")
    assert code == 0, err
    results = json.loads(out)
    assert results["not_run"] == []
    assert {r["system"] for r in results["rows"]} == set(SYSTEMS)
    assert all(np.isfinite(list(r["figures"].values())).all() for r in results["rows"])


def test_a_name_that_is_none_is_told_with_near_ones(hier: Hier) -> None:
    for arguments, words in (
        (("--only", "harmonics"), "did you mean 'harmonic"),
        (("--only", "resnet50x"), "resnet50"),
        (("--preset", "smok"), "smoke"),
        (("--preset", "missing.yaml"), "no such file"),
    ):
        code, _, err = hier(*arguments)
        assert code == 2, err
        assert words.replace("'", "") in err.replace("'", ""), err
        assert "Traceback" not in err


def test_presets_are_checked(tmp_path: Path) -> None:
    assert built_in() == ("cpu", "gpu", "paper", "smoke")
    for name in built_in():
        assert load_preset(name).name == name
    for changed, words in (
        ({"size": 60}, "multiple of 16"),
        ({"epoch": 3}, "unknown key 'epoch'"),
        ({"networks": {"resnet": "resnet18"}}, "no timm name for densenet"),
        ({"count": None}, "count = None"),
    ):
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(TINY | changed), encoding="utf-8")
        with pytest.raises(SettingsError, match=words):
            load_preset(str(tmp_path / "mine.yaml"))


def test_a_budget_takes_epochs_first_and_then_images() -> None:
    paper, cpu = load_preset("paper"), load_preset("cpu")
    assert paper.within(None) == paper
    assert (paper.within(250_000).count, paper.within(250_000).epochs) == (100_000, 2)
    assert (paper.within(1000).count, paper.within(1000).epochs) == (1000, 1)
    assert (cpu.within(80_000).fresh, cpu.within(80_000).epochs) == (40_000, 2)
    assert (cpu.within(1000).fresh, cpu.within(1000).count, cpu.within(1000).epochs) == (1000, 1000, 1)


def test_a_preset_too_large_for_the_memory_offers_a_batch_that_fits() -> None:
    plans: dict[str, Any] = {"wallpaper": compile_tree(load_tree("wallpaper"))}
    chosen = {name: SYSTEMS[name] for name in ("flat", "group-4")}
    sizes, large = Sizes(64, 16, SMOKE.networks), SMOKE.model_copy(update={"batch": 512})
    needs = check_memory(chosen, large, sizes, plans, None)
    free = 0.5 * max(n.of(512) for n in needs.values()) / 0.85
    with pytest.raises(HierError, match=r"at batch 512.*batch: \d+ fits") as told:
        check_memory(chosen, large, sizes, plans, free)
    fits = int(str(told.value).partition("batch: ")[2].split()[0])
    assert 100 < fits < 512
    check_memory(chosen, large.model_copy(update={"batch": fits}), sizes, plans, free)
    with pytest.raises(HierError, match="not even a batch of 4"):
        check_memory(chosen, large, sizes, plans, 1e5)


def test_memory_grows_with_the_image_and_the_network() -> None:
    from hier.models.systems.network import parts_of

    (part,) = parts_of("flat", compile_tree(load_tree("wallpaper")))
    small = need_of(SYSTEMS["group-4"], Sizes(64, 16, {}), part)
    assert need_of(SYSTEMS["group-4"], Sizes(128, 16, {}), part).image == pytest.approx(4 * small.image, rel=0.1)
    assert need_of(SYSTEMS["group-4"], Sizes(64, 32, {}), part).fixed > 2 * small.fixed


@pytest.mark.parametrize("source", ["photos", "atoms"])
def test_windows_lie_about_centres_of_the_highest_order(source: Any, pool: Pool) -> None:
    """The symmetry filter finds there what the group has, whatever the picture."""
    dataset = PatternDataset(source, seed=4, size=128, cells=(4, 6), pool=pool)
    orders = {"p2": 2, "pgg": 2, "cmm": 2, "p4": 4, "p4g": 4, "p3": 3, "p31m": 3, "p6": 6, "p6m": 6}
    side = centred_side(128)
    filters = CentredFilter(3, side, draws=4)
    names = [o.name for o in filters.operators]
    found = {}
    for name in orders:
        indices = [dataset.find(name, k) for k in range(3)]
        patterns, _ = dataset.accepted(indices)
        images = dataset.finish(patterns, indices)
        at = torch.tensor(np.stack([centre(p, name) for p in patterns])).float()
        assert float(at.norm(dim=1).max()) < 64 - side / 4, "near the middle"
        values = filters(crops(images, at, side))[..., 0, 0]
        found[name] = float(values[:, names.index(f"{orders[name]}-fold")].mean())
    assert min(found.values()) > 0.85, found


def test_confusions_are_shown_branch_by_branch() -> None:
    zeros = [[0] * 17] * 17
    row = Row(
        system="flat", route="", about="", network="", classes=compile_tree(load_tree("wallpaper")).labels, count=17,
        images_seen=17, seconds=1, parameters=1, device="cpu", figures={}, confusion={"valid": zeros},
    )  # fmt: skip
    blocks = blocks_of(row, "wallpaper")
    assert list(blocks) == [
        "p1",
        "pm",
        "pg",
        "cm",
        "p2",
        "pmm",
        "pmg",
        "pgg",
        "cmm",
        "p3",
        "p3m1",
        "p31m",
        "p4",
        "p4m",
        "p4g",
        "p6",
        "p6m",
    ]
    assert list(blocks.values()) == sorted(blocks.values())
    page = markdown([], SMOKE, "hier benchmark", "a machine", False, False)
    assert all(f"| {name} | not run |" in page for name in SYSTEMS)


def test_every_system_is_made_of_what_the_tables_have() -> None:
    from hier.models.systems import BACKBONES, LOSSES, REPRESENTATIONS

    for name, system in SYSTEMS.items():
        assert system.representation in (*REPRESENTATIONS, MAPS, BUNDLED), name
        assert system.loss in LOSSES, name
        assert system.backbone in BACKBONES or system.backbone in SMOKE.networks, name


@pytest.mark.parametrize(
    "text", ["", '{"all groups 0": 2.', "[1, 2]", '{"all groups 0": NaN}', '{"all groups 0": "x"}']
)
def test_a_damaged_clock_starts_over_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    clock = Clock(tmp_path / "clock.json")
    clock.tick("all groups", 0)
    assert 0 < clock.total() < 60
    clock.file.write_text(text, encoding="utf-8")
    clock.tick("all groups", 1)
    assert list(clock.read()) == ["all groups 1"]
    (record,) = caplog.records
    assert "clock.json is damaged" in record.getMessage()


def test_rows_on_pixels_see_new_images_in_every_epoch(hier: Hier, folder: Path) -> None:
    preset = {**TINY, "fresh": 40, "curve": {}, "systems": ["flat", "nodes"]}
    (folder / "fresh.yaml").write_text(yaml.safe_dump(preset), encoding="utf-8")
    code, _, err = hier("--preset", "fresh.yaml", "--out", "results")
    assert code == 0, err
    results = json.loads((folder / "results" / "results.json").read_text(encoding="utf-8"))
    rows = {r["system"]: Row.model_validate(r) for r in results["rows"]}
    assert rows["flat"].images_seen == 2 * 40
    below = [len([name for name in GROUP_NAMES if plan_has(name, node)]) for node in load_tree("wallpaper").nodes]
    steps = [max(1, 40 * n // 17 // 8) for n in below]
    assert rows["nodes"].images_seen == 2 * 8 * sum(steps)


def test_a_changed_preset_is_another_run(hier: Hier, folder: Path) -> None:
    for epochs in (1, 2, 1):
        preset = {**TINY, "epochs": epochs, "curve": {}, "systems": ["filter-centres"]}
        (folder / "mine.yaml").write_text(yaml.safe_dump(preset), encoding="utf-8")
        code, out, err = hier("--preset", "mine.yaml", "--json")
        assert code == 0, err
        assert json.loads(out)["rows"][0]["images_seen"] == epochs * 32


def test_rows_that_are_not_asked_for_again_stay_in_the_results(hier: Hier, folder: Path) -> None:
    preset = {**TINY, "epochs": 1, "curve": {}}
    (folder / "mine.yaml").write_text(yaml.safe_dump(preset), encoding="utf-8")
    for name in ("filter-centres", "flat"):
        code, _, err = hier("--preset", "mine.yaml", "--only", name, "--out", "results")
        assert code == 0, err
    results = json.loads((folder / "results" / "results.json").read_text(encoding="utf-8"))
    assert {row["system"] for row in results["rows"]} == {"filter-centres", "flat"}


def plan_has(name: str, node: str) -> bool:
    plan = compile_tree(load_tree("wallpaper"))
    return bool(plan.choices_at(node)[plan.labels.index(name)] >= 0)
