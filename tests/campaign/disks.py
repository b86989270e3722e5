"""Let every command that writes meet a disk that fills, a folder that is read-only, gone, or below a file.

    python tests/campaign/disks.py --inputs 300 --seed 0

A command ends with 0 or 2 and one line, before which a training may tell where its records are kept; what was there
before it is there after it, byte for byte, and of a table all whole rows; nothing unfinished is left. Afterwards the
same command makes all that it makes on a sound disk.
"""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))  # where a test imports this file from elsewhere
from driving import Campaign, Told, beside, forked, hier, pattern, run, untrained

TINY = {
    "source": ["noise"], "count": 34, "valid_count": 17, "cross_count": 17, "sizes": [64], "augment": False,
    "near_misses": 0, "pasted": 0, "epochs": 1, "tune_epochs": 1, "batch": 16, "backbone": "test_convnext",
}  # fmt: skip
IMPORTED = (  # once, rather than in every fork
    "h5py", "mlflow.store.tracking.sqlalchemy_store", "matplotlib.backends.backend_agg",
    "hier.pipelines.answering.many",
    "hier.pipelines.answering.rows", "hier.pipelines.field.plot", "hier.pipelines.generating.export",
    "hier.pipelines.generating.preview", "hier.pipelines.reporting.explained", "hier.pipelines.reporting.overlays",
    "hier.pipelines.reporting.report", "hier.pipelines.training.train",
)  # fmt: skip
FAULTS = ("limit", "limit", "limit", "disk", "disk", "read-only", "below", "vanishes", "/dev/full")
OUT, TABLES = "out", ("t.csv", "t.jsonl")
KEPT = "its records are kept in"  # the one warning that a full disk may bring: MLflow's store is on it


@dataclass(frozen=True)
class Writer:
    """A command, of which every word ``{out}/...`` is a file in the folder that fails."""

    name: str
    words: str
    model: bool = True
    folder: str = OUT
    table: bool = False

    def say(self, out: str | None = None) -> Told:
        words = self.words.replace("{out}", OUT if out is None else out).split()
        return hier(*words, *(("--model", "untrained.json", "--device", "cpu") if self.model else ()))


SMALL = "--source noise --size 64"
EXPORT = "generate --count 20 --shard 8 --out {out}/g --format "
WRITERS = {
    w.name: w for w in (
        Writer("csv", "predict in --csv {out}/t.csv", table=True),
        Writer("jsonl", "predict in --jsonl {out}/t.jsonl", table=True),
        Writer("restart", "predict in --csv {out}/t.csv --restart"),
        Writer("report", "predict in --report {out}/r.html"),
        Writer("overlay", "predict in/a.png --overlay {out}/o.svg"),
        Writer("overlays", "predict in --overlay {out}/{name}.png"),
        Writer("pdf", "predict in/b.png --overlay {out}/o.pdf"),
        Writer("map", "map field.png --window 64 --out {out}/m.png"),
        Writer("explain", "explain in/a.png --out {out}/e.png"),
        Writer("svg", "tree --diagram p4g --out {out}/d.svg", model=False),
        Writer("png", "tree --diagram p6m --out {out}/d.png", model=False),
        Writer("sheet", "generate --groups p2 --cells 4-5 --preview {out}/s.png " + SMALL, model=False),
        *(Writer(f"generate-{kind}", f"{EXPORT}{kind} {SMALL}", model=False)
          for kind in ("png", "npy", "hdf5", "webdataset")),
        Writer("train", "train --node finer-4 --config tiny.yaml --device cpu", model=False, folder="mlruns"),
    )
}  # fmt: skip


def files(folder: Path) -> dict[str, bytes]:
    """What `folder` holds, locks excepted."""
    there = (f for f in folder.rglob("*") if f.is_file() and not f.name.endswith(".lock"))
    return {str(f.relative_to(folder)): f.read_bytes() for f in there}


