"""Matched controls: the same power spectrum, other phases, no symmetry."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hier.datasets import PatternDataset
from hier.datasets.controls import matched
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor


def power(images: Tensor) -> Tensor:
    return torch.fft.fft2(images.double()).abs() ** 2


@given(st.integers(0, 10**6), st.sampled_from([(32, 32), (33, 40), (48, 31)]))
def test_the_power_spectrum_stays(seed: int, shape: tuple[int, int]) -> None:
    images = torch.rand(2, 3, *shape, generator=torch.Generator().manual_seed(seed))
    images = images * torch.linspace(0.1, 1, shape[1]) ** 2
    patterns, controls = matched(images, [(seed, 0), (seed, 1)])
    for both in (patterns, controls):
        assert float(both.min()) >= 0
        assert float(both.max()) <= 1
    a, b = power(patterns), power(controls)
    even = torch.ones_like(a, dtype=torch.bool)
    assert float((a - b)[even].abs().max() / a[..., 1:, 1:].max()) < 1e-3
    assert patterns.mean((2, 3)) == pytest.approx(images.mean((2, 3)), abs=1e-5)


def test_a_pattern_loses_only_contrast_and_its_control_all_symmetry() -> None:
    dataset = PatternDataset("atoms", seed=3, size=96, groups=("p4m",))
    images = dataset.batch(range(4))
    patterns, controls = matched(images, [(3, k) for k in range(4)])
    for image, pattern, control in zip(images, patterns, controls, strict=True):
        for one, same, other in zip(image, pattern, control, strict=True):
            assert np.corrcoef(one.flatten(), same.flatten())[0, 1] > 0.9999
            assert abs(np.corrcoef(same.flatten(), other.flatten())[0, 1]) < 0.3
    assert not torch.equal(controls[0], matched(images[:1], [(4, 0)])[1][0]), "another key, other phases"
    assert torch.equal(controls[2], matched(images[2:3], [(3, 2)])[1][0]), "a control depends on its own key alone"


def test_channels_keep_their_relation() -> None:
    """Phases are the same in all channels: a grey image has a grey control."""
    grey = torch.rand(1, 1, 40, 40).expand(1, 3, 40, 40)
    _, control = matched(grey, [(1,)])
    assert float((control[:, 0] - control[:, 2]).abs().max()) < 1e-5


def test_a_flat_image_stays_flat() -> None:
    flat = torch.full((1, 3, 32, 32), 0.4)
    for both in matched(flat, [(0,)]):
        assert float((both - 0.4).abs().max()) < 1e-5
