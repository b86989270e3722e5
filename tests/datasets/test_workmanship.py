"""Workmanship: of the same strength whatever the construction, alike in every cell, and an image's own."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from hier.datasets import Corruption, Pattern, PatternDataset, Pool, Source, workmanship
from hier.datasets.paste import tile_read
from hier.datasets.workmanship import MOVERS, OF_CRYSTALS, OF_OTHERS, OF_PICTURES, TONERS, rough
from hier.datasets.workmanship_moved import Crystal, Material, Picture
from hier.datasets.workmanship_scale import added, change, strength
from hier.datasets.workmanship_sheet import Sheet, aperiodic, by_cell, periodic, waves
from hier.hierarchy import GROUP_NAMES, group
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

SIZE = 96
WORK = (Corruption("workmanship", (3, 3)),)
# Whether a raster, a palette or a file can be as coarse as is asked for depends on the picture; see `TRIES`.
DISCRETE = {"few_pixels", "few_colours", "jpeg"}
BY_CELL = {"shaky_hand", "cells_moved", "cells_toned", "halftone", "atoms_rounded", *DISCRETE}
EACH = [("photos", n) for n in OF_PICTURES] + [("atoms", n) for n in OF_CRYSTALS]


@pytest.fixture(scope="module", autouse=True)
def exactly(pool: Pool) -> None:
    """Pictures that are made up, for all tests here."""
    drawn.pool = pool  # type: ignore[attr-defined]


def dataset(source: Source, construction: str = "fold", groups: tuple[str, ...] = GROUP_NAMES) -> PatternDataset:
    pool = drawn.pool  # type: ignore[attr-defined]
    return PatternDataset(source, 4, SIZE, groups, construction=construction, cells=(6, 12), pool=pool)  # type: ignore[arg-type]


def drawn(source: Source, construction: str = "fold", groups: tuple[str, ...] = ("p4m", "p6", "pgg")) -> list[Pattern]:
    return _drawn(source, construction, groups)


@cache
def _drawn(source: Source, construction: str, groups: tuple[str, ...]) -> list[Pattern]:
    return dataset(source, construction, groups).accepted(range(3))[0]


def material(pattern: Pattern, source: Source) -> tuple[Sheet, Material]:
    """What is roughened, read in the simplest way."""
    sheet, cpu = Sheet.of(pattern, SIZE), torch.device("cpu")
    if pattern.atoms is not None:
        at, site = pattern.spots(-SIZE - pattern.origin, SIZE - pattern.origin)
        return sheet, Crystal(pattern.atoms, (at + pattern.origin, site), cpu)
    origin = torch.from_numpy(pattern.origin).float()
    own = dataset(source)

    def read(points: Tensor) -> Tensor:
        return own.look.pictures([pattern], (points - origin)[None])[0]

    return sheet, Picture(read, read, cpu)


@given(st.integers(0, 99), st.floats(1e-4, 0.2))
def test_what_is_added_changes_by_what_is_asked(seed: int, target: float) -> None:
    image, more = torch.randn(2, 3, 9, 9, generator=torch.Generator().manual_seed(seed)).double()
    assert change(image, image + added(image, more, target) * more) == pytest.approx(target, rel=1e-3)
    assert added(image, 2 * image, target) == float("inf"), "more contrast changes nothing"


@given(st.floats(1e-3, 0.1), st.floats(1.0, 3.0), st.floats(0.01, 30.0))
def test_a_strength_is_found_for_any_power_law(target: float, power: float, scale: float) -> None:
    def changed(s: float) -> float:
        return min((s / scale) ** power * 0.02, 1.0)

    s, reached = strength(changed, target)
    assert changed(s) == pytest.approx(target, rel=0.15)
    assert reached == pytest.approx(changed(s))


def test_a_strength_is_found_beside_a_step() -> None:
    """Pasted patterns do not change until a displacement reaches half a pixel."""
    s, _ = strength(lambda s: 0.0 if s < 5 else 0.04 * (s - 4.9) ** 0.5, 0.02, 2.0)
    assert 5 < s < 6


@pytest.mark.parametrize(("source", "name"), [pair for pair in EACH if pair[0] == "atoms" or pair[1] not in DISCRETE])
def test_severity_means_the_same_for_every_construction(
    source: Source, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workmanship, "SPREAD", 0.0)
    for severity in (4.5,) if name in DISCRETE else (2.0, 4.5):
        ratios = []
        for i, pattern in enumerate(drawn(source)):
            sheet, clean = material(pattern, source)
            before = rough(sheet, clean, 1e-4, np.random.default_rng(0), ["shading"]).image
            after = rough(sheet, clean, severity, np.random.default_rng(i), [name]).image
            ratios.append(change(before, after) / (0.002 * severity**2))
        assert 0.4 < float(np.median(ratios)) < 2.5, ratios
        assert name in DISCRETE or all(0.5 < r < 2 for r in ratios), ratios


@pytest.mark.parametrize("source", ["photos", "atoms", "noise"])
@pytest.mark.parametrize("construction", ["fold", "paste"])
def test_severity_means_the_same_for_every_group(
    source: Source, construction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is drawn: where a construction can't be as weak as is asked for, another one takes its place."""
    monkeypatch.setattr(workmanship, "SPREAD", 0.0)
    plain = dataset(source, construction)
    patterns, _ = plain.accepted(range(17))
    clean = plain.rough(patterns, range(17))
    for severity in (2, 4):
        worked = replace(plain, corruptions=(Corruption("workmanship", (severity, severity)),))
        ratios = [
            change(a, b) / (0.002 * severity**2) for a, b in zip(clean, worked.rough(patterns, range(17)), strict=True)
        ]
        assert sum(0.5 < r < 2 for r in ratios) >= 15, ratios
        assert 0.2 < min(ratios) < max(ratios) < 5, ratios


