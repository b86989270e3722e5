"""The page of `hier app`: a real server, asked as a browser asks, and as others would like to."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from hier.datasets import PatternDataset
from hier.hierarchy import HierError
from hier.pipelines.page import visitors
from hier.pipelines.page.examples import EXAMPLES, SIDE, example_png
from hier.pipelines.page.guard import Guard
from hier.pipelines.page.say import Say
from hier.pipelines.page.visitors import FullError, Kept, Visitors
from PIL import Image
from starlette.datastructures import Headers

import hier

STATIC = Path(visitors.__file__).parent / "static"
TILES = 0


@contextmanager
def started(folder: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The server in a process of its own, whose temporary files are in `folder`; and where it listens.

    What it complains of goes to `errors.txt` there.
    """
    command = [sys.executable, "-m", "hier", "app", "--no-browser", "--port", "0", *words]
    environment = os.environ | {"TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)}
    with (
        (folder / "errors.txt").open("w", encoding="utf-8") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment) as made,
    ):
        assert made.stdout is not None
        try:
            line = made.stdout.readline()
            assert "http://127.0.0.1:" in line, line + (folder / "errors.txt").read_text(encoding="utf-8")
            yield made, line.split("http://")[1].strip().rstrip("/")
        finally:
            made.kill()


@dataclass
class Browser:
    """Sends requests as a browser does, with the cookie that it was given."""

    at: str
    cookie: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def ask(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        line = http.client.HTTPConnection(self.at, timeout=120)
        sent = {"Origin": f"http://{self.at}"} if method != "GET" else {}
        sent |= {"Cookie": self.cookie} if self.cookie else {}
        try:
            line.request(method, path, body, sent | {k.replace("_", "-"): v for k, v in headers.items()})
            answer = line.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            line.close()

    def open(self) -> Browser:
        _, headers, _ = self.ask("GET", "/")
        self.headers = dict(headers)
        self.cookie = headers["set-cookie"].split(";")[0]
        return self

    def json(self, method: str, path: str, body: Any = None) -> Any:
        status, _, content = self.ask(method, path, body)
        assert status in (200, 201), content
        return json.loads(content)

    def example(self, number: int = TILES) -> str:
        return str(self.json("POST", f"/api/examples/{number}")["id"])

    def answer(self, image: str, **say: Any) -> Any:
        return self.json("POST", f"/api/images/{image}/answer", json.dumps(say))

    def refused(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
        status, _, content = self.ask(method, path, body, **headers)
        assert status >= 400, content[:200]
        told = json.loads(content)["error"]
        assert "\n" not in told
        assert "Traceback" not in told
        return status, told


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def at(folder: Path) -> Iterator[str]:
    with started(folder) as (_, address):
        yield address
    assert (folder / "errors.txt").read_text(encoding="utf-8") == "", "nothing went wrong that nobody was told"


@pytest.fixture
def browser(at: str) -> Browser:
    return Browser(at).open()


def kept_files(folder: Path) -> set[Path]:
    return {file for file in folder.rglob("*") if file.is_file() and "hier-app-" in str(file)}


def _through(corners: tuple[tuple[float, float], ...], side: int) -> list[float]:
    """The eight numbers of a perspective that reads the corners of a square at `corners`, as Pillow has them."""
    rows, values = [], []
    for (x, y), (u, v) in zip(((0, 0), (side, 0), (side, side), (0, side)), corners, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return [float(value) for value in np.linalg.solve(np.array(rows, dtype=float), np.array(values, dtype=float))]


# What is answered


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_every_example_shows_the_group_that_it_is_for(number: int, browser: Browser) -> None:
    told = browser.answer(browser.example(number))
    assert told["group"] == EXAMPLES[number].group
    assert told["confidence"] == "sure"
    assert {row["group"]: row["verdict"] for row in told["table"]}[EXAMPLES[number].group] != "refused"
    assert len(told["table"]) == 17
    assert told["ladder"]
    assert told["path"][0]["level"] == "rotation"


def test_the_page_answers_as_python_does(browser: Browser, tmp_path: Path) -> None:
    """The same file, with the same say."""
    (tmp_path / "tiles.png").write_bytes(example_png(TILES))
    image = browser.example()
    for say, asked in (
        ({"tolerance": 0.4}, {"tolerance": 0.4}),
        ({"group": "p6m"}, {"group": "p6m"}),
        ({"basis": [164, 3, 3, -164], "refine": False}, {"basis": [164, 3, 3, -164], "refine": False}),
    ):
        told, (found,) = browser.answer(image, **say), hier.load(**asked).predict(tmp_path / "tiles.png")
        assert told["group"] == found.group
        if found.fares is not None:
            assert told["asked"] == "p6m"
            assert any("p6m, as asked: refused" in note for note in told["notes"])


def test_a_region_is_answered_alone_and_drawn_where_it_lies(browser: Browser) -> None:
    """A pattern beside noise: the whole is not all pattern, the region is, and its elements lie within it."""
    rng = np.random.default_rng(1)
    made = rng.integers(0, 255, (300, 560, 3), dtype=np.uint8)
    pattern = PatternDataset("atoms", 5, 256, groups=("p6m",), cells=(12, 20)).batch([1])[0]
    made[20:276, 290:546] = (pattern * 255).round().byte().permute(1, 2, 0).numpy()
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        Image.fromarray(made).save(file.name)
        image = browser.json("POST", "/api/images?name=half.png", Path(file.name).read_bytes())["id"]
    told = browser.answer(image, region=[290, 20, 256, 256])
    assert told["group"] == "p6m"
    assert told["region"] == [290, 20, 256, 256]
    points = np.array([point for line in told["overlay"]["mirrors"] for point in line])
    assert (points.min(0) >= (289, 19)).all()
    assert (points.max(0) <= (546, 276)).all()


def test_elements_are_where_the_library_has_them(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "tiles.png").write_bytes(example_png(TILES))
    (found,) = hier.load().predict(tmp_path / "tiles.png")
    assert found.symmetry is not None
    basis = np.array([found.symmetry.a, found.symmetry.b]).T
    told = browser.answer(browser.example())["overlay"]
    for name, order in (("origin", 4),):
        at = np.linalg.solve(basis, np.array(told["handles"][name]) - found.symmetry.origin)
        assert np.abs(at - np.round(at)).max() < 0.01
        assert any(n == order and np.hypot(*np.subtract(c, told["handles"][name])) < 1 for n, *c in told["centres"])


def test_what_shows_no_pattern_is_told_without_colour(browser: Browser) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 200), dtype=np.uint8)
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        np.save(file, noise)
        file.flush()
        image = browser.json("POST", "/api/images?name=noise.npy", Path(file.name).read_bytes())["id"]
    told = browser.answer(image, group="p4m")
    assert (told["group"], told["confidence"], told["table"]) == (None, "none", [])


@pytest.mark.parametrize(
    ("kind", "begins"),
    [("picture", b"\x89PNG"), ("drawing", b"<?xml"), ("report", b"<!doctype html>"), ("table", b"file,group"),
     ("json", b"{"), ("hkl", b"#"), ("cif", b"#")],
)  # fmt: skip
def test_files_to_take_along(kind: str, begins: bytes, browser: Browser) -> None:
    say = quote(json.dumps({"pixel_size": "0.1nm", "group": "p4"}))
    status, headers, content = browser.ask("GET", f"/api/images/{browser.example()}/files/{kind}?say={say}")
    assert status == 200, content[:300]
    assert content.startswith(begins)
    assert f'attachment; filename="Tiles_{kind}.' in headers["content-disposition"]
    if kind in ("drawing", "hkl", "cif", "report"):
        assert b"as asked" in content
    assert b"hier-app-" not in content, "a path of this machine"


def test_a_tilted_image_is_straightened_and_drawn_as_it_is(browser: Browser, tmp_path: Path) -> None:
    """The straight image is a file; the elements lie on the image as it was given, on lines that run together."""
    side, far = SIDE, 60
    seen = ((0, 0), (side, far), (side, side - far), (0, side))  # where corners of the image come from
    pattern = PatternDataset("photos", 5, side, groups=("p4m",), cells=(30, 50)).batch([0])[0]
    flat = Image.fromarray((pattern * 255).round().byte().permute(1, 2, 0).numpy())
    flat.transform((side, side), Image.Transform.PERSPECTIVE, _through(seen, side)).crop((0, 70, side, side - 70)).save(
        tmp_path / "tilted.png"
    )
    image = browser.json("POST", "/api/images?name=tilted.png", (tmp_path / "tilted.png").read_bytes())["id"]
    told = browser.answer(image)
    assert told["straightened"], told["headline"]
    status, _, content = browser.ask("GET", f"/api/images/{image}/files/corrected")
    assert status == 200
    assert content[:2] in (b"II", b"MM")
    assert any("Straightened" in note for note in told["notes"])


def test_a_file_that_cannot_be_made_says_why(browser: Browser) -> None:
    image = browser.example()
    assert "give the size of a pixel first" in browser.refused("GET", f"/api/images/{image}/files/cif")[1]
    assert "nothing was straightened" in browser.refused("GET", f"/api/images/{image}/files/corrected")[1]
    assert browser.refused("GET", f"/api/images/{image}/files/passwd")[0] == 404


# What is refused


def test_what_is_no_image_is_one_line_and_leaves_nothing(browser: Browser, folder: Path) -> None:
    before = kept_files(folder)
    for name, body in (("a.png", b"no picture at all"), ("a.txt", b"text"), ("a.npy", b"\x93NUMPY"), ("", b"")):
        status, told = browser.refused("POST", f"/api/images?name={name}", body)
        assert status == 422
        assert "hier-app-" not in told, "a path of this machine"
    assert kept_files(folder) == before
    assert browser.json("GET", "/api/state")["images"] == []


def test_an_array_of_objects_is_not_unpickled(browser: Browser, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([print], dtype=object), allow_pickle=True)
    assert browser.refused("POST", "/api/images?name=a.npy", (tmp_path / "a.npy").read_bytes())[0] == 422


def test_too_large_a_file_is_refused_with_and_without_its_length(browser: Browser, folder: Path) -> None:
    before = kept_files(folder)
    assert browser.refused("POST", "/api/images?name=a.png", b"", Content_Length=str(2**31))[0] == 413
    endless = iter([bytes(2**20)] * 70)
    try:
        status, _, _ = browser.ask("POST", "/api/images?name=a.png", endless)
    except OSError:  # the server may hang up before all of it is sent
        status = 413
    assert status == 413
    assert kept_files(folder) == before


@pytest.mark.parametrize(
    "name", ["../../evil.png", "/etc/evil.png", "..\\..\\evil.png", "a\x00b\nevil.png", "evil.png/.."]
)
def test_a_name_never_becomes_a_path(name: str, browser: Browser, folder: Path) -> None:
    told = browser.json("POST", f"/api/images?name={quote(name)}", example_png(TILES))
    assert "/" not in told["name"]
    assert "\\.." not in told["name"]
    assert told["name"].isprintable()
    assert not list(folder.parent.rglob("*evil*"))
    new = [file for file in kept_files(folder) if file.name.startswith(told["id"])]
    assert {file.suffix for file in new} <= {".png", ".shown", ""}


def test_a_page_shows_no_file_but_its_own(browser: Browser) -> None:
    for path in ("/static/../guard.py", "/static/%2e%2e/guard.py", "/static/..%2fguard.py", "/static//etc/passwd"):
        assert browser.ask("GET", path)[0] == 404


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ('{"region": [1, 2, 3]}', "region"),
        ('{"region": [500, 500, 100, 100]}', "region 500,500,100,100: draw at least"),
        ('{"tolerance": 2}', "tolerance"),
        ('{"group": "p5"}', "group p5"),
        ('{"basis": [1, 0, 2, 0]}', "basis 1,0,2,0"),
        ('{"basis": [NaN, 0, 2, 0]}', "basis"),
        ('{"pixel_size": "much"}', "much"),
        ('{"model": "/etc"}', "model"),
        ("[" * 5000, "the request"),
    ],
)
def test_what_is_set_wrongly_is_named(body: str, told: str, browser: Browser) -> None:
    status, said = browser.refused("POST", f"/api/images/{browser.example()}/answer", body)
    assert status == 422
    assert told in said


