"""Regions: each is where one lattice repeats, and nothing else is one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hier.datasets import Corruption, NonPatternDataset, PatternDataset
from hier.models.regions.finding import Region, find_regions, repeats_best
from hier.models.regions.shapes import outlines, smoothed
from hier.models.straightening.plane import connected
from hier.models.straightening.resample import largest_rectangle
from torch import Tensor

SIZE = 256


def pattern(name: str, index: int = 0, size: int = SIZE, corruptions: tuple[Corruption, ...] = ()) -> Tensor:
    many = 30 * size**2 / SIZE**2
    dataset = PatternDataset("atoms", 71, size, groups=(name,), cells=(many, 1.3 * many), corruptions=corruptions)
    return dataset.batch([index])[0]


def noise(seed: int = 0) -> Tensor:
    grey = 0.5 + 0.2 * torch.randn(1, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))
    return grey.clamp(0, 1).expand(3, -1, -1)


def disc(x: float, y: float, radius: float) -> Tensor:
    at = torch.arange(float(SIZE))
    return (at[:, None] - y).hypot(at - x) < radius


def common(one: Tensor, other: Tensor) -> float:
    return float((one & other).sum()) / float((one | other).sum())


def areas(found: list[Region]) -> list[float]:
    return [region.share for region in found]


def test_two_grains_are_two_regions_along_their_boundary() -> None:
    at = torch.arange(SIZE)
    left = at[None, :] + 0.3 * at[:, None] < 160
    found = find_regions(torch.where(left, pattern("p4m"), pattern("p31m", 1)))
    assert len(found) == 2
    best = [max(found, key=lambda region: common(region.mask, side)) for side in (left, ~left)]
    assert best[0] is not best[1]
    assert all(common(region.mask, side) > 0.85 for region, side in zip(best, (left, ~left), strict=True))
    assert areas(found) == sorted(areas(found), reverse=True)
    assert not (found[0].mask & found[1].mask).any()


def test_one_crystal_turned_against_itself_is_two() -> None:
    whole, t = pattern("p4g", size=2 * SIZE), math.radians(17)
    ticks = (torch.arange(SIZE) - SIZE / 2) / SIZE
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    at = torch.stack([x * math.cos(t) - y * math.sin(t), x * math.sin(t) + y * math.cos(t)], -1)
    turned = F.grid_sample(whole[None], at[None], mode="bicubic", align_corners=False)[0].clamp(0, 1)
    straight = whole[:, SIZE // 2 : SIZE // 2 + SIZE, SIZE // 2 : SIZE // 2 + SIZE]
    left = (torch.arange(SIZE) < SIZE // 2).expand(SIZE, -1)
    found = find_regions(torch.where(left, straight, turned))
    assert len(found) == 2
    assert all(max(common(region.mask, side) for region in found) > 0.9 for side in (left, ~left))


def test_a_hole_is_in_no_region_and_the_rectangle_lies_beside_it() -> None:
    hole = disc(150, 110, 45)
    (found,) = find_regions(torch.where(hole, noise(), pattern("p6")))
    assert common(found.mask, ~hole) > 0.9
    assert len(found.holes) == 1
    left, top, width, height = found.within
    assert bool(found.mask[top : top + height, left : left + width].all())
    assert width * height > 0.25 * SIZE**2


@pytest.mark.parametrize("ground", ["flat", "noise"])
def test_a_crystal_on_a_ground_ends_where_it_ends(ground: str) -> None:
    inside = disc(120, 140, 0.36 * SIZE)
    around = noise(2) if ground == "noise" else torch.full((3, SIZE, SIZE), 0.3)
    (found,) = find_regions(torch.where(inside, pattern("pmm", 2), around))
    assert common(found.mask, inside) > 0.7
    left, top, width, height = found.bounds
    seen = found.mask.nonzero()
    assert (seen.amin(0).tolist(), seen.amax(0).tolist()) == ([top, left], [top + height - 1, left + width - 1])


def test_a_bent_crystal_is_one_region() -> None:
    (found,) = find_regions(pattern("p4m", size=320, corruptions=(Corruption("bend", (5, 5)),)))
    assert found.share > 0.95


def test_nothing_is_found_where_nothing_repeats() -> None:
    assert find_regions(noise()) == []
    assert find_regions(torch.full((3, 96, 130), 0.4)) == []
    assert find_regions(torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))) == []
    slope = torch.linspace(0, 1, SIZE).expand(3, SIZE, -1)
    assert find_regions(slope) == []


def test_photographs_hardly_yield_a_region() -> None:
    dataset = NonPatternDataset(72)
    assert sum(bool(find_regions(image)) for image in dataset.batch(range(6))) <= 3


def test_a_large_image_has_its_regions_in_its_own_px() -> None:
    inside = F.interpolate(disc(120, 140, 80)[None, None].float(), scale_factor=4)[0, 0] > 0.5
    small = torch.where(disc(120, 140, 80), pattern("p4m"), 0.3)
    image = F.interpolate(small[None], scale_factor=4, mode="bicubic")[0].clamp(0, 1)
    (found,) = find_regions(image)
    assert found.mask.shape == image.shape[1:]
    assert common(found.mask, inside) > 0.8
    ends = np.transpose(found.outline)
    left, top, width, height = found.bounds
    assert ends.min(1) == pytest.approx([left, top], abs=6)
    assert ends.max(1) == pytest.approx([left + width, top + height], abs=6)


def test_the_largest_rectangle_has_nothing_outside() -> None:
    outside = torch.zeros(60, 50, dtype=torch.bool)
    outside[20, 30] = True
    left, top, width, height = largest_rectangle(outside)
    assert not outside[top : top + height, left : left + width].any()
    assert (width, height) in ((50, 39), (30, 60))


def test_masks_lose_threads_and_specks_but_keep_edges() -> None:
    mask = disc(100, 100, 60)
    rough = mask.clone()
    rough[100, :] = True
    rough[98:101, 98:101] = False
    assert common(smoothed(rough, 16), mask) > 0.98
    assert bool(smoothed(torch.ones(40, 40, dtype=torch.bool), 16).all())
    assert not smoothed(torch.zeros(40, 40, dtype=torch.bool), 16).any()


def test_outlines_follow_a_mask_and_its_holes() -> None:
    ring, hole = outlines(disc(100, 100, 60) & ~disc(100, 100, 20))
    assert all(abs(math.hypot(x - 100, y - 100) - 60) < 2 for x, y in ring)
    assert all(abs(math.hypot(x - 100, y - 100) - 20) < 2 for x, y in hole)


def test_the_connected_part_is_that_with_most_in_common() -> None:
    two = disc(50, 50, 30) | disc(200, 200, 30)
    assert torch.equal(connected(two, disc(200, 210, 10)), disc(200, 200, 30))
    assert not connected(two, disc(120, 120, 5)).any()


def test_where_an_image_repeats_best_is_where_its_pattern_lies() -> None:
    image = torch.rand(3, 200, 300, generator=torch.Generator().manual_seed(0))
    image[:, 60:200, 150:300] = pattern("p4")[:, :140, :150]
    found = repeats_best(image)
    assert found is not None
    left, top, width, height = found
    assert left + width / 2 > 150
    assert left >= 120
    assert top + height <= 200
    assert repeats_best(pattern("p4")) is None, "all of it"
