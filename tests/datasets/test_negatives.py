"""Images without a lattice: photographs show something, stripes repeat in one direction, objects are few."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hier.datasets import KINDS, NonPatternDataset, Pool
from scipy import ndimage
from torch import Tensor

SIZE = 96


@pytest.fixture(scope="module")
def images(pool: Pool) -> Tensor:
    return NonPatternDataset(5, SIZE, pool).batch(range(60))


def of_kind(images: Tensor, kind: str) -> Tensor:
    return images[KINDS.index(kind) :: len(KINDS)]


def test_an_image_depends_on_seed_and_index_alone(images: Tensor, pool: Pool) -> None:
    dataset = NonPatternDataset(5, SIZE, pool)
    assert torch.equal(dataset.batch([17, 3]), images[[17, 3]])
    other = NonPatternDataset(6, SIZE, pool).batch(range(10))
    assert all(not torch.equal(a, b) for a, b in zip(images, other, strict=False))
    assert len({image.numpy().tobytes() for image in images}) == len(images)


def test_images_are_in_range_and_none_is_blank(images: Tensor) -> None:
    assert images.shape == (60, 3, SIZE, SIZE)
    assert 0 <= float(images.min()) <= float(images.max()) <= 1
    assert float(images.std((1, 2, 3)).min()) > 5e-4


def test_a_photograph_is_a_large_square_of_a_picture_of_the_pool(pool: Pool) -> None:
    """On pictures that are ramps the place and the width of the square can be read off."""
    ramp = torch.arange(256, dtype=torch.uint8)
    pictures = torch.stack([ramp.expand(256, 256), ramp[:, None].expand(256, 256), torch.zeros(256, 256)])[None]
    ramps = Pool(pictures.to(torch.uint8), ("ramps",))
    photographs = NonPatternDataset(1, SIZE, ramps).batch(range(KINDS.index("photograph"), 300, len(KINDS)))
    coloured = photographs[(photographs[:, 0] - photographs[:, 1]).abs().amax((1, 2)) > 1e-3] * 255
    assert 0.5 < len(coloured) / len(photographs) < 0.9, "three in ten are grey"
    width = coloured[:, 0].amax((1, 2)) - coloured[:, 0].amin((1, 2))
    height = coloured[:, 1].amax((1, 2)) - coloured[:, 1].amin((1, 2))
    torch.testing.assert_close(width, height, atol=1.0, rtol=0)
    assert 120 < float(width.min()) < 160, "at least half of it"
    assert 230 < float(width.max()) < 256
    left = coloured[:, 0].amin((1, 2))
    assert float(left.max()) > 60, "anywhere in it"
    assert float(left.min()) < 10


def test_stripes_are_constant_along_one_direction(images: Tensor) -> None:
    """Gradients of a function of one coordinate are all parallel: their structure tensor has rank one."""
    ratios = []
    for image in of_kind(images, "stripes"):
        gy, gx = torch.gradient(image.mean(0))
        tensor = torch.stack([gx.square(), gx * gy, gx * gy, gy.square()]).mean((1, 2)).reshape(2, 2)
        low, high = torch.linalg.eigvalsh(tensor).tolist()
        ratios.append(low / high)
    assert max(ratios) < 0.4, "the finest suffer from the raster of pixels"
    assert np.median(ratios) < 0.05


def test_scattered_atoms_are_brighter_than_what_is_between(images: Tensor) -> None:
    for image in of_kind(images, "scattered"):
        assert float(image.min()) == pytest.approx(0.1, abs=0.3)
        assert float(image.mean() - image.median()) > -0.05
        assert np.ptp(image.numpy()) > 0.2


def test_few_objects_stand_on_an_empty_background(pool: Pool) -> None:
    counts = []
    for image in NonPatternDataset(8, 128, pool).batch(range(KINDS.index("objects"), 240, len(KINDS))):
        grey = image[0].numpy()
        smooth = ndimage.median_filter(grey, 5) if np.median(np.abs(np.diff(grey))) > 1e-3 else grey
        far = np.abs(smooth - np.median(smooth)) > 0.2
        assert far.mean() < 0.5, "most of it is background"
        counts.append(ndimage.label(far)[1])
    assert max(counts) <= 8
    assert len(set(counts) - {0}) > 4
