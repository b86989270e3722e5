"""Layers of the second route: turned images give turned features, and features of a whole net that do not turn."""

from __future__ import annotations

import math

import pytest
import torch
from hier.hierarchy import HierError
from hier.models.systems import LOSSES, Part, Sizes, System, build
from hier.models.systems.group_conv import GroupConv, GroupNet, LiftingConv
from hier.models.systems.harmonic import HarmonicConv, HarmonicNet
from hier.models.systems.kernels import copies, division_table, elements, invariance_error, turned
from hier.models.systems.losses import Meta
from hier.models.systems.reparam import SharedConv, SharedNet, adapted
from torch import Tensor, nn


def waves(count: int = 6, shortest: float = 9.0, side: int = 64) -> Tensor:
    """Smooth images that turn visibly: a few plane waves within a soft disc."""
    generator = torch.Generator().manual_seed(0)
    ticks = torch.arange(side) - (side - 1) / 2
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    angle, phase, length = torch.rand(3, count, 3, 2, 1, 1, generator=generator)
    angle, phase, length = angle * 2 * math.pi, phase * 2 * math.pi, shortest * (1 + length)
    wave = torch.cos(2 * math.pi / length * (x * angle.cos() + y * angle.sin()) + phase).mean(2)
    return (0.5 + 0.25 * wave) * torch.sigmoid((24 - torch.hypot(x, y)) / 2)


