"""Evidence of many images: the same from a cache, in other pieces, and after a break."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hier.datasets import PatternDataset
from hier.pipelines.generating import evidence
from hier.pipelines.generating.evidence import EvidenceSet, Part, gather

DATASET = PatternDataset("atoms", 10**9 + 11, 96)


@pytest.fixture(autouse=True)
def pictures(tmp_path: Path) -> Path:
    """A folder of one picture, since pictures are looked for whether they are used or not."""
    from PIL import Image

    for split in ("train", "valid"):
        (tmp_path / "pictures" / split).mkdir(parents=True)
        Image.new("RGB", (300, 300), (200, 30, 90)).save(tmp_path / "pictures" / split / "x.png")
    return tmp_path / "pictures"


def same(one: EvidenceSet, two: EvidenceSet) -> None:
    assert one.labels == two.labels
    torch.testing.assert_close(one.maps, two.maps, atol=2e-2, rtol=0)
    torch.testing.assert_close(one.numbers, two.numbers, atol=2e-2, rtol=0)


def test_evidence_from_a_cache_is_what_was_made(tmp_path: Path, pictures: Path) -> None:
    parts = [Part(DATASET, 0, 5, pictures, "train"), Part(DATASET, 17, 20, pictures, "train")]
    told: list[int] = []
    made = gather(parts, tmp_path / "cache", advance=told.append)
    assert sum(told) == len(made) == 8
    assert made.labels == ("p1", "p2", "pm", "pg", "cm", "p1", "p2", "pm")
    files = sorted((tmp_path / "cache").iterdir())
    assert {file.suffix for file in files} == {".safetensors"}
    before = [file.read_bytes() for file in files]
    same(gather(parts, tmp_path / "cache"), made)
    assert [file.read_bytes() for file in files] == before
    files[0].write_bytes(before[0][:100])  # a full disk, a pulled plug
    same(gather(parts, tmp_path / "cache"), made)
    assert len(files[0].read_bytes()) == len(before[0])


def test_pieces_are_a_matter_of_work_only(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = gather([Part(DATASET, 0, 7, pictures, "train")])
    monkeypatch.setattr(evidence, "BATCH", 2)
    same(gather([Part(DATASET, 0, 7, pictures, "train")]), whole)
    same(gather([Part(DATASET, 0, 4, pictures, "train"), Part(DATASET, 4, 7, pictures, "train")]), whole)


def test_other_images_have_another_digest(pictures: Path) -> None:
    part = Part(DATASET, 0, 5, pictures, "train")
    others = [
        Part(DATASET, 0, 6, pictures, "train"),
        Part(DATASET, 0, 5, pictures, "valid"),
        Part(DATASET, 0, 5, None, "train"),
        Part(DATASET, 0, 5, pictures, "train", whitened=True),
        Part(PatternDataset("atoms", 12, 96), 0, 5, pictures, "train"),
        Part(PatternDataset("atoms", 10**9 + 11, 96, near_misses=0.5), 0, 5, pictures, "train"),
    ]
    assert len({p.digest() for p in (part, *others)}) == 7
    assert Part(DATASET, 0, 5, pictures, "train").digest() == part.digest()