@contextmanager
def mounted(folder: Path, size: int) -> Iterator[bool]:
    """A small disk at `folder`, with what is there; yields False where none can be mounted."""
    kept = files(folder)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, check=False
    )
    if done.returncode:
        yield False
        return
    try:
        for name, content in kept.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        yield True
        kept = files(folder)
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
    shutil.rmtree(folder)
    for name, content in kept.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def vanishing(writer: Writer, after: int) -> Told:
    """The command, of which the folder is removed when it opens or moves a file there for the n-th time."""
    count = 0
    target = str(Path(writer.folder).absolute())

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event in ("open", "os.rename") and os.path.abspath(os.fsdecode(str(arguments[0]))).startswith(target + "/"):
            count += 1
            if count == after:
                os.rename(target, target + " gone")

    sys.addaudithook(hook)
    return writer.say()


def placed(writer: Writer, whole: dict[str, bytes]) -> None:
    """An earlier output: of a table its first row, of others all."""
    for name, content in whole.items():
        lines = content.splitlines(keepends=True)
        file = Path(writer.folder) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"".join(lines[: len(lines) - 2]) if writer.table else content)


def faulty(writer: Writer, fault: str, rng: random.Random, whole: dict[str, bytes]) -> tuple[Told, str] | None:
    """The command under a fault, and how to repeat it; None where this system cannot make the fault."""
    folder, most = Path(writer.folder), max(map(len, whole.values()))
    folder.mkdir(exist_ok=True)
    match fault:
        case "limit":
            limit = rng.randrange(most)
            return forked(writer.say, limit), f"no file of more than {limit} bytes"
        case "disk":
            size = max(sum(-(-len(c) // 4096) for c in files(folder).values()), rng.randrange(1 + 2 * sum(
                -(-len(c) // 4096) + 1 for c in whole.values()))) + 1  # fmt: skip
            with mounted(folder, 4096 * size) as there:
                return (forked(writer.say), f"a disk of {4 * size} kB") if there else None
        case "read-only":
            with mounted(folder, 2**26) as there:
                if not there:
                    return None
                subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
                return forked(writer.say), fault
        case "below":
            Path("plain").write_text("mine")
            return (forked(lambda: writer.say("plain")), fault) if "{out}" in writer.words else None
        case "vanishes":
            after = rng.randrange(1, 4)
            told = forked(lambda: vanishing(writer, after))
            shutil.rmtree(f"{writer.folder} gone", ignore_errors=True)
            return told, f"the folder is gone at change {after}"
    if not writer.table and writer.name != "report":
        return None
    return forked(
        lambda: Writer("full", writer.words.replace(writer.words.split("{out}")[1], ""), True).say(fault)
    ), fault


def problems(writer: Writer, told: Told, before: dict[str, bytes], whole: dict[str, bytes], fault: str) -> list[str]:
    """What does not hold after the fault."""
    wrong = []
    after = files(Path(writer.folder))
    if told.code not in (0, 2):
        wrong.append(f"exit code {told.code}: {told.err[-400:]}")
    if "Traceback" in told.err:
        wrong.append("a traceback")
    lines = [line for line in told.err.splitlines() if line.startswith("hier: ")]
    warnings = [line for line in lines[:-1] if KEPT in line]
    if told.code == 2 and (len(lines) != 1 + len(warnings) or len(warnings) > (writer.name == "train")):
        wrong.append(f"{len(lines)} lines of error: {told.err[-400:]}")
    if writer.name == "train":
        return wrong
    if stray := set(after) - set(whole):
        wrong.append(f"left behind: {sorted(stray)}")
    if fault == "vanishes":
        return wrong
    for name, content in after.items():
        if name in TABLES:
            kept = content.startswith(before.get(name, b"")) or writer.name == "restart"
            found, all_of_them = rows(name, content), rows(name, whole[name])
            known = kept and found == all_of_them[: len(found)] and content.endswith((b"\n", b""))
        else:
            known = content in (before.get(name), whole.get(name)) or name == "g/manifest.jsonl"
        if not known:
            wrong.append(f"{name} is neither what it was nor what it becomes")
    if missing := set(before) - set(after):
        wrong.append(f"gone: {sorted(missing)}")
    if told.code == 0 and fault not in ("/dev/full", "below") and not same(after, whole):
        wrong.append("exit code 0, but the output is not whole")
    if fault in ("/dev/full", "below") and told.code != 2:
        wrong.append(f"exit code {told.code}")
    return wrong


def complete(writer: Writer, whole: dict[str, bytes]) -> list[str]:
    """The command again, on a sound disk: what is wrong then."""
    Path(writer.folder).mkdir(exist_ok=True)
    again = forked(writer.say)
    if again.code != 0:
        return [f"the same command again ends with {again.code}: {again.err[-400:]}"]
    after = files(Path(writer.folder))
    if writer.name == "train":
        return [f"not made: {m}" for m in whole if m.startswith("models/") and m not in after]
    return [] if same(after, whole) else ["the same command again does not make the same"]


def same(one: dict[str, bytes], other: dict[str, bytes]) -> bool:
    """Whether two folders hold the same; tables the same images and answers, as last digits depend on the batch."""
    plain = [{name: content for name, content in files.items() if name not in TABLES} for files in (one, other)]
    tables = [{name: rows(name, files[name]) for name in TABLES if name in files} for files in (one, other)]
    return plain[0] == plain[1] and tables[0] == tables[1]


def rows(name: str, content: bytes) -> list[list[str]]:
    """The images of a table and their answers."""
    lines = content.decode().splitlines()
    table = csv.DictReader(lines) if name == "t.csv" else map(json.loads, lines)
    return [[row["file"], row["group"]] for row in table]


def prepared(folder: Path) -> None:
    """The files that the commands read."""
    untrained(folder)
    (folder / "in").mkdir()
    for name, period in (("a", 12.0), ("b", 9.0), ("c", 16.0)):
        pattern(64, period).save(folder / "in" / f"{name}.png")
    pattern(128).save(folder / "field.png")
    Image.open(folder / "field.png").load()
    (folder / "tiny.yaml").write_text(json.dumps(TINY), encoding="utf-8")


def play(campaign: Campaign, inputs: int, rng: random.Random, commands: Sequence[str] = tuple(WRITERS)) -> None:
    """`inputs` commands with a fault each, from an empty folder or from the output of before."""
    import torch

    torch.set_num_threads(1)  # threads do not survive a fork
    for module in IMPORTED:
        import_module(module)
    wholes: dict[str, dict[str, bytes]] = {}
    pairs = [(name, fault) for fault in dict.fromkeys(FAULTS) for name in commands]
    rng.shuffle(pairs)
    with beside() as folder:
        prepared(folder)
        for i in range(inputs):
            name, fault = pairs[i] if i < len(pairs) else (rng.choice(commands), rng.choice(FAULTS))
            writer = WRITERS[name]
            if name not in wholes:
                shutil.rmtree(writer.folder, ignore_errors=True)
                Path(writer.folder).mkdir()
                told = forked(writer.say)
                wholes[name] = files(Path(writer.folder))
                if told.code != 0 or not wholes[name]:
                    raise SystemExit(f"{name} fails on a sound disk: {told}")
            shutil.rmtree(writer.folder, ignore_errors=True)
            if rng.random() < 0.5 and name != "train":
                placed(writer, wholes[name])
            before = files(Path(writer.folder))
            made = faulty(writer, fault, rng, wholes[name])
            if made is None:
                campaign.counts[f"{fault} cannot be made for {name}"] += 1
                continue
            told, how = made
            wrong = problems(writer, told, before, wholes[name], fault) + complete(writer, wholes[name])
            campaign.tell(f"{name}, {fault}", wrong, how=how, from_before=bool(before), index=i)
            print(f"\r{i + 1}/{inputs}, {len(campaign.failures)} failed", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    run("disks", 300, play, tuple(WRITERS), __doc__.splitlines()[0])
