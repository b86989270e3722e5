"""`--on`: the same files and rows from Ray as without it, whatever happens to its workers."""

from __future__ import annotations

import csv
import filecmp
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from hier.datasets import PatternDataset
from hier.pipelines import cluster as module
from hier.pipelines.cluster import ClusterError, cluster, spread
from hier.pipelines.generating.export import Export, export
from PIL import Image

from hier.cli.app import main

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
HIER = (sys.executable, "-c", "from hier.cli.app import main; main()")
SET = ("generate", "--source", "atoms", "--seed", "5", "--size", "48", "--groups", "p4,pg,p1", "--cells", "4-9")
Told = tuple[int, str, str]


@pytest.fixture(scope="module")
def two_workers() -> Iterator[None]:
    """Ray with two workers; commands in this process join it."""
    with cluster("ray", workers=2):
        yield


@pytest.fixture
def hier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Told]:
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Told:
        monkeypatch.setattr(sys, "argv", ["hier", *map(str, arguments)])
        capfd.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        return (code, *capfd.readouterr())

    return run


@contextmanager
def killer(title: str, when: Callable[[], bool]) -> Iterator[list[int]]:
    """Kills one process of Ray whose title has `title` in it as soon as `when` says so; yields who was killed."""
    killed: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not killed and not over.wait(0.02):
            if when():
                for process in psutil.Process().children(recursive=True):
                    try:
                        if title in " ".join(process.cmdline()):
                            process.send_signal(signal.SIGKILL)
                            killed.append(process.pid)
                            break
                    except psutil.Error:
                        continue

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def same(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files, byte by byte."""
    files = [sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file()) for folder in (one, other)]
    return files[0] == files[1] and filecmp.cmpfiles(one, other, files[0], shallow=False)[0] == files[0]


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Patterns of two sizes, and files that are none."""
    (tmp_path / "scans").mkdir()
    for size, count in ((48, 70), (64, 30)):
        images = PatternDataset("atoms", 5, size, ("p4", "pg"), cells=(4, 9)).batch(range(count))
        for k, image in enumerate((images * 255).byte().permute(0, 2, 3, 1).numpy()):
            Image.fromarray(image).save(tmp_path / "scans" / f"{k:03d}_{size}.png")
    (tmp_path / "scans" / "050.png").write_bytes(b"torn")
    (tmp_path / "scans" / os.fsdecode(b"caf\xe9.png")).write_bytes(b"")
    return tmp_path / "scans"


@pytest.mark.usefixtures("two_workers")
@pytest.mark.parametrize("format", ["png", "webdataset"])
def test_ray_writes_the_same_files(hier: Callable[..., Told], format: str) -> None:
    options = ("--count", 20, "--shard", 6, "--format", format)
    assert hier(*SET, *options, "--out", "plain")[0] == 0
    code, out, err = hier(*SET, *options, "--out", "spread", "--on", "ray")
    assert code == 0, err
    assert "20 images, 20 made" in out
    assert same(Path("plain"), Path("spread"))
    file = max(Path("spread").glob("**/*.[pt][na][gr]"))
    file.unlink()
    assert json.loads(hier(*SET, *options, "--out", "spread", "--on", "ray", "--json")[1])["found"] in (14, 18)
    assert file.exists()
    assert "20 of 20" in hier(*SET, *options, "--out", "spread", "--verify")[1]


@pytest.mark.slow
@pytest.mark.usefixtures("two_workers")
def test_a_killed_worker_loses_no_image_and_doubles_none(hier: Callable[..., Told]) -> None:
    options = ("--count", 480, "--shard", 40, "--format", "png")
    with killer("whole_shard", lambda: len(list(Path("spread").rglob("000000*.png"))) > 60) as killed:
        code, out, err = hier(*SET, *options, "--out", "spread", "--on", "ray", "--json")
    assert killed
    assert code == 0, err
    assert json.loads(out)["made"] == 480
    assert hier(*SET, *options, "--out", "plain")[0] == 0
    assert same(Path("plain"), Path("spread"))


@pytest.mark.usefixtures("two_workers")
def test_ray_gives_the_same_rows(hier: Callable[..., Told], card_path: Path, scans: Path) -> None:
    for k in range(12, 70):
        (scans / f"{k:03d}_48.png").unlink()
    predict = ("predict", "scans", "--model", card_path, "--jsonl")
    code, out, err = hier(*predict, "a.jsonl", "--on", "ray")
    assert code == 2  # of the files that are none
    assert "42 images answered, 2 could not be used" in out
    assert len(err.splitlines()) == 2
    assert hier(*predict, "b.jsonl")[0] == 2
    rows = [[json.loads(line) for line in Path(f"{name}.jsonl").read_text().splitlines()] for name in "ab"]
    assert [row["file"] for row in rows[0]] == [row["file"] for row in rows[1]]
    for one, other in zip(*rows, strict=True):
        assert one.get("error") == other.get("error")
        if "error" not in one:
            assert one["groups"] == pytest.approx(other["groups"], abs=1e-5)
            assert (one["symmetry"] is None) == (other["symmetry"] is None)
    (scans / "050.png").write_bytes((scans / "001_48.png").read_bytes())
    assert "1 images answered, 42 already there, 1 could" in hier(*predict, "a.jsonl", "--on", "ray")[1]


@pytest.mark.slow
@pytest.mark.usefixtures("two_workers")
@pytest.mark.parametrize("title", ["MapWorker(", "ray::Relay"])
def test_a_killed_actor_loses_no_row_and_doubles_none(
    hier: Callable[..., Told], card_path: Path, scans: Path, title: str
) -> None:
    def first_row() -> bool:
        return Path("a.csv").is_file() and Path("a.csv").read_text().count("\n") > 1

    with killer(title, first_row) as killed:
        code, out, err = hier("predict", "scans", "--model", card_path, "--on", "ray", "--csv", "a.csv")
    assert killed
    assert code == 2, err
    assert "100 images answered, 2 could not be used" in out
    with Path("a.csv").open(newline="", encoding="utf-8") as file:
        names = [row["file"] for row in csv.DictReader(file)]
    assert names == sorted(names)
    assert set(names) == {ascii(str(p.relative_to(Path.cwd())))[1:-1] for p in scans.iterdir()}
    assert len(names) == len(set(names)) == 102


@pytest.mark.usefixtures("two_workers")
def test_work_comes_in_order_and_errors_are_those_of_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(spread(abs, range(-9, 0))) == list(range(9, 0, -1))
    with pytest.raises(ValueError, match="invalid literal"):
        list(spread(int, ["1", "x"]))
    monkeypatch.setattr(module, "RETRIES", 1)
    with pytest.raises(ClusterError, match="stopped again and again"):
        list(spread(os._exit, [1]))


@pytest.mark.usefixtures("two_workers")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((*SET, "--out", "set", "--on", "spark"), "unknown engine 'spark': known: ray, ray://HOST, ray://HOST:PORT"),
        ((*SET, "--out", "set", "--on", "ray://"), "unknown engine 'ray://'"),
        ((*SET, "--out", "set", "--on", "ray://host:port"), "unknown engine 'ray://host:port'"),
        ((*SET, "--out", "set", "--on", "ray", "--device", "mps"), "--device mps cannot be shared out with --on"),
        ((*SET, "--out", "set", "--on", "ray", "--verify"), "--verify reads the files on this machine: leave --on"),
        ((*SET, "--preview", "a.png", "--on", "ray"), "--preview draws one sheet on this machine: leave --on"),
        ((*SET, "--preview", "a.png", "--range", "1/2"), "--preview draws one sheet on this machine: leave --range"),
        (
            ("predict", "a.png", "--on", "ray", "--overlay", "a.svg"),
            "--overlay, --report and --corrected need every",
        ),
        (("predict", "a.png", "--on", "ray", "--table"), "--table, --table-csv, --cell, --hkl and --cif need every"),
        (("predict", "a.png", "--on", "dask", "--csv", "a.csv"), "unknown engine 'dask'"),
    ],
)
def test_what_cannot_be_is_one_line(hier: Callable[..., Told], options: tuple[str, ...], message: str) -> None:
    code, _, err = hier(*options)
    assert code == 2
    (line,) = err.splitlines()
    assert line.startswith(f"hier: {message}")
    assert not list(Path().iterdir())


