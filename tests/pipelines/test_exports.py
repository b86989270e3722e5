"""Cells, structure factors and CIFs that are written for other programs: read by those, and against the group."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pytest
import tifffile
from hier.datasets import PatternDataset
from hier.hierarchy import GROUP_NAMES, group
from hier.pipelines.answering.exports import SPACE_GROUPS, group_cell, write_cif
from hier.pipelines.answering.results import Prediction
from hier.pipelines.reading.images import read
from hier.pipelines.reading.picture import Reading
from PIL import Image

import hier
from hier.cli.app import main


@pytest.fixture(scope="module")
def answers() -> dict[str, Prediction]:
    """Predictions of a pattern of each group that is named rightly, with a pixel size, by name."""
    model, made = hier.load(), {}
    for name in GROUP_NAMES:
        for index in (0, 1, 2):
            image = PatternDataset("photos", 5, 192, groups=(name,)).batch([index])[0]
            (found,) = model.predict([image], Reading.of(pixel_size="0.02nm"), keep=True)
            if found.group == name:
                made[name] = found
                break
    return made


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["hier", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    image = PatternDataset("photos", 5, 192, groups=("p4g",)).batch([0])[0]
    Image.fromarray((image * 255).round().byte().permute(1, 2, 0).numpy()).save(tmp_path / "one.png")
    return tmp_path / "one.png"


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_phases_are_about_the_origin_of_international_tables(name: str, answers: dict[str, Prediction]) -> None:
    """In the conventional cell F(h W) = F(h) exp(-2 pi i h w), with phases of the crystallographer's sign."""
    cell = group_cell(answers[name])
    assert cell is not None
    F = {(r.h, r.k): r.amplitude * np.exp(1j * math.radians(r.phase)) for r in cell.reflections}
    F |= {(-h, -k): f.conjugate() for (h, k), f in F.items()}
    largest, compared = max(map(abs, F.values())), 0
    for op in group(name).operations:
        for (h, k), f in F.items():
            (a, b), (c, d) = op.W
            other = F.get((h * a + k * c, h * b + k * d))
            if other is not None:
                turn = np.exp(-2j * math.pi * (h * float(op.w[0]) + k * float(op.w[1])))
                assert abs(other - f * turn) < 0.02 * largest, (op.xyz, h, k)
                compared += 1
    assert compared >= len(F) * group(name).order * 0.9
    if group(name).centred:
        assert all((h + k) % 2 == 0 for h, k in F)


def test_the_cell_is_the_sum_of_its_structure_factors(answers: dict[str, Prediction]) -> None:
    """As the header of the file says: I = sum of A cos(2 pi (h x + k y) - phase)."""
    found = answers["p31m"]
    cell = group_cell(found)
    assert cell is not None
    y, x = np.mgrid[0:64, 0:64] / 64
    wave = sum(
        2 * r.amplitude * np.cos(2 * np.pi * (r.h * x + r.k * y) - math.radians(r.phase)) for r in cell.reflections
    )
    assert found.source is not None
    image = found.source.read().mean(0).numpy()
    points = np.stack([x.ravel(), y.ravel()], 1) @ cell.basis.T + cell.origin
    at = np.rint(points).astype(int)
    inside = ((at >= 0) & (at < 192)).all(1)
    seen = image[at[inside, 1], at[inside, 0]]
    assert np.corrcoef(seen, np.asarray(wave).ravel()[inside])[0, 1] > 0.9


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_the_space_group_of_a_cif_has_the_groups_operations(name: str) -> None:
    number, symbol = SPACE_GROUPS[GROUP_NAMES.index(name)]
    listed = gemmi.GroupOps([gemmi.Op(f"{op.xyz},z") for op in group(name).operations])
    known = gemmi.find_spacegroup_by_ops(listed)
    assert known is not None
    assert (known.number, known.hm) == (number, symbol)


