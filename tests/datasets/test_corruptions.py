"""Corruptions: nothing at severity 0, more with every step, and an image's own whatever its batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hier.datasets import CORRUPTIONS, SOURCES, Corruption, NonPatternDataset, PatternDataset, Pool, corrupt
from hier.datasets.disorder import displaced, thinned
from hier.hierarchy import HierError, UnknownNameError
from torch import Tensor

EVERY = pytest.mark.parametrize("name", CORRUPTIONS)


@pytest.fixture(scope="module", params=SOURCES)
def dataset(request: pytest.FixtureRequest, pool: Pool) -> PatternDataset:
    return PatternDataset(request.param, 22, 64, cells=(4, 16), pool=pool)


@pytest.fixture(scope="module")
def clean(dataset: PatternDataset) -> Tensor:
    return dataset.batch(range(6))


def with_severity(dataset: PatternDataset, name: str, severity: float) -> PatternDataset:
    return replace(dataset, corruptions=(Corruption(name, (severity, severity)),))


@EVERY
def test_severity_0_changes_nothing_to_the_bit(dataset: PatternDataset, clean: Tensor, name: str) -> None:
    assert torch.equal(with_severity(dataset, name, 0).batch(range(6)), clean)
    # nor does the function itself, were it asked
    rngs = [np.random.default_rng(i) for i in range(6)]
    assert torch.equal(CORRUPTIONS[name](clean, torch.zeros(6), rngs).clamp(0, 1), clean)


@EVERY
def test_every_step_changes_more(dataset: PatternDataset, clean: Tensor, name: str) -> None:
    changes = []
    for severity in range(1, 6):
        images = with_severity(dataset, name, severity).batch(range(6))
        assert float(images.min()) >= 0
        assert float(images.max()) <= 1
        changes.append(float((images - clean).abs().mean()))
    assert changes[0] > 0
    if name == "invert":
        assert changes == [changes[0]] * 5
    else:
        assert changes == sorted(changes)
        assert changes[4] > 1.5 * changes[0]


@EVERY
def test_a_corrupted_image_does_not_depend_on_its_batch(dataset: PatternDataset, name: str) -> None:
    corrupted = replace(dataset, corruptions=(Corruption(name, (0, 5), 0.7), Corruption("noise", (1, 2))))
    together = corrupted.batch([3, 1, 5, 0])
    for k, i in enumerate([3, 1, 5, 0]):
        torch.testing.assert_close(corrupted.batch([i])[0], together[k], atol=1e-6, rtol=0)


def test_share_and_severity_are_drawn_for_each_image() -> None:
    flat = torch.full((400, 3, 8, 8), 0.5)
    keys = [(7, i) for i in range(400)]
    found = corrupt(flat, (Corruption("noise", (0, 5), 0.5),), keys)
    spread = found.std((1, 2, 3))
    touched = spread > 0
    assert float(touched.float().mean()) == pytest.approx(0.5, abs=0.1)
    assert float(spread[touched].std()) > 0.03
    assert torch.equal(found[200:], corrupt(flat[200:], (Corruption("noise", (0, 5), 0.5),), keys[200:]))


@pytest.mark.parametrize("severity", [1.0, 2.0, 3.0, 4.5])
@pytest.mark.parametrize("grey", [0.25, 0.81])
def test_shot_noise_is_that_of_so_many_counts(severity: float, grey: float) -> None:
    """N counts scatter by their root; a white pixel has 400 at severity 0 and a quarter of them at every step."""
    flat = torch.full((2, 3, 200, 200), grey)
    found = CORRUPTIONS["shot"](flat, torch.full((2,), severity), [np.random.default_rng(i) for i in range(2)])
    white = 400 / 4**severity
    assert float(found.std()) == pytest.approx((grey * white) ** 0.5 / white, rel=0.02)
    assert float(found.mean()) == pytest.approx(grey, abs=0.02 * 2**severity)


@pytest.mark.parametrize("severity", [1.0, 2.5, 5.0])
def test_deviations_of_noise_are_those_told(severity: float) -> None:
    flat = torch.full((1, 3, 200, 200), 0.5)
    own = flat + 0.1 * torch.randn(1, 1, 200, 200, generator=torch.Generator().manual_seed(0))
    for name, image, step in (("noise", flat, 0.06), ("grain", own, 0.2 * float(own.std()))):
        added = CORRUPTIONS[name](image, torch.tensor([severity]), [np.random.default_rng(1)]) - image
        assert float(added.std()) == pytest.approx(step * severity, rel=0.02), name


def test_atoms_are_displaced_and_taken_out_themselves() -> None:
    rng = np.random.default_rng(0)
    at, site = rng.uniform(0, 100, (5000, 2)), np.arange(5000)
    moved, same = displaced((at, site), 400.0, 5, np.random.default_rng(1))
    assert np.array_equal(same, site)
    assert (moved - at).std() == pytest.approx(0.012 * 5 * 20, rel=0.05)
    left, which = thinned((at, site), 5, np.random.default_rng(1))
    assert len(left) / 5000 == pytest.approx(0.8, abs=0.03)
    assert np.array_equal(left, at[which])
    fewer, _ = thinned((at, site), 2, np.random.default_rng(1))
    assert {tuple(p) for p in left} < {tuple(p) for p in fewer}  # what misses at 2 misses at 5


def test_vacancies_leave_the_other_atoms_alone() -> None:
    """An image of atoms less some is nowhere brighter; a blot on a photograph would be grey."""
    dataset = PatternDataset("atoms", 3, 64, ("p4",), cells=(9, 16))
    patterns, _ = dataset.accepted(range(4))
    ticks = torch.arange(64) - 31.5
    whole = dataset.look.atoms(patterns, ticks)
    some = with_severity(dataset, "vacancies", 4).look.atoms(patterns, ticks, [(i,) for i in range(4)])
    for p, a, b in zip(patterns, whole, some, strict=True):
        assert p.atoms is not None
        sign = np.sign(p.atoms.colours.sum())
        assert float((sign * (a - b)).min()) > -1e-4
        assert float((a - b).abs().max()) > 0.05


def test_what_is_no_pattern_can_be_corrupted_alike(pool: Pool) -> None:
    dataset = NonPatternDataset(1, 64, pool)
    for name in CORRUPTIONS:
        changed = replace(dataset, corruptions=(Corruption(name, (3, 3)),)).batch(range(5))
        assert changed.shape == (5, 3, 64, 64)
        assert not torch.equal(changed, dataset.batch(range(5)))


def test_unknown_names_and_severities_are_one_clear_line() -> None:
    with pytest.raises(UnknownNameError, match="unknown corruption 'nois': did you mean noise"):
        Corruption("nois", (1, 1))
    for severity in ((-1.0, 1.0), (0.0, 6.0), (3.0, 2.0)):
        with pytest.raises(HierError, match="severities lie between 0 and 5"):
            Corruption("noise", severity)


def test_every_other_slope_without_a_pattern_is_rounded_to_greys(pool: Pool) -> None:
    dataset = NonPatternDataset(2, 64, pool)
    slopes = dataset.batch([i for i in range(200) if dataset.label(i) == "gradient"]) * 255
    rounded = (slopes - slopes.round()).abs().amax((1, 2, 3)) < 1e-3
    assert 10 <= int(rounded.sum()) <= 30


def test_blots_have_the_colour_of_the_image_and_lie_everywhere() -> None:
    """Vacancies of a photograph: nothing overshoots its mean, and no border is spared."""
    B, side = 40, 72
    ramp = torch.linspace(0, 1, side).expand(B, 3, side, side)
    rngs = [np.random.default_rng(i) for i in range(B)]
    found = CORRUPTIONS["vacancies"](ramp, torch.full((B,), 5.0), rngs)
    cover = ((found - ramp) / (0.5 - ramp))[:, 0]  # 0 where nothing changed, 1 where all is the mean
    assert float(cover.min()) > -1e-3
    assert float(cover.max()) == pytest.approx(1, abs=1e-3)
    assert 0.1 < float(cover.mean()) < 0.25, "about 4 % of the area a step"
    by_border = [cover[:, :12], cover[:, -12:], cover[:, :, :12], cover[:, :, -12:]]
    assert min(float(part.mean()) for part in by_border) > 0.6 * float(cover.mean())


@pytest.mark.parametrize("severity", [1.0, 5.0])
def test_less_contrast_keeps_what_is_brighter_brighter(severity: float) -> None:
    ramp = torch.linspace(0, 1, 64).expand(20, 3, 8, 64)
    found = CORRUPTIONS["contrast"](ramp, torch.full((20,), severity), [np.random.default_rng(i) for i in range(20)])
    assert bool((found.diff(dim=-1) >= 0).all())
    span = found.amax((1, 2, 3)) - found.amin((1, 2, 3))
    torch.testing.assert_close(span, torch.full((20,), 1 - 0.15 * severity), atol=1e-5, rtol=0)
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
