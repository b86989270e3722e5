"""Averaged and symmetrised cells as pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hier.datasets import PatternDataset, Pool
from hier.hierarchy import GROUP_NAMES, group
from hier.models.placing.cells import averaged_cell, symmetrised_cell, tiled
from torch import Tensor


def misfit(one: Tensor, two: Tensor) -> float:
    """Root mean square difference relative to the contrast, a border of 3 px left out."""
    one, two = one[:, 3:-3, 3:-3], two[:, 3:-3, 3:-3]
    return float((one - two).square().mean().sqrt() / one.std())


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_a_pattern_is_its_own_average_and_its_own_symmetrised_image(name: str, pool: Pool) -> None:
    dataset = PatternDataset("atoms", 8, 128, groups=(name,), cells=(5, 9), pool=pool)
    patterns, _ = dataset.accepted([0])
    (image,) = dataset.finish(patterns, [0])
    origin = patterns[0].origin + 63.5
    cell = averaged_cell(image, patterns[0].basis, origin)
    assert misfit(image, tiled(cell, patterns[0].basis, origin, 128, 128)) < 0.05
    ideal = symmetrised_cell(cell, group(name).operations)
    assert misfit(image, tiled(ideal, patterns[0].basis, origin, 128, 128)) < 0.05
    if name not in ("p1", "p6m", "p4m"):
        wrong = symmetrised_cell(cell, group("p4m" if group(name).rotation_order in (1, 2, 4) else "p6m").operations)
        assert misfit(image, tiled(wrong, patterns[0].basis, origin, 128, 128)) > 0.1


def test_a_symmetrised_cell_has_every_operation_exactly() -> None:
    cell = torch.rand(1, 24, 24, generator=torch.Generator().manual_seed(0))
    for name in GROUP_NAMES:
        once = symmetrised_cell(cell, group(name).operations)
        for op in group(name).operations:
            u = np.stack(np.meshgrid(np.arange(24), np.arange(24), indexing="ij"), -1)
            at = (u @ np.array(op.W).T + [int(24 * t) for t in op.w]) % 24
            assert torch.allclose(once[:, at[..., 0], at[..., 1]], once, atol=1e-6)


def test_averaging_takes_noise_away() -> None:
    y, x = torch.meshgrid(torch.arange(160.0), torch.arange(160.0), indexing="ij")
    clean = (torch.cos(x * 2 * np.pi / 20) + torch.sin(y * 2 * np.pi / 16))[None]
    noisy = clean + torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    basis, origin = np.array([[20.0, 0.0], [0.0, 16.0]]), np.array([3.0, 5.0])
    made = tiled(averaged_cell(noisy, basis, origin), basis, origin, 160, 160)
    assert misfit(clean, made) < 0.2
    assert misfit(clean, noisy) > 0.9