@pytest.mark.parametrize(("source", "name"), [pair for pair in EACH if pair[1] not in BY_CELL])
def test_deviations_repeat_with_the_cell(source: Source, name: str) -> None:
    """On cells of whole pixels, where the image can be moved by a lattice vector without being resampled."""
    for i, pattern in enumerate(drawn(source, "paste", ("p4", "pgg", "p2"))):
        assert pattern.tile is not None
        sheet, clean = material(pattern, source)
        image = rough(sheet, clean, 4, np.random.default_rng(i), [name]).image[:, 12:-12, 12:-12]
        for x, y in pattern.tile.vectors.T.astype(int).tolist():
            n, m = image.shape[1] - abs(y), image.shape[2] - abs(x)
            a = image[:, max(y, 0) :, max(x, 0) :][:, :n, :m]
            b = image[:, max(-y, 0) :, max(-x, 0) :][:, :n, :m]
            assert change(a, b) < 0.005, (x, y)


@pytest.mark.parametrize("name", ["flow", "copies_moved", "turned_on_pixels"])
def test_an_operation_misses_by_about_twice_the_change(name: str) -> None:
    """Half-turns about the origin of patterns pasted on whole pixels are exact, and broken by as much as is meant."""
    misfits = []
    for i, pattern in enumerate(drawn("photos", "paste", ("p2", "p4", "pgg"))):
        assert pattern.tile is not None
        V = pattern.tile.vectors
        centre = pattern.origin - V @ np.rint(np.linalg.inv(V) @ pattern.origin)
        reach = int(SIZE / 2 - np.abs(centre).max()) - 1
        ticks = [torch.arange(-reach, reach + 1) + pattern.tile.half + c for c in centre.tolist()]
        ticks = [t[t - c < reach] for t, c in zip(ticks, centre.tolist(), strict=True)]
        ticks = [t[(2 * c - t)[:, None].eq(t).any(1)] for t, c in zip(ticks, centre.tolist(), strict=True)]
        sheet, clean = material(pattern, "photos")
        moved = rough(sheet, clean, 4, np.random.default_rng(i), [name]).material
        before, after = (m.look(ticks[0].float(), ticks[1].float()) for m in (clean, moved))
        assert change(before, before.rot90(2, (1, 2))) < 1e-3
        misfits.append(change(after, after.rot90(2, (1, 2))) / change(before, after))
    assert 1 < float(np.median(misfits)) < 3, misfits


def test_periodic_fields_repeat_and_others_do_not() -> None:
    pattern = drawn("photos")[1]
    sheet, rng = Sheet.of(pattern, SIZE), np.random.default_rng(0)
    points = torch.from_numpy(rng.uniform(-40, 40, (500, 2))).float()
    moved = points + torch.from_numpy(pattern.frame.basis[:, 0]).float()
    for k, field in enumerate((periodic(sheet, waves(rng, 2)), by_cell(sheet, rng, 2), aperiodic(sheet, rng, 2, 15))):
        a, b = field(points), field(moved)
        assert a.shape == (500, 2)
        assert 0.5 < float(a.std()) < 1.5
        assert (float((a - b).abs().max()) < 1e-2) == (k == 0)


@pytest.mark.parametrize("source", ["photos", "atoms"])
def test_every_point_belongs_to_the_nearest_orbit_point(source: Source) -> None:
    for name in ("p1", "cmm", "p4g", "p6m"):
        pattern = drawn(source, "fold", (name,))[0]
        sheet = Sheet.of(pattern, SIZE)
        assert sheet.copies == len({op.W for op in group(name).operations})
        points = torch.from_numpy(np.random.default_rng(1).uniform(-40, 40, (400, 2))).float()
        which, x, y = sheet.owners(points)
        orbit = torch.from_numpy(pattern.orbit.points).float()
        at = torch.stack([x, y], -1)
        steps = (at - points + torch.from_numpy(pattern.origin).float()) @ torch.from_numpy(
            np.linalg.inv(pattern.orbit.basis)
        ).float().T
        assert float((steps - steps.round()).abs().max()) < 1e-3, "moved by whole cells"
        own, nearest = (at - orbit[which]).norm(dim=1), torch.cdist(at, orbit).amin(1)
        assert float((own - nearest).max()) < 3 * sheet.side / 96, "but for the raster"


