"""PP-LCNet as it is read from the disk: timm's, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from hier.models.bundle import load_bundle
from hier.models.lcnet import FEATURES, WIDTHS, LCNet
from torch import nn


@pytest.mark.parametrize("name", WIDTHS)
@pytest.mark.parametrize("side", [32, 67])
def test_it_is_the_network_of_timm(name: str, side: int) -> None:
    theirs, ours = timm.create_model(name, in_chans=9, num_classes=0).eval(), LCNet(name, 9).eval()
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):  # as after a training
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    assert list(theirs.state_dict()) == list(ours.state_dict())
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(3, 9, side, side)
    with torch.inference_mode():
        assert torch.equal(ours(images), theirs(images))
        assert ours(images).shape == (3, FEATURES)


def test_what_is_read_from_the_disk_can_be_tuned_further(card_path: Path) -> None:
    bundle = load_bundle(card_path)
    node = bundle.nodes["rotation"]
    assert isinstance(node.backbone, LCNet)
    other = node.for_choices(("a", "b"))
    assert not isinstance(other.backbone, LCNet)  # timm's again, with the same weights
    kept = other.backbone.state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in node.backbone.state_dict().items())
