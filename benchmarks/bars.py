"""Patterns with info bars, borders and scale bars, as exported micrographs have them: how many answers stay the same.

    python benchmarks/bars.py OUT.jsonl [--photos DIR] [--count 200] [--seed 41] [--kept]

A line of OUT.jsonl tells of one pattern: the group that `hier.load()` gives for it as it is, with a bar (in turn of the
styles below), and with the bar kept (``Reading(cut=False)``) where ``--kept`` asks for that; what was cut from each.
Sources take turns: photographs, if there are any, atoms, noise. Sizes are 320 and 512 px, a third is stored as JPEG.
Lines that are there already are not made again; the summary is printed. The photographs come from the validation split;
seeds below 10**9 are never seen in training.
"""

from __future__ import annotations

import argparse
import io
import json
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hier.datasets import PatternDataset, Pool, split_pool
from hier.pipelines.reading.picture import Reading
from PIL import Image, ImageDraw, ImageFont

import hier

SOURCES = ("photos", "atoms", "noise")
SIZES = (320, 512)
FACES = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSerif", "STIXGeneral")
LINES = (
    "HV 15.00 kV   mag 50 000 x   WD 5.1 mm   det TLD", "EHT = 5.00 kV  Signal A = InLens  Mag = 120.00 K X",
    "200 kV  STEM HAADF  2.5 Mx  12/03/2021", "SU8010 3.0kV 8.2mm x100k SE(U)", "I = 0.5 nA, U = -1.2 V, 4.2 K",
)  # fmt: skip
LENGTHS = ("1 nm", "2 nm", "5 nm", "10 nm", "200 nm", "1 µm", "20 µm", "0.5 mm")
Drawn = Image.Image
Rng = np.random.Generator


@cache
def _face(name: str | None, size: int) -> Any:
    if name is None:
        return ImageFont.load_default(size)
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"), size)


class Pen:
    """What a style draws with: a generator, a typeface for this image."""

    def __init__(self, rng: Rng, faces: tuple[str | None, ...] = FACES) -> None:
        self.rng, self.face = rng, faces[int(rng.integers(len(faces)))]

    def one_of(self, some: Any) -> Any:
        """One of several."""
        return some[int(self.rng.integers(len(some)))]

    def text(self, image: Drawn, at: tuple[float, float], words: str, size: float, ink: int, room: float) -> int:
        """Words with their top left at a place, small enough for a room of so many px; their width."""
        draw = ImageDraw.Draw(image)
        size = max(7, round(size))
        while size > 7 and draw.textlength(words, font=_face(self.face, size)) > room:
            size -= 1
        draw.text(at, words, fill=(ink,) * 3, font=_face(self.face, size))
        return round(draw.textlength(words, font=_face(self.face, size)))


def _grown(image: Drawn, ground: int, left: int = 0, top: int = 0, right: int = 0, bottom: int = 0) -> Drawn:
    made = Image.new("RGB", (image.width + left + right, image.height + top + bottom), (ground,) * 3)
    made.paste(image, (left, top))
    return made


def _height(image: Drawn, pen: Pen) -> int:
    return max(12, round(image.height * pen.rng.uniform(0.05, 0.15)))


def _ink(ground: int) -> int:
    return 255 if ground < 128 else 0


