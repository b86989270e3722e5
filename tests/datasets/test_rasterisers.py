"""Rasterisers against naive formulas, against the libraries whose ways they follow, and against one another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hier.datasets import PatternDataset
from hier.datasets.corruptions import blur
from hier.datasets.rasterisers import METHODS, Layer, Method, Tool, filled, lines, rasterise, stepped
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from skimage.draw import line
from skimage.measure import points_in_poly

Array = NDArray[np.float64]
SHAPE = (24, 31)
WHITE, BLACK = np.ones(3), np.zeros(3)
seeds = st.integers(0, 10**6)


def places(step: Array) -> Array:
    """Of all grid points, px: (H, W, 2)."""
    return np.stack(np.meshgrid(np.arange(SHAPE[1]), np.arange(SHAPE[0])), -1) @ step.T


def distances(segments: Array, points: Array) -> Array:
    """From points (H, W, 2) to the nearest of the segments: (H, W)."""
    along = segments[:, 1] - segments[:, 0]
    away = points[..., None, :] - segments[:, 0]
    t = ((away * along).sum(-1) / np.maximum((along**2).sum(-1), 1e-12)).clip(0, 1)
    return np.asarray(np.linalg.norm(away - t[..., None] * along, axis=-1).min(-1))


def star(rng: np.random.Generator, corners: int) -> Array:
    """A polygon (n, 2) px that does not cross itself, about a point in view, either way around."""
    angle = rng.choice([1, -1]) * 2 * np.pi * (np.arange(corners) + rng.uniform(-0.3, 0.3, corners)) / corners
    ray = rng.uniform(3, 14, corners)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    return np.asarray(rng.uniform(0, 30, 2) + ray)


@given(seeds, st.floats(0, 6))
def test_exact_lines_are_their_distance_on_any_grid(seed: int, width: float) -> None:
    """Also lines of no length, and lines that begin far outside or lie there."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(np.pi / 3, 2 * np.pi / 3)
    step = rng.uniform(0.5, 2) * np.array([[1, np.cos(angle)], [0, np.sin(angle)]]) @ np.diag(rng.uniform(0.7, 1.4, 2))
    segments = rng.uniform(-40, 70, (6, 2, 2))
    segments[0, 1] = segments[0, 0]
    segments[1, 1] = segments[1, 0] + (3, 0)
    spacing = abs(np.linalg.det(step)) ** 0.5
    expected = ((width / 2 - distances(segments, places(step))) / spacing + 0.5).clip(0, 1)
    np.testing.assert_allclose(lines(segments, width, SHAPE, step), expected, atol=1e-5)


@given(seeds)
def test_stepped_lines_are_bresenham_s(seed: int) -> None:
    """skimage's, but for pixels that are equally near: there it takes either."""
    ends = np.random.default_rng(seed).integers(-5, 30, (2, 2))
    drawn = stepped(ends[None].astype(float), 1, SHAPE, smooth=False)
    expected = np.zeros(SHAPE)
    rows, columns = line(*ends[0, ::-1], *ends[1, ::-1])
    seen = (rows >= 0) & (rows < SHAPE[0]) & (columns >= 0) & (columns < SHAPE[1])
    expected[rows[seen], columns[seen]] = 1
    longest, shortest = sorted(np.abs(ends[1] - ends[0]))[::-1]
    ties = longest % 2 == 0 and longest and (2 * shortest * np.arange(longest) % (2 * longest) == longest).any()
    assert ties or (drawn == expected).all()
    assert drawn.sum() == pytest.approx(expected.sum(), abs=1)


@given(seeds)
def test_smooth_lines_share_each_step_between_two_pixels(seed: int) -> None:
    (x0, y0), (x1, y1) = ends = np.random.default_rng(seed).integers(2, 22, (2, 2)).astype(float)
    drawn = stepped(ends[None], 1, SHAPE, smooth=True)
    along = int(abs(y1 - y0) > abs(x1 - x0))  # over the columns where it is steep
    sums = drawn.sum(along)
    assert sums[sums > 0] == pytest.approx(1)
    assert (sums > 0).sum() == max(abs(x1 - x0), abs(y1 - y0)) + 1


