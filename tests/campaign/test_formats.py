"""The short form of the campaign of damaged files."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parent / "formats.py"
pytest.importorskip("rsciio")
pytest.importorskip("AFMReader")


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("formats", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_good_file_is_an_image(tmp_path: Path) -> None:
    formats = script()
    from formats_check import read_all

    for k, (name, data) in enumerate(formats.seeds().items()):
        (tmp_path / f"{k:07}-{name}").write_bytes(data)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:  # memory is of a process, and others' tests take some
        counts, failures = pool.submit(read_all, sorted(tmp_path.iterdir())).result()
    assert counts == {"images": len(formats.seeds())}
    assert not failures


def test_inputs_are_functions_of_seed_and_index() -> None:
    formats = script()
    for index in (0, 17, 150):
        assert formats.made(3, index) == formats.made(3, index)
    assert formats.made(3, 150)[1] != formats.made(4, 150)[1]


def run(*arguments: str) -> dict[str, object]:
    done = subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True)
    found: dict[str, object] = json.loads(done.stdout)
    assert not found["failures"], found["failures"]
    assert done.returncode == 0
    return found


def test_damaged_files_are_one_line_or_an_image() -> None:
    found = run("--inputs", "300", "--seed", "1", "--share", "0")
    assert found["images"]
    assert found["refused"]


@pytest.mark.slow
def test_the_command_has_a_row_for_each_damaged_file() -> None:
    found = run("--inputs", "1000", "--seed", "2", "--share", "5")
    assert found["rows"] == 200
    assert found["crashes"]  # of the process that reads, and of it alone