def test_rounded_atoms_lie_on_a_raster() -> None:
    sheet, clean = material(drawn("atoms")[0], "atoms")
    assert isinstance(clean, Crystal)
    for seed in range(6):
        rounded, _ = MOVERS["atoms_rounded"](sheet, clean, np.random.default_rng(seed), 0.03)
        assert isinstance(rounded, Crystal)
        moves = rounded.spots[0] - clean.spots[0]
        off = np.unique(np.round(np.sort(rounded.spots[0][:, 0]), 4))
        if not np.allclose(np.rint(np.diff(off) / np.diff(off).min()), np.diff(off) / np.diff(off).min(), atol=1e-2):
            same = np.unique(moves.round(2), axis=0)
            assert len(same) <= 16, "or those of one cell do, and are repeated"


def test_few_colours_are_few() -> None:
    sheet, clean = material(drawn("photos")[0], "photos")
    image = clean.look(sheet.ticks, sheet.ticks)
    for seed in range(4):
        after = TONERS["few_colours"](sheet, image, np.random.default_rng(seed), 0.03)(image)
        assert len(after.flatten(1).T.unique(dim=0)) <= 216
        assert len(image.flatten(1).T.unique(dim=0)) > 1000


def test_pixels_of_a_tile_are_read_as_they_are() -> None:
    own = dataset("photos", "paste")
    for pattern in drawn("photos", "paste"):
        assert pattern.tile is not None
        sheet = Sheet.of(pattern, SIZE)
        read = tile_read(pattern.tile, lambda x, p=pattern: own.look.pictures([p], x[None])[0], torch.device("cpu"))  # type: ignore[misc]
        points = sheet.pixels(torch.device("cpu")) - torch.from_numpy(pattern.origin).float()
        assert torch.equal(read(points).reshape(3, SIZE, SIZE), own.look.clean([pattern], "cpu")[0])


@pytest.mark.parametrize("source", ["photos", "atoms", "noise"])
def test_rough_images_are_theirs_alone_and_come_before_all_else(source: Source) -> None:
    plain = dataset(source)
    worked = replace(plain, corruptions=WORK)
    patterns, _ = plain.accepted([0, 5, 11])
    found = worked.rough(patterns, [0, 5, 11])
    assert torch.equal(found, worked.finish(patterns, [0, 5, 11])), "the same twice, and nothing else to do"
    assert torch.equal(found[1:2], worked.rough(patterns[1:2], [5]))
    assert not torch.equal(found, plain.finish(patterns, [0, 5, 11]))
    assert torch.equal(plain.rough(patterns, [0, 5, 11]), plain.finish(patterns, [0, 5, 11]))
    # in the last place it is done first nevertheless
    late = replace(plain, corruptions=(Corruption("invert", (1, 1)), Corruption("blur", (0, 0)), *WORK))
    torch.testing.assert_close(late.finish(patterns, [0, 5, 11]), 1 - late.rough(patterns, [0, 5, 11]))


def test_disorder_comes_on_top_and_leaves_workmanship_as_it_was() -> None:
    plain = dataset("atoms")
    patterns, _ = plain.accepted(range(4))
    work = replace(plain, corruptions=WORK)
    both = replace(plain, corruptions=(*WORK, Corruption("vacancies", (3, 3))))
    assert torch.equal(both.rough(patterns, range(4)), work.rough(patterns, range(4)))
    missing, whole = both.finish(patterns, range(4)), work.finish(patterns, range(4))
    for a, b in zip(missing, whole, strict=True):
        assert 0.01 < change(a, b) < 0.5, "some atoms of the same crystal are missing"


def test_severity_0_is_the_pattern_to_the_bit() -> None:
    for source in ("photos", "atoms"):
        plain = dataset(source)  # type: ignore[arg-type]
        none = replace(plain, corruptions=(Corruption("workmanship", (0, 0)), Corruption("workmanship", (3, 3), 0.0)))
        assert torch.equal(none.batch(range(3)), plain.batch(range(3)))


def test_several_workmanships_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workmanship, "SPREAD", 0.0)
    plain = dataset("photos")
    patterns, _ = plain.accepted(range(4))
    twice = replace(plain, corruptions=(Corruption("workmanship", (3, 3)), Corruption("workmanship", (4, 4))))
    once = replace(plain, corruptions=(Corruption("workmanship", (5, 5)),))
    torch.testing.assert_close(twice.rough(patterns, range(4)), once.rough(patterns, range(4)))


def test_every_construction_is_drawn_for_something() -> None:
    assert {*OF_PICTURES, *OF_CRYSTALS} == {*MOVERS, *TONERS}
    assert set(OF_OTHERS) <= set(OF_PICTURES), "what has no pattern has no cells"
