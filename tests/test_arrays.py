"""What `datasets` and `models` share: a blur as the textbook has it, in a module that needs nothing of ours."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

import hier.arrays
from hier.arrays import gaussian_blur, in_pieces, in_threads

CPU = torch.device("cpu")


def textbook(images: torch.Tensor, sigma: float, radius: int) -> np.ndarray:
    """SciPy's Gaussian, along both axes, on images continued by reflection."""
    found = images.double().numpy()
    for axis in (2, 3):
        found = gaussian_filter1d(found, sigma, axis, mode="mirror", radius=radius)
    return found


@pytest.mark.parametrize(("sigma", "radius"), [(0.4, None), (1.0, None), (2.5, 8), (0.001, 8)])
def test_the_blur_is_a_gaussian(sigma: float, radius: int | None) -> None:
    images = torch.rand(2, 3, 20, 30, generator=torch.Generator().manual_seed(0))
    reach = radius or max(1, int(3 * sigma + 0.5))
    np.testing.assert_allclose(gaussian_blur(images, sigma, radius), textbook(images, sigma, reach), atol=1e-6)


def test_each_image_has_its_own_blur_to_the_bit() -> None:
    images = torch.rand(3, 3, 20, 30, generator=torch.Generator().manual_seed(1))
    sigma = torch.tensor([0.3, 1.7, 2.5])
    together = gaussian_blur(images, sigma, 8)
    for k in range(3):
        assert torch.equal(together[k : k + 1], gaussian_blur(images[k : k + 1], sigma[k : k + 1], 8))
        np.testing.assert_allclose(together[k : k + 1], textbook(images[k : k + 1], float(sigma[k]), 8), atol=1e-6)


def test_it_imports_nothing_of_ours() -> None:
    tree = ast.parse(Path(hier.arrays.__file__).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            root = (node.module or "").split(".")[0]
            assert root in {"__future__", "collections", "concurrent", "functools", "torch", "typing"}


def test_threads_keep_order_and_mode_and_give_the_cores_back() -> None:
    torch.set_num_threads(3)
    try:
        with torch.inference_mode():
            found = in_threads(lambda k: (k, torch.get_num_threads(), torch.zeros(1).is_inference()), range(7), CPU)
        assert found == [(k, 1, True) for k in range(7)]
        assert torch.get_num_threads() == 3
        assert not in_threads(lambda k: torch.zeros(k).is_inference(), range(2), CPU)[1]
    finally:
        torch.set_num_threads(1)


def test_an_error_in_a_thread_is_raised_and_gives_the_cores_back() -> None:
    torch.set_num_threads(2)
    try:
        with pytest.raises(ZeroDivisionError):
            in_threads(lambda k: 1 // k, range(3), CPU)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_pieces_are_joined_in_order_and_small_ones_on_the_cpu_alone() -> None:
    seen = []

    def doubled(some: torch.Tensor) -> torch.Tensor:
        seen.append(len(some))
        return 2 * some

    images = torch.rand(5, 1, 256, 256)
    assert torch.equal(in_pieces(doubled, images), 2 * images)
    assert seen == [1] * 5
    seen.clear()
    assert len(in_pieces(doubled, images[:, :, :64, :64])) == 5
    assert len(in_pieces(doubled, images.to("meta"))) == 5
    assert seen == [5, 5]
