"""Relabelling against evidence computed anew on the changed basis."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hier.models.evidence import representation
from hier.models.evidence.lattice import Lattice
from hier.models.evidence.maps import MAPS, WEIGHTINGS
from hier.models.evidence.relabel import CHANGES, random_relabel, relabel, relabelling
from hier.models.evidence.representation import MAP_CHANNELS, SIDE, STRAIN, Evidence, SymmetryEvidence
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

SIZE = 160
GRID = 2 * SIDE
BASES = {
    "oblique": ((31.0, 4.0), (-11.0, 38.0)),
    "rectangular": ((28.0, 6.0), (-9.0, 42.0)),
    "square": ((33.0, 5.0), (-5.0, 33.0)),
    "rhombic": ((30.0, 0.0), (-30 * math.cos(1.2), 30 * math.sin(1.2))),
    "hexagonal": ((32.0, 0.0), (-16.0, 16 * math.sqrt(3))),
}
ALLOWED = [
    ("swap", "square"), ("swap", "rhombic"), ("swap", "hexagonal"), ("swap", "oblique"), ("swap", "rectangular"),
    ("flip", "rectangular"), ("flip", "square"), ("turn", "hexagonal"),
]  # fmt: skip


def image(basis: np.ndarray, shift: np.ndarray, seed: int) -> Tensor:  # type: ignore[type-arg]
    """A sum of waves on a lattice whose place `shift` (fractions) lies in the image's middle: nearly symmetric,
    so that peaks are high without being equal."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    u = np.linalg.inv(basis) @ np.stack([x.ravel(), y.ravel()]) + shift[:, None]
    value = np.zeros((3, SIZE * SIZE))
    for h in range(-4, 5):
        for k in range(5):
            size = 1 / (1 + h * h + k * k)
            phase = 2 * np.pi * (h * u[0] + k * u[1])
            value += size * (rng.uniform(0.5, 1, (3, 1)) * np.cos(phase) + rng.normal(0, 0.2, (3, 1)) * np.sin(phase))
    value = (value - value.min()) / np.ptp(value)
    return torch.from_numpy(value.reshape(1, 3, SIZE, SIZE)).float()