def _info(image: Drawn, pen: Pen, ground: int, at_top: bool = False) -> Drawn:
    """A bar with words at the left and a scale bar with its length at the right."""
    high, width = _height(image, pen), image.width
    made = _grown(image, ground, top=high if at_top else 0, bottom=0 if at_top else high)
    y, ink = 0 if at_top else image.height, _ink(ground)
    pen.text(made, (5, y + 0.25 * high), pen.one_of(LINES), 0.42 * high, ink, 0.6 * width)
    long = int(pen.rng.uniform(0.12, 0.25) * width)
    x, thick = width - long - 8, max(2, high // 12)
    draw = ImageDraw.Draw(made)
    draw.rectangle((x, y + 0.2 * high, x + long, y + 0.2 * high + thick), fill=(ink,) * 3)
    if pen.rng.random() < 0.5:
        for end in (x, x + long):
            draw.line((end, y + 0.12 * high, end, y + 0.3 * high + thick), fill=(ink,) * 3)
    pen.text(made, (x + 0.2 * long, y + 0.45 * high), pen.one_of(LENGTHS), 0.38 * high, ink, long)
    return made


def white_bar(image: Drawn, pen: Pen) -> Drawn:
    """White, below."""
    return _info(image, pen, 255)


def black_bar(image: Drawn, pen: Pen) -> Drawn:
    """Black, below."""
    return _info(image, pen, 0)


def grey_bar(image: Drawn, pen: Pen) -> Drawn:
    """Grey, below."""
    return _info(image, pen, pen.one_of((60, 192, 212)))


def top_bar(image: Drawn, pen: Pen) -> Drawn:
    """White or black, above."""
    return _info(image, pen, pen.one_of((0, 255)), at_top=True)


def two_bars(image: Drawn, pen: Pen) -> Drawn:
    """One above and one below."""
    ground = pen.one_of((0, 255))
    return _info(_info(image, pen, ground, at_top=True), pen, ground)


def fields(image: Drawn, pen: Pen) -> Drawn:
    """An instrument's line of several fields, a name above a value in each, ruled off; a logo at an end."""
    high, width, ground = _height(image, pen), image.width, pen.one_of((0, 255, 230))
    made, ink, y = _grown(image, ground, bottom=high), _ink(ground), image.height
    draw = ImageDraw.Draw(made)
    names = (("HV", "15.0 kV"), ("mag", "80 000 x"), ("WD", "4.9 mm"), ("det", "ETD"), ("spot", "3.5"), ("HFW", "2 µm"))
    count = int(pen.rng.integers(3, 7))
    step = (width - 1.5 * high) / count
    for k in range(count):
        x = k * step
        pen.text(made, (x + 3, y + 0.08 * high), names[k][0], 0.3 * high, ink, step - 5)
        pen.text(made, (x + 3, y + 0.5 * high), names[k][1], 0.36 * high, ink, step - 5)
        draw.line((x + step - 1, y, x + step - 1, y + high), fill=(ink,) * 3)
    draw.ellipse((width - 1.2 * high, y + 0.15 * high, width - 0.5 * high, y + 0.85 * high), fill=(ink,) * 3)
    if pen.rng.random() < 0.5:
        draw.rectangle((0, y, width - 1, y + high - 1), outline=(ink,) * 3)
    return made


def side_panel(image: Drawn, pen: Pen) -> Drawn:
    """A panel of several lines, at the left or right."""
    wide, ground = round(image.width * pen.rng.uniform(0.1, 0.2)), pen.one_of((0, 255))
    at_left = pen.rng.random() < 0.5
    made = _grown(image, ground, left=wide if at_left else 0, right=0 if at_left else wide)
    x = 0 if at_left else image.width
    for k, words in enumerate(pen.one_of(LINES).split()[: int(pen.rng.integers(2, 8))]):
        pen.text(made, (x + 4, 8 + 1.5 * k * wide / 4), words, wide / 4, _ink(ground), wide - 6)
    return made


def letterbox(image: Drawn, pen: Pen) -> Drawn:
    """Plain borders at one to four sides."""
    sides = pen.rng.permutation(["left", "top", "right", "bottom"])[: int(pen.rng.integers(1, 5))]
    widths = {str(side): int(pen.rng.uniform(0.02, 0.15) * image.width) for side in sides}
    return _grown(image, pen.one_of((0, 255, 128)), **widths)


def framed(image: Drawn, pen: Pen) -> Drawn:
    """An info bar, and a frame around both."""
    rim = int(pen.rng.integers(2, 12))
    return _grown(_info(image, pen, pen.one_of((0, 255))), pen.one_of((0, 255)), rim, rim, rim, rim)


def _corner(image: Drawn, pen: Pen, ink: int, ground: int | None = None) -> Drawn:
    """A scale bar with its length, at a corner, on a box or on the image itself."""
    made = image.copy()
    long, size = int(image.width * pen.rng.uniform(0.12, 0.3)), max(9, int(image.height * pen.rng.uniform(0.03, 0.06)))
    thick, pad = max(2, size // int(pen.rng.integers(2, 5))), int(pen.rng.integers(4, 9))
    high, wide = pad + size + thick + 2 * pad, long + 2 * pad
    margin = int(pen.rng.integers(0, 14)) if ground is not None else int(pen.rng.integers(2, 14))
    x = pen.one_of((margin, image.width - wide - margin))
    y = image.height - high - margin if pen.rng.random() < 0.8 else margin
    draw = ImageDraw.Draw(made)
    if ground is not None:
        draw.rectangle((x, y, x + wide - 1, y + high - 1), fill=(ground,) * 3)
    above = pen.rng.random() < 0.7
    bar = y + pad + (size + pad if above else 0)
    draw.rectangle((x + pad, bar, x + pad + long - 1, bar + thick - 1), fill=(ink,) * 3)
    text = y + pad - size // 4 if above else bar + thick
    pen.text(made, (x + pad + 0.25 * long, text), pen.one_of(LENGTHS), size, ink, 0.75 * long)
    return made


def white_scale(image: Drawn, pen: Pen) -> Drawn:
    """A white scale bar on the image."""
    return _corner(image, pen, 255)


def black_scale(image: Drawn, pen: Pen) -> Drawn:
    """A black scale bar on the image."""
    return _corner(image, pen, 0)


def boxed_scale(image: Drawn, pen: Pen) -> Drawn:
    """A scale bar on a box, white on black or black on white."""
    ink = pen.one_of((0, 255))
    return _corner(image, pen, ink, 255 - ink)


STYLES: dict[str, Callable[[Drawn, Pen], Drawn]] = {
    style.__name__.replace("_", " "): style
    for style in (
        white_bar, black_bar, grey_bar, fields, top_bar, two_bars, side_panel, letterbox, framed, white_scale,
        black_scale, boxed_scale,
    )
}  # fmt: skip


def pattern(index: int, seed: int, pool: Pool | None) -> tuple[Drawn, str, str]:
    """Pattern number `index`, its group and its source."""
    sources = SOURCES if pool is not None else SOURCES[1:]
    source, size = sources[index % len(sources)], SIZES[np.random.default_rng([seed, index, 1]).integers(len(SIZES))]
    made = PatternDataset(source, seed, size, pool=pool)  # type: ignore[arg-type]
    pixels = (made.batch([index])[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    return Image.fromarray(pixels), made.label(index), source


def stored(image: Drawn, quality: int | None) -> Drawn:
    """The image as JPEG of a quality gives it back; as it is without."""
    if quality is None:
        return image
    file = io.BytesIO()
    image.save(file, "jpeg", quality=quality)
    return Image.open(file).convert("RGB")


def styled(
    index: int, seed: int, pool: Pool | None, faces: tuple[str | None, ...] = FACES
) -> tuple[Drawn, Drawn, dict[str, Any]]:
    """Pattern number `index` as it is, with a bar, and what is known of it: made of nothing but the arguments."""
    rng = np.random.default_rng([seed, index])
    image, label, source = pattern(index, seed, pool)
    style = list(STYLES)[index // len(SOURCES) % len(STYLES)]  # each style meets each source
    quality = int(rng.integers(80, 96)) if rng.random() < 1 / 3 else None
    barred = STYLES[style](image, Pen(rng, faces))
    known = {"index": index, "seed": seed, "style": style, "source": source, "truth": label, "quality": quality}
    return stored(image, quality), stored(barred, quality), known


def answered(predictor: hier.Predictor, image: Drawn, reading: Reading) -> tuple[str | None, list[str]]:
    """The group, and what was cut."""
    (found,) = predictor.predict(np.asarray(image), reading)
    return found.group, [str(one) for one in found.left_out]


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How many answers are as without the bar, in all and for each style; how many are right; what was cut wrongly."""
    same = Counter(row["style"] for row in rows if row["group"] == row["plain"])
    count = Counter(row["style"] for row in rows)
    made: dict[str, Any] = {
        "count": len(rows), "as without": same.total() / len(rows),
        "right": sum(row["group"] == row["truth"] for row in rows) / len(rows),
        "right without": sum(row["plain"] == row["truth"] for row in rows) / len(rows),
        "clean patterns cut": sum(bool(row["plain cut"]) for row in rows),
        "not found": sum(not row["cut"] for row in rows),
    }  # fmt: skip
    kept = [row for row in rows if "kept" in row]
    if kept:
        made["kept"] = len(kept)
        made["as without, bars kept"] = sum(row["kept"] == row["plain"] for row in kept) / len(kept)
    return made | {"styles": {name: f"{same[name]} of {n}" for name, n in count.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=41)
    parser.add_argument("--kept", action="store_true", help="answer also as if nothing were cut")
    given = parser.parse_args()
    rows = [json.loads(text) for text in given.out.read_text().splitlines()] if given.out.exists() else []
    rows = [row for row in rows if row["seed"] == given.seed and row["index"] < given.count]
    done = {row["index"] for row in rows}
    pool = None if given.photos is None else split_pool(given.photos, "valid")
    torch.set_num_threads(1)
    predictor = hier.load()
    for index in (k for k in range(given.count) if k not in done):
        plain, barred, row = styled(index, given.seed, pool)
        row["plain"], row["plain cut"] = answered(predictor, plain, Reading())
        row["group"], row["cut"] = answered(predictor, barred, Reading())
        if given.kept:
            row["kept"], _ = answered(predictor, barred, Reading(cut=False))
        with given.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
        rows.append(row)
    print(json.dumps(summary(rows), indent=2))


if __name__ == "__main__":
    main()