@pytest.mark.parametrize("name", ["p1", "pg", "cm", "p4g", "p6m"])
def test_gemmi_opens_the_cif(name: str, answers: dict[str, Prediction], tmp_path: Path) -> None:
    found, path = answers[name], tmp_path / "out.cif"
    assert write_cif(found, path)
    block = gemmi.cif.read(str(path)).sole_block()
    made = gemmi.make_small_structure_from_block(block)
    assert found.lattice is not None
    assert made.cell.a == pytest.approx(found.lattice.a * 0.2, rel=0.02)
    area = made.cell.a * made.cell.b * math.sin(math.radians(made.cell.gamma))
    assert area == pytest.approx(
        found.lattice.a * found.lattice.b * math.sin(math.radians(found.lattice.gamma)) * 0.04, rel=1e-3
    )
    assert made.spacegroup is not None
    assert made.spacegroup.number == SPACE_GROUPS[GROUP_NAMES.index(name)][0]
    assert made.cell.is_compatible_with_spacegroup(made.spacegroup)
    assert len(block.find_loop("_refln_F_meas")) > 10


def test_files_of_the_command(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    tif, npy, hk, cif = (tmp_path / f"out{s}" for s in (".tif", ".npy", ".hk", ".cif"))
    words = ("predict", str(file), "--pixel-size", "0.02nm", "--cell", str(tif), "--hkl", str(hk), "--cif", str(cif))
    assert run(monkeypatch, *words) == 0
    assert run(monkeypatch, "predict", str(file), "--cell", str(npy)) == 0
    averaged, symmetrised = np.load(npy)
    assert averaged.dtype == np.float32
    pages = tifffile.imread(tif)
    assert np.allclose(pages, np.load(npy))
    # the rows run along b: -x, -y about the origin is a turn of the symmetrised cell, and nearly one of the averaged
    turned = np.roll(symmetrised[::-1, ::-1], (1, 1), (0, 1))
    assert np.allclose(turned, symmetrised, atol=1e-6)
    assert np.abs(averaged - symmetrised).max() < 0.1 * np.ptp(symmetrised)
    written = read(str(tif))
    assert written.pixel_size is not None
    (found,) = hier.load().predict(str(file), Reading.of(pixel_size="0.02nm"))
    assert found.lattice is not None
    assert written.pixel_size.value * averaged.shape[0] == pytest.approx(found.lattice.a_length, rel=1e-3)
    rows = np.loadtxt(hk)
    assert rows.shape[1] == 5
    assert (rows[:, 2] > 4 * rows[:, 4]).all()
    assert "p4g" in hk.read_text().splitlines()[1]
    for path in (tif, hk, cif, npy):  # ours are replaced, and others' are not
        option = {".tif": "--cell", ".npy": "--cell", ".hk": "--hkl", ".cif": "--cif"}[path.suffix]
        again = ("predict", str(file), "--pixel-size", "0.02nm", option, str(path))
        assert run(monkeypatch, *again) == 0
        path.write_bytes(b"somebody's")
        capfd.readouterr()
        assert run(monkeypatch, *again) == 2
        assert "that hier wrote" in capfd.readouterr().err
        assert path.read_bytes() == b"somebody's"
        assert run(monkeypatch, *again, "--force") == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--cell", "out.png"), "--cell out.png: give a name that ends in .tif or .npy"),
        (("--hkl", "out.txt"), "--hkl out.txt: give a name that ends in .hk"),
        (("--cif", "out.pdb"), "--cif out.pdb: give a name that ends in .cif"),
        (("--cif", "out.cif"), "has no pixel size: give --pixel-size"),
        (("--hkl", "one.png"), "--hkl one.png: give a name"),
        (("one.png", "--hkl", "out.hk"), "--hkl out.hk is for one image: one.png is the second"),
    ],
)
def test_bad_values_are_told_in_a_line(
    words: tuple[str, ...], message: str, file: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(file.parent)
    assert run(monkeypatch, "predict", file.name, *words) == 2
    said = capfd.readouterr().err
    assert message in said
    assert "Traceback" not in said


def test_an_image_without_a_pattern_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    noise: Any = np.random.default_rng(0).integers(0, 255, (96, 96), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    monkeypatch.chdir(tmp_path)
    words = ("--table", "--cell", "a.tif", "--hkl", "a.hk", "--cif", "a.cif", "--pixel-size", "1nm")
    assert run(monkeypatch, "predict", "noise.png", *words) == 0
    out, err = capfd.readouterr()
    assert "no table: the image is not periodic" in out
    assert err.count("no group") == 3
    assert [p.name for p in tmp_path.iterdir()] == ["noise.png"]