@given(seeds, st.integers(2, 5), st.booleans())
def test_a_brush_is_square(seed: int, brush: int, smooth: bool) -> None:
    ends = np.random.default_rng(seed).integers(6, 18, (3, 2, 2)).astype(float)
    thin = stepped(ends, 1, SHAPE, smooth)
    np.testing.assert_array_equal(stepped(ends, brush, SHAPE, smooth), maximum_filter(thin, brush, mode="constant"))


@given(seeds, st.integers(3, 9))
def test_areas_are_the_union_of_their_polygons(seed: int, corners: int) -> None:
    rng = np.random.default_rng(seed)
    paths = np.stack([star(rng, corners) for _ in range(4)])
    points = places(np.eye(2)).reshape(-1, 2)
    expected = np.any([points_in_poly(points, path) for path in paths], 0).reshape(SHAPE)
    assert (filled(paths, SHAPE) == expected).all()


def scene(rng: np.random.Generator) -> list[Layer]:
    colours = rng.uniform(0, 1, (3, 3))
    area = Layer(np.stack([star(rng, 5) for _ in range(4)]), colours[0], filled=True)
    return [area, Layer(rng.uniform(-4, 34, (5, 4, 2)), colours[1]), Layer(area.paths[:2], colours[2], closed=True)]


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_a_layer_s_paths_leaves_no_mark(method: Method) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        tool = Tool(method, rng.uniform(1, 5), scale=2)
        layers = scene(rng)
        turned = [replace(layer, paths=layer.paths[::-1]) for layer in layers]
        image = rasterise(layers, tool, WHITE, SHAPE)
        assert image.dtype == np.float32
        assert 0 <= image.min() <= image.max() <= 1
        np.testing.assert_allclose(image, rasterise(turned, tool, WHITE, SHAPE), atol=1.5 / 255)


@pytest.mark.parametrize("method", METHODS)
def test_nothing_drawn_is_the_background(method: Method) -> None:
    colour = np.array([0.2, 0.6, 1.0])
    for layers in ([], [Layer(np.zeros((0, 3, 2)), BLACK)], [Layer(np.full((1, 2, 2), 900.0), BLACK)]):
        image = rasterise(layers, Tool(method, 2.0, scale=2), colour, SHAPE)
        np.testing.assert_allclose(image, np.broadcast_to(colour[:, None, None], image.shape), atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("filled", [False, True])
def test_a_square_lies_where_it_was_put(method: Method, filled: bool) -> None:
    """Its middle to half a pixel, which is what tools that cut coordinates off are out by."""
    square = np.array([[[8.3, 6.4], [20.3, 6.4], [20.3, 18.4], [8.3, 18.4]]])
    ink = 1 - rasterise([Layer(square, BLACK, True, filled)], Tool(method, 2.0, scale=4), WHITE, SHAPE)[0]
    where = (places(np.eye(2)) * ink[..., None]).sum((0, 1)) / ink.sum()
    np.testing.assert_allclose(where, (14.3, 12.4), atol=0.51)
    assert ink.sum() == pytest.approx(144 if filled else 96, rel=0.2)


@pytest.mark.parametrize("method", METHODS)
def test_tools_draw_what_the_exact_one_draws(method: Method) -> None:
    """To half a pixel or a pixel, so that blurred pictures hardly differ."""
    dataset = PatternDataset("outlines", 3, 160, cells=(4, 12))
    for i in range(34):
        outlines = dataset.draw(i, 0).outlines
        assert outlines is not None
        both = [replace(outlines, tool=replace(outlines.tool, method=m, scale=3)) for m in ("exact", method)]
        images = torch.stack([torch.from_numpy(o.drawn(np.full(2, -80.0), (160, 160))) for o in both])
        a, b = blur(images, torch.full((2,), 3.0), []).flatten(1)
        a, b = a - a.mean(), b - b.mean()
        assert float((a * b).sum() / (a.norm() * b.norm())) > 0.85, (i, outlines.tool)
