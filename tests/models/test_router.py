"""The router against a naive walk down random trees, and what must hold of any answer."""

from __future__ import annotations

from itertools import count

import pytest
import torch
from hier.hierarchy import NodeSpec, Tree, TreeSpec, compile_tree, load_tree
from hier.models.router import ROUTERS, hard, route, soft
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

Shape = list["Shape"]  # a leaf is an empty list
shapes = st.recursive(st.just([]), lambda inner: st.lists(inner, min_size=2, max_size=4), max_leaves=20).filter(bool)
seeds = st.integers(0, 2**32 - 1)
BATCH = 3


def build(shape: Shape) -> Tree:
    numbers = count()

    def node(children: Shape, depth: int) -> NodeSpec:
        name = f"n{next(numbers)}"
        below = {f"choice {i}": node(c, depth + 1) if c else f"leaf {next(numbers)}" for i, c in enumerate(children)}
        return NodeSpec(name=name, level=f"depth-{depth}", children=below)

    return Tree.from_spec(TreeSpec(name="random", root=node(shape, 0)))


def outputs(tree: Tree, seed: int, scale: float = 3.0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: (scale * torch.randn(BATCH, len(tree.choices(name)), generator=generator)).log_softmax(-1)
        for name in tree.nodes
    }


def naive(tree: Tree, nodes: dict[str, Tensor], image: int) -> dict[str, float]:
    found: dict[str, float] = {}

    def walk(node: NodeSpec, probability: float) -> None:
        for p, child in zip(nodes[node.name][image].exp().tolist(), node.children.values(), strict=True):
            if isinstance(child, NodeSpec):
                walk(child, probability * p)
            else:
                found[child] = probability * p

    walk(tree.to_spec().root, 1.0)
    return found


@given(shapes, seeds)
def test_soft_equals_a_naive_walk(shape: Shape, seed: int) -> None:
    tree = build(shape)
    nodes = outputs(tree, seed)
    p = soft(compile_tree(tree), nodes).exp()
    for image in range(BATCH):
        want = naive(tree, nodes, image)
        assert p[image].tolist() == pytest.approx([want[label] for label in tree.labels], abs=1e-6)


@given(shapes, seeds)
def test_probabilities_sum_to_one_at_every_level_and_a_parent_is_the_sum_of_its_children(
    shape: Shape, seed: int
) -> None:
    tree = build(shape)
    nodes = outputs(tree, seed)
    p = dict(zip(tree.labels, soft(compile_tree(tree), nodes).exp().unbind(1), strict=True))

    def mass(name: str) -> Tensor:
        labels = tree.labels_below(name) if name in tree.nodes else (name,)
        return torch.stack([p[label] for label in labels]).sum(0)

    torch.testing.assert_close(mass(tree.root), torch.ones(BATCH))
    for name in tree.nodes:
        children = [mass(child.target) for child in tree.children[name]]
        torch.testing.assert_close(torch.stack(children).sum(0), mass(name))
        for child, log_p in zip(children, nodes[name].unbind(1), strict=True):
            torch.testing.assert_close(child, mass(name) * log_p.exp(), atol=1e-6, rtol=1e-4)
    for depth in range(len(tree.levels)):  # whatever is cut off at a level, nothing gets lost
        cut = {(tree.path(label)[: depth + 1]): 0.0 for label in tree.labels}
        for label in tree.labels:
            cut[tree.path(label)[: depth + 1]] += float(p[label][0])
        assert sum(cut.values()) == pytest.approx(1, abs=1e-5)


@given(shapes, seeds, st.randoms(use_true_random=False))
def test_permuting_children_permutes_the_output(shape: Shape, seed: int, random: object) -> None:
    tree = build(shape)
    nodes = outputs(tree, seed)

    def shuffled(spec: NodeSpec) -> NodeSpec:
        children = list(spec.children.items())
        random.shuffle(children)  # type: ignore[attr-defined]
        below = {k: shuffled(v) if isinstance(v, NodeSpec) else v for k, v in children}
        return NodeSpec(name=spec.name, level=spec.level, children=below)

    other = Tree.from_spec(TreeSpec(name="shuffled", root=shuffled(tree.to_spec().root)))
    moved = {n: nodes[n][:, [tree.choices(n).index(c) for c in other.choices(n)]] for n in tree.nodes}
    order = [other.labels.index(label) for label in tree.labels]
    for router in ROUTERS:
        here, there = (
            route(compile_tree(t), x, router)
            for t, x in ((tree, nodes), (other, moved))  # type: ignore[arg-type]
        )
        torch.testing.assert_close(there[:, order], here)


