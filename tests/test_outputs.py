"""What a user names for output: never an input, never a file of another kind, and whole or as it was before."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from hier.cli.app import main

Told = tuple[int, str]
PREDICT = ("predict", "a.png", "b.png", "--device", "cpu")
COMMANDS = {
    "csv": (*PREDICT, "--csv"),
    "jsonl": (*PREDICT, "--jsonl"),
    "report": (*PREDICT, "--report"),
    "overlay": ("predict", "b.png", "--device", "cpu", "--overlay"),
    "map": ("map", "b.png", "--window", "48", "--device", "cpu", "--out"),
    "explain": ("explain", "b.png", "--device", "cpu", "--out"),
    "sheet": ("generate", "--photos", ".", "--groups", "p2", "--size", "64", "--cells", "4-5", "--preview"),
}
OTHERS = {"diagram": ("tree", "--diagram", "p4g", "--out")}
WITH_MODEL = ("csv", "jsonl", "report", "overlay", "map", "explain")
SUFFIX = {"csv": ".csv", "jsonl": ".jsonl", "report": ".html"}


@pytest.fixture
def hier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Told]:
    """`hier ARGUMENTS` in a folder with the images a.png and b.png; exit code and errors."""
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "TERM", "COLUMNS"):
        monkeypatch.setenv(name, {"COLUMNS": "200", "TERM": "dumb"}.get(name, "1"))
    x = np.arange(96)
    for name, period in (("a", 12), ("b", 16)):
        wave = np.cos(2 * np.pi * x / period)
        Image.fromarray((60 * (wave[:, None] + wave) + 128).astype(np.uint8)).save(f"{name}.png")

    def run(*arguments: object) -> Told:
        monkeypatch.setattr(sys, "argv", ["hier", *map(str, arguments)])
        capfd.readouterr()
        try:
            main()
        except SystemExit as stop:
            return int(stop.code or 0), capfd.readouterr().err
        return 0, capfd.readouterr().err

    return run


@pytest.mark.parametrize(
    ("name", "spelling"),
    [*((name, "link.png") for name in COMMANDS), *(("map", s) for s in ("b.png", "sub/../b.png", "hard.png"))],
)
def test_an_output_is_never_an_input(name: str, spelling: str, hier: Callable[..., Told]) -> None:
    os.mkdir("sub")
    os.symlink("b.png", "link.png")
    os.link("b.png", "hard.png")
    before = Path("b.png").read_bytes()
    code, told = hier(*COMMANDS[name], spelling)
    assert code == 2
    assert f"{spelling} is an input of this command" in told
    assert Path("b.png").read_bytes() == before
    assert not [f for f in os.listdir() if "map" in f or f.startswith(".")]


def test_an_input_named_by_a_folder_or_a_list_is_one_too(hier: Callable[..., Told], card_path: Path) -> None:
    os.mkdir("in")
    shutil.move("b.png", "in/b2.png")
    shutil.move("a.png", "in/b.png")
    before = Path("in/b2.png").read_bytes()
    code, told = hier("predict", "in", "--overlay", "in/{name}2.png", "--device", "cpu")
    assert (code, "in/b2.png is an input of this command" in told) == (2, True)
    assert Path("in/b2.png").read_bytes() == before
    shutil.copy(card_path, "m.json")
    shutil.copy(card_path.with_suffix(".safetensors"), "m.safetensors")
    for file in ("m.json", "m.safetensors"):
        assert "is an input" in hier("predict", "in", "--model", "m.json", "--report", file, "--force")[1]


@pytest.mark.parametrize("name", [*COMMANDS, *OTHERS])
def test_a_file_of_another_kind_is_left_alone(name: str, hier: Callable[..., Told]) -> None:
    mine = Path(f"mine{SUFFIX.get(name, '.png')}")
    for text in ("one line", "my notes\nof two years\n"):
        mine.write_text(text)
        options = ("--restart",) if name in ("csv", "jsonl") else ()
        code, told = hier(*{**COMMANDS, **OTHERS}[name], mine, *options)
        assert (code, str(mine) in told) == (2, True), told
        assert mine.read_text() == text


def foreign(suffix: str) -> bytes:
    """A good file of that kind that others wrote."""
    if suffix in (".png", ".jpg"):
        file = BytesIO()
        info = PngInfo()
        info.add_text("Software", "Paint, not hier 1")
        Image.new("RGB", (40, 40)).save(file, suffix[1:].replace("jpg", "jpeg"), pnginfo=info)
        return file.getvalue()
    if suffix == ".npz":
        file = BytesIO()
        np.savez(file, a=np.arange(3))
        return file.getvalue()
    if suffix in (".svg", ".pdf"):
        file = BytesIO()
        Figure().savefig(file, format=suffix[1:])
        return file.getvalue()
    return {".html": b"<!doctype html><p>mine, made beside hier 1", ".csv": b"file,group\na.png,p4\n"}.get(
        suffix, b'{"file": "a.png"}\n'
    )


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        *((name, SUFFIX.get(name, ".png")) for name in {**COMMANDS, **OTHERS}), ("overlay", ".svg"),
        ("overlay", ".pdf"), ("explain", ".svg"), ("explain", ".pdf"), ("diagram", ".svg"), ("sheet", ".jpg"),
    ],
)  # fmt: skip
def test_a_file_of_the_same_kind_that_others_wrote_is_replaced_by_force_alone(
    name: str, suffix: str, hier: Callable[..., Told], card_path: Path, pictures: Path
) -> None:
    mine = Path(f"mine{suffix}")
    mine.write_bytes(before := foreign(suffix))
    command = [str(pictures) if a == "." else a for a in ({**COMMANDS, **OTHERS}[name])]
    command += [str(mine), *(("--model", str(card_path)) if name in WITH_MODEL else ())]
    code, told = hier(*command)
    assert (code, str(mine) in told, "--force" in told, told.count("\n")) == (2, True, True, 1), told
    assert mine.read_bytes() == before
    assert hier(*command, "--force")[0] == 0
    assert mine.read_bytes() != before
    code, told = hier(*command)
    assert code == 0, told  # its own it knows again


def test_the_arrays_of_a_map_are_not_those_of_others(hier: Callable[..., Told], card_path: Path) -> None:
    arrays = Path("m.npz")
    arrays.write_bytes(foreign(".npz"))
    command = ("map", "b.png", "--window", "48", "--device", "cpu", "--out", "m.png", "--model", card_path)
    code, told = hier(*command)
    assert (code, "m.npz exists" in told, Path("m.png").exists()) == (2, True, False)
    assert (hier(*command, "--force")[0], hier(*command)[0]) == (0, 0)
    with np.load(arrays) as made:
        assert "group" in made.files


def test_no_overlay_is_drawn_before_all_can_be(hier: Callable[..., Told], card_path: Path) -> None:
    os.mkdir("out")
    Path("out/b_overlay.png").write_bytes(foreign(".png"))
    command = (*PREDICT, "--overlay", "out", "--model", card_path)
    code, told = hier(*command)
    assert (code, "--force" in told, os.listdir("out")) == (2, True, ["b_overlay.png"])
    assert hier(*command, "--force")[0] == 0
    assert sorted(os.listdir("out")) == ["a_overlay.png", "b_overlay.png"]


def test_names_that_no_file_can_have_are_one_line(hier: Callable[..., Told]) -> None:
    os.symlink("circle.png", "circle.png")
    for out in ("x" * 300 + ".png", "a.png/b.png"):
        for command in (("tree", "--diagram", "p4", "--out"), (*PREDICT, "--overlay"), COMMANDS["map"]):
            code, told = hier(*command, out)
            assert (code, told.count("\n")) == (2, 1), told
    assert hier("tree", "--diagram", "p4", "--out", "circle.png")[0] == 0


def test_tables_are_recognised_whatever_their_name(hier: Callable[..., Told]) -> None:
    before = Path("a.png").read_bytes()
    for restart in ((), ("--restart",)):
        for option in ("--csv", "--jsonl"):
            assert hier("predict", "b.png", option, "a.png", "--device", "cpu", *restart)[0] == 2
            assert Path("a.png").read_bytes() == before


def test_two_outputs_are_two_files(hier: Callable[..., Told]) -> None:
    code, told = hier(*PREDICT, "--csv", "t", "--jsonl", "./t")
    assert (code, "--csv and --jsonl are the same file" in told) == (2, True)
    assert not Path("t").exists()


@contextmanager
def disk_full(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("hier.hierarchy.files._sync", full)
        yield


@pytest.mark.parametrize("name", ["report", "overlay", "map", "explain", "sheet", "diagram"])
def test_an_output_of_before_is_replaced_and_stays_when_the_disk_is_full(
    name: str, hier: Callable[..., Told], card_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: Path
) -> None:
    made = Path(f"made{SUFFIX.get(name, '.png')}")
    command = [str(pictures) if a == "." else a for a in ({**COMMANDS, **OTHERS}[name])]
    command += [str(made), *(("--model", str(card_path)) if name in WITH_MODEL else ())]
    assert hier(*command)[0] == 0
    before, files = made.read_bytes(), sorted(os.listdir())
    with disk_full(monkeypatch):
        code, told = hier(*command)
    assert (code, f"cannot write {made}: No space left on device" in told) == (2, True), told
    assert made.read_bytes() == before
    assert sorted(os.listdir()) == files


@pytest.fixture
def pictures(with_pictures: Path) -> Path:
    return with_pictures / "pictures"


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_table_on_a_full_disk_keeps_its_whole_rows(kind: str, hier: Callable[..., Told], card_path: Path) -> None:
    command = (*PREDICT, f"--{kind}", "t", "--model", card_path)
    assert hier("predict", "a.png", *command[3:])[0] == 0
    before = Path("t").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 50, hard))
    try:
        code, told = hier(*command)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (code, "cannot write t: " in told) == (2, True), told
    assert Path("t").read_bytes() == before
    assert hier(*command)[0] == 0
    assert Path("t").read_bytes().startswith(before)


def test_a_benchmark_and_a_bundle_do_not_replace_the_files_of_others(hier: Callable[..., Told]) -> None:
    os.mkdir("out")
    for command, file in (("benchmark", "results.csv"), ("assemble", "wallpaper.json")):
        Path("out", file).write_text("mine")
        code, told = hier(command, "--out", "out", "--device", "cpu")
        assert (code, file in told) == (2, True), told
        assert Path("out", file).read_text() == "mine"
        assert os.listdir("out") == [file]
        Path("out", file).unlink()
    for command, file in (("assemble", "wallpaper.safetensors"), ("assemble", "wallpaper-reliability.png")):
        Path("out", file).write_bytes(foreign(".png"))
        code, told = hier(command, "--out", "out", "--device", "cpu")
        assert (code, file in told, "--force" in told) == (2, True, True), told
        Path("out", file).unlink()