def test_nobody_sees_what_another_has(at: str, browser: Browser) -> None:
    image, other = browser.example(), Browser(at).open()
    assert other.cookie != browser.cookie
    for method, path, body in (
        ("GET", "picture", None), ("POST", "answer", "{}"), ("GET", "files/json", None), ("DELETE", "", None),
    ):  # fmt: skip
        assert other.refused(method, f"/api/images/{image}/{path}".rstrip("/"), body)[0] == 404
        assert Browser(at).refused(method, f"/api/images/{image}/{path}".rstrip("/"), body)[0] == 401
        assert (
            Browser(at, "hier-visitor=made-up").refused(method, f"/api/images/{image}/{path}".rstrip("/"), body)[0]
            == 401
        )
    assert other.json("GET", "/api/state")["images"] == []
    assert browser.answer(image)["group"] == "p4g"


def test_what_is_removed_is_gone(browser: Browser, folder: Path) -> None:
    image = browser.example()
    assert any(file.name.startswith(image) for file in kept_files(folder))
    assert browser.ask("DELETE", f"/api/images/{image}")[0] == 204
    assert not any(file.name.startswith(image) for file in kept_files(folder))
    assert browser.refused("POST", f"/api/images/{image}/answer", "{}")[0] == 404


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {"Host": "evil.example"}),
        ("GET", {"Host": "127.0.0.1.evil.example:8000"}),
        ("GET", {"Host": "localhost@evil.example"}),
        ("GET", {"Host": "192.168.0.7:8000"}),
        ("POST", {"Origin": "http://evil.example"}),
        ("POST", {"Origin": "null"}),
        ("POST", {"Origin": "http://localhost:1"}),
        ("POST", {"Sec-Fetch-Site": "cross-site"}),
        ("POST", {"Sec-Fetch-Site": "same-site"}),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}),
    ],
)
def test_other_hosts_and_other_pages_are_refused(method: str, headers: dict[str, str], browser: Browser) -> None:
    path = "/api/state" if method == "GET" else f"/api/examples/{TILES}"
    assert browser.refused(method, path, **headers)[0] == 403