@given(shapes, seeds)
def test_hard_follows_the_likeliest_choice_and_agrees_with_soft_when_nodes_are_certain(shape: Shape, seed: int) -> None:
    tree = build(shape)
    plan = compile_tree(tree)
    nodes = outputs(tree, seed)
    reached = hard(plan, nodes)
    torch.testing.assert_close(reached.exp().sum(1), torch.ones(BATCH))
    for image in range(BATCH):
        label = tree.labels[int(reached[image].argmax())]
        for name, choice in tree.path(label):
            assert int(nodes[name][image].argmax()) == choice
    certain = {name: torch.where(x == x.amax(1, keepdim=True), 0.0, -torch.inf) for name, x in nodes.items()}
    torch.testing.assert_close(soft(plan, certain), hard(plan, certain))
    assert (soft(plan, certain).argmax(1) == reached.argmax(1)).all()


@given(shapes, seeds)
def test_nodes_cut_from_one_flat_model_give_its_softmax_back(shape: Shape, seed: int) -> None:
    tree = build(shape)
    logits = torch.randn(BATCH, len(tree.labels), generator=torch.Generator().manual_seed(seed))

    def total(name: str) -> Tensor:
        labels = tree.labels_below(name) if name in tree.nodes else (name,)
        return logits[:, [tree.labels.index(label) for label in labels]].logsumexp(1)

    nodes = {
        name: torch.stack([total(child.target) for child in tree.children[name]], 1).log_softmax(1)
        for name in tree.nodes
    }
    torch.testing.assert_close(soft(compile_tree(tree), nodes), logits.log_softmax(1), atol=1e-5, rtol=1e-5)


@given(seeds, st.floats(0.05, 20))
def test_temperature_on_a_node_never_changes_its_winner_nor_what_hard_answers(seed: int, temperature: float) -> None:
    tree = load_tree("wallpaper")
    plan = compile_tree(tree)
    nodes = outputs(tree, seed)
    for name in tree.nodes:
        tempered = nodes | {name: (nodes[name] / temperature).log_softmax(1)}
        assert (tempered[name].argmax(1) == nodes[name].argmax(1)).all()
        assert (hard(plan, tempered).argmax(1) == hard(plan, nodes).argmax(1)).all()
        inside = [plan.labels.index(label) for label in tree.labels_below(name)]
        outside = [i for i in range(len(plan.labels)) if i not in inside]
        before, after = (soft(plan, x).exp() for x in (nodes, tempered))
        torch.testing.assert_close(after[:, outside], before[:, outside])
        torch.testing.assert_close(after[:, inside].sum(1), before[:, inside].sum(1))


@pytest.mark.parametrize("router", ROUTERS)
def test_an_answer_does_not_depend_on_its_batch(router: str) -> None:
    tree = load_tree("paper")
    plan = compile_tree(tree)
    nodes = outputs(tree, 5)
    whole = route(plan, nodes, router)  # type: ignore[arg-type]
    for image in range(BATCH):
        alone = route(plan, {n: x[image : image + 1] for n, x in nodes.items()}, router)  # type: ignore[arg-type]
        torch.testing.assert_close(alone[0], whole[image], atol=0, rtol=0)


def test_impossible_choices_stay_impossible() -> None:
    tree = load_tree("wallpaper")
    nodes = outputs(tree, 1)
    nodes[tree.root] = torch.tensor([[0.0, *[-torch.inf] * 4]] * BATCH)
    p = soft(compile_tree(tree), nodes).exp()
    assert p.isfinite().all()
    below = [tree.labels.index(name) for name in ("p1", "pm", "pg", "cm")]
    torch.testing.assert_close(p[:, below].sum(1), torch.ones(BATCH))


@pytest.mark.parametrize("router", ROUTERS)
def test_missing_and_misshapen_nodes_are_named(router: str) -> None:
    tree = load_tree("wallpaper")
    plan = compile_tree(tree)
    nodes = outputs(tree, 0)
    with pytest.raises(ValueError, match="finer-4"):
        route(plan, {k: v for k, v in nodes.items() if k != "finer-4"}, router)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"'rotation' has 5 choices .*\(3, 4\)"):
        route(plan, nodes | {"rotation": nodes["rotation"][:, :4]}, router)  # type: ignore[arg-type]


def test_an_unknown_router_is_named_with_those_there_are() -> None:
    tree = load_tree("wallpaper")
    with pytest.raises(ValueError, match=r"'best'.*soft, hard"):
        route(compile_tree(tree), outputs(tree, 0), "best")  # type: ignore[arg-type]
