"""What nodes see does not change with what means nothing: the batch, brightness, contrast, turns and mirrors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hier.datasets import PatternDataset, Pool
from hier.models.evidence.maps import MAPS, WEIGHTINGS
from hier.models.evidence.representation import (
    ABSENT,
    EVIDENCE,
    MAP_CHANNELS,
    SIDE,
    Evidence,
    SymmetryEvidence,
    log_residual,
)
from torch import Tensor

SEED = 10**9 + 7
KINDS = {
    "2": ("2-fold",),
    "3": ("3-fold",),
    "4": ("4-fold",),
    "6": ("6-fold",),
    "mirror": ("mirror a", "mirror b"),
    "glide": ("glide a", "glide b"),
    "along": ("mirror a+b", "mirror along a", "mirror along b"),
    "across": ("mirror a-b", "mirror across a", "mirror across b"),
}
CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "quarter turn": lambda images: images.rot90(1, (2, 3)),
    "half turn": lambda images: images.rot90(2, (2, 3)),
    "mirror": lambda images: images.flip(3),
    "upside down": lambda images: images.flip(2),
    "transposed": lambda images: images.mT,
    "negative": lambda images: 1 - images,
    "faint": lambda images: 0.1 * images + 0.4,
    "large numbers": lambda images: 5000 * images - 100,
    "channels in another order": lambda images: images[:, [2, 0, 1]],
}


@pytest.fixture(scope="module", params=["atoms", "photos"])
def images(request: pytest.FixtureRequest, pool: Pool) -> Tensor:
    return PatternDataset(request.param, SEED, 192, pool=pool, cells=(6, 30)).batch(range(17))


@pytest.fixture(scope="module")
def before(images: Tensor) -> Evidence:
    return SymmetryEvidence()(images)


def by_kind(evidence: Evidence) -> dict[str, Tensor]:
    """Peaks of every kind of operation, sorted: equivalent bases call the same mirror by other names.

    In square lattices the two diagonals change names, so that they are one kind there.
    """
    peaks = evidence.numbers[:, :MAP_CHANNELS].unflatten(1, (len(MAPS), len(WEIGHTINGS)))
    names = [name for name, _, _ in MAPS]
    found = {k: peaks[:, [names.index(n) for n in group]].sort(1).values for k, group in KINDS.items()}
    hexagonal = peaks[:, names.index("6-fold"), :1, None] > -0.4
    diagonals = torch.cat([found.pop("along"), found.pop("across")], 1)
    mixed = diagonals.sort(1).values
    found["diagonal"] = torch.where(hexagonal, diagonals, mixed)
    return found


def same(here: Evidence, there: Evidence, tolerance: float) -> Tensor:
    """Which images have the same evidence: (B,)."""
    one, two = by_kind(here), by_kind(there)
    far = torch.stack([(one[k] - two[k]).abs().amax((1, 2)) for k in one], 1).amax(1)
    area = [torch.linalg.det(e.lattice.basis).abs() for e in (here, there)]
    return (far < tolerance) & ((area[0] / area[1]).log().abs() < 0.02)


@pytest.mark.parametrize("change", CHANGES)
def test_evidence_does_not_change_with_what_means_nothing(images: Tensor, before: Evidence, change: str) -> None:
    kept = same(before, SymmetryEvidence()(CHANGES[change](images)), 0.06)
    assert int(kept.sum()) >= 15, f"changed: {(~kept).nonzero().flatten().tolist()}"


def test_evidence_does_not_depend_on_the_batch(images: Tensor, before: Evidence) -> None:
    order = torch.randperm(17, generator=torch.Generator().manual_seed(0))
    shuffled = SymmetryEvidence()(images[order])
    torch.testing.assert_close(shuffled.numbers, before.numbers[order], atol=0.02, rtol=0)
    for i in (0, 5, 12):
        alone = SymmetryEvidence()(images[i : i + 1])
        torch.testing.assert_close(alone.numbers[0], before.numbers[i], atol=0.02, rtol=0)
        torch.testing.assert_close(alone.maps[0], before.maps[i], atol=0.05, rtol=0)


def test_grey_images_and_their_copies_in_three_channels_are_one(images: Tensor) -> None:
    grey = images.mean(1, keepdim=True)
    one, three = SymmetryEvidence()(grey), SymmetryEvidence()(grey.expand(-1, 3, -1, -1))
    assert int(same(one, three, 0.02).sum()) >= 16


def test_evidence_lies_in_its_range(before: Evidence) -> None:
    assert before.maps.shape == (17, MAP_CHANNELS, SIDE, SIDE)
    assert before.numbers.shape == (17, EVIDENCE)
    for t in (before.maps, before.numbers):
        assert t.isfinite().all()
        assert float(t.min()) >= -0.6
        assert float(t.max()) <= 1.5


def test_true_symmetries_read_higher_than_broken_ones() -> None:
    """p2 patterns against p1 ones: the half turn's peak tells them apart whatever the content."""
    dataset = PatternDataset("atoms", SEED + 1, 192, groups=("p1", "p2"), cells=(6, 30))
    peaks = SymmetryEvidence()(dataset.batch(range(24))).numbers[:, len(WEIGHTINGS) - 1]
    assert float(peaks[1::2].median()) > float(peaks[::2].median()) + 0.2


