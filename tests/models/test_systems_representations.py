"""Representations, the transformer, the pyramid and the contrastive loss, against plain versions of themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hier.hierarchy import UnknownNameError, compile_tree, load_tree
from hier.models.routing import router
from hier.models.systems import SYSTEMS, Part, Sizes, assembled, build, parts_of, supervised_contrastive, system_named
from hier.models.systems.fpn import PyramidNet
from hier.models.systems.losses import Contrastive, view
from hier.models.systems.spectra import LogSpectrum, Radon, radon
from hier.models.systems.stn import SpatialTransformer
from hier.models.systems.symmetry_filter import CentredFilter, SymmetryFilter
from skimage.transform import radon as skimage_radon
from torch import Tensor

SIDE = 31


@pytest.mark.parametrize("side", [48, 49])
def test_radon_is_scikit_images(side: int) -> None:
    rng = np.random.default_rng(0)
    images = rng.random((2, 1, side, side)).astype(np.float32)
    degrees = np.array([0.0, 17.0, 45.0, 90.0, 133.0])
    ours = radon(torch.from_numpy(images), torch.from_numpy(degrees)).numpy()
    ticks = np.arange(side) - side // 2
    disc = (ticks[:, None] ** 2 + ticks**2) <= (side // 2) ** 2
    for k in range(2):
        theirs = skimage_radon(images[k, 0] * disc, degrees, circle=True)
        np.testing.assert_allclose(ours[k, 0], theirs, atol=2e-4 * side)


def test_radon_and_spectrum_have_slopes() -> None:
    for represent in (Radon(32), LogSpectrum(), SymmetryFilter(3, 9)):
        images = torch.rand(2, 3, 32, 32, requires_grad=True)
        represent(images).square().sum().backward()
        assert images.grad is not None
        assert bool(images.grad.isfinite().all())
        assert float(images.grad.abs().sum()) > 0


def test_a_spectrum_does_not_see_where_a_wave_begins_nor_how_bright_it_is() -> None:
    x = torch.arange(64)
    waves = torch.stack([torch.cos(2 * math.pi * 8 * x / 64 + phase).expand(3, 64, -1) for phase in (0.0, 1.0)])
    one, two = LogSpectrum()(waves[:1]), LogSpectrum()(0.5 * waves[1:] + 0.3)
    assert float((one - two).abs().mean()) < 0.1
    row, column = divmod(int(one[0, 0].argmax()), 64)
    assert row == 32
    assert abs(column - 32) == 8


def symmetric_window(matrices: list[Tensor], shift: Tensor | None = None) -> Tensor:
    """A window (1, 3, SIDE, SIDE) of Gaussian spots on the orbits under `matrices`, or under one glide."""
    generator = torch.Generator().manual_seed(5)
    ticks = torch.arange(SIDE) - SIDE // 2
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    pixels = torch.stack([x, y], -1).float()
    image = torch.zeros(3, SIDE, SIDE)
    for _ in range(12):
        at, colour = 14 * (2 * torch.rand(2, generator=generator) - 1), torch.rand(3, generator=generator)
        for k, matrix in enumerate(matrices):
            for cell in range(-3, 4):  # a glide's orbit goes on for ever
                if shift is None and cell:
                    continue
                moved = matrix @ at + (shift * (k + 2 * cell) if shift is not None else 0)
                image += colour[:, None, None] * torch.exp(-0.5 * (pixels - moved).square().sum(-1) / 2.0**2)
    return image[None]


def turns(n: int) -> list[Tensor]:
    angles = [2 * math.pi * k / n for k in range(n)]
    return [torch.tensor([[math.cos(t), -math.sin(t)], [math.sin(t), math.cos(t)]]) for t in angles]


MIRROR = torch.tensor([[1.0, 0.0], [0.0, -1.0]])  # about the horizontal axis
HALF = 0.5 * SIDE / 2  # px: the glide of the filter


@pytest.mark.parametrize("draws", [1, 4])
def test_an_operator_tells_its_own_symmetry(draws: int) -> None:
    """Indicator 1 for the symmetry there is and its powers, clearly less for one that there is not."""
    names = [o.name for o in SymmetryFilter(3, SIDE).operators]
    windows = {f"{n}-fold": symmetric_window(turns(n)) for n in (2, 3, 4, 6)}
    windows["mirror 0 deg"] = symmetric_window([torch.eye(2), MIRROR])
    windows["glide 0 deg, 0.5"] = symmetric_window([torch.eye(2), MIRROR], torch.tensor([HALF, 0.0]))
    for seed in range(3):
        filters = CentredFilter(3, SIDE, draws=draws, seed=seed)
        found = {k: dict(zip(names, filters(w)[0, :, 0, 0].tolist(), strict=True)) for k, w in windows.items()}
        for name, values in found.items():
            assert values[name] > 0.97, (name, values)
        if draws > 1:  # a single random kernel may miss a symmetry that is broken
            assert found["3-fold"]["2-fold"] < 0.8
            assert found["2-fold"]["4-fold"] < 0.8
            assert found["mirror 0 deg"]["mirror 45 deg"] < 0.8
            assert found["glide 0 deg, 0.5"]["mirror 0 deg"] < 0.9
        for name, values in (("6-fold", found["6-fold"]), ("4-fold", found["4-fold"])):
            assert values["2-fold"] > 0.97, (name, "holds the half turn")


def test_indicators_do_not_depend_on_brightness_or_contrast() -> None:
    filters, window = CentredFilter(3, SIDE), symmetric_window([torch.eye(2)])
    torch.testing.assert_close(filters(0.4 * window + 0.2), filters(window), atol=1e-3, rtol=0)


def test_the_dense_filter_is_the_centred_one_everywhere() -> None:
    image = torch.rand(1, 3, 61, 61)
    dense, centred = SymmetryFilter(3, SIDE), CentredFilter(3, SIDE)
    found = dense(image)
    assert found.shape == (1, len(dense.operators), 61, 61)
    window = image[..., 30 - 15 : 30 + 16, 25 - 15 : 25 + 16]
    # contrast is blurred across the window's border in one and not in the other
    torch.testing.assert_close(found[..., 30, 25], centred(window)[..., 0, 0], atol=0.08, rtol=0)


def test_a_transformer_begins_as_the_identity_and_learns() -> None:
    images = torch.rand(2, 3, 32, 32)
    transformer = SpatialTransformer(3)
    torch.testing.assert_close(transformer(images), images, atol=1e-5, rtol=0)
    transformer(images)[..., :16].sum().backward()
    assert float(transformer.affine.weight.grad.abs().sum()) > 0


def test_a_pyramid_sees_every_scale() -> None:
    net = PyramidNet(3, "test_resnet")
    assert net(torch.rand(2, 3, 64, 64)).shape == (2, 4 * 128)


def test_the_contrastive_loss_is_its_definition() -> None:
    generator = torch.Generator().manual_seed(0)
    features = F.normalize(torch.randn(9, 5, generator=generator), dim=1)
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0, 7, 1])
    each = []
    for i in range(9):
        positives = [p for p in range(9) if p != i and labels[p] == labels[i]]
        if positives:
            below = sum(math.exp(float(features[i] @ features[a]) / 0.1) for a in range(9) if a != i)
            terms = [math.log(math.exp(float(features[i] @ features[p]) / 0.1) / below) for p in positives]
            each.append(-sum(terms) / len(positives))
    assert float(supervised_contrastive(features, labels)) == pytest.approx(sum(each) / len(each), rel=1e-5)


def test_the_contrastive_loss_leaves_the_classifier_out_of_the_features() -> None:
    part = Part("all", ("all",), (3,), torch.arange(3)[:, None])
    network = build(SYSTEMS["contrastive"], Sizes(48, 8, {"small": "test_resnet"}), part)
    loss = Contrastive(network.width)
    torch.nn.init.zeros_(loss.project[2].weight)
    loss(network, torch.rand(6, 3, 48, 48), torch.tensor([[0], [1], [2]] * 2))[0].backward()
    assert all(p.grad is None or float(p.grad.abs().max()) < 1e-6 for p in network.backbone.parameters())
    assert float(network.head.weight.grad.abs().sum()) > 0


def test_a_view_keeps_the_pixels_of_a_pattern() -> None:
    torch.manual_seed(0)
    images = torch.rand(3, 3, 8, 8) * 0.2 + 0.4
    seen = view(images)
    for before, after in zip(images, seen, strict=True):
        order = [torch.corrcoef(torch.stack([before.sum(0).flatten().sort()[0], after.sum(0).flatten().sort()[0]]))]
        assert float(order[0][0, 1]) > 0.999


def test_parts_ask_what_the_tree_asks_and_are_put_together_by_its_router() -> None:
    plan = compile_tree(load_tree("wallpaper"))
    labels = torch.arange(len(plan.labels))
    torch.manual_seed(0)
    edges = torch.randn(4, len(plan.edge_node))
    by_node = {n: edges[:, plan.offsets[i] : plan.offsets[i + 1]].log_softmax(1) for i, n in enumerate(plan.nodes)}
    for questions, count in (("levels", len(plan.levels)), ("nodes", len(plan.nodes))):
        parts = {p.name: p for p in parts_of(questions, plan)}
        assert len(parts) == count
        outputs = {name: torch.cat([by_node[n] for n in part.nodes], 1) for name, part in parts.items()}
        torch.testing.assert_close(assembled(questions, plan, parts, outputs), router.soft(plan, by_node))
        asked = torch.cat([part.targets(labels) for part in parts.values()], 1)
        assert int((asked >= 0).sum()) == int(plan.membership.sum())
    (root,) = parts_of("root", compile_tree(load_tree("paper")))
    assert root.sizes == (3,)
    (flat,) = parts_of("flat", plan)
    assert flat.targets(labels)[:, 0].tolist() == labels.tolist()


def test_names_that_are_none_get_near_ones() -> None:
    with pytest.raises(UnknownNameError, match="harmonic"):
        system_named("harmonics")
    with pytest.raises(UnknownNameError, match="resnet18"):
        system_named("resnet18x")
    assert system_named("resnet18").backbone == "resnet18"


def test_the_radon_layer_looks_from_half_a_turn_in_equal_steps() -> None:
    images = torch.rand(1, 1, 40, 40)
    expected = radon(images, torch.arange(0.0, 180.0, 9.0)) / 40
    torch.testing.assert_close(Radon(40)(images), expected)
