"""What help shows: defaults and all settings, no type behind a flag, `-h`; and what `config` and `check` print."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hier.pipelines.training.settings import TrainSettings, train_settings
from typer.main import get_command
from typer.testing import CliRunner

from hier.cli.app import app
from hier.cli.train import EPILOG

COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined]


def shown(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"})
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_short_for_h_and_shows_no_type_behind_a_flag(command: str) -> None:
    text = shown(command, "-h")
    assert text == shown(command, "--help")
    assert "bool" not in text.lower().replace("boolean", "bool")


def test_help_of_train_has_every_setting_and_its_default() -> None:
    (train,) = (c for name, c in get_command(app).commands.items() if name == "train")  # type: ignore[attr-defined]
    helps = {p.name: getattr(p, "help", "") for p in train.params}
    for name, field in TrainSettings.model_fields.items():
        if name not in helps:
            assert re.search(rf"\b{name}\b", EPILOG), name
        elif isinstance(field.default, str | int) and not isinstance(field.default, bool):
            assert f"; {field.default} if left out" in helps[name], name
    assert "Images" in shown("train", "--help")


def test_config_prints_a_file_of_all_defaults(tmp_path: Path) -> None:
    file = tmp_path / "training.yaml"
    file.write_text(shown("config"), encoding="utf-8")
    assert train_settings(file) == TrainSettings()
    lines = file.read_text(encoding="utf-8").splitlines()
    for name in TrainSettings.model_fields:
        (at,) = (k for k, line in enumerate(lines) if line.startswith(f"{name}: "))
        assert lines[at - 1].startswith("# "), name
    assert "None" not in file.read_text(encoding="utf-8")


def test_check_says_what_is_there_and_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    found = json.loads(shown("check", "--json"))
    assert found["devices"]["cpu"].startswith("works")
    assert set(found["extras"]) >= {"em", "afm", "hdf5", "ray"}
    assert Path(found["places"]["bundled model"]).exists()
    assert str(tmp_path) in found["places"]["records"]
    assert "torch" in shown("check")
    assert not list(tmp_path.iterdir()), "it makes nothing"


def test_completion_is_offered() -> None:
    assert "--install-completion" in shown("--help")
