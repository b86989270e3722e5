"""Light and instruments are taken away, and only where they are: patterns stay as they are, to the bit."""

from __future__ import annotations

import pytest
import torch
from hier.datasets import Corruption, PatternDataset, corrupt
from hier.models.classifier import Classifier
from hier.models.evidence.background import clipped, levelled
from hier.models.evidence.flatten import (
    Flattened,
    even_contrast,
    flattened,
    levelled_lines,
    local_mean,
    roughness,
    unevenness,
)
from hier.models.evidence.lattice import Lattice, find_lattice
from torch import Tensor

SIZE = 128


@pytest.fixture(scope="module")
def patterns() -> Tensor:
    """One of each of four groups."""
    return PatternDataset("noise", 61, SIZE, ("p2", "cmm", "p4g", "p6"), cells=(16, 40)).batch(range(4))


def spoilt(images: Tensor, name: str, severity: float) -> Tensor:
    return corrupt(images, (Corruption(name, (severity, severity)),), [(5, i) for i in range(len(images))])


def same_lattice(found: Lattice, other: Lattice) -> Tensor:
    ratio = torch.linalg.det(found.basis) / torch.linalg.det(other.basis)
    return (ratio.abs() - 1).abs() < 0.05


def test_patterns_are_returned_to_the_bit(patterns: Tensor) -> None:
    images, lattice, flat = flattened(patterns, find_lattice)
    assert torch.equal(images, patterns)
    assert torch.equal(lattice.basis, find_lattice(patterns).basis)
    for done in (flat.clip, flat.plane, flat.lines, flat.local):
        assert not done.any()


@pytest.mark.parametrize(
    ("name", "field"),
    [("shadow", "local"), ("vignette", "local"), ("lines", "lines"), ("hot", "clip"), ("plane", "plane")],
)
def test_what_is_taken_away_is_told_and_uncovers_the_lattice(patterns: Tensor, name: str, field: str) -> None:
    bad = spoilt(patterns, name, 3 if name == "shadow" else 5)
    images, lattice, flat = flattened(bad, find_lattice)
    true = find_lattice(patterns)
    assert int(same_lattice(lattice, true).sum()) >= 3
    assert int((getattr(flat, field) > 0).sum()) >= 3
    assert torch.isfinite(images).all()


def test_scan_lines_may_be_columns(patterns: Tensor) -> None:
    """A scanned image turned by a quarter loses its lines as it did before."""
    bad = spoilt(patterns, "lines", 5)
    images, lattice, flat = flattened(bad, find_lattice)
    turned, other, done = flattened(bad.rot90(1, (2, 3)), find_lattice)
    assert torch.equal(done.lines, flat.lines)
    torch.testing.assert_close(turned, images.rot90(1, (2, 3)), atol=1e-5, rtol=1e-4)
    area = torch.linalg.det(lattice.basis).abs()
    torch.testing.assert_close(torch.linalg.det(other.basis).abs(), area, rtol=0.02, atol=0.1)


def test_what_is_done_to_an_image_does_not_depend_on_its_batch(patterns: Tensor) -> None:
    mixed = torch.stack([spoilt(patterns, "shadow", 5)[0], patterns[1], spoilt(patterns, "lines", 4)[2]])
    together, lattice, flat = flattened(mixed, find_lattice)
    for i in range(len(mixed)):
        alone, its, done = flattened(mixed[i : i + 1], find_lattice)
        torch.testing.assert_close(alone[0], together[i], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(its.basis[0], lattice.basis[i], atol=1e-2, rtol=1e-3)
        assert [bool(done.lines[0]), float(done.local[0])] == [bool(flat.lines[i]), float(flat.local[i])]


def test_one_pixel_far_outside_changes_nothing_but_the_scale(patterns: Tensor) -> None:
    for value in (-9999.0, 65535.0):
        bad = patterns.clone()
        bad[:, :, 7, 9] = value
        found, clip = clipped(bad)
        assert clip.all()
        rest = torch.ones(SIZE, SIZE, dtype=torch.bool)
        rest[7, 9] = False
        a, b = found[..., rest], patterns[..., rest]
        assert float(found.min()) >= 0
        assert float(found.max()) <= 1
        for one, other in zip(a, b, strict=True):
            assert float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1]) > 0.999


def test_bright_spots_are_no_outliers() -> None:
    spots = torch.zeros(1, 3, SIZE, SIZE)
    spots[..., 8::32, 8::32] = 1.0  # 16 of 16384 px, more than one in 2000
    found, clip = clipped(spots)
    assert not clip.any()
    assert torch.equal(found, spots)


def test_a_plane_of_any_height_leaves_what_it_hid(patterns: Tensor) -> None:
    y, x = torch.meshgrid(torch.linspace(-1, 1, SIZE), torch.linspace(-1, 1, SIZE), indexing="ij")
    for height in (20.0, 100.0):
        flat, steep = levelled(patterns + height * (0.6 * x + 0.8 * y))
        assert steep.all()
        torch.testing.assert_close(flat, levelled(patterns)[0], atol=1e-6 * height * 10, rtol=0)


def test_the_local_mean_of_a_constant_is_the_constant_up_to_the_edges() -> None:
    flat = torch.full((1, 3, 40, 56), 0.3)
    torch.testing.assert_close(local_mean(flat, 10.0), flat)


def test_even_contrast_takes_brightness_and_gain_away(patterns: Tensor) -> None:
    """Half the image in shadow, far from the edge, becomes what it was in the light."""
    dark = patterns.clone()
    dark[..., : SIZE // 2] *= 0.4
    far = slice(0, SIZE // 2 - 24)
    a, b = (
        even_contrast(dark - local_mean(dark, 6.0), 6.0)[..., far],
        even_contrast(patterns - local_mean(patterns, 6.0), 6.0)[..., far],
    )
    assert float((a - b).square().mean() / b.square().mean()) < 1e-4


def test_every_direction_is_treated_alike(patterns: Tensor) -> None:
    turned = patterns.rot90(1, (2, 3))
    torch.testing.assert_close(
        even_contrast(turned - local_mean(turned, 8.0), 8.0),
        even_contrast(patterns - local_mean(patterns, 8.0), 8.0).rot90(1, (2, 3)),
        atol=1e-4,
        rtol=0,
    )


def test_offsets_of_lines_are_what_rows_lose(patterns: Tensor) -> None:
    flat = levelled(patterns)[0]
    offset = torch.randn(4, 1, SIZE, 1)
    torch.testing.assert_close(levelled_lines(flat + offset), levelled_lines(flat), atol=1e-5, rtol=0)
    assert (roughness(flat + 0.2 * offset) > 5 * roughness(flat)).all()
    assert (unevenness(levelled(spoilt(patterns, "shadow", 3))[0]) > unevenness(flat)).all()


@pytest.mark.parametrize("colour", [(1.0, 0.0, 0.0), (0.0, 0.0, 0.5), (0.4, 0.4, 0.4), (0.0, 0.0, 0.0)])
def test_a_flat_colour_is_no_pattern_and_never_nan(colour: tuple[float, float, float]) -> None:
    flat = torch.tensor(colour)[None, :, None, None].expand(1, 3, 96, 96)
    images, lattice, done = flattened(flat, find_lattice)
    assert torch.isfinite(images).all()
    assert torch.isfinite(lattice.level).all()
    assert isinstance(done, Flattened)
    said = Classifier.load().answer(flat)
    assert torch.isfinite(said.log_probabilities).all()
    assert float(said.pattern[0]) < 0.5
