"""The command line as people use it: answers, exit codes, and one clear line for every mistake."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hier.datasets import PatternDataset
from hier.hierarchy import GROUP_NAMES, load_tree
from PIL import Image

from hier.cli.app import main

PLAIN = os.environ | {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"}


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


Command = Callable[..., Outcome]


@pytest.fixture
def hier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """`hier ARGUMENTS` in an empty folder, within this process."""
    for name in ("NO_COLOR", "TERM", "COLUMNS"):
        monkeypatch.setenv(name, PLAIN[name])
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["hier", *map(str, arguments)])
        capfd.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        return Outcome(code, *capfd.readouterr())

    return run


def refused(outcome: Outcome, *parts: str) -> str:
    """The one line with which a mistake is answered."""
    lines = [line for line in outcome.err.splitlines() if line.startswith("hier: ")]
    assert outcome.code == 2, outcome.err
    assert len(lines) == 1, outcome.err
    assert "Traceback" not in outcome.err + outcome.out
    for part in parts:
        assert part in lines[0]
    return lines[0]


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three good images, two of them of one size, and five that cannot be used."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for name, size in {"a": (96, 96), "b": (80, 120), "c": (96, 96)}.items():
        Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8)).save(folder / f"{name}.png")
    (folder / "[").mkdir()
    shutil.copy(folder / "a.png", folder / "[" / "b] [1].png")  # rich would read [/b] as markup
    raw = (folder / "a.png").read_bytes()
    (folder / "cut.png").write_bytes(raw[: len(raw) // 2])
    (folder / "empty.png").touch()
    (folder / "text.jpg").write_text("no image")
    Image.new("L", (64, 64), 7).save(folder / "flat.png")
    (folder / "folder.png").mkdir()
    return {p.name: p for p in folder.rglob("*.*")} | {"missing.png": folder / "missing.png"}


BAD = ("cut.png", "empty.png", "text.jpg", "flat.png", "folder.png", "missing.png")


def test_tree_shows_every_level_node_and_label(hier: Command) -> None:
    for name in ("wallpaper", "paper"):
        shown = hier("tree", name)
        assert shown.code == 0
        tree = load_tree(name)
        for word in (*tree.levels, *tree.nodes, *tree.labels):
            assert re.search(rf"\b{re.escape(word)}\b", shown.out), word


def test_the_package_runs_as_the_command_does() -> None:
    told = subprocess.run([sys.executable, "-m", "hier", "tree", "nowhere"], capture_output=True, text=True)
    assert told.returncode == 2
    assert told.stderr.startswith("hier: unknown tree 'nowhere'")


def test_tree_as_json_is_a_tree_that_can_be_given_back(hier: Command) -> None:
    printed = hier("tree", "--json")
    assert json.loads(printed.out)["name"] == "wallpaper"
    Path("again.yaml").write_text(printed.out)  # JSON is YAML
    again = hier("tree", "again.yaml", "--json")
    assert json.loads(again.out) == json.loads(printed.out)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("walpaper", ("unknown tree 'walpaper'", "did you mean wallpaper")),
        ("nowhere.yaml", ("nowhere.yaml: no such file",)),
        ("empty.yaml", ("empty.yaml", "empty")),
        ("wrong.yaml", ("wrong.yaml", "node 'turn'", "levle")),
    ],
)
def test_trees_that_cannot_be_used(hier: Command, name: str, parts: tuple[str, ...]) -> None:
    Path("empty.yaml").touch()
    Path("wrong.yaml").write_text(
        "name: x\nroot: {name: turn, level: a, levle: b, children: {one: p1, two: p2}}", encoding="utf-8"
    )
    refused(hier("tree", name), *parts)


def test_predict_answers_good_images_beside_bad_ones(hier: Command, card_path: Path, images: dict[str, Path]) -> None:
    order = ["a.png", "cut.png", "b.png", "empty.png", "text.jpg", "c.png", "flat.png", "folder.png", "missing.png"]
    order += ["a.png", "b] [1].png"]
    given = [images[name] for name in order]
    told = hier("predict", *given, "--json", "--model", card_path, "--device", "cpu")
    assert told.code == 2
    rows = json.loads(told.out)
    assert [row["file"] for row in rows] == [str(path) for path in given]
    for name, row in zip(order, rows, strict=True):
        if name in BAD:
            assert set(row) == {"file", "error"}
            continue
        assert row["periodic"] is True
        assert row["group"] == max(row["groups"], key=row["groups"].get)
        assert row["groups"][row["group"]] == pytest.approx(row["probability"])
        assert list(row["groups"]) == list(GROUP_NAMES)
        assert sum(row["groups"].values()) == pytest.approx(1, abs=1e-4)
        assert np.prod([step["probability"] for step in row["path"]]) == pytest.approx(row["probability"], rel=1e-3)
        for step in row["path"]:
            assert set(step) == {"node", "level", "choice", "probability", "choices"}
            assert step["choices"][step["choice"]] == pytest.approx(step["probability"])
            assert sum(step["choices"].values()) == pytest.approx(1, abs=1e-4)
        assert {"a", "b", "system"} <= set(row["lattice"])
    first, again, renamed = (rows[i] for i in (0, 9, 10))
    assert first["groups"] == pytest.approx(again["groups"], abs=1e-4)
    assert first["groups"] == pytest.approx(renamed["groups"], abs=1e-4)
    lines = told.err.splitlines()
    assert [line.split(": ")[1] for line in lines] == [str(images[name]) for name in order if name in BAD]
    assert all(line.startswith("hier: ") for line in lines)


def test_predict_shows_a_panel_for_every_image_it_can_read(
    hier: Command, card_path: Path, images: dict[str, Path]
) -> None:
    odd = images["b] [1].png"]
    shown = hier("predict", images["a.png"], images["cut.png"], odd, "--model", card_path, "--device", "cpu")
    assert shown.code == 2
    for word in ("a.png", "rotation", "%", "cell", "px", odd.name):
        assert word in shown.out
    assert "cut.png" not in shown.out
    assert refused(shown, "cut.png", "damaged")


def test_the_answer_to_an_image_does_not_depend_on_the_others(
    hier: Command, card_path: Path, images: dict[str, Path]
) -> None:
    options = ("--json", "--model", card_path, "--device", "cpu")
    (alone,) = json.loads(hier("predict", images["c.png"], *options).out)
    together = json.loads(hier("predict", images["a.png"], images["b.png"], images["c.png"], *options).out)[2]
    assert alone["groups"] == pytest.approx(together["groups"], abs=1e-3)
    for length in ("a", "b", "gamma"):
        assert alone["lattice"][length] == pytest.approx(together["lattice"][length], rel=1e-3)


MISTAKES: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
    (("predict", "a.png", "--model", "nowhere"), ("no model at nowhere",)),
    (("predict", "a.png", "--model", "."), ("holds 0 model cards",)),
    (("predict", "a.png", "--device", "gpu"), ("device 'gpu'",)),
    (("predict", "a.png", "--device", "cuda:77"), ("device 'cuda:77'",)),
    (("predict", "a.png", "--device", "meta"), ("device 'meta'",)),
    (("predict", "a.png", "--router", "sof"), ("unknown router 'sof'", "did you mean soft?")),
    (("evaluate", "--source", "atom"), ("unknown source 'atom'", "did you mean atoms?")),
    (("calibrate",), ("refusing to overwrite the bundled model", "--out")),
    (("calibrate", "--source", "atom", "--out", "x"), ("unknown source 'atom'", "did you mean atoms?")),
    (("calibrate", "--out", "x", "--photos", "nowhere"), ("nowhere", "--photos")),
    (("evaluate", "--router", "stack"), ("'stack' is not fitted", "hier calibrate")),
    (("evaluate", "--router", "flat"), ("'flat' needs a flat head", "hier train --level all")),
    (("evaluate", "--source", "photo"), ("unknown source 'photo'",)),
    (("evaluate", "--router", "xyz"), ("unknown router 'xyz'", "soft, hard")),
    (("evaluate", "--orientation", "up"), ("unknown orientation 'up'",)),
    (("evaluate", "--corrupt", "fog=3"), ("unknown corruption 'fog'",)),
    (("evaluate", "--corrupt", "blur=9"), ("blur=9", "0 to 5")),
    (("evaluate", "--corrupt", "blur"), ("blur", "NAME=SEVERITY")),
    (("evaluate", "--photos", "nowhere"), ("nowhere", "--photos")),
    (("evaluate", "nowhere"), ("no image in nowhere",)),
    (("evaluate", "labelled"), ("'p5'", "labelled")),
    (("evaluate", "table"), ("table/labels.csv, row 2", "'p5'", "none if not periodic")),
    (("evaluate", "broken"), ("none of the 1 images", "bad.png")),
    (("train",), ("nothing to train", "--level", "rotation")),
    (("train", "--level", "rotatoin"), ("unknown level 'rotatoin'", "did you mean rotation?")),
    (("train", "--level", "gate"), ("unknown level 'gate'",)),
    (("train", "--node", "finer-3x"), ("unknown node 'finer-3x'", "finer-3")),
    (("train", "--level", "finer", "--tree", "papr"), ("unknown tree 'papr'", "paper")),
    (("train", "--level", "finer", "--source", "atom"), ("source", "'atom'", "'atoms'")),
    (("train", "--level", "finer", "--count", "3"), ("count = 3", "17")),
    (("train", "--level", "finer", "--epochs", "0"), ("epochs = 0",)),
    (("train", "--level", "finer", "--backbone", "resnet81"), ("'resnet81'", "resnet18")),
    (("train", "--level", "finer", "--device", "tpu9"), ("device 'tpu9'",)),
    (("train", "--level", "finer", "--photos", "nowhere"), ("nowhere", "--photos")),
    (("train", "--level", "finer", "--photos", "broken/p1"), ("broken/p1",)),
    (("train", "--level", "finer", "--config", "none.yaml"), ("none.yaml",)),
    (("train", "--level", "finer", "--config", "key.yaml"), ("key.yaml", "unknown key 'cuont'", "count")),
    (("train", "--level", "finer", "--config", "value.yaml"), ("value.yaml", "lr", "'fast'")),
    (("train", "--level", "finer", "--config", "list.yaml"), ("list.yaml", "keys with values")),
    (("train", "--level", "finer", "--config", "broken.yaml"), ("broken.yaml", "YAML")),
    (("train", "--level", "finer", "--config", "."), ("config .",)),
]


@pytest.mark.parametrize(("arguments", "parts"), MISTAKES, ids=lambda v: " ".join(v))
def test_mistakes_are_answered_in_one_line(
    hier: Command, arguments: tuple[str, ...], parts: tuple[str, ...], card_path: Path
) -> None:
    for folder, name in {"labelled": "p5/a.png", "broken": "p1/bad.png", "table": "a.png"}.items():
        (Path(folder) / name).parent.mkdir(parents=True)
        (Path(folder) / name).write_text("no image")
    Path("table/labels.csv").write_text("file,acceptable\na.png,p5\n")
    Path("a.png").write_text("no image")
    files = {"key": "cuont: 3", "value": "lr: fast", "list": "- 1", "broken": "a: [1, 2"}
    for name, text in files.items():
        Path(f"{name}.yaml").write_text(text)
    before = sorted(Path().rglob("*"))
    if arguments[0] == "evaluate":
        arguments = (*arguments, "--model", str(card_path))
    refused(hier(*arguments), *parts)
    assert sorted(Path().rglob("*")) == before, "a mistake must leave nothing behind"


@pytest.mark.parametrize(
    "arguments",
    [
        ("predict",),
        ("predict", "a.png", "--jsn"),
        ("evaluate", "--count", "none"),
        ("evaluate", "--size", "3"),
        ("fly",),
    ],
)
def test_misuse_of_options_is_no_traceback(hier: Command, arguments: tuple[str, ...]) -> None:
    outcome = hier(*arguments)
    assert outcome.code == 2
    assert "Traceback" not in outcome.err


@pytest.mark.slow
def test_evaluate_on_generated_patterns(hier: Command, card_path: Path) -> None:
    options = ("--count", 34, "--seed", 7, "--size", 96, "--json", "--model", card_path, "--device", "cpu")
    told = hier("evaluate", "--source", "atoms", *options)
    assert told.code == 0, told.err
    report = json.loads(told.out)
    assert {"accuracy", "loss", "levels", "nodes", "confusion", "labels", "count"} <= set(report)
    assert report["count"] == np.sum(report["confusion"]) == 34
    assert report["labels"] == list(GROUP_NAMES)
    assert np.array(report["confusion"]).sum(1).tolist() == [2] * 17
    assert report["accuracy"] == pytest.approx(np.trace(report["confusion"]) / 34)
    assert set(report["levels"]) == {"rotation", "reflection", "finer"}
    assert set(report["nodes"]) == set(load_tree("wallpaper").nodes)
    again = json.loads(hier("evaluate", "--source", "atoms", *options).out)
    assert again == report
    hard = json.loads(hier("evaluate", "--source", "atoms", "--router", "hard", *options).out)
    assert hard["nodes"] == report["nodes"]
    assert hard["levels"]["rotation"] == hard["nodes"]["rotation"]  # soft may find a likelier leaf elsewhere
    shown = hier("evaluate", "--source", "atoms", *[o for o in options if o != "--json"])
    assert "group" in shown.out
    assert "34 images" in shown.out


def test_near_misses_are_other_images_than_plain_patterns(hier: Command) -> None:
    options = ("--source", "noise", "--count", 17, "--seed", 7, "--size", 96, "--json", "--device", "cpu")
    plain, near = (json.loads(hier("evaluate", *options, "--near-misses", share).out) for share in (0, 1))
    assert plain["count"] == near["count"] == 17
    assert plain["loss"] != near["loss"]


def test_evaluate_on_a_folder_counts_what_it_can_read(hier: Command, card_path: Path) -> None:
    dataset = PatternDataset("noise", seed=10**9, size=96)
    for i, image in enumerate(dataset.batch(range(17))):
        folder = Path("set") / {"pmm": "p2mm", "p4m": "P4M"}.get(dataset.label(i), dataset.label(i))
        folder.mkdir(parents=True)
        Image.fromarray((255 * image).byte().permute(1, 2, 0).numpy()).save(folder / "x.png")
    Path("set/p1/notes.txt").write_text("not looked at")
    Path("set/p1/bad.png").write_text("no image")
    told = hier("evaluate", "set", "--json", "--model", card_path, "--device", "cpu")
    report = json.loads(told.out)
    assert report["count"] == 17
    assert list(report["errors"]) == ["set/p1/bad.png"]
    assert np.array(report["confusion"]).sum(1).tolist() == [1] * 17
    assert refused(told, "set/p1/bad.png")


def test_evaluate_on_a_table_of_acceptable_groups(hier: Command, card_path: Path, images: dict[str, Path]) -> None:
    """The nodes are untrained, and their gate takes everything for a pattern: `none` is never said."""
    lines = ["file,acceptable,sure", f"a.png,{'|'.join(GROUP_NAMES)},yes", "b.png,none,yes", "gone.png,p1,no"]
    (images["a.png"].parent / "labels.csv").write_text("\n".join(lines))
    options = (images["a.png"].parent, "--model", card_path, "--device", "cpu")
    told = hier("evaluate", *options, "--json")
    report = json.loads(told.out)
    assert [report[k] for k in ("count", "right", "wrong", "refused", "unread")] == [3, 1, 1, 0, 1]
    assert report["sure"]["yes"]["count"] == 2
    assert [m["file"] for m in report["mistakes"]] == ["b.png"]
    refused(told, "gone.png", "no such file")
    shown = hier("evaluate", *options)
    refused(shown, "gone.png")
    for part in (
        "3 images",
        "sure: yes",
        "sure: no",
        "wrong answers, 1 of 1",
        "b.png",
        report["mistakes"][0]["answer"],
    ):
        assert part in shown.out


def test_an_interruption_is_told_from_an_error(hier: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hier.hierarchy.load_tree", interrupt)
    outcome = hier("tree")
    assert outcome.code == 130
    assert outcome.err.startswith("hier: interrupted")


def test_version(hier: Command) -> None:
    from importlib.metadata import version

    assert hier("--version").out == f"hier {version('hier')}\n"


def test_help_waits_for_nothing_heavy() -> None:
    code = "import sys; sys.argv = ['hier', '--help']\nfrom hier.cli.app import main\n"
    code += "try: main()\nexcept SystemExit: pass\n"
    code += "print(sorted(set(m.partition('.')[0] for m in sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=PLAIN, check=True)
    for command in ("predict", "train", "evaluate", "tree", "ui"):
        assert command in done.stdout
    heavy = ("torch", "timm", "mlflow", "sklearn", "skimage", "numpy", "networkx", "pydantic", "PIL")
    assert not [name for name in heavy if f"'{name}'" in done.stderr]


def test_the_installed_command_answers(tmp_path: Path, card_path: Path, images: dict[str, Path]) -> None:
    command = [sys.executable, "-c", "from hier.cli.app import main; main()"]
    done = subprocess.run(
        [*command, "predict", images["a.png"], images["empty.png"], "--json", "--model", card_path],
        capture_output=True, text=True, env=PLAIN, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert [set(row) >= {"group"} for row in json.loads(done.stdout)] == [True, False]
    assert done.stderr == f"hier: {images['empty.png']}: the file is empty\n"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("predict a.png --router sof", "did you mean soft"),
        ("predict a.png --rectify afine", "did you mean affine"),
        ("predict a.png --metric foo", "known: auto, known, unknown"),
        ("predict a.png --group p5", "--group p5: unknown wallpaper group"),
        ("predict a.png --basis 1,2", "--basis 1,2: give 4 numbers"),
        ("predict a.png --pixel-size 3parsec", "give a length such as 0.02nm"),
        ("predict a.png --crop 1,2", "give X,Y,W,H"),
        ("predict a.png --range 5/3", "--range 5/3"),
        ("predict a.png --overlay a.jpg", "kind of overlay"),
        ("predict a.png --size 85", "are for --overlay"),
        ("predict missing.png", "missing.png: no such file"),
        ("map missing.png", "missing.png: no such file"),
        ("map a.png --rectify affine", "known: auto, none"),
        ("map a.png --out a.jpg", ".png, .svg, .pdf"),
        ("explain missing.png", "missing.png: no such file"),
        ("explain a.png --out a.jpg", "kind of picture"),
    ],
)
def test_a_typo_is_told_before_torch_is_imported(command: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    code = f"import sys; sys.argv = {['hier', *command.split()]}\nfrom hier.cli.app import main\n"
    code += "try: main()\nfinally: print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("kind", ["broken", "missing"])
def test_a_torchvision_of_another_torch_is_told_with_the_remedy(kind: str, tmp_path: Path) -> None:
    """As the package index's torchvision fails under a CPU build of torch, or where there is none."""
    reason = {
        "broken": "RuntimeError('operator torchvision::nms does not exist')",
        "missing": "ModuleNotFoundError(\"No module named 'torchvision'\")",
    }[kind]
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(f"raise {reason}\n", encoding="utf-8")
    words = ["hier", "train", "--level", "rotation", "--count", "17"]  # the bundled model answers without torchvision
    code = f"import sys; sys.argv = {words}\nfrom hier.cli.app import main\nmain()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "install both from the same place" in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["predict", "a.png", "--device", "gpu"], "unknown device 'gpu': torch calls cards of NVIDIA and AMD cuda"),
        (["train", "--level", "all", "--device", "cuda0"], "unknown device 'cuda0': did you mean cuda"),
        (["generate", "--out", "x", "--device", "0"], "unknown device '0': known: auto, cpu, cuda"),
        (["predict", "a.png", "--model", "nowhere"], "no model at nowhere: train one"),
        (["evaluate", "a", "--model", "nowhere"], "no model at nowhere: train one"),
        (["map", "a.png", "--window", "5"], "--window 5: give 32 to 512 px"),
        (["map", "a.png", "--window", "64", "--stride", "100"], "--stride 100: give 1 to 64 px"),
    ],
)
def test_mistakes_are_told_before_torch_is_imported(words: list[str], told: str, tmp_path: Path) -> None:
    Image.new("L", (64, 64)).save(tmp_path / "a.png")
    code = f"import sys; sys.modules['torch'] = None; sys.argv = {['hier', *words]}; import hier.cli.app as a; a.main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"hier: {told}"), done.stderr