def test_this_machine_is_known_by_each_of_its_names() -> None:
    def refused(host: str, name: str) -> bool:
        return Guard(lambda *_: None, host).refusal("GET", Headers({"host": name})) is not None  # type: ignore[arg-type, return-value]

    for name in ("127.0.0.1:8000", "localhost:8000", "LOCALHOST", "[::1]:8000", "127.0.0.1"):
        assert not refused("127.0.0.1", name)
    for name in ("", "evil.example", "[::1", "10.0.0.2", socket.gethostname() + ".evil.example"):
        assert refused("127.0.0.1", name)
    for name in ("10.0.0.2:8000", socket.gethostname(), "localhost"):
        assert not refused("0.0.0.0", name)
    assert refused("0.0.0.0", "evil.example")


def test_every_response_forbids_what_the_page_does_not_need(browser: Browser) -> None:
    cookie = browser.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    for path in ("/", "/api/state", "/static/page.js", "/nothing"):
        headers = browser.ask("GET", path)[1]
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_the_page_names_no_other_address() -> None:
    """Nothing is fetched from elsewhere, and nothing is written as HTML that came from a file."""
    for file in STATIC.iterdir():
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http" not in text.replace("httponly", ""), file.name
        assert "innerHTML" not in text, file.name
        assert "//" not in text.replace("// ", ""), file.name


