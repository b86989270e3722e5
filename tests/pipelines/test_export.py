"""Exports: what is written is what the dataset makes, whatever happens in between."""

from __future__ import annotations

import errno
import io
import json
import os
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hier.datasets import Corruption, PatternDataset
from hier.hierarchy import GROUP_NAMES, HierError, UnknownNameError
from hier.pipelines.generating import formats
from hier.pipelines.generating import shards as module
from hier.pipelines.generating.export import Export, export, verify
from hier.pipelines.generating.formats import FORMATS
from hier.pipelines.generating.manifest import ExportError
from hier.pipelines.reading.images import ImageError, open_picture
from hier.pipelines.reading.picture import Reading
from numpy.typing import NDArray
from PIL import Image

DATASET = PatternDataset("atoms", 8, 32, ("p4m", "pmg", "p2"), cells=(4, 9), corruptions=(Corruption("noise", (1, 1)),))
COUNT = 10
MANIFEST = "manifest.jsonl"
Pixels = NDArray[np.uint8]
every_format = pytest.mark.parametrize("format", FORMATS)


@pytest.fixture(scope="module")
def expected() -> Pixels:
    images = (DATASET.batch(range(COUNT)) * 255).round().byte()
    pixels: Pixels = images.permute(0, 2, 3, 1).numpy()
    return pixels


def run_of(out: Path, format: str = "npy", **changes: object) -> Export:
    return Export(**{"dataset": DATASET, "count": COUNT, "format": format, "out": out, "shard_size": 4, **changes})  # type: ignore[arg-type]


def read(run: Export) -> tuple[Pixels, list[str]]:
    """All images and labels of an export, read with the libraries that others would use."""
    files = [f for k in run.shards for f in run.files(k) if f.suffix != ".jsonl"]
    match run.format:
        case "png":
            return np.stack([np.asarray(Image.open(f)) for f in files]), [f.parent.name for f in files]
        case "npy":
            maps = [np.load(f, mmap_mode="r") for f in files]
            return np.concatenate(maps), [DATASET.label(i) for i in range(COUNT)]
        case "hdf5":
            shards = [h5py.File(f) for f in files]
            labels = [s.attrs["groups"][n] for s in shards for n in s["labels"]]
            assert [int(i) for s in shards for i in s["indices"]] == list(range(COUNT))
            return np.concatenate([s["images"][:] for s in shards]), labels
        case _:
            images, labels = [], []
            for f in files:
                with tarfile.open(f) as tar:
                    content = {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]
                for key in sorted({name.split(".")[0] for name in content}):
                    images.append(np.asarray(Image.open(io.BytesIO(content[f"{key}.png"]))))
                    labels.append(GROUP_NAMES[int(content[f"{key}.cls"])])
            return np.stack(images), labels


def labels_of(run: Export) -> list[dict[str, object]]:
    """What the export says of each image."""
    files = [f for k in run.shards for f in run.files(k)]
    match run.format:
        case "png" | "npy":
            return [json.loads(line) for f in files if f.suffix == ".jsonl" for line in f.read_text().splitlines()]
        case "hdf5":
            return [json.loads(text) for f in files for text in h5py.File(f)["about"]]
        case _:
            told = []
            for f in files:
                with tarfile.open(f) as tar:
                    told += [json.loads(tar.extractfile(m).read()) for m in tar if m.name.endswith(".json")]  # type: ignore[union-attr]
            return told


@every_format
def test_what_is_written_is_what_the_dataset_makes(tmp_path: Path, expected: Pixels, format: str) -> None:
    run = run_of(tmp_path / "out", format)
    seen = []
    summary = export(run, seen.append)
    assert summary.complete
    assert (summary.made, summary.found, sum(seen)) == (COUNT, 0, COUNT)
    images, labels = read(run)
    assert np.array_equal(images, expected)
    assert labels == [DATASET.label(i) for i in range(COUNT)]
    assert summary.bytes == sum(f.stat().st_size for k in run.shards for f in run.files(k))
    assert not list(run.out.rglob("*.part"))


@every_format
def test_every_format_says_the_same_of_each_image(tmp_path: Path, format: str) -> None:
    run = run_of(tmp_path, format)
    export(run)
    told = labels_of(run)
    patterns, _ = DATASET.accepted(range(COUNT))
    assert [known["index"] for known in told] == list(range(COUNT))
    for known, exact in zip(told, DATASET.about(patterns, range(COUNT)), strict=True):
        assert (known["group"], known["number"]) == (exact.group, GROUP_NAMES.index(exact.group))
        assert [tuple(known[key]) for key in ("origin", "a", "b")] == [exact.origin, exact.a, exact.b]  # type: ignore[arg-type]
        assert known["corruptions"] == {"noise": 1.0}
        assert known["misfits"]["p1"] == 0  # type: ignore[index]
        assert known["misfits"][exact.group] < 0.01  # type: ignore[index]
    if format == "hdf5":
        with h5py.File(run.files(0)[0]) as file:
            assert file["basis"][0].tolist() == [told[0]["a"], told[0]["b"]]
            assert file["misfits"].shape == (4, len(GROUP_NAMES))


