"""Nodes: any backbone reads the evidence, and a node begins as the head over all labels asked its own question."""

from __future__ import annotations

import pytest
import torch
from hier.hierarchy import HierError, compile_tree, load_tree
from hier.models.evidence.representation import EVIDENCE, MAP_CHANNELS, SIDE
from hier.models.node import BackboneError, NodeClassifier, NodeSettings
from torch import Tensor


def evidence(count: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(count, MAP_CHANNELS, SIDE, SIDE, generator=generator)
    return maps, torch.rand(count, EVIDENCE, generator=generator)


@pytest.mark.parametrize(
    "backbone", ["lcnet_050", "mobilenetv3_small_050", "test_convnext3", "test_vit", "resnet10t", "convnext_zepto_rms"]
)
def test_backbones_of_several_kinds_read_the_evidence(backbone: str) -> None:
    node = NodeClassifier(NodeSettings(("a", "b", "c"), backbone)).eval()
    maps, numbers = evidence()
    logp = node.log_probabilities(maps, numbers)
    assert logp.shape == (3, 3)
    torch.testing.assert_close(logp.exp().sum(1), torch.ones(3))
    again = NodeClassifier(node.settings).eval()
    again.load_state_dict(node.state_dict())
    torch.testing.assert_close(again.log_probabilities(maps, numbers), logp)
    tuned = node.for_choices(("x", "y")).eval()
    assert tuned.settings.choices == ("x", "y")
    image = torch.rand(1, MAP_CHANNELS + EVIDENCE, node.side, node.side)
    torch.testing.assert_close(tuned.backbone(image), node.backbone(image))


@pytest.mark.parametrize("name", load_tree("wallpaper").nodes)
def test_a_node_begins_as_the_head_over_all_labels_asked_its_own_question(name: str) -> None:
    """A choice is as likely as all labels below it together, given that the label is below the node."""
    plan = compile_tree(load_tree("wallpaper"))
    flat = NodeClassifier(NodeSettings(plan.labels)).eval()
    under = plan.choices_at(name).tolist()
    choices = load_tree("wallpaper").choices(name)
    node = flat.for_choices(choices, under).eval()
    maps, numbers = evidence()
    tolerance = torch.tensor([0.02, torch.nan, 0.2])
    p = flat(maps, numbers, tolerance).softmax(1)
    sums = torch.stack([p[:, [c == k for c in under]].sum(1) for k in range(len(choices))], 1)
    found = node(maps, numbers, tolerance).softmax(1)
    torch.testing.assert_close(found, sums / sums.sum(1, keepdim=True))
    assert sorted(set(node.settings.below)) == list(range(len(choices)))


def test_a_mistyped_backbone_is_told_with_its_neighbours() -> None:
    with pytest.raises(BackboneError, match=r"'lcnet_05'.*lcnet_050") as caught:
        NodeClassifier(NodeSettings(("a", "b"), "lcnet_05"))
    assert isinstance(caught.value, HierError)
    for name in ("", "qqqqqqqq", "hf-hub:nobody/nothing", "../lcnet_050"):
        with pytest.raises(BackboneError):
            NodeClassifier(NodeSettings(("a", "b"), name))


def test_without_a_network_pretrained_weights_are_an_error_and_not_random_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    whole = timm.create_model

    def offline(name: str, pretrained: bool = False, **options: object) -> torch.nn.Module:
        if pretrained:
            raise OSError("We couldn't connect\nto the hub")
        return whole(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(BackboneError, match=r"'lcnet_050' are not available: We couldn't connect to the hub\. timm"):
        NodeClassifier(NodeSettings(("a", "b"), "lcnet_050"), pretrained=True)
    with pytest.raises(BackboneError, match="no backbone"):
        NodeClassifier(NodeSettings(("a", "b"), "lcnet_05"), pretrained=True)
