"""`hier evaluate` on a folder: wrong files named, confusions drawn, figures recorded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hier.pipelines.tracking.runs import store
from PIL import Image
from typer.testing import CliRunner

from hier.cli.app import app

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One image under its group, and one under another."""
    for group, name in (("p4g", "cat_p4g.png"), ("p3", "atoms_p6.png")):
        (tmp_path / "images" / group).mkdir(parents=True)
        shutil.copy(EXAMPLES / name, tmp_path / "images" / group / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def test_wrong_files_are_listed_drawn_and_recorded(folder: Path) -> None:
    done = CliRunner().invoke(app, ["evaluate", "images", "--wrong", "--plot", "wrong.png", "--record"])
    assert done.exit_code == 0, done.output
    assert "p3/atoms_p6.png" in done.output
    assert "p4g/cat_p4g.png" not in done.output
    assert min(Image.open(folder / "wrong.png").size) > 600
    sender = store(folder / "mlruns").connect()
    (run,) = sender.client.search_runs([sender.experiment])
    assert run.info.run_name == "evaluate images · 2"
    assert (run.info.status, run.data.metrics["test/accuracy"]) == ("FINISHED", 0.5)
    assert run.data.params["model"] == "bundled"
    table = json.loads(Path(sender.client.download_artifacts(run.info.run_id, "confusion.json")).read_text())
    assert sum(map(sum, table["counts"])) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["images", "--plot", "a.txt"], "--plot a.txt: give a name that ends in .png, .svg, .pdf"),
        (["--source", "none", "--record"], "--record needs one right group for each image"),
        (["table", "--plot", "a.png"], "--plot needs one right group for each image"),
        (["images", "--plot", "mine.png"], "--plot mine.png exists and is no PNG that hier wrote"),
    ],
)
def test_what_cannot_be_drawn_or_recorded_is_said_before_anything_is_measured(
    folder: Path, arguments: list[str], said: str
) -> None:
    Image.new("L", (4, 4)).save(folder / "mine.png")
    (folder / "table").mkdir()
    (folder / "table" / "labels.csv").write_text("file,acceptable\ncat.png,p4m|p4\n")
    done = CliRunner().invoke(app, ["evaluate", *arguments])
    assert said in str(done.exception)
    assert not (folder / "mlruns").exists()