@pytest.mark.usefixtures("two_workers")
def test_a_gpu_that_no_machine_has_is_one_line(hier: Callable[..., Told], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 2.0})
    assert "the cluster has no GPU" in hier(*SET, "--out", "set", "--on", "ray", "--device", "cuda")[2]
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 64.0, "GPU": 8.0})
    assert module.workers("cuda") == 32
    assert module.workers("cpu") == 64


def test_without_ray_the_extra_is_named(hier: Callable[..., Told], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, err = hier(*SET, "--out", "set", "--on", "ray")
    assert code == 2
    assert err == "hier: --on ray needs Ray, which is not installed: pip install 'hier[ray]' adds it\n"


def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    assert module.address_of("ray") is None
    assert module.address_of("ray://head") == "ray://head:10001"
    assert module.address_of("ray://10.0.0.1:2000/") == "ray://10.0.0.1:2000"
    assert module.address_of("ray://[::1]") == "ray://[::1]:10001"
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        for scheme in ("ray://", ""):
            address = f"{scheme}127.0.0.1:{nobody.getsockname()[1]}"
            with pytest.raises(ClusterError, match=f"no Ray cluster answers at {address} .*refused"):
                module.check_answers(address)


@pytest.mark.parametrize(("deaths", "goes_on"), [(2, True), (3, False)])
def test_a_cluster_whose_server_dies_at_its_start_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, deaths: int, goes_on: bool
) -> None:
    """As heads did that were still coming up: ray.init told of a zombie."""
    answers = iter([ConnectionAbortedError("Initialization failure from server:\nit's a zombie")] * deaths)

    def init(*_: object, **__: object) -> None:
        if (died := next(answers, None)) is not None:
            raise died

    ray = SimpleNamespace(init=init, is_initialized=lambda: False, shutdown=lambda: None)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(module, "PAUSE", 0)
    monkeypatch.setattr(module, "check_answers", lambda address: None)
    monkeypatch.setattr(module, "_check_same", lambda address: None)
    entered = False
    refused = nullcontext() if goes_on else pytest.raises(ClusterError, match="cannot be used: it's a zombie")
    with refused, cluster("ray://head"):
        entered = True
    assert entered == goes_on


