"""All nodes' networks as one give what each gives by itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hier.models.classifier import Classifier
from hier.models.evidence.representation import EVIDENCE
from hier.models.node import NodeClassifier, NodeSettings
from hier.models.stack import Stack, Stacks
from torch import Tensor


@pytest.fixture(scope="module")
def evidence() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(3, 56, 16, 16, generator=generator), torch.rand(3, EVIDENCE, generator=generator)


def network(backbone: str, seed: int) -> NodeClassifier:
    """With statistics of its own in every normalisation."""
    torch.manual_seed(seed)
    made = NodeClassifier(NodeSettings(("yes", "no"), backbone))
    made.train()
    made.see(torch.rand(4, 56, 16, 16), torch.rand(4, EVIDENCE))
    return made.eval()


def test_the_bundled_model_answers_as_node_by_node(evidence: tuple[Tensor, Tensor]) -> None:
    model = Classifier.load()
    seen = model.see(*evidence)
    alone = {name: torch.stack([m.see(*evidence) for m in members]) for name, members in model.nodes.items()}
    assert seen.keys() == alone.keys()
    p, expected = (model.combine(model.judge(found, None, {})).log_probabilities.exp() for found in (seen, alone))
    torch.testing.assert_close(p, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("backbone", ["lcnet_050", "test_efficientnet", "test_resnet", "test_byobnet"])
@torch.inference_mode()
def test_networks_of_one_backbone_run_as_one(backbone: str, evidence: tuple[Tensor, Tensor]) -> None:
    members = [network(backbone, seed) for seed in range(3)]
    together = Stack(members)(*evidence)
    for member, found in zip(members, together, strict=True):
        expected = member.see(*evidence)
        torch.testing.assert_close(found, expected, atol=2e-4 * float(expected.abs().max()), rtol=0)


@torch.inference_mode()
def test_any_backbones_and_any_number_of_models_are_told_apart(evidence: tuple[Tensor, Tensor]) -> None:
    nodes = {
        "one": (network("lcnet_050", 1),),
        "two": (network("test_vit", 2), network("lcnet_050", 3)),
        "three": (network("test_vit", 4), network("test_convnext", 5), network("lcnet_050", 6)),
    }
    found = Stacks(nodes).see(*evidence)
    for name, members in nodes.items():
        for k, member in enumerate(members):
            expected = member.see(*evidence)
            torch.testing.assert_close(found[name][k], expected, atol=2e-4 * float(expected.abs().max()), rtol=0)


@torch.inference_mode()
def test_what_cannot_run_as_one_runs_by_itself(
    evidence: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    members = (network("lcnet_050", 1), network("lcnet_050", 2))

    def refused(_: object) -> None:
        raise ValueError("what it does depends on what it reads")

    monkeypatch.setattr("hier.models.stack._plan", refused)
    found = Stacks({"node": members}).see(*evidence)["node"]
    assert torch.equal(found, torch.stack([m.see(*evidence) for m in members]))


def test_threads_do_not_disturb_each_other(evidence: tuple[Tensor, Tensor]) -> None:
    stacks = Stacks({name: (network("lcnet_050", seed),) for seed, name in enumerate("abcd")})
    expected = stacks.see(*evidence)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: stacks.see(*evidence), range(40)):
            for name, seen in expected.items():
                torch.testing.assert_close(found[name], seen, atol=1e-4, rtol=1e-4)
