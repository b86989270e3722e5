"""Pictures behind patterns: splits share nothing, and whitened pictures keep their phases and nothing else."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hier.datasets import Pool, SourceError, default_pool, photo_pool, split_pool
from hier.datasets.sources import DrawnPool
from hier.datasets.textures import SIDE
from PIL import Image


def test_the_splits_of_a_folder_share_no_picture(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for k in range(40):
        Image.fromarray(rng.integers(0, 255, (20, 30, 3), dtype=np.uint8)).save(tmp_path / f"{k}.png")
    (tmp_path / "broken.png").write_text("no picture")
    train, valid = (split_pool(tmp_path, split) for split in ("train", "valid"))
    assert not set(train.names) & set(valid.names)
    assert len(train) + len(valid) == len(photo_pool(tmp_path)) == 40
    assert train.skipped == 1
    with pytest.raises(SourceError, match="no folder"):
        photo_pool(tmp_path / "nowhere")


def test_whitened_pictures_have_equal_power_and_the_phases_of_the_photograph(pool: Pool) -> None:
    white = pool.whitened
    assert white is pool.whitened
    assert white.names == pool.names
    assert white.pictures.shape == pool.pictures.shape
    assert white.pictures.dtype == torch.uint8
    before, after = (torch.fft.rfft2(p.pictures.float() / 255) for p in (pool, white))
    # the amplitudes of the photographs span many powers of ten, those of the whitened ones hardly one
    spread = [(waves[..., 1:, 1:].abs() + 1e-9).log10().std() for waves in (before, after)]
    assert spread[1] < 0.5 * spread[0]
    cosine = (before * after.conj()).real / (before * after).abs().clamp_min(1e-9)
    loud = after.abs() > after.abs().median()
    loud[..., 0, 0] = False
    assert float(cosine[loud].mean()) > 0.9
    deviation = (white.pictures.float() / 255).std((1, 2, 3))
    assert 0.15 < float(deviation.min()) <= float(deviation.max()) < 0.201  # less than 0.2: edges are clipped


@pytest.mark.parametrize(("width", "height"), [(300, 200), (200, 300), (256, 256), (40, 90)])
def test_a_picture_is_the_middle_square_of_its_photograph(width: int, height: int, tmp_path: Path) -> None:
    """Red rises from left to right and green from top to bottom, so that the square can be read off."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    Image.fromarray(np.stack([x, y, 0 * x], -1).astype(np.uint8)).save(tmp_path / "ramps.png")
    (picture,) = photo_pool(tmp_path).pictures.float()
    edge = min(width, height)
    for ramp, side in ((picture[0], width), (picture[1].T, height)):
        low, high = 127.5 * (1 - edge / side), 127.5 * (1 + edge / side)
        assert float(ramp[:, 0].mean()) == pytest.approx(low, abs=4)
        assert float(ramp[:, -1].mean()) == pytest.approx(high, abs=4)


def test_bundled_pictures_are_drawn_when_asked_for() -> None:
    drawn: list[int] = []

    def draw(k: int) -> torch.Tensor:
        drawn.append(k)
        return torch.full((3, SIDE, SIDE), k, dtype=torch.uint8)

    pool = DrawnPool(("a", "b", "c"), draw)
    assert pool.take([2, 0, 2])[:, 0, 0, 0].tolist() == [2, 0, 2]
    assert drawn == [2, 0]
    assert pool.pictures[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert drawn == [2, 0, 1]


def test_a_bundled_picture_is_the_same_in_any_order_and_in_another_process() -> None:
    one, other = default_pool("valid"), pickle.loads(pickle.dumps(default_pool("valid")))
    assert one.names == other.names
    last = len(one) - 1
    backwards = other.take([last, 20, 3])
    assert torch.equal(one.take([3, 20, last]), backwards.flip(0))
    assert torch.equal(one.whitened.take([20]), Pool(backwards, ("x", "y", "z")).whitened.take([1]))
