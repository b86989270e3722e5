"""Diagrams: every element is drawn with its symbol, and the shaded region is one that the group repeats."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hier.hierarchy import GROUP_NAMES, HierError, group
from hier.hierarchy.elements import reflection_lines, rotation_centres
from hier.pipelines.drawing.diagram import cell_basis, draw_diagram, fundamental_domain, picture, svg
from PIL import Image

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_an_svg_holds_a_symbol_for_each_element(name: str) -> None:
    g = group(name)
    root = ElementTree.fromstring(svg(g))
    polygons, lines = root.findall(f"{SVG}polygon"), root.findall(f"{SVG}line")
    centres, elements = rotation_centres(g), reflection_lines(g)
    corners = sorted(len(p.attrib["points"].split()) for p in polygons[1:])  # the first is the shaded region
    symbols = {2: 34, 3: 3, 4: 4, 6: 6}
    assert corners == sorted(symbols[c.order] for c in centres)
    dashed = [k for k in lines if "stroke-dasharray" in k.attrib]
    assert len(dashed) == sum(k.glide for k in elements)
    assert len(lines) == 4 + len(elements)
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for line in lines:
        assert 0 < float(line.attrib["x1"]) < width
        assert 0 < float(line.attrib["y2"]) < height


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_the_shaded_region_has_its_share_of_the_cell_and_meets_no_image_of_itself(name: str) -> None:
    g = group(name)
    corners = fundamental_domain(g)
    x, y = corners.T
    area = abs((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2
    assert area == pytest.approx(1 / len(g.operations), abs=1e-9)
    assert corners.min() > -1e-6
    assert corners.max() < 1 + 1e-6
    middle = corners.mean(0)
    inside = middle + 0.9 * (corners - middle)
    for op in g.operations[1:]:
        image = np.array(op.W) @ middle + [float(t) for t in op.w]
        for i in range(-1, 3):
            for j in range(-1, 3):
                assert not _within(np.add(image, (i, j)), inside)


def _within(point: np.ndarray, corners: np.ndarray) -> bool:
    edges = np.roll(corners, -1, 0) - corners
    off = point - corners
    crossed = edges[:, 0] * off[:, 1] - edges[:, 1] * off[:, 0]
    return bool((crossed > 0).all() or (crossed < 0).all())


@pytest.mark.parametrize("name", ["p2", "pmm", "p4m", "p4", "cmm", "p6", "p6m"])
def test_a_half_turn_of_the_cell_leaves_its_symbols_alone(name: str) -> None:
    """The drawing itself has the symmetry it tells of, where the cell's own corners do."""
    g = group(name)
    image = np.asarray(picture(g).convert("L")) < 100
    basis = cell_basis(g)
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) @ basis.T
    low = 46 - 12
    cut = image[low : low + int(np.ptp(corners[:, 1])) + 24, low : low + int(np.ptp(corners[:, 0])) + 24]
    turned = cut[::-1, ::-1]
    near = np.stack([np.roll(turned, (i, j), (0, 1)) for i in (-2, -1, 0, 1, 2) for j in (-2, -1, 0, 1, 2)]).any(0)
    assert (cut & ~near).sum() < 0.04 * cut.sum()


def test_files_are_what_their_names_say(tmp_path: Path) -> None:
    draw_diagram(group("p4g"), tmp_path / "p4g.png")
    with Image.open(tmp_path / "p4g.png") as image:
        assert image.format == "PNG"
    draw_diagram(group("p2mg"), tmp_path / "pmg.svg")
    assert ElementTree.parse(tmp_path / "pmg.svg").getroot().tag == f"{SVG}svg"
    with pytest.raises(HierError, match=r"unknown kind of picture '\.jpg'"):
        draw_diagram(group("p1"), tmp_path / "p1.jpg")
    with pytest.raises(HierError, match="cannot write"):
        draw_diagram(group("p1"), tmp_path / "pmg.svg" / "p1.svg")


def test_the_command_draws(tmp_path: Path) -> None:
    def hier(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from hier.cli.app import main; main()", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)

    assert "drew p4m.svg" in hier("tree", "--diagram", "p4mm").stdout
    assert (tmp_path / "p4m.svg").exists()
    wrong = hier("tree", "--diagram", "p5m")
    assert wrong.returncode == 2
    assert len(wrong.stderr.strip().splitlines()) == 1
