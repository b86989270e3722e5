"""The networks as ONNX: onnxruntime answers as PyTorch does, and what they read is named."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hier.datasets import PatternDataset
from hier.models.bundle import GATE
from hier.models.classifier import Classifier
from hier.models.evidence.described import channel_names, number_names
from hier.models.evidence.maps import MAPS
from hier.models.evidence.representation import CELL, EVIDENCE, GROUP_STRAINS, MAP_CHANNELS, NOISE, SymmetryEvidence
from hier.pipelines.onnx_files import write_onnx

from hier.cli.app import main


def test_every_channel_and_number_has_a_name_of_its_own() -> None:
    channels, numbers = channel_names(), number_names()
    assert len(set(channels)) == len(channels) == MAP_CHANNELS
    assert len(set(numbers)) == len(numbers) == EVIDENCE
    assert numbers[CELL] == "area of the cell"
    assert numbers[NOISE] == "noise, Wiener"
    assert numbers[GROUP_STRAINS][0] == "strain of p2"
    assert numbers[GROUP_STRAINS][-1] == "strain of p6m"


def test_the_names_tell_what_an_image_shows() -> None:
    found = SymmetryEvidence()(PatternDataset("atoms", 71, 128, ("p4m", "p2"), cells=(9, 16)).batch(range(2)))
    named = [dict(zip(number_names(), row, strict=True)) for row in found.numbers.tolist()]
    for name in ("4-fold", "2-fold"):
        assert named[0][f"highest of {name}, |q| < 1.0"] > 0.8
    assert named[1]["p2, worst operation"] > 0.8
    assert named[1]["p4m, worst operation"] < 0.5
    highest = found.maps[:, channel_names().index("4-fold, |q| < 1.0")].amax((1, 2))
    assert highest[0] > highest[1] + 0.1  # on the grid; between its points the number above
    assert len(channel_names()) == 4 * len(MAPS)


@pytest.mark.slow
def test_onnxruntime_answers_as_the_classifier_does(tmp_path: Path) -> None:
    classifier = Classifier.load()
    for name in set(classifier.nodes) - {"reflection-6", "finer-4", GATE}:
        del classifier.nodes[name]
    done: list[int] = []
    made = write_onnx(classifier, tmp_path / "networks", done.append)
    assert sum(done) == len(made.nodes) == 3
    about = json.loads(made.about.read_text(encoding="utf-8"))
    assert about["nodes"]["finer-4"]["choices"] == list(classifier.bundle.tree.choices("finer-4"))
    for text, names in (("maps", channel_names()), ("numbers", number_names())):
        assert tuple(about["inputs"][text].get("channels", about["inputs"][text].get("entries"))) == names
    found = SymmetryEvidence()(PatternDataset("noise", 72, 96, cells=(6, 16)).batch(range(9)))
    given = {"maps": found.maps.numpy(), "numbers": found.numbers.numpy()}
    answer = classifier.outputs(found.maps, found.numbers)
    check = np.load(tmp_path / "networks" / "check.npz")
    for name, path in made.nodes.items():
        session = onnxruntime.InferenceSession(path)
        (ours,) = session.run(None, given)
        tempered = (answer[name][0] / classifier.temperatures[name][0]).log_softmax(-1).exp().numpy()
        np.testing.assert_allclose(np.exp(ours), tempered, atol=1e-4)
        (again,) = session.run(None, {key: check[key] for key in given})
        np.testing.assert_allclose(np.exp(again), np.exp(check[name]), atol=1e-4)


@pytest.mark.parametrize(
    ("there", "said"),
    [("file", "is a file: give a folder"), ("folder", "holds other files: give a new or empty folder")],
)
def test_what_is_there_is_not_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, there: str, said: str
) -> None:
    place = tmp_path / "networks"
    if there == "file":
        place.write_text("mine")
    else:
        place.mkdir()
        (place / "mine.txt").write_text("mine")
    monkeypatch.setattr(sys, "argv", ["hier", "export", "--onnx", str(place)])
    with pytest.raises(SystemExit):
        main()
    assert said in capsys.readouterr().err
    assert (place if there == "file" else place / "mine.txt").read_text() == "mine"
