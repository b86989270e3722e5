from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hier.hierarchy import HierError
from hier.hierarchy.files import sweep, whole
from hier.hierarchy.locks import locked, only_one, only_one_writes


def refused(lock: AbstractContextManager[None]) -> str:
    """The line that says why a lock is not to be had."""
    with pytest.raises(HierError) as error, lock:
        raise AssertionError
    return str(error.value)


def test_a_second_writer_is_refused_in_a_line_and_nothing_is_left_behind(tmp_path: Path) -> None:
    table, folder = tmp_path / "t.csv", tmp_path / "new" / "folder"
    with only_one_writes(table, "hier predict"):
        assert f"another hier predict is writing to {table}: wait" in refused(only_one_writes(table, "hier predict"))
    with only_one(folder, "training"):
        assert "another training" in refused(only_one(folder, "training"))
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == []


def test_who_waits_gets_the_lock_as_soon_as_it_is_free(tmp_path: Path) -> None:
    def wait() -> bool:
        with locked(tmp_path / ".lock", wait=True) as mine:
            return mine

    with ThreadPoolExecutor() as pool:
        with locked(tmp_path / ".lock"):
            waiting = [pool.submit(wait) for _ in range(3)]
            with pytest.raises(TimeoutError):
                waiting[0].result(0.2)
        assert all(future.result(10) for future in waiting)
    assert not list(tmp_path.iterdir())


def test_a_link_to_a_table_has_the_lock_of_the_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").touch()
    (tmp_path / "link.csv").symlink_to(tmp_path / "t.csv")
    with only_one_writes(tmp_path / "t.csv", "hier predict"):
        assert "another" in refused(only_one_writes(tmp_path / "link.csv", "hier predict"))


def test_a_pipe_and_no_file_need_no_lock() -> None:
    with only_one_writes(Path("/dev/stdout"), "hier predict"), only_one_writes(None, "hier predict"):
        pass


@pytest.mark.skipif(os.name != "posix", reason="needs flock")
def test_a_file_system_without_locks_refuses_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", none)
    with only_one(tmp_path, "training"), whole(tmp_path / "t.csv") as file:
        file.write_text("a,b", encoding="utf-8")
    assert [file.name for file in tmp_path.iterdir()] == ["t.csv"]


def test_where_nothing_can_be_made_is_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HierError, match="cannot write"), only_one(tmp_path / "file" / "folder", "training"):
        raise AssertionError


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_killed_process_leaves_no_lock_and_no_unfinished_file_that_counts(tmp_path: Path) -> None:
    script = """
        import sys, time
        from pathlib import Path
        from hier.hierarchy.files import whole
        from hier.hierarchy.locks import only_one
        with only_one(Path(sys.argv[1]), "training"), whole(Path(sys.argv[1]) / "out.png") as file:
            file.write_text("half")
            print(file.name, flush=True)
            time.sleep(600)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        name = holder.stdout.readline().strip()
        with locked(tmp_path / ".lock") as mine:
            assert not mine
        sweep(tmp_path)
        assert (tmp_path / name).exists(), "it is being written"
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    (tmp_path / ".notes.txt").write_text("of the user", encoding="utf-8")
    with only_one(tmp_path, "training"):
        sweep(tmp_path)
        assert not (tmp_path / name).exists()
    assert [file.name for file in tmp_path.iterdir()] == [".notes.txt"]


def test_a_sweep_of_one_file_leaves_those_of_others(tmp_path: Path) -> None:
    for name in (".out.0123abcd.png", ".out.0123abcd.csv", ".other.0123abcd.png"):
        (tmp_path / name).touch()
    sweep(tmp_path, tmp_path / "out.png")
    assert sorted(file.name for file in tmp_path.iterdir()) == [".other.0123abcd.png", ".out.0123abcd.csv"]
    with whole(tmp_path / "out.csv") as file:
        sweep(tmp_path, tmp_path / "out.csv")
        assert file.exists()
