"""Files that other processes read ahead: the same images, in the same order, and the same errors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hier.models.classifier import Classifier
from hier.models.evidence.batches import on_cpu
from hier.pipelines.answering import ahead, predict
from hier.pipelines.answering.ahead import read_each, readers
from hier.pipelines.answering.predict import Predictor
from hier.pipelines.answering.results import Failure
from hier.pipelines.reading.images import PLAIN, ImageError
from PIL import Image

COUNT = 9


@pytest.fixture
def names(tmp_path: Path) -> list[str]:
    """Pictures of noise, a file that is none, and one that is missing."""
    made = []
    for k in range(COUNT):
        made.append(str(tmp_path / f"{k}.png"))
        picture = np.random.default_rng(k).integers(0, 255, (40 + k, 48, 3), dtype=np.uint8)
        Image.fromarray(picture).save(made[-1])
    Path(made[3]).write_bytes(b"torn")
    Path(made[5]).unlink()
    return made


def test_other_processes_read_what_this_one_reads(names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "FEW", 2)
    here, there = list(read_each(names, PLAIN)), list(read_each(iter(names), PLAIN, workers=2))
    assert [image for image, _ in there] == names
    for (_, one), (_, other) in zip(here, there, strict=True):
        if isinstance(one, ImageError):
            assert isinstance(other, ImageError)
            assert str(other) == str(one)
        else:
            assert not isinstance(other, ImageError)
            assert torch.equal(one.image, other.image)


def test_few_files_and_images_in_memory_start_no_process(names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(ahead, "in_order", never)
    assert len(list(read_each(names, PLAIN, workers=2))) == COUNT
    arrays = [np.random.default_rng(k).random((40, 40)) for k in range(200)]
    assert len(list(read_each(arrays, PLAIN, workers=2))) == 200
    assert readers(torch.device("cpu")) == 1
    assert readers(torch.device("cuda")) >= 1


def test_answers_do_not_depend_on_who_reads_and_on_the_batch(names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Predictor(Classifier.load())
    expected = list(predictor.predict_each(names))
    monkeypatch.setattr(ahead, "FEW", 2)
    monkeypatch.setattr(predict, "readers", lambda device: 2)
    predictor.batch, predictor.ahead = 4, 8
    found = list(predictor.predict_each(names))
    assert [type(f) for f in found] == [type(e) for e in expected]
    for one, other in zip(expected, found, strict=True):
        assert one.file == other.file
        if isinstance(one, Failure) or isinstance(other, Failure):
            assert one == other
        else:
            assert other.periodic_probability == pytest.approx(one.periodic_probability, abs=1e-4)


def test_an_answer_that_is_moved_is_the_same_answer() -> None:
    answer = Classifier.load().answer(torch.rand(2, 3, 64, 64), ladder=True)

    def same(one: Any, other: Any) -> Iterator[bool]:
        for name, value in vars(one).items():
            if isinstance(value, torch.Tensor):
                yield torch.equal(value.nan_to_num(9), getattr(other, name).nan_to_num(9))
            elif isinstance(value, dict):
                yield all(torch.equal(v.nan_to_num(9), getattr(other, name)[k].nan_to_num(9)) for k, v in value.items())
            elif hasattr(value, "__dataclass_fields__"):
                yield from same(value, getattr(other, name))
            else:
                yield value == getattr(other, name)

    assert all(same(answer, on_cpu(answer)))
