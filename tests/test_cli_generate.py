"""`hier generate` as people use it: exports that resume and verify, sheets, and one line for every mistake."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hier.datasets import CORRUPTIONS, Corruption, PatternDataset
from hier.pipelines.generating import preview
from PIL import Image

from hier.cli.app import main

Command = Callable[..., tuple[int, str, str]]
SMALL = ("--source", "atoms", "--size", "48", "--cells", "4-9")


@pytest.fixture
def hier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["hier", *map(str, arguments)])
        capfd.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        return (code, *capfd.readouterr())

    return run


def test_an_export_is_made_then_complete_then_verified(hier: Command, tmp_path: Path) -> None:
    options = (*SMALL, "--groups", "p4,p2mg", "--groups", "cm", "--count", 9, "--seed", 3, "--corrupt", "blur=1",
               "--out", "set")  # fmt: skip
    code, out, err = hier("generate", *options)
    assert code == 0, err
    assert "9 images, 9 made" in out
    there = sorted(p.name for p in (tmp_path / "set").iterdir())
    assert there == ["cm", "labels-00000.jsonl", "manifest.jsonl", "p4", "pmg"]
    dataset = PatternDataset(
        "atoms", 3, 48, ("p4", "pmg", "cm"), cells=(4, 9), corruptions=(Corruption("blur", (1, 1)),)
    )
    expected = (dataset.batch([4])[0] * 255).round().byte().permute(1, 2, 0).numpy()
    assert np.array_equal(np.asarray(Image.open(tmp_path / "set" / "pmg" / "00000004.png")), expected)
    assert "complete, all 9 images are there" in hier("generate", *options)[1]
    assert "9 of 9 images match the manifest" in hier("generate", *options, "--verify")[1]
    told = json.loads(hier("generate", *options, "--json")[1])
    assert told["complete"]
    assert (told["made"], told["found"], told["source"]) == (0, 9, "atoms")
    assert set(told["refused"]) == {"p4", "pmg", "cm"}
    (tmp_path / "set" / "cm" / "00000002.png").write_bytes(b"moth")
    code, _, err = hier("generate", *options, "--verify")
    assert code == 2
    assert "9 of 9 images are missing or damaged" in err.replace("\n", " ")  # they are one shard
    assert "9 images, 9 made" in hier("generate", *options)[1]


def test_a_sheet_shows_every_group_by_every_source(
    hier: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pool: object
) -> None:
    monkeypatch.setattr(preview, "split_pool", lambda photos, split: pool)
    code, out, err = hier("generate", "--preview", "sheet.png", "--groups", "p4,p6m,pg", "--size", 64, "--cells", "4-9")
    assert code == 0, err
    assert "drew sheet.png" in out
    sheet = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))
    expected = PatternDataset("noise", 0, 64, ("p4", "p6m", "pg"), cells=(4, 9)).batch([0, 1, 2])
    for image in (expected * 255).round().byte().permute(0, 2, 3, 1).numpy():
        starts = np.argwhere((sheet[:, :, :] == image[0, 0]).all(-1))
        assert any(np.array_equal(sheet[y : y + 64, x : x + 64], image) for y, x in starts)
    assert hier("generate", "--preview", "sheet.png/a.png", "--groups", "p4", "--size", 64, "--cells", "4-9")[0] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--source", "photo"), "unknown source 'photo': did you mean photos?"),
        (("--groups", "p4,p5"), "unknown wallpaper group 'p5'"),
        (("--corrupt", "rain=2"), "unknown corruption 'rain'"),
        (("--corrupt", "blur=9"), "severity from 0 to 5"),
        (("--corrupt", "blur"), "NAME=SEVERITY"),
        (("--format", "jpg"), "unknown format 'jpg': did you mean png?"),
        (("--orientation", "up"), "unknown orientation 'up'"),
        (("--construction", "glue"), "unknown construction 'glue'"),
        (("--split", "test"), "unknown split 'test'"),
        (("--cells", "2-9"), "at least 4 are needed"),
        (("--cells", "many"), "--cells many: give fewest and most as in 4-60"),
        (("--cells", "4-60", "--size", "32"), "at most 16 cells"),
        (("--photos", "empty", "--source", "photos"), "no readable photograph in empty (1 picture files seen)"),
        (("--photos", "nowhere", "--source", "photos"), "no folder nowhere"),
        (("--verify",), "holds no export"),
    ],
)
def test_what_cannot_be_made_is_one_clear_line(
    hier: Command, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    code, _, err = hier("generate", "--source", "atoms", "--count", 1, "--out", "set", *options)
    assert code == 2
    assert "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("hier: ")]
    assert message in line
    assert not (tmp_path / "set").exists()


def test_it_says_where_to_write(hier: Command) -> None:
    code, _, err = hier("generate", *SMALL)
    assert code == 2
    assert "pass --out FOLDER" in err


@pytest.mark.slow
def test_an_interruption_ends_at_once_and_the_same_command_takes_up(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from hier.cli.app import main; main()", "generate", *SMALL, "--count", "1280"]
    command += ["--shard", "64", "--format", "npy", "--out", str(tmp_path / "set")]
    environment = os.environ | {"TERM": "dumb"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True)
    deadline = time.monotonic() + 120
    while not (tmp_path / "set" / "shard-00001.npy").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it, to workers, too
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    there = len(list((tmp_path / "set").glob("shard-*.npy")))
    assert 2 <= there < 20
    assert not list((tmp_path / "set").glob("*.part"))
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, env=environment, check=True)
    told = json.loads(done.stdout)
    assert told["complete"]
    assert told["found"] >= 64 * there - 64


def test_help_names_every_corruption(hier: Command) -> None:
    text = hier("generate", "--help")[1]
    assert not [name for name in CORRUPTIONS if name not in text]


@pytest.mark.parametrize("option", [("--groups", "p4"), ("--source", "photos"), ("--format", "png")])
def test_a_release_takes_no_option_that_it_would_not_heed(
    hier: Command, tmp_path: Path, option: tuple[str, str]
) -> None:
    code, _, err = hier("generate", "--release", "sets", "--count", 17, *option)
    assert (code, err.strip()) == (2, f"hier: --release makes its own choice of patterns: leave {option[0]} out")
    assert not list(tmp_path.iterdir())


def test_controls_are_written_beside_their_patterns(hier: Command, tmp_path: Path) -> None:
    command = ("generate", *SMALL, "--count", 17, "--controls", "--out", "pairs", "--format", "npy")
    code, _, err = hier(*command)
    assert code == 0, err
    both = {half: np.load(tmp_path / "pairs" / half / "shard-00000.npy") for half in ("patterns", "controls")}
    spectra = [np.abs(np.fft.fft2(images.astype(float), axes=(1, 2))) for images in both.values()]
    assert np.abs(spectra[0] - spectra[1]).max() < 0.02 * spectra[0][:, 1:].max()
    assert np.abs(both["patterns"].astype(int) - both["controls"]).mean() > 1
    about = [json.loads(line) for line in (tmp_path / "pairs/controls/labels-00000.jsonl").read_text().splitlines()]
    assert all(a["control"] for a in about)
    code, _, err = hier(*command, "--verify")
    assert code == 0, err
    code, again, err = hier(*command)
    assert "complete, all 17 images are there" in err + again
    code, _, err = hier("generate", *SMALL, "--count", 17, "--out", "pairs/controls", "--format", "npy")
    assert code == 2, "controls are no patterns"
    code, _, err = hier("generate", "--controls", "--preview", "sheet.png")
    assert code == 2
    assert "leave --controls out" in err
