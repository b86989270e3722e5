"""Damaged files of every format: each is one line or an image, within ten seconds and two gigabytes.

    python tests/campaign/formats.py --inputs 100000 --seed 1 --out formats.jsonl

Every input is read as `hier predict` reads it; of every few folders of them `hier predict` itself makes a table. An
input is a function of seed and index: `--first INDEX --inputs 1 --keep FOLDER` makes one again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from formats_check import command, read_all
from formats_damage import FOUND, damaged, once_found
from formats_seeds import seeds

BATCH = 200  # files in a folder
SHARE = 5  # of so many folders one is given to the command
SHOWN = 20  # failures that are told


def made(seed: int, index: int, formats: tuple[str, ...] = ()) -> tuple[str, bytes]:
    """The name and the bytes of an input; the first ones are those that did harm before."""
    known = seeds()
    if not formats and index < len(FOUND):
        name, data = once_found(known, index)
        return f"{index:07}-{name}", data
    names = [name for name in known if not formats or Path(name).suffix[1:] in formats]
    name = names[index % len(names)]
    suffix = Path(name).suffix
    random = np.random.default_rng([seed, index])
    others = [other for other in names if Path(other).suffix == suffix]
    other = known[others[int(random.integers(len(others)))]]
    return f"{index:07}-{name}", damaged(known[name], random, suffix, other)


def batch(
    seed: int, first: int, count: int, formats: tuple[str, ...], whole: bool, keep: Path | None
) -> dict[str, Any]:
    """What became of inputs `first` and following: counts, and failures with how to repeat them."""
    folder = Path(tempfile.mkdtemp(prefix="formats-"))
    files = folder / "files"
    files.mkdir()
    try:
        for index in range(first, first + count):
            name, data = made(seed, index, formats)
            (files / name).write_bytes(data)
        counts, failures = read_all(sorted(files.iterdir()))
        if whole:
            rows, more = command(files, folder / "rows.jsonl")
            counts.update(rows)
            failures += more
        if keep is not None:
            shutil.copytree(files, keep, dirs_exist_ok=True)
    finally:
        shutil.rmtree(folder)
    return {"counts": dict(counts), "failures": failures}


def campaign(
    inputs: int, seed: int, formats: tuple[str, ...] = (), processes: int = 1, first: int = 0,
    share: int = SHARE, keep: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Counts of all inputs and the failures among them, told on standard error as they come."""
    started, counts, failures, done = time.monotonic(), Counter[str](), [], 0
    starts = range(first, first + inputs, BATCH)
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        jobs = {
            pool.submit(
                batch, seed, start, min(BATCH, first + inputs - start), formats, bool(share) and k % share == 0, keep
            ): start
            for k, start in enumerate(starts)
        }  # fmt: skip
        for job in as_completed(jobs):
            start = jobs[job]
            try:
                found = job.result()
            except BrokenProcessPool:
                found = {"counts": {}, "failures": [{"what": "the process died", "index": start}]}
            counts.update(found["counts"])
            failures += found["failures"]
            done += min(BATCH, first + inputs - start)
            told = f"{done}/{inputs} inputs, {len(failures)} failures, {time.monotonic() - started:.0f} s"
            print(told, file=sys.stderr, flush=True)
    base = f"python tests/campaign/formats.py --seed {seed}" + (f" --formats {','.join(formats)}" if formats else "")
    for failure in failures:
        share_of_one = f"--share {int('files' in failure)}"  # the command is asked about a folder
        failure["repeat"] = f"{base} --first {failure['index']} --inputs {failure.get('files', 1)} {share_of_one}"
    return {
        "part": "formats", "command": f"{base} --inputs {inputs} --share {share}", "inputs": inputs, "seed": seed,
        "failed": len(failures), "failures": failures[:SHOWN], **counts, "seconds": round(time.monotonic() - started),
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--formats", default="", help="suffixes, as in png,h5; all")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="index of the first input")
    parser.add_argument("--share", type=int, default=SHARE, help="one folder of so many to the command; 0: none")
    parser.add_argument("--keep", type=Path, help="folder for the inputs")
    parser.add_argument("--out", type=Path, help="file to which the result is appended")
    given = parser.parse_args()
    formats = tuple(given.formats.split(",")) if given.formats else ()
    found = campaign(given.inputs, given.seed, formats, given.processes, given.first, given.share, given.keep)
    print(json.dumps(found))
    if given.out is not None:
        with given.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(found) + "\n")
    return int(bool(found["failed"]))


if __name__ == "__main__":
    sys.exit(main())
