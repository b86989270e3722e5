"""The non-uniform FFT against the sums it stands for."""

from __future__ import annotations

import pytest
import torch
from hier.models.evidence.fourier import fourier_sums, nodes
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor


def naive(images: Tensor, frequencies: Tensor) -> Tensor:
    *_, H, W = images.shape
    y = torch.arange(H).double() - (H - 1) / 2
    x = torch.arange(W).double() - (W - 1) / 2
    q = frequencies.double()
    phase = q[..., 0, None, None] * x + q[..., 1, None, None] * y[:, None]
    wave = torch.exp(-2j * torch.pi * phase)
    return torch.einsum("bchw,bkhw->bck", images.to(torch.complex128).expand(len(q), -1, -1, -1), wave)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([(16, 16), (17, 24), (33, 20), (48, 31)]), st.integers(1, 3))
def test_sums_equal_naive_ones(seed: int, size: tuple[int, int], channels: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(2, channels, *size, generator=generator)
    frequencies = torch.rand(2, 30, 2, generator=generator) * 0.98 - 0.49
    error = (fourier_sums(images, nodes(size, frequencies)) - naive(images, frequencies)).abs().amax()
    assert float(error) < 3e-5 * float(images.abs().sum((2, 3)).amax())


def test_one_image_serves_many_lists_of_frequencies() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 1, 20, 24, generator=generator)
    frequencies = torch.rand(5, 7, 2, generator=generator) - 0.5
    whole = fourier_sums(image, nodes((20, 24), frequencies))
    for k in range(5):
        torch.testing.assert_close(whole[k], fourier_sums(image, nodes((20, 24), frequencies[k : k + 1]))[0])


@pytest.mark.parametrize("size", [(32, 32), (31, 40)])
def test_the_sum_at_nothing_is_the_sum_of_all_pixels(size: tuple[int, int]) -> None:
    images = torch.rand(3, 2, *size, generator=torch.Generator().manual_seed(1))
    found = fourier_sums(images, nodes(size, torch.zeros(3, 1, 2)))[..., 0]
    torch.testing.assert_close(found.real, images.sum((2, 3)), rtol=1e-4, atol=0)
    assert float(found.imag.abs().max()) < 1e-2
