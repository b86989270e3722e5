"""README.md and the pages usage, training and mlflow: first commands, and trainings up to answers over HTTP."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hier.datasets import PatternDataset
from hier.hierarchy import GROUP_NAMES
from hier.pipelines.training import calibrate
from PIL import Image

import hier

Open = Callable[..., Any]
NOT_RUN = ("pip", "pytest")  # .ci/run installs in a fresh environment; pytest would run this very test
SMALLER = {
    "hier train": "hier train --config small.yaml",
    "--count 10000": "--count 34",
    "hier ui": "hier ui --port {port}",
    "hier assemble": "hier assemble --count 17 --calibration 17 --size 64 --photos holiday",
    "--preview sheet.png": "--preview sheet.png --photos holiday",
    "--count 3000": "--count 6",
    "--out pasted": "--out pasted --count 17 --size 64",
    "--count 2000": "--count 5 --size 128",
    "--count 340": "--count 17 --size 128",
    "--count 1700": "--count 17 --size 128",
}
SMALL = """
photos: holiday
count: 34
valid_count: 17
cross_count: 17
sizes: [64]
augment: false
near_misses: 0
epochs: 1
tune_epochs: 1
batch: 16
"""


@pytest.fixture(scope="module")
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def smaller(free_port: int) -> dict[str, str]:
    return {long: short.format(port=free_port) for long, short in SMALLER.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, root: Path, pool: Any) -> Path:
    """Images and photographs of the names that the pages use, and settings of a training of seconds."""
    made = tmp_path_factory.mktemp("pages")
    shutil.copytree(root / "examples", made / "examples")
    for name in ("a.tif", "b.png", "image.png", "seamless.png"):
        Image.open(root / "examples" / "atoms_p6.png").save(made / name)
    for place in ("holiday", "FOLDER/train", "FOLDER/valid"):
        (made / place).mkdir(parents=True)
        for picture, name in zip(pool.pictures, pool.names, strict=True):
            Image.fromarray(picture.permute(1, 2, 0).numpy()).save(made / place / f"{name}.png")
    dataset = PatternDataset("noise", seed=1, size=128)
    for k, name in enumerate(GROUP_NAMES):
        (made / "my" / "images" / name).mkdir(parents=True)
        image = (255 * dataset.batch([k])[0]).byte().permute(1, 2, 0).numpy()
        Image.fromarray(image).save(made / "my" / "images" / dataset.label(k) / "1.png")
    (made / "small.yaml").write_text(SMALL, encoding="utf-8")
    np.save(made / "images.npy", dataset.batch([0, 1]).permute(0, 2, 3, 1).numpy().round(3))
    return made


@pytest.mark.parametrize("name", ["README.md", pytest.param("docs/usage.md", marks=pytest.mark.slow)])
def test_first_commands(name: str, page: Open, folder: Path, shell: Open, smaller: dict[str, str]) -> None:
    there, told = shell(folder, smaller), page(name)
    commands = [command for command in told.commands if command.split()[0] not in NOT_RUN]
    assert commands
    out = {command: there.run(command) for command in commands}
    for line in ("p4g  >99.9 %", "square cell: a = 103.73 px, γ = 90.0°"):
        assert line in out["hier predict examples/cat_p4g.png"]
        assert name != "README.md" or line in told.text
    for command in commands:
        if command.endswith("--json"):
            assert len(json.loads(out[command])) == 2
        for file in re.findall(r"(\S+\.(?:svg|html)|sheet\.png)", command):
            assert (folder / file).stat().st_size > 1000
        if command.endswith("--out atoms"):
            assert len(np.load(folder / "atoms" / "shard-00000.npy")) == 6
    for code in told.python:
        exec(code, {})
    assert (folder / "p6.pdf").exists()
    assert (folder / "p3.pdf").exists()


def test_the_gallery_and_the_api_stand_on_their_own(page: Open, folder: Path, shell: Open) -> None:
    """The gallery names scripts, which test_options looks for; every name of the API can be imported."""
    assert not page("docs/gallery.md").commands
    assert len(page("docs/gallery.md").inline) >= 5
    names = re.findall(r"^::: (\S+)", page("docs/api.md").text, re.M)
    assert set(hier.__all__) - {"__version__"} <= {name.removeprefix("hier.") for name in names}
    for name in names:
        package, _, what = name.rpartition(".")
        assert getattr(importlib.import_module(package), what).__doc__, name


@pytest.mark.slow
@pytest.mark.parametrize("name", ["README.md", "docs/accuracy.md"])
def test_figures_of_groups_come_from_commands(
    name: str, page: Open, root: Path, folder: Path, shell: Open, smaller: dict[str, str]
) -> None:
    there = shell(folder, smaller | {"--model DIR": f"--model {root / 'models'}"})
    evaluations = [command for command in page(name).inline if command.startswith("hier evaluate --")]
    assert len(evaluations) >= 2
    for command in evaluations:
        assert "%" in there.run(command), command


@pytest.mark.slow
def test_the_page_on_training(
    page: Open, folder: Path, shell: Open, smaller: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "SIZE", 64)  # px: quicker than what is promised
    there, asked = shell(folder, smaller), []

    def browse(address: str) -> None:
        with urllib.request.urlopen(address, timeout=60) as answer:
            asked.append(answer.status)
        raise KeyboardInterrupt

    monkeypatch.setattr(webbrowser, "open", browse)
    (block,) = page("docs/training.md").blocks
    out = {command: there.run(command) for command in block}
    assert asked == [200]
    assert "rotation" in out["hier compare"]
    assert "hier-tree is the champion" in out["hier assemble"]
    assert "image.png" in out[block[-1]]


@pytest.mark.slow
def test_the_page_on_mlflow(
    page: Open, folder: Path, shell: Open, smaller: dict[str, str], free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The round trip, then the champion served over HTTP, asked by both ways that the page has."""
    monkeypatch.setattr(calibrate, "SIZE", 64)
    there, told = shell(folder, smaller), page("docs/mlflow.md")
    trip, (export, serve), (curl,) = told.blocks
    out = {command: there.run(command) for command in trip}
    assert "hier-tree is the champion" in out["hier assemble"]
    assert "version 1 of hier-rotation is the champion" in out["hier promote rotation --version 1"]
    there.run(export)
    with served(serve.replace("--port 8080", f"--port {free_port}"), free_port, folder / "serve.log"):
        if shutil.which("curl"):
            asked = curl.replace("127.0.0.1:8080", f"127.0.0.1:{free_port}")
            answer = subprocess.run(asked, shell=True, check=True, capture_output=True, text=True).stdout
            assert {"group", "probability", "path"} <= set(json.loads(answer)["predictions"][0])
        (code,) = told.python
        found: dict[str, Any] = {}
        exec(code.replace("127.0.0.1:8080", f"127.0.0.1:{free_port}"), found)
        assert len(found["answers"]) == 2


@contextmanager
def served(command: str, port: int, log: Path) -> Iterator[None]:
    """A server that a page starts, while it answers; it is gone when the block ends."""
    words = [sys.executable, "-m", *shlex.split(command)]
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # mlflow calls uvicorn
    with log.open("wb") as out:
        server = subprocess.Popen(words, env=environment, stdout=out, stderr=out, start_new_session=True)
    try:
        end = time.monotonic() + 180
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5):
                    break
            except OSError:
                assert time.monotonic() < end, log.read_text()
                assert server.poll() is None, log.read_text()
                time.sleep(0.2)
        yield
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(30)
