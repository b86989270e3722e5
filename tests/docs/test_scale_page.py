"""The page on many machines: its commands with Ray on this one, and the Spark job where Java and pyspark are."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hier.datasets import PatternDataset
from hier.pipelines.cluster import cluster
from hier.pipelines.tracking.artifacts import log_bundle
from PIL import Image

import hier

Open = Callable[..., Any]
NOT_RUN = ("pip", "ray", "mlflow")
SMALLER = {
    "--count 10000000": "--count 6 --size 64 --cells 4-9 --shard 2",  # before the next, with which it begins
    "--count 100000": "--count 6 --size 64 --cells 4-9 --shard 2",
    "ray://head:10001": "ray",
    "--generate 600 --predict 256": "--generate 100 --predict 4 --size 64 --workers 1",
}
SPARK = pytest.mark.skipif(find_spec("pyspark") is None or not shutil.which("java"), reason="needs pyspark and Java")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two scans, and a file that is none."""
    (tmp_path / "scans").mkdir()
    for k, image in enumerate((PatternDataset("atoms", 1, 96, ("p4m", "p2")).batch([0, 1]) * 255).byte()):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / "scans" / f"{k}.png")
    return tmp_path


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray")
def test_the_page_on_many_machines(page: Open, folder: Path, shell: Open) -> None:
    told, there = page("docs/scale.md"), shell(folder, SMALLER)
    commands = [command for command in told.commands if command.split()[0] not in NOT_RUN]
    measured = [command for command in told.inline if command.startswith("python benchmarks/scale.py")]
    assert len(commands) >= 6
    assert measured
    with cluster("ray", workers=2):  # one start for all of them: they join it
        for command in commands:
            assert there.run(command).strip(), command
    assert "| predict | Ray, 1 worker | 4 |" in there.run(measured[0])
    assert len((folder / "scans.csv").read_text(encoding="utf-8").splitlines()) == 3
    assert there.used >= set(SMALLER)


@pytest.mark.slow
@SPARK
def test_spark_asks_the_registered_classifier(
    page: Open, folder: Path, shell: Open, card_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell(folder)
    (folder / "scans" / "2.png").write_bytes(b"torn")
    uri = f"sqlite:///{(folder / 'mlflow.db').as_posix()}"
    register(uri, folder, card_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    found: dict[str, Any] = {}
    (code,) = page("docs/scale.md").python
    try:
        exec(code, found)
        rows = {Path(row["path"]).name: row for row in found["spark"].read.parquet("answers").collect()}
    finally:
        if "spark" in found:
            found["spark"].stop()
    assert set(rows) == {"0.png", "1.png", "2.png"}
    assert "not an image format" in rows["2.png"]["error"]
    expected = hier.load(card_path).predict([folder / "scans" / f"{k}.png" for k in range(2)])
    for k, answer in enumerate(expected):
        row = rows[f"{k}.png"]
        assert (row["group"], row["statement"], row["error"]) == (answer.group, answer.statement, None)
        assert row["probability"] == pytest.approx(answer.probability, abs=1e-4)


def register(uri: str, folder: Path, card: Path) -> None:
    """A classifier as `hier assemble` registers it."""
    from mlflow import MlflowClient

    client = MlflowClient(uri, uri)
    experiment = client.create_experiment("hier", (folder / "artifacts").as_uri())
    run = client.create_run(experiment).info.run_id
    model = log_bundle(client, experiment, run, "tree", "classifier_pyfunc.py", card)
    client.create_registered_model("hier-tree")
    source = client.get_logged_model(model).artifact_location
    made = client.create_model_version("hier-tree", source, run, model_id=model)
    client.set_registered_model_alias("hier-tree", "champion", made.version)
