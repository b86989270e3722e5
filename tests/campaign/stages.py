"""The commands that are stopped: from which files each starts, and what it makes of them."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forked

TINY = {
    "source": ["noise"], "count": 34, "valid_count": 17, "cross_count": 17, "sizes": [64], "augment": False,
    "near_misses": 0, "pasted": 0, "epochs": 2, "tune_epochs": 1, "batch": 16, "backbone": "test_convnext",
}  # fmt: skip
MODEL = "mlruns/models/wallpaper"
NODE = "finer-4"
TRAIN = ["train", "--node", NODE, "--config", "tiny.yaml", "--device", "cpu"]
CALIBRATE = ["calibrate", "--model", "model", "--out", "c", "--count", "34", "--source", "noise", "--device", "cpu"]
ASSEMBLE = ["assemble", "--out", "a", "--count", "17", "--calibration", "34", "--device", "cpu"]


@dataclass(frozen=True)
class Stage:
    """A command: its arguments, the state it starts from, and what it makes, without times and what chance names."""

    name: str
    arguments: list[str]
    begins: str
    made: Callable[[Path], Any]

    @property
    def often(self) -> int:
        """How often it is stopped, compared with others: what takes seconds more often than what takes longer."""
        return 1 if self.name in SLOW else 3


def _generate(kind: str, count: int = 34) -> Stage:
    arguments = shlex.split(f"generate --source noise --count {count} --size 64 --shard 10 --format {kind} --out g")
    name = f"generate-{kind}" if count == 34 else "generate-workers"

    def made(folder: Path) -> Any:
        first, *shards = (folder / "g" / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
        return forked.files(folder / "g", ("manifest.jsonl",)), first, sorted({line for line in shards if line})

    return Stage(name, arguments, "bare", made)


def _rows(file: Path) -> list[str]:
    return sorted(file.read_text(encoding="utf-8").splitlines())


def _trained(folder: Path) -> Any:
    card = folder / MODEL / "wallpaper.json"
    nodes = sorted((folder / "mlruns" / "work").glob("*/nodes/*.json"))
    return {
        "weights": forked.weights(card), "nodes": {node.name: forked.weights(node) for node in nodes},
        "records": forked.records(folder / "mlruns"),
    }  # fmt: skip


def _map(folder: Path) -> Any:
    import numpy as np

    with np.load(folder / "m.npz") as arrays:
        return {name: arrays[name].tobytes() for name in arrays.files} | forked.files(folder, ("m.npz",))


def _bundle(folder: Path) -> Any:
    (card,) = folder.glob("*.json")
    about = json.loads(card.read_text(encoding="utf-8"))
    temperatures = {name: node["temperature"] for name, node in about["nodes"].items()}
    return {"weights": forked.weights(card), "temperatures": temperatures, "routing": about["routing"]}


def _calibrated(folder: Path) -> Any:
    return {**_bundle(folder / "c"), "picture": forked.files(folder / "c", ("wallpaper.json", "wallpaper.safetensors"))}


def _assembled(folder: Path) -> Any:
    return {**_bundle(folder / "a"), "records": forked.records(folder / "mlruns")}


SLOW = ("train", "first", "generate-workers", "calibrate", "assemble")
ALL = ("bare", "evidence", "trained", "before", "evidence of assembling", "promoted", "model")
STAGES = {
    stage.name: stage
    for stage in (
        Stage("train", TRAIN, "evidence", _trained),
        Stage("first", TRAIN, "bare", _trained),
        *(_generate(kind) for kind in ("png", "npy", "hdf5", "webdataset")),
        _generate("npy", 160),
        Stage("predict-csv", shlex.split("predict images --model model --device cpu --csv t.csv"), "model",
              lambda folder: _rows(folder / "t.csv")),
        Stage("predict-jsonl", shlex.split("predict images --model model --device cpu --jsonl t.jsonl"), "model",
              lambda folder: _rows(folder / "t.jsonl")),
        Stage("map", shlex.split("map field.png --model model --device cpu --window 64 --stride 32 --out m.png"),
              "model", _map),
        Stage("calibrate", CALIBRATE, "model", _calibrated),
        Stage("promote", ["promote", "all"], "trained", lambda folder: forked.records(folder / "mlruns")),
        Stage("assemble", ASSEMBLE, "promoted", _assembled),
    )
}  # fmt: skip


def prepare(chosen: list[str], work: Path, folder: Path) -> dict[str, Path]:
    """The state that each of the chosen commands starts from, made at its place `folder` and kept in `work`."""
    begins = {name: work / STAGES[name].begins for name in chosen}
    if all(state.exists() for state in begins.values()):
        return begins
    needed = {state.name for state in begins.values()}
    for kept in (folder, *(work / name for name in ALL)):
        shutil.rmtree(kept, ignore_errors=True)
    folder.mkdir()
    (folder / "tiny.yaml").write_text(json.dumps(TINY), encoding="utf-8")
    _keep(folder, work / "bare")
    if needed & {"evidence"}:
        _run(folder, TRAIN)
        _without_training(folder)
        _keep(folder, work / "evidence")
    if needed & {"model", "trained", "promoted"}:
        forked.again(folder, work / "bare")
        _run(folder, ["train", "--level", "all", *TRAIN[3:]])
        _keep(folder, work / "trained")
    if "promoted" in needed:
        _run(folder, ["promote", "all"])
        _keep(folder, work / "before")
        _run(folder, ASSEMBLE)  # leaves its evidence
        evidence = work / "evidence of assembling"
        shutil.copytree(folder / "mlruns" / "work" / "evidence", evidence)
        forked.again(folder, work / "before")
        shutil.copytree(evidence, folder / "mlruns" / "work" / "evidence", dirs_exist_ok=True)
        _keep(folder, work / "promoted")
    if "model" in needed:
        _with_model(folder, work)
    return begins


def _with_model(folder: Path, work: Path) -> None:
    forked.again(folder, work / "bare")
    shutil.copytree(work / "trained" / MODEL, folder / "model")
    _run(folder, shlex.split("generate --source noise --count 12 --size 64 --format png --out made"))
    _run(folder, shlex.split("generate --source noise --count 17 --size 192 --format png --out large"))
    (folder / "images").mkdir()
    for file in (folder / "made").rglob("*.png"):
        file.rename(folder / "images" / file.name)
    next((folder / "large").rglob("*.png")).rename(folder / "field.png")
    _run(folder, CALIBRATE)
    for name in ("made", "large", "c"):
        shutil.rmtree(folder / name)
    _without_training(folder)
    _keep(folder, work / "model")


def _without_training(folder: Path) -> None:
    """Evidence alone stays of what a command has left."""
    evidence = folder / "mlruns" / "work" / "evidence"
    evidence.rename(folder / "evidence")
    shutil.rmtree(folder / "mlruns")
    evidence.parent.mkdir(parents=True)
    (folder / "evidence").rename(evidence)


def _keep(folder: Path, state: Path) -> None:
    shutil.copytree(folder, state)


def _run(folder: Path, arguments: list[str]) -> None:
    command = forked.start(arguments, folder)
    code = command.ended(600)
    command.left_alone()
    if code != 0:
        raise SystemExit(f"hier {' '.join(arguments)} fails without a stop:\n{command.said()}")
