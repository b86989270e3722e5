"""Evidence of many images: the same from a cache, in other pieces, and after a break."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hier.datasets import PatternDataset, sources
from hier.pipelines.generating import evidence, parts
from hier.pipelines.generating.evidence import EvidenceError, EvidenceSet, gather
from hier.pipelines.generating.parts import Part
from PIL import Image
from safetensors.torch import load_file, save_file

DATASET = PatternDataset("atoms", 10**9 + 11, 96)


@pytest.fixture(autouse=True)
def pictures(tmp_path: Path) -> Path:
    """A folder of one picture, since pictures are looked for whether they are used or not."""
    for split in ("train", "valid"):
        (tmp_path / "pictures" / split).mkdir(parents=True)
        Image.new("RGB", (300, 300), (200, 30, 90)).save(tmp_path / "pictures" / split / "x.png")
    return tmp_path / "pictures"


def same(one: EvidenceSet, two: EvidenceSet) -> None:
    assert one.labels == two.labels
    torch.testing.assert_close(one.maps[:], two.maps[:], atol=2e-2, rtol=0)
    torch.testing.assert_close(one.numbers[:], two.numbers[:], atol=2e-2, rtol=0)


def test_evidence_from_a_cache_is_what_was_made(tmp_path: Path, pictures: Path) -> None:
    parts = [Part(DATASET, 0, 5, pictures, "train"), Part(DATASET, 17, 20, pictures, "train")]
    told: list[int] = []
    made = gather(parts, tmp_path / "cache", advance=told.append)
    assert sum(told) == len(made) == 8
    assert made.labels == ("p1", "p2", "pm", "pg", "cm", "p1", "p2", "pm")
    files = sorted((tmp_path / "cache").rglob("*.*tensors"))
    assert {file.suffix for file in files} == {".safetensors"}
    before = [file.read_bytes() for file in files]
    same(gather(parts, tmp_path / "cache"), made)
    assert [file.read_bytes() for file in files] == before
    files[0].write_bytes(before[0][:100])  # a full disk, a pulled plug
    same(gather(parts, tmp_path / "cache"), made)
    assert len(files[0].read_bytes()) == len(before[0])


def test_pieces_are_a_matter_of_work_only(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = gather([Part(DATASET, 0, 7, pictures, "train")])
    monkeypatch.setattr(parts, "BATCH", 2)
    same(gather([Part(DATASET, 0, 7, pictures, "train")]), whole)
    same(gather([Part(DATASET, 0, 4, pictures, "train"), Part(DATASET, 4, 7, pictures, "train")]), whole)


def test_other_images_have_another_digest(pictures: Path) -> None:
    photos = PatternDataset("photos", 10**9 + 11, 96)
    part = Part(photos, 0, 5, pictures, "train")
    others = [
        Part(photos, 0, 6, pictures, "train"),
        Part(photos, 0, 5, pictures, "valid"),
        Part(photos, 0, 5, None, "train"),
        Part(photos, 0, 5, pictures, "train", whitened=True),
        Part(DATASET, 0, 5, pictures, "train"),
        Part(PatternDataset("photos", 12, 96), 0, 5, pictures, "train"),
        Part(PatternDataset("photos", 10**9 + 11, 96, near_misses=0.5), 0, 5, pictures, "train"),
    ]
    assert len({p.digest() for p in (part, *others)}) == 8
    assert Part(photos, 0, 5, pictures, "train").digest() == part.digest()
    assert Part(DATASET, 0, 5, None, "valid").digest() == others[4].digest(), "atoms are made without pictures"


def test_photographs_count_by_what_they_hold_and_not_by_name_and_size(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for k in range(6):
        picture = Image.fromarray(np.random.default_rng(k).integers(0, 255, (64, 64, 3), dtype=np.uint8))
        picture.save(tmp_path / "a" / f"{k}.bmp")
    part = Part(PatternDataset("photos", 3, 64), 0, 2, tmp_path / "a", "train")
    before, made = part.digest(), gather([part], tmp_path / "cache")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert replace(part, photos=tmp_path / "b").digest() == before, "wherever they are"
    contents = [file.read_bytes() for file in sorted((tmp_path / "a").iterdir())]
    for k in range(6):
        (tmp_path / "a" / f"{k}.bmp").write_bytes(contents[k - 1])
    assert part.digest() != before
    again = gather([part], tmp_path / "cache")
    assert not torch.equal(again.maps[:], made.maps[:]), "pictures in memory are read anew"
    assert len(list((tmp_path / "cache").rglob("*.*tensors"))) == 2


def test_a_folder_is_looked_through_once_whatever_the_number_of_pieces(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Path] = []
    files = sources._files
    monkeypatch.setattr(sources, "_files", lambda folder: looked.append(folder) or files(folder))
    monkeypatch.setattr(parts, "PIECE", 2)
    monkeypatch.setattr(evidence, "make", made_up)
    monkeypatch.setattr(evidence.os, "cpu_count", lambda: 1)
    gather([Part(PatternDataset("photos", 3, 64), 0, 9, pictures, "train")], tmp_path / "cache")
    assert looked == [pictures / "train"]


def made_up(job: tuple[Part, str]) -> tuple[object, object, object]:
    """Evidence in no time; that of image 20 is not finite."""
    numbers = np.arange(job[0].start, job[0].stop, dtype=np.float32)[:, None]
    maps = np.where(numbers == 20, np.nan, numbers)[:, :, None, None].astype(np.float16)
    return np.broadcast_to(maps, (len(numbers), 2, 3, 3)).copy(), numbers, np.ones((len(numbers), 18), np.float32)


@pytest.mark.parametrize("damage", ["cut", "empty", "foreign", "nan", "short", "text"])
def test_damaged_evidence_is_made_again_with_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    monkeypatch.setattr(evidence, "make", made_up)
    part = Part(DATASET, 0, 5, None, "train")
    whole = gather([part], tmp_path / "cache").maps[:]
    (file,) = (tmp_path / "cache").rglob("*.*tensors")
    kept = load_file(file)
    match damage:
        case "cut":
            file.write_bytes(file.read_bytes()[:100])
        case "empty":
            file.write_bytes(b"")
        case "foreign":
            save_file({"weight": torch.zeros(3)}, file)
        case "nan":
            save_file(kept | {"numbers": kept["numbers"] * torch.nan}, file)
        case "short":
            save_file({name: tensor[:3].clone() for name, tensor in kept.items()}, file)
        case "text":
            file.write_text("not tensors at all, but long enough to be read as the length of a header")
    again = gather([part], tmp_path / "cache")
    assert torch.equal(again.maps[:], whole)
    (record,) = caplog.records
    assert "is damaged and is made again" in record.getMessage()
    caplog.clear()
    gather([part], tmp_path / "cache")
    assert not caplog.records, "and it is whole now"


def test_evidence_that_is_not_finite_stops_with_the_image_it_was_taken_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "make", made_up)
    with pytest.raises(EvidenceError, match=r"atoms seed 1000000011 index 20 \(pg, 96 px\) is not finite"):
        gather([Part(DATASET, 17, 24, None, "train")], tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_evidence_is_held_where_there_is_room_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PIECE", 4)
    monkeypatch.setattr(evidence, "TOGETHER", 3)
    monkeypatch.setattr(evidence, "make", made_up)
    monkeypatch.setattr(evidence.os, "cpu_count", lambda: 1)
    stored = gather([Part(DATASET, 0, 10, None, "train")], tmp_path / "cache")
    size = 10 * (2 * 3 * 3 * 2 + 4)
    assert evidence.held(stored, "cpu", size - 1) is stored
    there = evidence.held(stored, "cpu", size)
    for now, before in ((there.maps, stored.maps), (there.numbers, stored.numbers)):
        assert isinstance(now, torch.Tensor)
        assert torch.equal(now, before[:])
    assert there.labels == stored.labels


def test_pieces_of_another_version_are_told_of_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(evidence, "make", made_up)
    part = Part(DATASET, 0, 5, None, "train")
    with monkeypatch.context() as before:
        before.setattr(evidence, "STORE", "0.0.9-3")
        gather([part], tmp_path / "cache")
    (old,) = (tmp_path / "cache").rglob("*.safetensors")
    old.rename(tmp_path / "cache" / old.name)  # where they were kept at first
    assert not caplog.records
    gather([part], tmp_path / "cache")
    (record,) = caplog.records
    assert "holds 1 pieces of evidence (0.0 GB) that another version of hier made" in record.getMessage()
    assert (tmp_path / "cache" / old.name).exists()
    caplog.clear()
    gather([part], tmp_path / "cache")
    assert not caplog.records, "nothing is missing now"
    gather([Part(DATASET, 5, 9, None, "train")], tmp_path / "cache")
    assert not caplog.records, "it was told already"
