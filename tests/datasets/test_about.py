"""What is told of an image is true of its pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hier.datasets import Corruption, PatternDataset
from hier.hierarchy import GROUP_NAMES, group
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

SIZE = 128
Points = NDArray[np.float64]


def read(image: Tensor, points: Points) -> Points:
    """Values of an image (3, H, W) at points (N, 2) px, (0, 0) the middle of the first pixel."""
    grid = torch.from_numpy((points + 0.5) / image.shape[-1] * 2 - 1)[None, None]
    values: Points = F.grid_sample(image[None].double(), grid, mode="bicubic", align_corners=False)[0, :, 0].numpy()
    return values


def broken(image: Tensor, name: str, origin: Points, basis: Points) -> float:
    """Largest mean difference that an operation of the group makes, relative to the contrast."""
    points = np.random.default_rng(0).uniform(10, SIZE - 10, (4000, 2))
    middle, worst = np.array([(SIZE - 1) / 2] * 2), 0.0
    for operation in group(name).operations:
        W, w = np.array(operation.W, dtype=float), np.array([float(x) for x in operation.w])
        turned = ((points - origin) @ np.linalg.inv(basis).T) @ W.T + w
        away = turned - (middle - origin) @ np.linalg.inv(basis).T
        moved = middle + (away - np.rint(away)) @ basis.T
        inside = ((moved > 2) & (moved < SIZE - 3)).all(1)
        assert inside.sum() > 500
        difference = np.abs(read(image, moved[inside]) - read(image, points[inside])).mean()
        worst = max(worst, float(difference / image.std()))
    return worst


@pytest.mark.parametrize("construction", ["fold", "paste"])
def test_the_groups_operations_hold_about_the_origin_in_the_cell(construction: str) -> None:
    # pasted hexagonal cells are whole pixels, so that threefold axes hold only nearly there
    groups = GROUP_NAMES if construction == "fold" else GROUP_NAMES[:12]
    dataset = PatternDataset("atoms", 21, SIZE, groups, construction=construction, cells=(4, 9))  # type: ignore[arg-type]
    patterns, _ = dataset.accepted(range(len(groups)))
    images = dataset.finish(patterns, range(len(groups)))
    for image, known in zip(images, dataset.about(patterns, range(len(groups))), strict=True):
        basis = np.array([known.a, known.b]).T
        assert broken(image, known.group, np.array(known.origin), basis) < 0.04
        if known.group not in ("p1", "pm", "pg", "cm"):  # whose origin may lie anywhere, or anywhere on a line
            assert broken(image, known.group, np.array(known.origin) + basis @ [0.13, 0.21], basis) > 0.1


def test_severities_are_those_drawn_and_distortions_those_of_the_image() -> None:
    steps = (Corruption("noise", (0.5, 2), share=0.5), Corruption("perspective", (1, 3)))
    dataset = PatternDataset("atoms", 22, SIZE, ("p4m", "p2"), cells=(9, 16), corruptions=steps)
    patterns, _ = dataset.accepted(range(12))
    told = dataset.about(patterns, range(12))
    noises = [known.corruptions["noise"] for known in told]
    assert 0 < noises.count(0) < 12
    assert all(n == 0 or 0.5 <= n <= 2 for n in noises)
    for i, known in enumerate(told):
        assert list(known.distortions) == dataset.distortions(i)
        assert known.distortions[0].parameters[0] == pytest.approx(6 * known.corruptions["perspective"])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_yields_images_and_the_places_of_their_groups(workers: int) -> None:
    dataset = PatternDataset("noise", 23, 32, ("p6", "p1"), cells=(4, 9))
    loader = DataLoader(range(6), batch_size=4, collate_fn=dataset.labelled, num_workers=workers)
    images, numbers = (torch.cat(some) for some in zip(*loader, strict=True))
    assert torch.equal(images, dataset.batch(range(6)))
    assert [GROUP_NAMES[int(n)] for n in numbers] == [dataset.label(i) for i in range(6)]