@every_format
def test_more_images_extend_an_export_and_fewer_are_refused(tmp_path: Path, format: str, expected: Pixels) -> None:
    export(run_of(tmp_path, format, count=6))
    summary = export(run_of(tmp_path, format))
    assert (summary.found, summary.made, summary.complete) == (4, 6, True)  # the second shard was of two images
    images, labels = read(run_of(tmp_path, format))
    assert np.array_equal(images, expected)
    assert len(labels) == COUNT
    assert len(labels_of(run_of(tmp_path, format))) == COUNT
    assert verify(run_of(tmp_path, format)).found == COUNT
    with pytest.raises(ExportError, match="holds 10 images, 6 asked for: ask for as many or more"):
        export(run_of(tmp_path, format, count=6))


@every_format
def test_a_finished_export_is_left_alone_and_verifies(tmp_path: Path, format: str) -> None:
    run = run_of(tmp_path, format)
    export(run)
    times = {f: f.stat().st_mtime_ns for f in tmp_path.rglob("*") if f.is_file()}
    again = export(run)
    assert (again.made, again.found, again.complete) == (0, COUNT, True)
    checked = verify(run)
    assert (checked.found, checked.damaged) == (COUNT, [])
    assert times == {f: f.stat().st_mtime_ns for f in tmp_path.rglob("*") if f.is_file()}


