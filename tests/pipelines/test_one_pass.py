"""One pass from file to report: nothing is read, and no lattice or structure factor found, twice."""

from __future__ import annotations

import sys
import weakref
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hier.hierarchy import HierError
from hier.models.bundle import BUNDLED
from hier.models.classifier import Classifier
from hier.models.evidence.crops import best_view, stacked, views
from hier.models.evidence.lattice import find_lattice
from hier.models.evidence.structure import structure_factors
from hier.pipelines.answering import ahead, predict
from hier.pipelines.answering.results import Prediction
from hier.pipelines.loading import load
from hier.pipelines.reading.files import read_file
from hier.pipelines.reading.images import ImageError, Read, read
from hier.pipelines.reporting.report import write_report
from numpy.typing import NDArray
from PIL import Image

from hier.cli.app import main

trained = pytest.mark.skipif(not BUNDLED.exists(), reason="no bundled model yet")


def squares(side: int, period: float = 24) -> NDArray[np.uint8]:
    """A p4m pattern, grey."""
    wave = np.cos(2 * np.pi * np.arange(side) / period)
    return (127 + 60 * (wave[:, None] + wave)).round().astype(np.uint8)


def saved(path: Path, side: int, period: float = 24) -> Path:
    Image.fromarray(squares(side, period)).save(path)
    return path


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each of the three was called since, wherever it was imported."""
    counts: Counter[str] = Counter(dict.fromkeys(("read_file", "find_lattice", "structure_factors"), 0))

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            counts[function.__name__] += 1
            return function(*arguments, **named)

        return call

    for function in (read_file, find_lattice, structure_factors):
        counting = counted(function)
        for name, module in list(sys.modules.items()):
            if name.startswith("hier.") and vars(module).get(function.__name__) is function:
                monkeypatch.setattr(module, function.__name__, counting)
    return counts


def command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["hier", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code


@trained
@pytest.mark.parametrize(
    ("side", "lattices"),
    [
        (256, 1),
        # three views, of 1, 2 and 2.9 px a px; which of them repeats best is only known when each has its lattice
        (1280, 3),
    ],
)
def test_overlay_report_and_json_share_the_pass_of_the_prediction(
    side: int, lattices: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: Counter[str]
) -> None:
    assert len(views(torch.zeros(3, side, side))) == lattices
    image, overlay, report = saved(tmp_path / "x.png", side), tmp_path / "o.png", tmp_path / "r.html"
    command(monkeypatch, "predict", image, "--overlay", overlay, "--report", report, "--json", "--device", "cpu")
    assert overlay.exists()
    assert "Symmetrised under p4m" in report.read_text(encoding="utf-8")
    assert "4-fold:" in report.read_text(encoding="utf-8")
    assert calls == {"read_file": 1, "find_lattice": lattices, "structure_factors": 1}


@trained
def test_an_explanation_uses_the_lattice_of_the_view(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: Counter[str]
) -> None:
    image = saved(tmp_path / "x.png", 700)
    command(monkeypatch, "explain", image, "--out", tmp_path / "why.png", "--device", "cpu")
    # once for the answer, and once for what it depends on
    assert calls == {"read_file": 1, "find_lattice": len(views(torch.zeros(3, 700, 700))), "structure_factors": 2}


@trained
def test_a_report_written_afterwards_reads_each_image_once(tmp_path: Path, calls: Counter[str]) -> None:
    results = list(load().predict_each([saved(tmp_path / "x.png", 128)], symmetry=True))
    calls.clear()
    write_report(tmp_path / "r.html", results)
    assert calls == {"read_file": 1, "find_lattice": 1, "structure_factors": 1}


@trained
def test_a_picture_is_at_hand_until_the_next_result(tmp_path: Path) -> None:
    files = [saved(tmp_path / name, 96) for name in ("a.png", "b.png")]
    results = load().predict_each(files, symmetry=True)
    first = next(results)
    files[0].unlink()
    assert isinstance(first, Prediction)
    assert first.plot().get_axes(), "drawn on the picture that was read"
    next(results)
    with pytest.raises(ImageError, match="no such file"):
        first.plot()


@trained
def test_a_picture_is_let_go_when_the_results_are_left(tmp_path: Path) -> None:
    """Also of an image in memory, which nothing else keeps."""
    results = load().predict_each(iter([squares(96), squares(96)]), symmetry=True)
    first = next(results)
    assert isinstance(first, Prediction)
    assert first.plot().get_axes()
    results.close()  # type: ignore[attr-defined]
    with pytest.raises(HierError, match="no longer in memory"):
        first.plot()


def test_large_images_are_held_by_their_pixels(card_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[weakref.ref[torch.Tensor]] = []

    def reading(*arguments: Any) -> Read:
        found = read(*arguments)
        given.append(weakref.ref(found.image))
        return found

    monkeypatch.setattr(ahead, "read", reading)
    predictor = load(card_path)
    next(predictor.predict_each([squares(64)] * 7))
    assert len(given) == 7, "small ones are read ahead, to share batches"
    given.clear()
    monkeypatch.setattr(predict, "PIXELS", 3 * 64 * 64)
    results = predictor.predict_each([squares(64)] * 7)
    taken = [(len(given), sum(image() is not None for image in given)) for _ in results]
    assert [read for read, _ in taken] == [3, 3, 3, 6, 6, 6, 7]
    assert max(alive for _, alive in taken) <= 4, "three ahead, and the one before"
    assert not any(image() is not None for image in given)


def test_a_view_keeps_the_lattice_that_an_answer_would_find(card_path: Path) -> None:
    classifier = Classifier.load(card_path)
    image = torch.from_numpy(squares(700, 31)).float().expand(3, -1, -1) / 255
    view = best_view(image)
    assert view.lattice is not None
    found = find_lattice(view.image[None])
    torch.testing.assert_close(view.lattice.basis, found.basis)
    images, lattice = stacked([view])
    assert lattice is not None
    known, anew = classifier.answer(images, lattice=lattice), classifier.answer(images)
    torch.testing.assert_close(known.log_probabilities, anew.log_probabilities, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(known.nodes["rotation"], anew.nodes["rotation"], atol=1e-4, rtol=1e-4)
    small = best_view(image[:, :200, :200])
    assert small.lattice is None, "one view: nothing to choose by"
    assert stacked([small])[1] is None


def test_an_answer_carries_what_it_was_made_from(card_path: Path) -> None:
    """For each image of a batch, whatever the batch was cut into."""
    images = torch.stack([torch.from_numpy(squares(256, p)).float().expand(3, -1, -1) / 255 for p in range(20, 25)])
    answer = Classifier.load(card_path).answer(images)
    assert answer.lattice is not None
    assert answer.structure is not None
    for k in range(5):
        alone = structure_factors(images[k : k + 1], answer.lattice.basis[k : k + 1])
        for name in ("coefficients", "noise", "radius"):
            torch.testing.assert_close(
                getattr(answer.structure, name)[k : k + 1], getattr(alone, name), atol=1e-5, rtol=1e-4
            )
