"""Reports: one file with everything in it, true to the results, safe with any name."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hier.datasets import PatternDataset
from hier.hierarchy import HierError
from hier.models.bundle import BUNDLED
from hier.pipelines.answering.results import Failure, Prediction
from hier.pipelines.loading import load
from hier.pipelines.reporting.report import write_report
from PIL import Image

pytestmark = pytest.mark.skipif(not BUNDLED.exists(), reason="no bundled model yet")
NASTY = "<b>a & 'b'.png"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[Prediction | Failure]:
    folder = tmp_path_factory.mktemp("images")
    (image,) = PatternDataset("atoms", 78, 128, groups=("p31m",), cells=(5, 8)).batch([0])
    Image.fromarray((image * 255).byte().permute(1, 2, 0).numpy()).save(folder / NASTY)
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "noise.png")
    names = [folder / NASTY, folder / "noise.png", folder / "none.png"]
    return list(load().predict_each(names, symmetry=True))


@pytest.fixture(scope="module")
def page(results: list[Prediction | Failure], tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "new" / "report.html"
    write_report(path, results)
    assert list(path.parent.iterdir()) == [path], "nothing unfinished is left"
    return path.read_text(encoding="utf-8")


def test_a_page_needs_nothing_else(page: str) -> None:
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", page)
    assert "http" not in page
    assert "@import" not in page
    assert "url(" not in page


def test_every_image_has_its_section_and_its_line(page: str, results: list[Prediction | Failure]) -> None:
    sections = page.split("<section")[1:]
    assert len(sections) == len(results) == 3
    assert page.count('<a href="#image-') == 3
    assert "<b>" not in page
    assert "&lt;b&gt;a &amp;" in sections[0]
    assert "no such file" in sections[2]
    assert "not periodic" in sections[1]
    assert sections[1].count("<img") == 2, "the image, and the lattice that was tried"


def test_the_evidence_is_that_of_the_prediction(page: str, results: list[Prediction | Failure]) -> None:
    found, section = results[0], page.split("<section")[1]
    assert isinstance(found, Prediction)
    assert found.symmetry is not None
    for title in ("Averaged cell", "Symmetrised under p31m", "What is left", "3-fold:", "Cell, lattice"):
        assert title in section
    for operation in found.operations:
        assert f"<code>{operation.xyz}</code>" in section
        assert f"{operation.score:.4f}" in section
    for refused in found.symmetry.supergroups:
        assert refused.operations in section
    for step in found.path:
        assert step.node in section
        assert all(choice in section for choice in step.choices)


def test_a_page_that_cannot_be_written_is_told(results: list[Prediction | Failure], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HierError, match="cannot write"):
        write_report(tmp_path / "file" / "report.html", results)
