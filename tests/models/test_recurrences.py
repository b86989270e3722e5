"""Where patches recur: against a naive correlation, and lattices followed on images that are bent."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hier.datasets import Corruption, PatternDataset
from hier.models.evidence.background import without_slope
from hier.models.evidence.lattice import find_lattice
from hier.models.straightening.doubts import bends_finer
from hier.models.straightening.families import STRAIGHT
from hier.models.straightening.fit import Sighting, fitted
from hier.models.straightening.matching import Matcher
from hier.models.straightening.recurrences import Recurrences, bases, followed, recurrences, recurring
from torch import Tensor


def bent(source: str, index: int, kind: str = "bend", severity: float = 5) -> tuple[Tensor, PatternDataset]:
    dataset = PatternDataset(source, 43, size=192, corruptions=(Corruption(kind, (severity, severity)),))  # type: ignore[arg-type]
    return dataset.batch([index])[0], dataset


def left_of(dataset: PatternDataset, index: int, straight: Tensor, z: Tensor, size: int = 192) -> float:
    """Root mean square, px, of what an affine map leaves between found and true straight points of `z`."""
    true = dataset.distortions(index)[0](z * size / 2)
    affine = torch.cat([straight * size / 2, torch.ones(len(z), 1)], 1)
    off = true - affine @ torch.linalg.lstsq(affine, true).solution
    return float(off.square().sum(-1).mean().sqrt())


def test_values_are_correlations_of_windows() -> None:
    """Against a loop over places and pixels."""
    image = without_slope(torch.rand(1, 3, 40, 44, generator=torch.Generator().manual_seed(1)))[0]
    image[:, 8:20, 22:34] = image[:, 15:27, 6:18]  # recurs at (+16, -7)
    seen = recurrences(image, 3.0)
    reach = 8
    offsets = np.arange(-reach, reach + 1)
    window = np.exp(-0.5 * (np.hypot(*np.meshgrid(offsets, offsets)) / 3) ** 2)
    window /= window.sum()

    def patch(x: int, y: int) -> np.ndarray:
        cut = image[:, y - reach : y + reach + 1, x - reach : x + reach + 1].numpy()
        return cut - (cut * window).sum((1, 2), keepdims=True)

    checked = 0
    for k in range(len(seen.at)):
        for place, value in zip(seen.places[k], seen.values[k].tolist(), strict=True):
            (x, y), (i, j) = (int(v) for v in seen.at[k]), (int(v) for v in place)
            if value == 0 or not (reach <= min(x, i) and max(x, i) < 44 - reach and reach <= min(y, j) < 40 - reach):
                continue
            if max(y, j) >= 40 - reach:
                continue
            one, other = patch(x, y), patch(i, j)
            norm = ((one**2 * window).sum() * (other**2 * window).sum()) ** 0.5
            assert value == pytest.approx((one * other * window).sum() / norm, abs=2e-3)
            checked += 1
    assert checked > 3


def test_a_lattice_is_told_by_matches_alone() -> None:
    """Matches where an oblique lattice has them, a tenth of them elsewhere: that lattice, wherever they begin."""
    rng = np.random.default_rng(4)
    basis = np.array([[31.0, 9.0], [-4.0, 27.0]])
    at = rng.uniform(30, 226, (40, 2))
    steps = np.stack(np.meshgrid(np.arange(-3, 4), np.arange(-3, 4)), -1).reshape(-1, 2)
    steps = steps[np.any(steps != 0, 1)]
    places = at[:, None] + steps @ basis.T + rng.normal(0, 0.5, (40, len(steps), 2))
    wrong = rng.random(places.shape[:2]) < 0.1
    places[wrong] = rng.uniform(0, 255, (int(wrong.sum()), 2))
    inside = ((places > 0) & (places < 255)).all(-1)
    seen = Recurrences(*(torch.tensor(v, dtype=torch.float32) for v in (at, places, 0.9 * inside)))
    found = bases(seen, 256, 256)
    state = followed(seen, found[0], 256, 256)
    assert state is not None
    index = np.linalg.inv(basis) @ (128 * state.lattice.basis.numpy())
    assert np.allclose(index, index.round(), atol=0.04)
    assert abs(np.linalg.det(index)) == pytest.approx(1, abs=0.06)


def test_steps_between_points_tell_a_lattice_without_origin() -> None:
    basis = torch.tensor([[0.3, 0.1], [0.0, 0.25]])
    steps = torch.cartesian_prod(torch.arange(-2.0, 3), torch.arange(-2.0, 3))
    since = torch.rand(25, 2, generator=torch.Generator().manual_seed(2))
    seen = Sighting(since + steps @ basis.T, since, steps, torch.eye(2).expand(25, 2, 2))
    _, lattice = fitted(seen, STRAIGHT, torch.zeros(0))
    assert torch.allclose(lattice.basis, basis, atol=1e-4)
    assert torch.equal(lattice.origin, torch.zeros(2))


@pytest.mark.parametrize(("source", "index"), [("photos", 3), ("noise", 4), ("noise", 8), ("photos", 9)])
def test_a_bend_is_followed(source: str, index: int) -> None:
    image, dataset = bent(source, index)
    matcher = Matcher(image)
    z = torch.cartesian_prod(*[torch.linspace(-0.85, 0.85, 9)] * 2)
    before = left_of(dataset, index, z, z)
    after = min(
        left_of(dataset, index, state.family.apply(z, state.c), z) for states in recurring(matcher) for state in states
    )
    assert before > 2
    assert after < 0.35 * before


def test_nothing_recurs_in_noise_and_on_nothing() -> None:
    for image in (torch.rand(3, 96, 96, generator=torch.Generator().manual_seed(3)), torch.full((3, 96, 96), 0.5)):
        assert not any(recurring(Matcher(image)))


def test_only_a_bend_makes_a_finer_lattice_nearly_repeat() -> None:
    for index in range(6):
        image = PatternDataset("atoms", 44, size=192, cells=(5, 12)).batch([index])
        assert not bends_finer(image[0], find_lattice(image).finer[0])
    image, _ = bent("photos", 3)
    straight = PatternDataset("photos", 43, size=192).batch([3])
    cell = find_lattice(straight).basis[0]
    assert bends_finer(image, cell)