# What is kept


def test_visitors_are_forgotten_after_a_while_with_their_files(tmp_path: Path) -> None:
    now = 0.0
    known = Visitors(tmp_path, lambda: now)
    token, visitor = known.welcome()
    place = visitor.place("a.png")
    place.path.write_bytes(b"x")
    now = visitors.IDLE - 1
    assert known.find(token) is visitor
    now += visitors.IDLE - 1
    assert known.find(token) is visitor, "a visit counts from its last request"
    now += visitors.IDLE + 1
    assert known.find(token) is None
    assert not visitor.folder.exists()


def test_of_too_many_visitors_the_idlest_goes(tmp_path: Path) -> None:
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 1
        return now

    known = Visitors(tmp_path, clock)
    tokens = [known.welcome()[0] for _ in range(visitors.VISITORS)]
    known.find(tokens[0])
    assert len(set(tokens)) == visitors.VISITORS
    known.welcome()
    assert known.find(tokens[0]) is not None
    assert known.find(tokens[1]) is None


def test_a_visitor_keeps_so_many_images_and_bytes(tmp_path: Path) -> None:
    _, visitor = Visitors(tmp_path).welcome()
    for k in range(visitors.IMAGES):
        visitor.images[str(k)] = Kept(str(k), "a", tmp_path / "a", 1)
    with pytest.raises(FullError, match="remove some first"):
        visitor.place("b.png")
    visitor.images = {"0": Kept("0", "a", tmp_path / "a", visitors.BYTES)}
    with pytest.raises(FullError):
        visitor.place("b.png")


def test_a_region_is_cut_to_the_image() -> None:
    assert Say(region=(-10, 20, 100, 600)).box(200, 300) == (0, 20, 90, 280)
    with pytest.raises(HierError, match="region 190,0,50,50"):
        Say(region=(190, 0, 50, 50)).box(200, 300)


# How it begins and ends


def test_ctrl_c_ends_it_and_removes_what_it_kept(tmp_path: Path) -> None:
    with started(tmp_path) as (server, address):
        Browser(address).open().example()
        assert kept_files(tmp_path)
        server.send_signal(signal.SIGINT)
        server.wait(60)
    assert server.returncode == 0
    assert (tmp_path / "errors.txt").read_text(encoding="utf-8").strip() == "stopped"
    assert not kept_files(tmp_path)


def test_a_port_that_is_taken_is_one_line(at: str) -> None:
    port = at.rpartition(":")[2]
    command = [sys.executable, "-m", "hier", "app", "--no-browser", "--port", port]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert f"cannot listen at 127.0.0.1:{port}" in line
    assert f"--port {int(port) + 1}" in line


def test_an_example_is_a_picture_of_its_size() -> None:
    import io

    with Image.open(io.BytesIO(example_png(TILES))) as picture:
        assert picture.size == (SIDE, SIDE)
