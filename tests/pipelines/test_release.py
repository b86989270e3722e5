"""Test sets and their score: what is released is what the generator makes, and nothing tells what is to be found."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import mlcroissant
import numpy as np
import pandas as pd
import pytest
from hier.datasets import PatternDataset
from hier.hierarchy import GROUP_NAMES, HierError, compile_tree, load_tree
from hier.hierarchy.compiled import heights
from hier.pipelines.generating.release import PARTS, SOURCES, Release, release
from hier.pipelines.measuring.submission import SubmissionError, read_submission, read_truth, score
from PIL import Image

from hier.cli.app import main

COUNT, SIZE = 85, 64


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("release") / "sets"
    release(Release(out, COUNT, 5, SIZE))
    return out


def test_groups_and_parts_are_equally_common_and_names_tell_nothing(sets: Path) -> None:
    rows = list(csv.DictReader((sets / "labels.csv").open()))
    assert len(rows) == COUNT * len(SOURCES)
    assert set(Counter((row["source"], row["part"], row["group"]) for row in rows).values()) == {1}
    assert all(row["number"] == str(GROUP_NAMES.index(row["group"])) for row in rows)
    photos = [row["group"] for row in rows if row["source"] == "photos"]
    assert photos != [GROUP_NAMES[k % 17] for k in range(COUNT)]
    assert photos != [row["group"] for row in rows if row["source"] == "atoms"]


def test_parquet_and_tar_hold_the_same_images_which_the_generator_makes(sets: Path) -> None:
    table = pd.read_parquet(sets / "atoms.parquet")
    with tarfile.open(sets / "atoms.tar") as tar:
        files = {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]
    known = {k["id"]: k for k in map(json.loads, (sets / "atoms-known.jsonl").open())}
    for row in table.itertuples():
        assert files[f"{row.id}.png"] == row.image["bytes"]
        assert int(files[f"{row.id}.cls"]) == row.number
        assert json.loads(files[f"{row.id}.json"]) == known[row.id]
        assert list(row.misfits) == [known[row.id]["misfits"][name] for name in GROUP_NAMES]
    exact = next(row for row in table.itertuples() if row.part == "fold-turned")
    seed = 5 + 10**6 * list(PARTS).index("fold-turned")
    made = PatternDataset("atoms", seed, SIZE).batch([GROUP_NAMES.index(exact.group)])[0]
    pixels = np.asarray(Image.open(io.BytesIO(exact.image["bytes"])))
    assert np.array_equal(pixels, (made * 255).round().byte().permute(1, 2, 0).numpy())


def test_metadata_are_valid_and_digests_right(sets: Path) -> None:
    described = mlcroissant.Dataset(jsonld=sets / "croissant.json")
    record = next(iter(described.records("noise")))
    assert record["noise/image"].size == (SIZE, SIZE)
    assert record["noise/group"].decode() in GROUP_NAMES
    checked = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=sets, capture_output=True, text=True, check=True)
    assert checked.stdout.count("OK") == len(list(sets.iterdir())) - 2  # neither itself nor the settings


def test_a_release_goes_on_and_is_the_same_again(sets: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in sets.iterdir()}
    (sets / "noise.tar").unlink()
    release(Release(sets, COUNT, 5, SIZE))
    assert {path.name: path.read_bytes() for path in sets.iterdir()} == before
    with pytest.raises(HierError, match="holds another release \\(seed differs\\)"):
        release(Release(sets, COUNT, 6, SIZE))
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(HierError, match="holds other files"):
        release(Release(tmp_path, COUNT, 5, SIZE))


def test_hidden_labels_are_in_no_published_file(tmp_path: Path) -> None:
    seed = 987_654_321_012_345_678
    release(Release(tmp_path / "round", 17, seed, SIZE, hidden=True))
    assert sorted(pd.read_parquet(tmp_path / "round" / "noise.parquet").columns) == ["id", "image"]
    with tarfile.open(tmp_path / "round" / "noise.tar") as tar:
        assert {name.rpartition(".")[2] for name in tar.getnames()} == {"png", "json"}
        told = [json.loads(tar.extractfile(m).read()) for m in tar if m.name.endswith("json")]  # type: ignore[union-attr]
    assert all(set(one) == {"id"} for one in told)
    assert not any(str(seed).encode() in path.read_bytes() for path in (tmp_path / "round").iterdir())
    assert len(read_truth(tmp_path / "round-labels" / "labels.csv").ids) == 17 * len(SOURCES)
    with pytest.raises(HierError, match="another release"):
        release(Release(tmp_path / "round", 17, seed + 1, SIZE, hidden=True))


def written(path: Path, ids: Any, p: Any, columns: Any = GROUP_NAMES) -> Path:
    rows = [["id", *columns], *([name, *row] for name, row in zip(ids, p, strict=True))]
    path.write_text("\n".join(",".join(map(str, row)) for row in rows))
    return path


def test_the_score_is_that_of_a_simple_loop(sets: Path, tmp_path: Path) -> None:
    truth = read_truth(sets / "labels.csv")
    p = np.random.default_rng(3).dirichlet(np.full(17, 0.2), len(truth.ids))
    p[::2] = 0.9 * np.eye(17)[truth.group[::2]] + 0.1 / 17
    found = score(read_submission(written(tmp_path / "mine.csv", truth.ids, p.tolist()), truth), truth)
    tree, plan = load_tree("wallpaper"), compile_tree(load_tree("wallpaper"))
    right, loss, up, five = [], [], [], []
    for k, group in enumerate(truth.group):
        order = sorted(range(17), key=lambda j: -p[k, j])
        right.append(order[0] == group)
        loss.append(-np.log(max(p[k, group], 1e-6)))
        paths = [tree.path(GROUP_NAMES[j]) for j in (group, *order[:5])]
        steps = [len(paths[0]) - len(set(paths[0]) & set(other)) for other in paths[1:]]
        up += [steps[0]] if order[0] != group else []
        five.append(np.mean(steps))
    f = found.figures
    assert f["accuracy"].value == pytest.approx(np.mean(right))
    assert f["log_loss"].value == pytest.approx(np.mean(loss))
    assert f["severity_1"].value == pytest.approx(np.mean(up))
    assert f["severity_5"].value == pytest.approx(np.mean(five))
    assert heights(plan)[plan.labels.index("p4m"), plan.labels.index("p4g")] == 1
    spread = np.std(right) / np.sqrt(len(right))
    assert f["accuracy"].high - f["accuracy"].low == pytest.approx(2 * 1.96 * spread, rel=0.15)
    assert f["rotation"].value >= f["reflection"].value
    means = {name: np.mean([r for r, s in zip(right, truth.source, strict=True) if s == name]) for name in SOURCES}
    assert {name: figure.value for name, figure in found.by["source"].items()} == pytest.approx(means)
    assert means[found.worst] == min(means.values())


def test_columns_may_stand_in_any_order(sets: Path, tmp_path: Path) -> None:
    truth = read_truth(sets / "labels.csv")
    p = np.eye(17)[truth.group]
    turned = written(tmp_path / "turned.csv", truth.ids[::-1], p[::-1, ::-1].tolist(), GROUP_NAMES[::-1])
    assert score(read_submission(turned, truth), truth).figures["accuracy"].value == 1


def test_everything_that_is_wrong_is_told_a_line_each(
    sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = read_truth(sets / "labels.csv")
    p: list[list[Any]] = np.eye(17)[truth.group].tolist()
    ids = list(truth.ids)
    p[1][0] = p[1][0] + 0.5
    p[2][3] = "many"
    p[3][4] = -0.1
    ids[4], ids[5] = "photo-of-a-cat", ids[0]
    path = written(tmp_path / "bad.csv", ids, p)
    with pytest.raises(SubmissionError) as caught:
        read_submission(path, truth)
    told = "\n".join(caught.value.problems)
    for text in (f"line 3, image {ids[1]}: the probabilities sum to 1.5", f"line 4, image {ids[2]}: pg is 'many'",
                 f"line 5, image {ids[3]}: cm is -0.1", "line 6: image 'photo-of-a-cat' is unknown",
                 f"line 7: image {ids[0]} comes a second time", f"image {truth.ids[4]} is missing",
                 f"image {truth.ids[5]} is missing"):  # fmt: skip
        assert text in told
    assert len(caught.value.problems) == 7
    monkeypatch.setattr(sys, "argv", ["hier", "score", str(path), "--labels", str(sets / "labels.csv")])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 7
    with pytest.raises(SubmissionError, match="column p6m is missing"):
        read_submission(written(tmp_path / "few.csv", ids, [row[:-1] for row in p], GROUP_NAMES[:-1]), truth)
    with pytest.raises(HierError, match=r"is no labels\.csv of a release"):
        read_truth(path)


@pytest.mark.slow
def test_a_release_of_full_length_is_made_loaded_and_scored(tmp_path: Path) -> None:
    """Of small images: their number is what memory, names and balance depend on."""
    release(Release(tmp_path / "sets", size=SIZE))
    reading = (
        "import datasets, collections\n"
        f"files = {{s: f'sets/{{s}}.parquet' for s in {SOURCES!r}}}\n"
        "sets = datasets.load_dataset('parquet', data_files=files)\n"
        "print(*(len(set(sets[s]['id'])) for s in files), *set(collections.Counter(sets['noise']['group']).values()),"
        "sets['photos'][3399]['image'].size)"
    )
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "huggingface")}
    run = [sys.executable, "-P", "-c", reading]
    read = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, env=offline, check=True)
    assert read.stdout.split(maxsplit=4) == ["3400", "3400", "3400", "200", f"({SIZE}, {SIZE})\n"]
    truth = read_truth(tmp_path / "sets" / "labels.csv")
    path = written(tmp_path / "mine.csv", truth.ids, np.full((len(truth.ids), 17), 1 / 17).tolist())
    figures = score(read_submission(path, truth), truth).figures
    assert figures["accuracy"].value == pytest.approx(1 / 17)
    assert figures["log_loss"].value == pytest.approx(np.log(17))
