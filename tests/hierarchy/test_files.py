"""A file is written whole or not at all; a folder is held by one process at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hier.hierarchy import HierError
from hier.hierarchy.files import whole
from hier.hierarchy.kept import keep_text, kept_text
from hier.hierarchy.locks import only_one


def test_the_file_appears_when_the_block_ends_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.csv"
    with whole(path) as file:
        assert file.suffix == ".csv"
        file.write_text("x")
        assert not path.exists()
    assert path.read_text() == "x"
    assert os.listdir(path.parent) == ["a.csv"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_error_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.png"
    path.write_text("before")

    def interrupted() -> None:
        with whole(path) as file:
            file.write_text("half")
            raise error

    with pytest.raises(type(error)):
        interrupted()
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["a.png"]


def test_permissions_are_those_of_other_files(tmp_path: Path) -> None:
    ordinary, made = tmp_path / "ordinary", tmp_path / "made"
    ordinary.write_text("")
    with whole(made):
        pass
    assert made.stat().st_mode == ordinary.stat().st_mode
    made.chmod(0o640)
    with whole(made):
        pass
    assert made.stat().st_mode & 0o777 == 0o640


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with whole(path) as one, whole(path) as two:
        assert one != two
        one.write_text("one")
        two.write_text("two")
    assert path.read_text() == "one"  # the outer block ends last
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_second_process_is_refused_and_a_dead_one_lets_go(tmp_path: Path) -> None:
    code = (
        "import sys, os; from pathlib import Path; from hier.hierarchy.locks import only_one\n"
        "with only_one(Path(sys.argv[1]), 'training'):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(HierError, match="another training is writing to"), only_one(tmp_path, "training"):
            pass
        other.kill()
    with only_one(tmp_path, "training"):
        pass


def test_a_folder_that_cannot_be_made_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    folder = tmp_path / "file" / "a"
    with pytest.raises(HierError, match=r"cannot write .*file/a: Not a directory"), only_one(folder, "training"):
        pass


def test_a_text_that_a_kill_left_unfinished_is_removed_with_the_next(tmp_path: Path) -> None:
    left = tmp_path / ".run-1.0123abcd.txt"
    left.write_text("half")
    (tmp_path / ".run-2.0123abcd.txt").write_text("of another")
    keep_text(tmp_path / "run-1.txt", "whole")
    assert kept_text(tmp_path / "run-1.txt", "") == "whole"
    assert not left.exists()
    assert (tmp_path / ".run-2.0123abcd.txt").exists()