def ordinary() -> nn.Module:
    """A net of ordinary convolutions of the same shape."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 16, 5, padding=2), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(16, 16, 5, padding=2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    ).eval()  # fmt: skip


def relative(a: Tensor, b: Tensor) -> float:
    return float(((a - b).norm() / b.norm()).detach())


@pytest.mark.parametrize(("rotations", "mirror"), [(4, False), (6, False), (8, True), (12, True)])
def test_the_division_table_is_the_groups(rotations: int, mirror: bool) -> None:
    matrices, table = elements(rotations, mirror), division_table(rotations, mirror)
    torch.testing.assert_close(matrices[table], matrices.mT[:, None] @ matrices[None], atol=1e-5, rtol=0)
    assert all(len(set(row.tolist())) == len(matrices) for row in table), "every row is a permutation"


@pytest.mark.parametrize(("rotations", "step"), [(4, 90), (6, 60), (8, 45), (12, 30)])
def test_a_turned_image_gives_turned_and_shifted_responses(rotations: int, step: int) -> None:
    torch.manual_seed(0)
    lift, group = LiftingConv(3, 3, rotations), GroupConv(3, 3, rotations)
    images = waves()
    for name, layer in (("lifting", lift), ("group", lambda x: group(lift(x).relu()))):
        before, after = layer(images), layer(turned(images, step))
        spatial = turned(before, step).unflatten(1, (3, rotations))
        errors = [relative(after.unflatten(1, (3, rotations)), spatial.roll(s, 2)) for s in range(rotations)]
        limit = 1e-5 if step == 90 else 0.05
        assert min(errors[1], errors[-1]) < limit, f"{name}: {errors}"
        assert min(errors[1], errors[-1]) < 0.5 * errors[0], "responses must move on to the next copy"
    plain = nn.Conv2d(3, 9, 5, padding=2, bias=False)
    assert relative(plain(turned(images, step)), turned(plain(images), step)) > 1.5 * limit, "an ordinary one does not"


@pytest.mark.parametrize(("rotations", "mirror"), [(4, False), (8, False), (12, False), (4, True), (12, True)])
def test_a_group_net_is_invariant_under_its_quarter_turns_and_mirrors(rotations: int, mirror: bool) -> None:
    torch.manual_seed(2)
    net, images = GroupNet(3, 24, rotations, mirror).eval(), waves(shortest=14)
    assert invariance_error(net, images, 90) < 1e-4
    assert (invariance_error(net, images, 0, mirror=True) < 1e-4) == mirror
    assert invariance_error(ordinary(), images, 90) > 0.3


def test_harmonic_features_turn_their_phase_alone() -> None:
    torch.manual_seed(0)
    layer = HarmonicConv((1, 2), (3, 4))
    images = waves()
    x = torch.stack([images, torch.zeros_like(images)], 2)[:, None]
    for degrees, limit in ((90, 1e-5), (30, 0.03), (17, 0.03)):
        moved = torch.stack([turned(images, degrees), torch.zeros_like(images)], 2)[:, None]
        before, after = (torch.view_as_complex(layer(t).movedim(3, -1).contiguous()) for t in (x, moved))
        where = torch.view_as_real(before).movedim(-1, 3)
        spatial = turned(where.flatten(1, 3), degrees).reshape(where.shape).movedim(3, -1).contiguous()
        expected = torch.view_as_complex(spatial)
        turn = torch.exp(1j * torch.tensor(math.radians(degrees)))
        errors = [relative(after[:, 1], expected[:, 1] * factor) for factor in (turn, turn.conj())]
        assert relative(after[:, 0], expected[:, 0]) < limit, "order 0 does not turn"
        assert min(errors) < limit, f"order 1 turns once: {errors}"


def test_a_harmonic_net_is_invariant() -> None:
    torch.manual_seed(0)
    net, images = HarmonicNet(3, 24).eval(), waves(shortest=14)
    assert invariance_error(net, images, 90) < 1e-4
    for degrees in (30, 45):
        assert invariance_error(net, images, degrees) < 0.6 * invariance_error(ordinary(), images, degrees)


def test_shared_kernels_are_equivariant_when_the_sharing_is_a_groups() -> None:
    torch.manual_seed(0)
    layer, images = SharedConv(3, 4, sharing=copies(5, 4)), waves()
    assert relative(layer(turned(images, 90)), turned(layer(images), 90)) < 1e-5
    assert relative(SharedConv(3, 4)(turned(images, 90)), turned(SharedConv(3, 4)(images), 90)) > 0.1


def test_the_meta_loss_learns_to_share_what_tasks_have_in_common() -> None:
    """Kernels of all tasks are alike under a half turn: one inner step comes to move kernels in such ways alone."""
    torch.manual_seed(0)
    layer = SharedConv(1, 1, slots=1, side=3)
    even = torch.randn(200, 9)
    even, odd = even + even.flip(1), even - even.flip(1)

    def odd_share() -> float:
        moves = layer.sharing[0].detach() @ layer.sharing[0].detach().T  # from a slope to the kernel's step
        return float((odd @ moves).norm() / (even @ moves).norm() * even.norm() / odd.norm())

    assert odd_share() > 0.7
    optimiser = torch.optim.Adam([layer.sharing], 0.02)
    for step in range(200):
        kernel = even[step % 200].reshape(1, 1, 3, 3) / 2
        few, many = torch.randn(1, 1, 6, 6), torch.randn(4, 1, 10, 10)
        told, asked = (nn.functional.conv2d(t, kernel, padding=1) for t in (few, many))
        fitted = adapted(layer, (layer(few) - told).square().mean(), 0.3)
        loss = (torch.func.functional_call(layer, fitted, (many,)) - asked).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert odd_share() < 0.6


def test_the_meta_loss_differentiates_through_the_inner_step() -> None:
    part = Part("all", ("all",), (3,), torch.arange(3)[:, None])
    network = build(System("", "", backbone="shared", loss="meta"), Sizes(48, 8), part)
    value, logits = LOSSES["meta"](network.width)(network, torch.rand(6, 3, 48, 48), torch.tensor([[0], [1], [2]] * 2))
    value.backward()
    assert logits.shape == (6, 3)
    assert isinstance(network.backbone, SharedNet)
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().sum()) > 0, name


def test_the_meta_loss_refuses_a_network_that_shares_nothing() -> None:
    part = Part("all", ("all",), (3,), torch.arange(3)[:, None])
    network = build(System("", "", backbone="harmonic"), Sizes(48, 8), part)
    with pytest.raises(ValueError, match="backbone 'shared'"):
        Meta(1)(network, torch.rand(4, 3, 48, 48), torch.zeros(4, 1, dtype=torch.long))


def test_a_network_that_does_not_fit_the_image_is_told_in_one_line() -> None:
    part = Part("all", ("all",), (3,), torch.arange(3)[:, None])
    with pytest.raises(HierError, match="larger images or another network"):
        build(System("", "", backbone="dense"), Sizes(48, 8), part)
