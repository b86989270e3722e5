"""The assembled classifier: lazy and eager, alone and in company, with and without a flat head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hier.hierarchy import load_tree
from hier.models.bundle import Bundle, BundleError, NodeCard, Routing, load_bundle, save_bundle
from hier.models.classifier import Classifier
from hier.models.evidence.groups import GROUPS
from hier.models.evidence.representation import ABSENT, EVIDENCE, GROUP_SCORES, MAP_CHANNELS, NOISE, SIDE
from hier.models.node import NodeClassifier, NodeSettings
from hier.models.routing.mixture import Stack
from hier.models.routing.router import FLAT, ROUTERS, soft
from torch import Tensor


@pytest.fixture(scope="module")
def evidence() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(24, MAP_CHANNELS, SIDE, SIDE, generator=generator)
    # above 0.1 no group is ruled out
    return maps, 0.1 + 0.9 * torch.rand(24, EVIDENCE, generator=generator)


@torch.no_grad()
def sharpened(bundle: Bundle, evidence: tuple[Tensor, Tensor], seed: int) -> Bundle:
    """The bundle with heads that make much of the little that untrained backbones see: images part at its nodes."""
    nodes: dict[str, NodeClassifier] = {}
    for name, node in bundle.nodes.items():
        made = NodeClassifier(node.settings).eval()
        made.load_state_dict(node.state_dict())
        head = made.head[-1]
        made.head[-1] = torch.nn.Identity()
        seen = made(*evidence).double()
        made.head[-1] = head
        random = torch.randn(head.weight.shape, generator=torch.Generator().manual_seed(seed)).double()
        weight = random / seen.std(0).clamp_min(1e-12)
        head.weight.copy_(weight / (seen @ weight.T).std())
        head.bias.copy_(-(seen.mean(0) @ head.weight.double().T))
        nodes[name] = made
    return replace(bundle, nodes=nodes)


def whole(bundle: Bundle, card: Callable[[NodeClassifier], NodeCard], stacked: bool = True) -> Bundle:
    """The bundle with a flat head and a stack."""
    labels = bundle.tree.labels
    torch.manual_seed(5)
    flat = NodeClassifier(NodeSettings(labels)).eval()
    edges = sum(len(bundle.tree.choices(name)) for name in bundle.tree.nodes)
    stack = Stack(torch.randn(len(labels), edges + len(labels)), torch.randn(len(labels)))
    cards = bundle.card.model_copy(update={"nodes": {**bundle.card.nodes, FLAT: card(flat)}})
    nodes: Mapping[str, NodeClassifier] = {**bundle.nodes, FLAT: flat}
    return Bundle(bundle.tree, nodes, cards, stack if stacked else None)


def card_of(node: NodeClassifier) -> NodeCard:
    return NodeCard(choices=node.settings.choices, backbone=node.settings.backbone, side=node.side)


def test_lazy_hard_is_eager_hard_and_runs_a_node_only_for_those_that_reach_it(
    bundle: Bundle, evidence: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = Classifier(sharpened(bundle, evidence, 4))
    ran: dict[int, int] = {}
    plain = NodeClassifier.see

    def counting(self: NodeClassifier, maps: Tensor, numbers: Tensor) -> Tensor:
        ran[id(self)] = ran.get(id(self), 0) + len(maps)
        return plain(self, maps, numbers)

    eager = classifier.decide(*evidence, "hard")
    monkeypatch.setattr(NodeClassifier, "see", counting)
    lazy = classifier.decide(*evidence, "hard", lazy=True)
    assert len(eager.winners.unique()) > 3, "the images go different ways"
    torch.testing.assert_close(lazy.log_probabilities, eager.log_probabilities)
    torch.testing.assert_close(lazy.pattern, eager.pattern)
    for name in bundle.tree.nodes:
        reached = ~lazy.nodes[name].isnan().any(1)
        torch.testing.assert_close(lazy.nodes[name][reached], eager.nodes[name][reached], atol=1e-4, rtol=1e-4)
        assert ran.get(id(classifier.nodes[name][0]), 0) == int(reached.sum())
        below = [bundle.tree.labels.index(label) for label in bundle.tree.labels_below(name)]
        assert reached.tolist() == torch.isin(lazy.winners, torch.tensor(below)).tolist()
    for k in range(3):
        label = bundle.tree.labels[int(lazy.winners[k])]
        for one, two in zip(classifier.path(lazy, k, label), classifier.path(eager, k, label), strict=True):
            assert one[:3] == two[:3]
            assert one[3] == pytest.approx(two[3], abs=1e-4)


def test_every_router_answers_and_its_path_multiplies_to_its_probability(
    bundle: Bundle, evidence: tuple[Tensor, Tensor]
) -> None:
    classifier = Classifier(whole(bundle, card_of))
    for router in ROUTERS:
        answer = classifier.decide(*evidence, router)
        torch.testing.assert_close(answer.log_probabilities.exp().sum(1), torch.ones(24))
        assert answer.disagreement is None
        if router != "hard":
            for k in (0, 7):
                winner = int(answer.winners[k])
                steps = classifier.path(answer, k, classifier.labels[winner])
                product = torch.tensor([p for *_, p in steps]).prod()
                torch.testing.assert_close(product, answer.log_probabilities[k, winner].exp(), atol=1e-5, rtol=1e-4)


def test_a_model_of_the_same_models_answers_alike_without_disagreement(
    bundle: Bundle, evidence: tuple[Tensor, Tensor]
) -> None:
    alone, twice = Classifier(bundle), Classifier([bundle, bundle])
    for router in ("soft", "hard", "beam", "bayes"):
        one, two = alone.decide(*evidence, router), twice.decide(*evidence, router)  # type: ignore[arg-type]
        torch.testing.assert_close(two.log_probabilities, one.log_probabilities, atol=1e-5, rtol=1e-5)
        assert two.disagreement is not None
        torch.testing.assert_close(two.disagreement, torch.zeros(24).double(), atol=1e-6, rtol=0)


def test_models_average_at_the_nodes_that_they_have(bundle: Bundle, evidence: tuple[Tensor, Tensor]) -> None:
    other = sharpened(bundle, evidence, 9)
    some = replace(other, nodes={"rotation": other.nodes["rotation"]})
    answer = Classifier([bundle, some]).decide(*evidence)
    one, two = (b.nodes["rotation"].log_probabilities(*evidence).exp() for b in (bundle, other))
    torch.testing.assert_close(answer.nodes["rotation"].exp(), (one + two) / 2)
    torch.testing.assert_close(answer.nodes["finer-4"], bundle.nodes["finer-4"].log_probabilities(*evidence))
    assert answer.disagreement is not None
    assert (answer.disagreement > 1e-3).all()


def test_models_of_different_trees_do_not_mix(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match=r"must share one tree.*wallpaper and paper"):
        Classifier([bundle, replace(bundle, tree=load_tree("paper"))])


def test_what_a_model_lacks_for_a_router_is_said(bundle: Bundle) -> None:
    plain = Classifier(bundle)
    for router in ("blend", "flat"):
        with pytest.raises(BundleError, match=f"'{router}' needs a flat head"):
            plain.require(router)  # type: ignore[arg-type]
    with pytest.raises(BundleError, match=r"not fitted.*hier calibrate"):
        plain.require("stack")
    with pytest.raises(BundleError, match="works with a single model"):
        Classifier([bundle, bundle]).require("stack")


def test_temperatures_in_the_card_are_used_and_change_no_winner(
    bundle: Bundle, evidence: tuple[Tensor, Tensor]
) -> None:
    cards = {name: node.model_copy(update={"temperature": 3.0}) for name, node in bundle.card.nodes.items()}
    routing = Routing(temperature=0.5)
    cooled = replace(bundle, card=bundle.card.model_copy(update={"nodes": cards, "routing": routing}))
    before, after = Classifier(bundle).decide(*evidence), Classifier(cooled).decide(*evidence)
    tree = bundle.tree
    for name in tree.nodes:
        torch.testing.assert_close(after.nodes[name], (before.nodes[name] / 3).log_softmax(1))
        assert (after.nodes[name].argmax(1) == before.nodes[name].argmax(1)).all()
    want = (soft(Classifier(bundle).plan, after.nodes) / 0.5).log_softmax(1)
    torch.testing.assert_close(after.log_probabilities, want)
    assert ((after.pattern >= 0.5) == (before.pattern >= 0.5)).all()


def test_flat_head_fit_and_temperatures_are_read_back(bundle: Bundle, tmp_path: Path) -> None:
    made = whole(bundle, card_of)
    made.card.nodes[FLAT].temperature = 1.7
    routing = Routing(temperature=1.2, how="arithmetic", weight=0.3, images=99)
    card = made.card.model_copy(update={"routing": routing})
    save_bundle(tmp_path / "m.json", card, made.nodes, stack=made.stack)
    again = load_bundle(tmp_path / "m.json")
    assert again.card.weights != card.weights, "the card names the weights it was written with"
    assert again.card.model_copy(update={"weights": card.weights}) == card
    assert again.stack is not None
    assert made.stack is not None
    assert torch.equal(again.stack.weight, made.stack.weight)
    assert torch.equal(again.stack.bias, made.stack.bias)
    fitted = Classifier(again).fitted
    assert (fitted.temperature, fitted.how, fitted.weight) == (pytest.approx(1.2), "arithmetic", 0.3)
    save_bundle(tmp_path / "two.json", again.card, again.nodes, stack=again.stack)
    for suffix in (".json", ".safetensors"):
        assert (tmp_path / f"two{suffix}").read_bytes() == (tmp_path / f"m{suffix}").read_bytes()


def test_a_group_that_the_evidence_rules_out_wins_under_no_router(
    bundle: Bundle, evidence: tuple[Tensor, Tensor]
) -> None:
    """The lattice has no hexagonal metric, and fourfold operations do not correlate: whatever nodes say."""
    maps, numbers = evidence[0], evidence[1].clone()
    scores = numbers[:, GROUP_SCORES].view(len(numbers), len(GROUPS), -1)
    hexagonal, square = ("p3", "p3m1", "p31m", "p6", "p6m"), ("p4", "p4m", "p4g")
    scores[:, [GROUPS.index(name) for name in hexagonal]] = ABSENT
    scores[:, [GROUPS.index(name) for name in square], 0] = 0.02
    numbers[:, NOISE] = 1.0
    gone = [bundle.tree.labels.index(name) for name in hexagonal + square]
    classifier, asked = Classifier(whole(bundle, card_of)), 0
    for router in ROUTERS:
        before = classifier.combine(classifier.outputs(maps, numbers, free=True), router)
        asked += int(torch.isin(before.winners, torch.tensor(gone)).sum())
        for tolerance in (None, 0.9):
            answer = classifier.decide(maps, numbers, router, tolerance=tolerance)
            assert float(answer.log_probabilities[:, gone].exp().max()) < 1e-6, router
            assert not torch.isin(answer.winners, torch.tensor(gone)).any(), router
    assert asked > 0, "some router would have named one of them"
