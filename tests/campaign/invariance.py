"""What must not change an answer: batch, order, threads, processes, turns, mirrors, grey values, formats, size.

``python tests/campaign/invariance.py --inputs 500 --seed 0`` asks for patterns of all sources, each changed in every
way. Each pattern is first a picture of 8 bits; its answer is compared with those of its changes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hier.datasets import SOURCES, PatternDataset
from numpy.typing import NDArray
from PIL import Image

import hier

Array = NDArray[Any]
Found = tuple[str | None, float, float, float, float]  # group, its probability, lengths and area of the cell
SIZE, CHUNK = 192, 20
SHARE, LENGTH, AREA, SAME = 0.998, 0.002, 0.004, 1e-4  # the least share of equal groups; relative changes; probability


def through(values: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """A change of grey values between 0 and 1, of a picture of 8 bits."""
    return lambda image: np.round(255 * values(image / 255)).clip(0, 255).astype(np.uint8)


def jpeg(image: Array) -> Array:
    """The picture after a JPEG file of quality 90."""
    file = BytesIO()
    Image.fromarray(image).save(file, "jpeg", quality=90)
    return np.asarray(Image.open(file))


def doubled(image: Array) -> Array:
    """The picture at twice the size."""
    high, wide = image.shape[:2]
    return np.asarray(Image.fromarray(image).resize((2 * wide, 2 * high), Image.Resampling.BICUBIC))


CHANGES: dict[str, Callable[[Array], Array]] = {
    "turned by 90 degrees": lambda image: np.rot90(image).copy(),
    "turned by 180 degrees": lambda image: np.rot90(image, 2).copy(),
    "turned by 270 degrees": lambda image: np.rot90(image, 3).copy(),
    "mirrored": lambda image: image[:, ::-1].copy(),
    "inverted": lambda image: 255 - image,
    "gain 0.5": through(lambda x: 0.25 + 0.5 * x),
    "gamma 0.5": through(lambda x: x**0.5),
    "gamma 2": through(lambda x: x**2),
    "16 bits": lambda image: image.astype(np.uint16) * 257,
    "32-bit floats": lambda image: (image / 255).astype(np.float32),
    "64-bit floats, scaled": lambda image: image * 1e-9 - 4e-8,
    "channels first": lambda image: np.moveaxis(image, -1, 0).copy(),
    "JPEG 90": jpeg,
    "doubled size": doubled,
    "colour to grey": lambda image: np.asarray(Image.fromarray(image).convert("L")),
}
EXACT = ("32-bit floats", "channels first", "alone", "in another order", "in one thread", "in a process")


def patterns(count: int, seed: int) -> Iterator[list[Array]]:
    """Pictures of 8 bits, a chunk at a time, of all sources and groups."""
    for start in range(0, count, CHUNK):
        number = min(CHUNK, count - start)
        dataset = PatternDataset(SOURCES[start // CHUNK % len(SOURCES)], seed, SIZE)
        images = dataset.batch(range(start, start + number)).permute(0, 2, 3, 1).numpy()
        yield list(np.round(255 * images).astype(np.uint8))


def answers(model: Any, images: list[Array]) -> list[Found]:
    """What is found in each."""
    return [_found(p.as_dict()) for p in model.predict(images)]


def _found(row: dict[str, Any]) -> Found:
    cell = row["lattice"] or {"a": 0.0, "b": 0.0, "gamma": 90.0}
    short, long = sorted((cell["a"], cell["b"]))
    return row["group"], row["probability"], short, long, short * long * float(np.sin(np.radians(cell["gamma"])))


def elsewhere(images: list[Array]) -> list[Found]:
    """What the command finds, in a process of its own and with one thread."""
    with tempfile.TemporaryDirectory() as folder:
        for k, image in enumerate(images):
            Image.fromarray(image).save(Path(folder, f"{k:03}.png"))
        command = [sys.executable, "-m", "hier", "predict", folder, "--json", "--device", "cpu"]
        done = subprocess.run(command, capture_output=True, check=True, text=True)
    return [_found(row) for row in json.loads(done.stdout)]


def in_one_thread(model: Any, images: list[Array]) -> list[Found]:
    """What is found with one thread, where the others had several."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if threads > 1 else 2)
    try:
        return answers(model, images)
    finally:
        torch.set_num_threads(threads)


def compared(before: Found, after: Found, change: str) -> str | None:
    """What differs beyond what may: "group", "cell" or "probability"."""
    if before[0] != after[0]:
        return "group"
    scale = 2.0 if change == "doubled size" else 1.0
    for old, new, most in zip(before[2:], after[2:], (LENGTH, LENGTH, AREA), strict=True):
        if abs(new / scale ** (1 if most == LENGTH else 2) - old) > most * max(old, 1e-9):
            return "cell"
    return "probability" if change in EXACT and abs(before[1] - after[1]) > SAME else None


def run(count: int, seed: int, say: Callable[[str], object] = lambda line: None) -> dict[str, Any]:
    """Compare every change of `count` patterns; counts, and the first differences."""
    model = hier.load(device="cpu")
    asked, different, failures = Counter[str](), Counter[tuple[str, str]](), []
    for chunk, images in enumerate(patterns(count, seed)):
        before = answers(model, images)
        after = {name: answers(model, [change(image) for image in images]) for name, change in CHANGES.items()}
        after["alone"] = [answers(model, [image])[0] for image in images]
        after["in another order"] = answers(model, images[::-1])[::-1]
        after["in one thread"] = in_one_thread(model, images)
        if chunk % 5 == 0:
            after["in a process"] = elsewhere(images)
        for name, found in after.items():
            for k, (old, new) in enumerate(zip(before, found, strict=True)):
                asked[name] += 1
                if what := compared(old, new, name):
                    different[name, what] += 1
                    failures.append({"pattern": chunk * CHUNK + k, "change": name, "what": what, "was": old, "is": new})
        say(f"{chunk * CHUNK + len(images)} of {count} patterns, {sum(different.values())} differences")
    groups = sum(n for (_, what), n in different.items() if what == "group")
    total = sum(asked.values())
    return {
        "part": "invariance", "command": f"python tests/campaign/invariance.py --inputs {count} --seed {seed}",
        "inputs": count, "comparisons": total, "failed": sum(different.values()),
        "same group": 1 - groups / total,
        "different": {f"{name}: {what}": n for (name, what), n in sorted(different.items())},
        "failures": sorted(failures, key=lambda failure: failure["what"] == "cell")[:20],  # groups before cells
        "held": groups <= (1 - SHARE) * total and not any(what == "probability" for _, what in different),
    }  # fmt: skip


def main() -> None:
    """Run it as the command line says, print one JSON object, and fail where it does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="append the result to this file too")
    given = parser.parse_args()
    found = run(given.inputs, given.seed, lambda line: print(line, file=sys.stderr, flush=True))
    print(json.dumps(found))
    if given.out:
        with given.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(found) + "\n")
    sys.exit(not found["held"])


if __name__ == "__main__":
    main()