@every_format
def test_an_interrupted_export_goes_on_and_ends_as_if_nothing_had_happened(
    tmp_path: Path, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_of(tmp_path / "whole", format)
    export(whole)
    run = run_of(tmp_path / "out", format)
    made = module.draw

    def stopped(job: tuple[Export, range, str]) -> object:
        if job[1].start >= 4:
            raise KeyboardInterrupt
        return made(job)

    monkeypatch.setattr(module, "draw", stopped)
    with pytest.raises(KeyboardInterrupt):
        export(run)
    monkeypatch.undo()
    assert verify(run).found == 4
    with open(run.out / MANIFEST, "a") as file:
        file.write('{"shard": 1, "sta')  # as a crash while writing leaves it
    summary = export(run)
    assert (summary.found, summary.made) == (4, 6)
    assert verify(run).damaged == []
    for k in run.shards:
        for a, b in zip(run.files(k), whole.files(k), strict=True):
            assert a.read_bytes() == b.read_bytes() or format == "hdf5"
    assert summary.refused == export(whole).refused


@every_format
def test_a_full_disk_is_one_clear_line_and_what_is_there_stays_valid(
    tmp_path: Path, expected: Pixels, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(tmp_path, format)
    real = os.replace
    calls = []

    def full(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) > {"png": 6, "npy": 3}.get(format, 2):  # the manifest is the first
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(ExportError, match=r"cannot write to .*: the disk is full; 4 of 10 images are there and valid"):
        export(run)
    monkeypatch.undo()
    assert verify(run).found == 4
    assert not list(tmp_path.rglob(".*")), "nothing unfinished is left behind"
    export(run)
    assert np.array_equal(read(run)[0], expected)


@every_format
def test_damage_is_found_and_mended(tmp_path: Path, expected: Pixels, format: str) -> None:
    run = run_of(tmp_path, format)
    export(run)
    file = run.files(1)[0]
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    checked = verify(run)
    assert checked.found == 6
    assert checked.damaged[0].startswith(str(file.relative_to(tmp_path)))
    assert not checked.complete
    file.unlink()
    assert export(run).made == 4
    assert verify(run).complete
    assert np.array_equal(read(run)[0], expected)


def test_workers_write_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, many = run_of(tmp_path / "one"), run_of(tmp_path / "many")
    export(one)
    monkeypatch.setattr(module, "ALONE", 0)
    monkeypatch.setattr(module, "PIECE", 3)
    monkeypatch.setattr(module.os, "cpu_count", lambda: 2)
    export(many)
    for k in one.shards:
        assert one.files(k)[0].read_bytes() == many.files(k)[0].read_bytes()


def test_lines_of_a_manifest_that_are_no_records_are_made_again(tmp_path: Path) -> None:
    run = run_of(tmp_path / "out")
    export(run)
    first, *lines = (run.out / MANIFEST).read_text(encoding="utf-8").splitlines()
    bad = [
        "5",
        "[]",
        "{}",
        '{"shard": "0"}',
        '{"shard": 0, "bytes": 1, "sha256": 2, "refused": {}}',
        "[" * 5000,
        "\x00",
    ]
    (run.out / MANIFEST).write_text("\n".join([first, *bad, *lines[1:]]), encoding="utf-8")
    summary = export(run)
    assert summary.complete
    assert summary.made == len(run.indices(json.loads(lines[0])["shard"]))
    assert verify(run).complete


def test_folders_of_others_are_not_written_to(tmp_path: Path) -> None:
    run = run_of(tmp_path / "out")
    with pytest.raises(ExportError, match="holds no export"):
        verify(run)
    export(run)
    with pytest.raises(ExportError, match=r"another export \(seed 8 there, 9 asked for\)"):
        export(run_of(tmp_path / "out", dataset=PatternDataset("atoms", 9, 32, DATASET.groups, cells=(4, 9))))
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("")
    with pytest.raises(ExportError, match="holds other files"):
        export(run_of(other))
    (tmp_path / "file").write_text("")
    with pytest.raises(HierError, match="cannot write"):
        export(run_of(tmp_path / "file" / "out"))
    (run.out / MANIFEST).write_text("{")
    with pytest.raises(ExportError, match="is damaged"):
        export(run)


def test_unknown_formats_and_missing_libraries_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownNameError, match="unknown format 'jpg'"):
        run_of(tmp_path, "jpg")
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    with pytest.raises(HierError, match="pip install h5py"):
        run_of(tmp_path, "hdf5")


def test_unreadable_photographs_are_skipped_and_counted_and_no_photograph_is_an_error(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    rng = np.random.default_rng(0)
    for k in range(6):
        Image.fromarray(rng.integers(0, 255, (300, 280, 3), dtype=np.uint8)).save(photos / f"{k}.jpg")
    (photos / "torn.jpg").write_bytes((photos / "0.jpg").read_bytes()[:900])
    (photos / "empty.jpg").write_bytes(b"")
    dataset = PatternDataset("photos", 1, 32, ("p1",), cells=(4, 9))
    run = Export(dataset, 3, "npy", tmp_path / "out", photos)
    assert export(run).skipped_photographs == 2
    empty = tmp_path / "nothing"
    empty.mkdir()
    with pytest.raises(HierError, match="no readable photograph"):
        export(Export(dataset, 3, "npy", tmp_path / "out2", empty))


def test_exchanged_photographs_are_another_export(tmp_path: Path) -> None:
    """Their names and sizes are the same."""
    photos = tmp_path / "photos"
    photos.mkdir()
    rng = np.random.default_rng(0)
    for k in range(3):
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(photos / f"{k}.bmp")
    run = Export(PatternDataset("photos", 1, 32, ("p1",), cells=(4, 9)), 3, "npy", tmp_path / "out", photos)
    export(run)
    assert verify(run).complete
    one, two = (photos / "1.bmp").read_bytes(), (photos / "2.bmp").read_bytes()
    assert len(one) == len(two)
    (photos / "1.bmp").write_bytes(two)
    (photos / "2.bmp").write_bytes(one)
    with pytest.raises(ExportError, match="another export"):
        verify(run)


@every_format
def test_threads_beside_a_card_encode_the_same_images(
    tmp_path: Path, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A processor by another name stands for the card: what is not plain `cpu` is drawn by this process alone."""
    monkeypatch.setattr(module, "PIECE", 1)  # more pieces than are encoded ahead
    one, beside = run_of(tmp_path / "one", format), run_of(tmp_path / "beside", format)
    export(one)
    assert export(beside, device="cpu:0").complete
    for k in one.shards:
        for a, b in zip(one.files(k), beside.files(k), strict=True):
            assert a.read_bytes() == b.read_bytes() or format == "hdf5"


@pytest.mark.parametrize("format", ["png", "npy"])
def test_what_a_killed_worker_left_unfinished_is_removed(tmp_path: Path, format: str) -> None:
    run = run_of(tmp_path / "out", format)
    export(run)
    before = sorted(run.out.rglob("*"))
    for k in (0, 1):
        whole = run.files(k)[0]
        whole.with_name(f".{whole.stem}.0123abcd{whole.suffix}").write_bytes(b"torn")
    (run.out / ".notes.txt").write_text("")
    module.sweep(run, {0})
    left = sorted(set(run.out.rglob("*")) - set(before))
    assert [p.name for p in left] == [".notes.txt", f".{run.files(1)[0].stem}.0123abcd{run.files(1)[0].suffix}"]
    module.sweep(run, set(run.shards))
    (run.out / ".notes.txt").unlink()
    assert sorted(run.out.rglob("*")) == before


@every_format
def test_what_is_written_is_read_by_predict(tmp_path: Path, expected: Pixels, format: str) -> None:
    run = run_of(tmp_path, format)
    export(run)
    if format == "png":
        assert np.array_equal(open_picture(run.files(0)[2]).array, expected[2])
        return
    file = run.files(0)[0]
    assert np.array_equal(open_picture(file, Reading(page=3)).array, expected[2])
    if format == "webdataset":
        assert np.array_equal(open_picture(f"{file}::00000001.png").array, expected[1])
        with pytest.raises(ImageError, match=r"holds 4 images \(00000000.png, .* \.\.\.\): give --page N"):
            open_picture(file)
        with pytest.raises(ImageError, match="has no page 5: it has pages 1 to 4"):
            open_picture(file, Reading(page=5))
        with pytest.raises(ImageError, match=r"nine\.png is not there in this file; its images: 00000000"):
            open_picture(f"{file}::nine.png")
        file.write_bytes(b"no tar" * 200)
        with pytest.raises(ImageError, match="not a tar that can be read"):
            open_picture(file)
    else:
        with pytest.raises(ImageError, match="--page N"):
            open_picture(file)
