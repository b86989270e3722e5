"""Drive hostile names through every command and every output.

    python tests/campaign/names.py --inputs 500 --seed 0

Names of files, folders, data sets, channels, labels, models and options hold control characters, bytes that are not
UTF-8, formulas, markup and mathematics; outputs are UTF-8, cp1252 or ASCII. A command ends with 0 or 2 and without a
traceback; what it prints holds no control character and no line that a name forged; tables give the names back;
pictures and pages can be read.
"""

from __future__ import annotations

import csv
import json
import os
import random
import struct
import sys
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from unicodedata import category
from xml.etree import ElementTree

import numpy as np
import yaml
from hier.hierarchy import GROUP_NAMES
from hier.hierarchy.names import from_table, in_table
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))  # where a test imports this file from elsewhere
from driving import Campaign, Told, beside, hier, pattern, run, untrained

FORGED = "hier: all is well"
NAMES = [os.fsdecode(name) if isinstance(name, bytes) else name for name in (
    "plain", b"caf\xe9", b"\xff\xfe\x80", "電子", "Größe °", "a b,c;d", "quo\"te'", "[bold]x", "[/x][red]", "[link=x]y",
    "tab\there", "back\\slash", "-dash", "--option", "100%s%n{0}{name}", r"$\frac$", "$x$ $", r"\$x", "^_{x}$",
    "new\nline", f"\n{FORGED}", f"x\r\n{FORGED}", f"x\r{FORGED}", f"x\x85{FORGED}", f"x\u2028{FORGED}",
    "\x1b[2J\x1b[31mred", "\x1b]0;title\x07", "\x9b31m", "\x08\x08\x7f", "=cmd|' C calc'!A0", "+1", "-1+2", "@SUM(1)",
    "\t=1", "'=1", "''=1", " =1", "＝1", "<script>alert(1)<b>&amp;", "\u202egnp", "\u200bzero\ufeffbom", "\ue000\ufffe",
    "\U0001f600 e\u0301", r"\x0a\udce9\x5c", " lead trail ", "x" * 200, "~", "*?[a]", "a::b", "%2e%2e", "null",
    "#c: [d",
)]  # fmt: skip
ENCODINGS = ("utf-8", "utf-8", "cp1252", "ascii")
TREE = {"name": "t", "root": {"name": "a", "level": "l", "question": "", "children": {"x": "p1", "y": "p2"}}}