@pytest.mark.slow
def test_an_address_that_does_not_answer_is_one_line_within_seconds(tmp_path: Path) -> None:
    """Somebody listens there, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        done = subprocess.run([*HIER, *SET, "--out", "set", "--on", f"ray://127.0.0.1:{silent.getsockname()[1]}"],
                              capture_output=True, text=True, cwd=tmp_path, timeout=100)  # fmt: skip
    assert done.returncode == 2
    assert time.monotonic() - begun < 60  # Ray by itself tries for minutes
    (line,) = done.stderr.splitlines()
    assert line.startswith("hier: Ray at ray://127.0.0.1:")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_ray_on_this_machine_is_quiet_and_gone_at_the_end(tmp_path: Path) -> None:
    command = [*HIER, *SET, "--out", "set", "--count", "12", "--shard", "4", "--on", "ray", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as running:
        started: set[psutil.Process] = set()
        while running.poll() is None:
            started |= set(psutil.Process(running.pid).children(recursive=True))
            time.sleep(0.2)
        assert running.stdout is not None
        assert running.stderr is not None
        assert json.loads(running.stdout.read())["made"] == 12
        assert re.fullmatch(r"([\d:]+  images: \d+ of 12(, \d+ s)?\n)+", running.stderr.read())
    assert started
    assert not psutil.wait_procs(started, timeout=20)[1]


@pytest.mark.slow
def test_a_cluster_by_its_address(tmp_path: Path, card_path: Path, scans: Path) -> None:
    """A head that another program started, asked as a client; and joined by RAY_ADDRESS."""
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        head, client = one.getsockname()[1], two.getsockname()[1]
    environment = os.environ | {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    start = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start", "--head", "--block",
             "--node-ip-address", "127.0.0.1", "--port", str(head), "--ray-client-server-port", str(client),
             "--num-cpus", "2", "--include-dashboard", "false"]  # fmt: skip
    with (tmp_path / "head.log").open("wb") as log:
        server = subprocess.Popen(start, stdout=log, stderr=log, env=environment, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while socket.socket().connect_ex(("127.0.0.1", client)):
            assert time.monotonic() < deadline, (tmp_path / "head.log").read_text()
            time.sleep(0.3)

        def run(*arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
            command = [*HIER, *map(str, arguments)]
            return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment | more,
                                  timeout=200)  # fmt: skip

        options = (*SET, "--count", 12, "--shard", 4)
        by_address = run(*options, "--out", "a", "--on", f"ray://127.0.0.1:{client}")
        assert by_address.returncode == 0, by_address.stderr
        joined = run(*options, "--out", "b", "--on", "ray", RAY_ADDRESS=f"127.0.0.1:{head}")
        assert joined.returncode == 0, joined.stderr
        whole = PatternDataset("atoms", 5, 48, ("p4", "pg", "p1"), cells=(4.0, 9.0))
        export(Export(whole, 12, "png", tmp_path / "c", shard_size=4))
        assert same(tmp_path / "a", tmp_path / "c")
        assert same(tmp_path / "b", tmp_path / "c")
        few = ("scans/000_48.png", "scans/050.png", "scans/001_64.png")
        answered = run("predict", *few, "--model", card_path, "--csv", "a.csv", "--on", f"ray://127.0.0.1:{client}")
        assert "2 images answered, 1 could not be used" in answered.stdout, answered.stderr
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)