def evidence(picture: Tensor, basis: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Evidence:  # type: ignore[type-arg]
    """The evidence that would be taken, had the lattice been described by `basis`."""
    given = Lattice.alone(torch.from_numpy(basis).float()[None], torch.tensor([0.9]), torch.tensor([0.3]))
    monkeypatch.setattr(representation, "find_lattice", lambda _: given)
    return SymmetryEvidence()(picture)


def both(
    change: str, metric: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> tuple[tuple[Tensor, Tensor], Evidence]:
    """Relabelled evidence, and evidence of the changed basis.

    A place on the pooled grid stands for a block of 2 x 2 places, the first in its corner. Where P leads to another
    corner, relabelling gives the evidence of the pattern with its origin one place on, and an origin means nothing.
    """
    P = np.array(CHANGES[change])
    basis = np.array(BASES[metric]).T
    origin = np.array([0, 1 / GRID]) if change == "flip" else np.zeros(2)
    old = evidence(image(basis, np.zeros(2), seed), basis, monkeypatch)
    new = evidence(image(basis, origin, seed), basis @ P, monkeypatch)
    return relabel(old.maps, old.numbers, change), new


@pytest.mark.parametrize(("change", "metric"), ALLOWED)
@pytest.mark.parametrize("seed", [0, 1])
def test_numbers_equal_evidence_taken_on_the_changed_basis(
    change: str, metric: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (_, numbers), new = both(change, metric, seed, monkeypatch)
    torch.testing.assert_close(numbers, new.numbers, atol=0.02, rtol=0)


@pytest.mark.parametrize(("change", "metric"), [pair for pair in ALLOWED if pair[0] != "turn"])
@pytest.mark.parametrize("seed", [0, 1])
def test_maps_equal_evidence_taken_on_the_changed_basis(
    change: str, metric: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (maps, _), new = both(change, metric, seed, monkeypatch)
    torch.testing.assert_close(maps, new.maps, atol=0.02, rtol=0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_turned_maps_agree_up_to_the_shear_of_their_blocks(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    (maps, _), new = both("turn", "hexagonal", seed, monkeypatch)

    def wide(t: Tensor) -> Tensor:
        return F.max_pool2d(F.pad(t, (1, 1, 1, 1), mode="circular"), 3, 1)

    assert (maps <= wide(new.maps) + 0.02).all()
    assert (new.maps <= wide(maps) + 0.02).all()
    assert float((maps - new.maps).abs().mean()) < 0.02


def test_turning_needs_every_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above must be able to fail: with places left where they were it does."""
    basis = np.array(BASES["hexagonal"]).T
    old = evidence(image(basis, np.zeros(2), 0), basis, monkeypatch)
    maps, _ = relabel(old.maps, old.numbers, "turn")
    still = old.maps[:, relabelling("turn").channels]
    assert float((maps - still).abs().mean()) > 0.04


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_permutes(change: str) -> None:
    r = relabelling(change)
    for index in (r.channels, r.numbers, r.places):
        assert index.sort().values.tolist() == list(range(len(index)))


@pytest.mark.parametrize(("change", "times"), [("swap", 2), ("flip", 2), ("turn", 6)])
def test_a_change_returns_after_its_order(change: str, times: int) -> None:
    generator = torch.Generator().manual_seed(1)
    maps = torch.rand(2, MAP_CHANNELS, SIDE, SIDE, generator=generator)
    numbers = torch.rand(2, representation.EVIDENCE, generator=generator)
    now = maps, numbers
    for _ in range(times):
        now = relabel(*now, change)
    torch.testing.assert_close(now[0], maps, atol=0, rtol=0)
    torch.testing.assert_close(now[1], numbers, atol=0, rtol=0)


@pytest.mark.parametrize("change", CHANGES)
def test_operations_go_where_conjugation_sends_them(change: str) -> None:
    P = np.array(CHANGES[change])
    names = [name for name, _, _ in MAPS]
    source = relabelling(change).channels[:: len(WEIGHTINGS)] // len(WEIGHTINGS)
    for new, old in enumerate(source.tolist()):
        (_, W, w), (_, V, v) = MAPS[old], MAPS[new]
        image_ = np.linalg.inv(P) @ np.array(W) @ P
        moved = (np.linalg.inv(P) @ np.array(w) - np.array(v)) % 1
        same = np.allclose(image_, V) or np.allclose(np.linalg.inv(image_), V)
        if not (same and np.allclose(moved, 0)):  # its image is not among the maps: it may only keep its place
            assert old == new, f"{names[old]} became {names[new]}"


@given(st.integers(0, 1000), st.sampled_from(sorted(BASES)))
def test_random_relabelling_is_one_of_the_equivalent_bases(seed: int, metric: str) -> None:
    basis = torch.tensor(BASES[metric]).T
    strain = strains(basis)
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(4, MAP_CHANNELS, SIDE, SIDE, generator=generator)
    numbers = torch.rand(4, representation.EVIDENCE, generator=generator)
    first = MAP_CHANNELS
    numbers[:, first : first + len(MAPS)] = -torch.log10(strain + 1e-3) / 3
    torch.manual_seed(seed)
    new_maps, new_numbers = random_relabel(maps, numbers)
    torch.testing.assert_close(new_maps.flatten(1).sort().values, maps.flatten(1).sort().values)
    torch.testing.assert_close(new_numbers.sort().values, numbers.sort().values)
    if metric != "hexagonal":  # no operation that the lattice lacks may be read as one that it has
        possible = strain < STRAIN
        now = 10 ** (-3 * new_numbers[:, first : first + len(MAPS)]) - 1e-3 < STRAIN
        by_order = [possible[list(c)].sum() for c in ((0,), (1,), (2,), (3,))]
        assert [int(n) for n in by_order] == now[:, :4].sum(0).div(4).int().tolist()


def strains(basis: Tensor) -> Tensor:
    metric = basis.T @ basis
    W = torch.tensor([W for _, W, _ in MAPS]).float()
    return (W.mT @ metric @ W - metric).abs().amax((-2, -1)) / torch.linalg.det(basis).abs()


def test_without_swap_a_and_b_stay_what_they_are() -> None:
    maps = torch.rand(32, MAP_CHANNELS, SIDE, SIDE)
    numbers = torch.zeros(32, representation.EVIDENCE)
    numbers[:, MAP_CHANNELS : MAP_CHANNELS + len(MAPS)] = (
        -torch.log10(strains(torch.tensor(BASES["rectangular"]).T)) / 3
    )
    named = [name in ("mirror a", "mirror b", "glide a", "glide b") for name, _, _ in MAPS]
    old = maps.unflatten(1, (len(MAPS), -1))[:, named].amax((-1, -2))
    for swap in (True, False):
        new = random_relabel(maps, numbers, swap)[0].unflatten(1, (len(MAPS), -1))[:, named].amax((-1, -2))
        assert torch.equal(new, old) != swap


HEXAGONAL_ONLY = ("3-fold", "6-fold", "mirror along a", "mirror across a", "mirror along b", "mirror across b")


def marked(strain: float, count: int = 400) -> tuple[Tensor, Tensor]:
    """Evidence of lattices in which each operation that only hexagonal lattices have changes the metric by `strain`.

    One place on no axis of the grid is marked, so that a change of basis shows.
    """
    maps = torch.zeros(count, MAP_CHANNELS, SIDE, SIDE)
    maps[:, :, 2, 5] = 1
    numbers = torch.zeros(count, representation.EVIDENCE)
    of = [strain if name in HEXAGONAL_ONLY else 0.05 for name, _, _ in MAPS]
    numbers[:, MAP_CHANNELS : MAP_CHANNELS + len(MAPS)] = -torch.log10(torch.tensor(of) + 1e-3) / 3
    return maps, numbers


def where(maps: Tensor) -> dict[tuple[int, int], int]:
    """How many images have their mark at each place."""
    rows, columns = torch.nonzero(maps[:, 0], as_tuple=True)[1:]
    return dict(Counter(zip(rows.tolist(), columns.tolist(), strict=True)))


@pytest.mark.parametrize(("strain", "flipped"), [(0.12, False), (0.14, False), (0.17, True), (0.25, True)])
def test_b_is_turned_round_only_where_the_angle_may_be_acute(strain: float, flipped: bool) -> None:
    """Where a node is offered the operations of an obtuse hexagonal angle, -b would have it look for them in vain."""
    maps, numbers = marked(strain)
    torch.manual_seed(0)
    new, _ = random_relabel(maps, numbers, swap=False)
    assert (strain > STRAIN) == flipped, "the limit is that of what a node is offered"
    seen = where(new)
    assert set(seen) == ({(2, 5), (2, SIDE - 5)} if flipped else {(2, 5)})
    assert all(150 < n < 250 for n in seen.values()) or not flipped


@pytest.mark.parametrize(("strain", "turned"), [(0.0, True), (0.08, True), (0.12, False)])
def test_all_three_pairs_of_a_hexagonal_lattice_are_shown_and_of_no_other(strain: float, turned: bool) -> None:
    """None, one or two turns by 60 degrees."""
    maps, numbers = marked(strain, 1200)
    torch.manual_seed(0)
    new, _ = random_relabel(maps, numbers, swap=False)
    seen = where(new)
    if turned:
        assert len(seen) == 3
        assert all(n > 120 for n in seen.values()), seen
    else:
        assert seen == {(2, 5): 1200}