class Case:
    """One command with one name: `say` runs it in this folder, `wrong` gathers what does not hold."""

    def __init__(self, name: str, encoding: str, card: Path) -> None:
        self.name, self.encoding, self.wrong = name, encoding, list[str]()
        self.file = name.replace("/", "-")
        self.model = ("--model", card, "--device", "cpu")

    def hold(self, holds: bool, what: str) -> None:
        if not holds:
            self.wrong.append(what)

    def say(self, *arguments: object, codes: Sequence[int] = (0, 2), given: bytes = b"") -> Told:
        told = hier(*arguments, encoding=self.encoding, given=given)
        self.hold(told.code in codes, f"exit code {told.code} of {arguments[:3]!r}: {told.err[-300:]!r}")
        self.hold("Traceback" not in told.err, "a traceback")
        for text in (told.out, told.err):
            bad = {c for c in text if category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") and c != "\n"}
            self.hold(not bad, f"prints {sorted(bad)!r}")
            lines = [line for line in text.splitlines() if line.startswith(FORGED)]
            self.hold(not lines, f"forged {lines!r}")
        return told

    def image(self, suffix: str = ".png", folder: str = "in") -> str:
        """A pattern under the name, in `folder`; its path."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        path = f"{folder}/{self.file}{suffix}"
        pattern().save(path, "png")
        return path


def predict_json(case: Case) -> None:
    path = case.image()
    told = case.say("predict", "in", "--json", *case.model, codes=(0,))
    case.hold(told.code != 0 or json.loads(told.out)[0]["file"] == path, "JSON has another name")
    if "\n" not in path and "\r" not in path:
        told = case.say("predict", "-", "--json", *case.model, given=os.fsencode(path) + b"\n")
        case.hold(told.code != 0 or json.loads(told.out)[0]["file"] == path, "a name from standard input is another")


def predict_tables(case: Case) -> None:
    path = case.image()
    told = case.say("predict", "in", "--csv", "t.csv", "--jsonl", "t.jsonl", *case.model, codes=(0,))
    if told.code:
        return
    with Path("t.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    case.hold(from_table(row["file"]) == path, "CSV has another name")
    case.hold(from_table(in_table(case.name)) == case.name, "a cell gives another name back")
    case.hold(in_table(case.name).lstrip("'\t \r\n")[:1] not in "=+-@" or in_table(case.name)[0] == "'", "a formula")
    with Path("t.jsonl").open(encoding="utf-8") as file:
        case.hold([json.loads(line)["file"] for line in file] == [path], "JSON lines have another name")
    told = case.say("predict", "in", "--csv", "t.csv", "--jsonl", "t.jsonl", *case.model, codes=(0,))
    case.hold(told.out.startswith("0 images answered, 1 already there"), f"does not resume: {told.out!r}")


def predict_panels(case: Case) -> None:
    case.image()
    case.image(".bmp.tif", "broken")
    Path(f"broken/{case.file}.bmp.tif").write_bytes(b"II*\0broken")
    told = case.say("predict", "in", "broken", f"none/{case.name}.png", *case.model, codes=(2,))
    case.hold(told.err.count("hier: ") >= 2, "a failure is not told of")


def overlay(case: Case) -> None:
    case.image()
    for target in ("out", "{name}.svg", "{name}.pdf"):
        case.say("predict", "in", "--overlay", target, *case.model, codes=(0,))
    pictures = [*Path("out").iterdir()] if Path("out").is_dir() else []
    case.hold(len(pictures) == 1, "no picture")
    for file in pictures:
        Image.open(file).load()
    for file in Path().glob("*.svg"):
        ElementTree.parse(file)
    case.hold(all(f.read_bytes().startswith(b"%PDF") for f in Path().glob("*.pdf")), "no PDF")


def report(case: Case) -> None:
    case.image()
    case.say("predict", "in", f"none/{case.name}.png", "--report", "r.html", *case.model, codes=(2,))
    text = Path("r.html").read_text(encoding="utf-8")
    tags: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, _: tags.append(tag)  # type: ignore[method-assign, assignment]
    parser.feed(text)
    case.hold(not [c for c in text if category(c) == "Cc" and c != "\n"], "a control character in the page")
    case.hold("script" not in tags and "b" not in tags, f"a tag of the name: {sorted(set(tags))}")


def map_(case: Case) -> None:
    path = case.image()
    case.say("map", path, "--window", 48, *case.model, codes=(0,))
    case.say("map", path, "--window", 48, "--out", f"out {case.file}.png", *case.model, codes=(0, 2))
    for file in Path().glob("*.png"):
        Image.open(file).load()
    for file in Path().glob("*.npz"):
        np.load(file)
    case.say("map", f"none/{case.name}.png", *case.model, codes=(2,))


def explain(case: Case) -> None:
    path = case.image()
    case.say("explain", path, *case.model)
    for suffix in (".png", ".svg", ".pdf", ".txt"):
        case.say("explain", path, "--out", f"{case.file}{suffix}", *case.model)
    case.say("explain", path, "--backbone", case.name, codes=(2,))


def evaluate_folders(case: Case) -> None:
    case.image(folder="p4")
    os.mkdir("set")
    os.rename("p4", "set/p4")
    told = case.say("evaluate", "set", "--json", *case.model, codes=(0,))
    case.hold(told.code != 0 or json.loads(told.out)["count"] == 1, "the image does not count")
    case.say("evaluate", "set", *case.model, codes=(0,))
    os.rename("set/p4", f"set/{case.file}")
    case.say("evaluate", "set", *case.model, codes=(2,))


def evaluate_table(case: Case) -> None:
    case.image()
    with Path("in/labels.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "acceptable", "sure", "kind"])
        table.writerow([in_table(f"{case.file}.png"), "p1", *[in_table(case.name)] * 2])
    told = case.say("evaluate", "in", "--json", *case.model)
    if case.name.strip() == case.name:
        case.hold(told.code == 0 and json.loads(told.out)["unread"] == 0, "the table's name is another")
    case.say("evaluate", "in", *case.model)
    for line in (f"none/{in_table(case.name)},p1", f"a.png,{in_table(case.name)}", f"{in_table(case.name)},p1,,,,,"):
        Path("in/labels.csv").write_text(f"file,acceptable,sure,kind\n{line}\n", encoding="utf-8")
        case.say("evaluate", "in", *case.model, codes=(2,))


def sheet(case: Case) -> None:
    case.image(folder="in/train")
    small = ("--groups", "p2", "--size", 64, "--cells", "4-5", "--preview")
    case.say("generate", *small, f"{case.file}.png", "--photos", "in")
    case.say("generate", *small, f"{case.file}.jpg", "--source", "noise")
    for file in [*Path().glob("*.png"), *Path().glob("*.jpg")]:
        Image.open(file).load()
    for option in ("--photos", "--groups", "--source", "--cells", "--corrupt", "--split"):
        case.say("generate", f"{option}={case.name}", "--preview", "s.png", codes=(2,))
    case.say("generate", f"--format={case.name}", "--out", "g", codes=(2,))


def tree(case: Case) -> None:
    for place in ("name", "question", "level", "choice", "label", "key"):
        made = json.loads(json.dumps(TREE))
        root = made["root"]
        match place:
            case "choice":
                root["children"][case.name] = "p3"
            case "label":
                root["children"]["z"] = case.name
            case "key":
                root[case.name] = "x"
            case _:
                root[place] = case.name
        Path("t.yaml").write_text(yaml.safe_dump(made), encoding="utf-8", errors="surrogatepass")
        case.say("tree", "t.yaml")
        case.say("tree", "t.yaml", "--json")
        case.say("train", "--tree", "t.yaml", "--level", "l", codes=(2,))
    case.say("tree", f"{case.name}.yaml", codes=(2,))
    case.say("tree", "--diagram", case.name, codes=(2,))
    for suffix in (".svg", ".png", ".x"):
        case.say("tree", "--diagram", "p4g", "--out", f"{case.file}{suffix}")


def settings(case: Case) -> None:
    for content in ({case.name: 1}, {"backbone": case.name}, {"source": [case.name]}, [case.name], case.name):
        Path("s.yaml").write_text(yaml.safe_dump(content), encoding="utf-8", errors="surrogatepass")
        case.say("train", "--config", "s.yaml", "--level", "rotation", codes=(2,))
        case.say("benchmark", "--preset", "s.yaml", codes=(2,))
    case.say("train", f"--level={case.name}", codes=(2,))
    case.say("train", f"--node={case.name}", codes=(2,))
    case.say("benchmark", f"--only={case.name}", codes=(2,))


def hdf5(case: Case) -> None:
    import h5py

    pixels = np.asarray(pattern())
    with h5py.File("a.h5", "w") as file:
        try:
            file[f"entry/{case.name}"] = pixels
        except (ValueError, UnicodeError):  # a name that HDF5 does not take either
            return
        file["entry/other"] = pixels
    case.say("predict", "a.h5", *case.model)
    case.say("predict", f"a.h5::/entry/{case.name}", "--json", *case.model)
    case.say("predict", f"a.h5::/entry/{case.name}", "--csv", "t.csv", "--report", "r.html", *case.model)


def channel(case: Case) -> None:
    gwy(Path("a.gwy"), case.name)
    case.say("predict", "a.gwy", *case.model)
    case.say("predict", "a.gwy", f"--channel={case.name}", *case.model)
    case.say("map", "a.gwy", f"--channel=no {case.name}", "--window", 48, *case.model, codes=(2,))


def options(case: Case) -> None:
    path = case.image()
    for option in ("--router", "--raw", "--pixel-size", "--range", "--model", "--page", "--tolerance", "--on"):
        case.say("predict", path, f"{option}={case.name}")
    case.say("predict", path, f"--device={case.name}", codes=(2,))
    case.say("predict", path, "--model", f"models:/{case.name}", codes=(2,))
    case.say("predict", path, f"--{case.name}", codes=(0, 2))
    case.say(f"x{case.name}", codes=(2,))
    case.say("tree", "wallpaper", f"x{case.name}", codes=(2,))
    case.say("calibrate", f"--model=none/{case.name}", codes=(2,))
    case.say("calibrate", f"--source={case.name}", codes=(2,))


def registry(case: Case) -> None:
    os.chdir("../registry")  # one store for all: making it takes seconds
    for command in ("compare", "promote"):
        case.say(command, f"x{case.name}", codes=(2,))
    case.say("compare", f"--metric={case.name}")
    case.say("promote", "all", f"--tree={case.name}.yaml", codes=(2,))
    case.say("assemble", f"--alias={case.name}", f"--out={case.name}", codes=(2,))
    case.say("predict", "x.png", "--model", f"models:/hier-tree@{case.name}", codes=(2,))


def gwy(path: Path, title: str) -> None:
    """A Gwyddion file with one channel of that title."""

    def thing(name: bytes, *parts: bytes) -> bytes:
        body = b"".join(parts)
        return name + b"\0" + struct.pack("<L", len(body)) + body

    data = np.asarray(pattern(), "<f8")
    sizes = b"".join(name + b"\0i" + struct.pack("<L", n) for name, n in ((b"xres", 64), (b"yres", 64)))
    field = thing(b"GwyDataField", sizes, b"data\0D" + struct.pack("<L", data.size) + data.tobytes())
    named = b"/0/data/title\0s" + title.encode("utf-8", "surrogateescape") + b"\0"
    path.write_bytes(b"GWYP" + thing(b"GwyContainer", b"/0/data\0o" + field, named))


COMMANDS: dict[str, Callable[[Case], None]] = {
    f.__name__.strip("_"): f for f in (
        predict_json, predict_tables, predict_panels, overlay, report, map_, explain, evaluate_folders, evaluate_table,
        sheet, tree, settings, hdf5, channel, options, registry,
    )
}  # fmt: skip
assert set(TREE["root"]["children"].values()) <= set(GROUP_NAMES)  # type: ignore[index]


def play(campaign: Campaign, inputs: int, rng: random.Random, commands: Sequence[str] = tuple(COMMANDS)) -> None:
    """`inputs` pairs of a command and a name: all names by all commands before a pair comes again."""
    pairs = [(command, k) for k in range(len(NAMES)) for command in commands]
    rng.shuffle(pairs)
    with beside() as folder:
        (folder / "registry").mkdir()
        card = untrained(folder)
        for i in range(inputs):
            command, k = pairs[i % len(pairs)]
            case = Case(NAMES[k], ENCODINGS[(i + k) % len(ENCODINGS)], card)
            work = folder / str(i)
            work.mkdir()
            os.chdir(work)
            try:
                COMMANDS[command](case)
            except Exception as error:
                case.wrong.append(f"the check failed: {type(error).__name__}: {error}")
            os.chdir(folder)
            campaign.tell(command, case.wrong, name=ascii(case.name), encoding=case.encoding, index=i)
            print(f"\r{i + 1}/{inputs}, {len(campaign.failures)} failed", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    run("names", 400, play, tuple(COMMANDS), __doc__.splitlines()[0])