@pytest.mark.parametrize("shape", [(32, 32), (32, 300), (257, 64)])
def test_images_without_any_pattern_have_finite_evidence(shape: tuple[int, int]) -> None:
    H, W = shape
    y, x = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    point = ((x == W // 2) & (y == H // 2)).float()
    noise = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    flat = torch.full(shape, 0.5)
    made = [point, noise, flat, x / W, ((x + y) % 2).float(), ((x // 3) % 2).float(), (x < W // 2).float()]
    found = SymmetryEvidence()(torch.stack(made)[:, None].expand(-1, 3, -1, -1))
    for k in range(len(made)):
        assert found.maps[k].isfinite().all(), k
        assert found.numbers[k].isfinite().all(), k


def rectangles(aspect: float) -> Tensor:
    """A pattern (1, 3, 160, 160) that a quarter turn would keep, were its cell not `aspect` times as wide as high."""
    ticks = torch.arange(160)
    y, x = torch.meshgrid(2 * torch.pi * ticks / 24, 2 * torch.pi * ticks / (24 * aspect), indexing="ij")
    value = (
        x.cos() + y.cos() + 0.7 * (2 * x + y).cos() + 0.7 * (x - 2 * y).cos() + 0.4 * ((2 * x).cos() + (2 * y).cos())
    )
    return (0.5 + 0.1 * value).expand(1, 3, -1, -1)


@pytest.mark.parametrize(("aspect", "offered"), [(1.0, True), (1.06, True), (1.1, False), (1.15, False), (1.4, False)])
def test_a_node_is_offered_an_operation_that_the_lattice_has_or_nearly_has(aspect: float, offered: bool) -> None:
    """A quarter turn changes the metric of a rectangle of 1 : 1.1 by 0.19; beyond 0.15 its maps are left empty."""
    found = SymmetryEvidence()(rectangles(aspect))
    names = [name for name, _, _ in MAPS]
    maps = found.maps.unflatten(1, (len(MAPS), -1))[0]
    peaks = found.numbers[0, :MAP_CHANNELS].unflatten(0, (len(MAPS), -1))
    for seen in (maps, peaks):
        quarter = seen[names.index("4-fold")]
        assert bool((quarter > 0).any() if offered else (quarter == ABSENT).all())
        for always in ("2-fold", "mirror a", "mirror b"):
            assert bool((seen[names.index(always)] > ABSENT).all()), "every rectangle has these"


def test_the_scale_of_residuals_runs_from_none_to_perfect() -> None:
    """A residual of a tenth is a third of the way: decades count."""
    found = log_residual(torch.tensor([1.0, 0.999, 0.99, 0.9, 0.0, -1.0, 1.2]))
    assert found.tolist() == pytest.approx([1, 0.9, 0.653, 0.332, 0, -0.1, 1], abs=2e-3)
