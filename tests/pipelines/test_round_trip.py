"""From an empty store to answers: train, compare, promote, assemble, predict, and serve over HTTP."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hier.hierarchy import GROUP_NAMES, load_tree
from hier.models.bundle import BUNDLED, GATE
from hier.pipelines.tracking.promotion import promote
from hier.pipelines.tracking.runs import store
from hier.pipelines.tracking.ui import serving
from hier.pipelines.training import calibrate
from PIL import Image

from hier.cli.app import main

EXAMPLES = Path(__file__).parents[2] / "examples"
SETTINGS = """
source: [atoms]
photos: pictures
count: 68
valid_count: 17
cross_count: 17
sizes: [64]
augment: false
near_misses: 0
epochs: 1
tune_epochs: 1
batch: 16
"""
SINGLE = """
name: single
root:
  name: which
  level: group
  question: Which group?
  children: {{{}}}
"""
Hier = Callable[..., Any]


@pytest.fixture
def folder(with_pictures: Path) -> Path:
    """A folder to train in, with a few pictures."""
    (with_pictures / "tiny.yaml").write_text(SETTINGS, encoding="utf-8")
    return with_pictures


@pytest.fixture
def hier(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Hier:
    """`hier ARGUMENTS` in the folder, within this process: its JSON."""
    monkeypatch.chdir(folder)

    def run(*arguments: str) -> Any:
        monkeypatch.setattr(sys, "argv", ["hier", *arguments, "--json"])
        capfd.readouterr()
        code: Any = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code
        out, err = capfd.readouterr()
        assert not code, err
        return json.loads(out)

    return run


@pytest.fixture(params=["embedded", "server"])
def empty_store(
    request: pytest.FixtureRequest, tmp_path: Path, empty: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Nothing at all, or a server with an empty store."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if request.param == "embedded":
        yield request.param
        return
    behind = store(tmp_path / "elsewhere")
    behind.root.mkdir()
    shutil.copy(empty, behind.database)
    with serving(behind, "127.0.0.1", free_port) as (_, address):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        yield request.param


@pytest.mark.slow
def test_the_round_trip_from_an_empty_store(
    empty_store: str, folder: Path, hier: Hier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all nodes in the embedded store; of a tree of one node, which is quicker, behind a server."""
    monkeypatch.setattr(calibrate, "SIZE", 64)  # px: quicker than what is promised
    assert not (folder / "mlruns").exists()
    tree, model = ("wallpaper", "hier-tree") if empty_store == "embedded" else ("single.yaml", "hier-tree-single")
    choices = ", ".join(f"{name}: {name}" for name in GROUP_NAMES)
    (folder / "single.yaml").write_text(SINGLE.format(choices), encoding="utf-8")
    nodes = {*load_tree(tree).nodes, GATE}
    told = hier("train", "--level", "all", "--config", "tiny.yaml", "--tree", tree, "--device", "cpu")
    assert nodes <= set(told["nodes"])
    assert (folder / "mlruns" / "mlflow.db").exists() == (empty_store == "embedded")

    entries = hier("compare", "--tree", tree)
    assert nodes <= set(entries)
    for name, (entry,) in entries.items():
        assert (entry["version"], entry["aliases"]) == (1, ["candidate"])
        assert entry["metrics"]["valid/accuracy"] == pytest.approx(told["nodes"][name]["valid/accuracy"], abs=1e-5)

    moved = hier("promote", "all", "--tree", tree)
    assert {m["node"] for m in moved} == set(entries)
    sizes = ("--count", "17", "--calibration", "17", "--size", "64")
    made = hier("assemble", *sizes, "--tree", tree, "--photos", "pictures", "--out", "made", "--device", "cpu")
    assert made["uri"] == f"models:/{model}@champion"
    assert made["nodes"] == dict.fromkeys(entries, 1)
    assert 0 <= made["figures"]["test_atoms/accuracy"] <= 1

    image = str(EXAMPLES / "atoms_p4m.png")
    by_folder = hier("predict", image, "--model", "made", "--device", "cpu")
    assert hier("predict", image, "--model", f"models:/{model}@champion", "--device", "cpu") == by_folder
    assert hier("predict", image, "--model", f"models:/{model}/{made['version']}", "--device", "cpu") == by_folder
    assert sum(by_folder[0]["groups"].values()) == pytest.approx(
        1 if by_folder[0]["periodic"] else by_folder[0]["periodic_probability"], abs=1e-5
    )


@contextmanager
def served(uri: str, tracking: str, port: int, log: Path) -> Iterator[str]:
    """`mlflow models serve`, as docs/mlflow.md has it; where to post to."""
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", uri, "--env-manager", "local"]
    environment = os.environ | {"MLFLOW_TRACKING_URI": tracking, "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # mlflow calls uvicorn
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)], env=environment, stdout=out, stderr=out,
            start_new_session=True,
        )  # fmt: skip
    try:
        end = time.monotonic() + 180
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5):
                    break
            except OSError:
                assert time.monotonic() < end, log.read_text()
                assert process.poll() is None, log.read_text()
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


def post(address: str, data: Any) -> tuple[int, Any]:
    request = urllib.request.Request(address, json.dumps(data).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def close(found: Any, expected: Any) -> bool:
    """The same answer, but for rounding."""
    match expected:
        case dict():
            return found.keys() == expected.keys() and all(close(found[k], expected[k]) for k in expected)
        case list():
            return len(found) == len(expected) and all(map(close, found, expected))
        case float():
            return abs(found - expected) < 1e-4
    return bool(found == expected)


@pytest.mark.slow
def test_the_champion_served_over_http_answers_as_predict_does(
    folder: Path, hier: Hier, empty: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (folder / "mlruns").mkdir()
    shutil.copy(empty, folder / "mlruns" / "mlflow.db")
    where = store(folder / "mlruns")
    with where.training("the bundled model", {}, {}, folder / "run.txt") as training:
        training.model("wallpaper", BUNDLED)
    promote(where, load_tree("wallpaper"), ["tree"])
    file = EXAMPLES / "cat_p4g.png"
    (expected,) = hier("predict", str(file), "--device", "cpu")
    assert expected.pop("file") == str(file)
    assert expected["group"] == "p4g"

    text = base64.b64encode(file.read_bytes()).decode()
    colour = np.asarray(Image.open(file).convert("RGB")) / 255
    grey = colour[..., 0].round(4)
    with served("models:/hier-tree@champion", where.uri, free_port, folder / "serve.log") as address:
        for data in (
            {"dataframe_split": {"columns": ["image"], "data": [[text]]}},
            {"inputs": {"image": [text]}},
            {"inputs": [text]},
            {"inputs": colour[None].tolist()},
            {"inputs": {"image": colour[None].tolist()}},
            {"instances": colour[None].tolist()},
        ):
            status, answer = post(address, data)
            assert status == 200, answer
            assert len(answer["predictions"]) == 1
            assert close(answer["predictions"][0], expected), (data.keys(), answer["predictions"][0], expected)
        status, answer = post(address, {"inputs": [text, text]})
        assert [a["group"] for a in answer["predictions"]] == ["p4g", "p4g"]
        status, answer = post(address, {"inputs": np.stack([grey, grey]).tolist()})
        assert [a["group"] for a in answer["predictions"]] == ["p4g", "p4g"]
        for bad, said in (("no base64!", "image 0: invalid base64"), (base64.b64encode(b"hm").decode(), "image 0: ")):
            status, answer = post(address, {"inputs": [bad]})
            assert status == 400
            assert said in answer["message"]
