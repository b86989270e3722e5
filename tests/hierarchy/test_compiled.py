"""The compiled arrays against a naive walk over the tree's description."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest
from hier.hierarchy import NodeSpec, Tree, TreeSpec, compile_tree, load_tree
from hypothesis import given
from hypothesis import strategies as st

Shape = list["Shape"]  # a leaf is an empty list
shapes = st.recursive(st.just([]), lambda inner: st.lists(inner, min_size=2, max_size=5), max_leaves=25)


def build(shape: Shape) -> Tree:
    """A tree of that shape with made-up names, one level for each depth."""
    numbers = count()

    def node(children: Shape, depth: int) -> NodeSpec:
        name = f"n{next(numbers)}"
        below = {f"choice {i}": node(c, depth + 1) if c else f"leaf {next(numbers)}" for i, c in enumerate(children)}
        return NodeSpec(name=name, level=f"depth-{depth}", children=below)

    return Tree.from_spec(TreeSpec(name="random", root=node(shape, 0)))


def naive(tree: Tree, outputs: dict[str, np.ndarray]) -> dict[str, float]:  # type: ignore[type-arg]
    """Probability of every label by walking the description from the root."""
    found: dict[str, float] = {}

    def walk(node: NodeSpec, probability: float) -> None:
        for p, child in zip(outputs[node.name], node.children.values(), strict=True):
            if isinstance(child, NodeSpec):
                walk(child, probability * p)
            else:
                found[child] = probability * p

    walk(tree.to_spec().root, 1.0)
    return found


@given(shapes.filter(bool), st.integers(0, 2**32 - 1))
def test_leaf_probabilities_equal_a_naive_walk(shape: Shape, seed: int) -> None:
    tree = build(shape)
    c = compile_tree(tree)
    rng = np.random.default_rng(seed)
    outputs = {name: rng.dirichlet(np.ones(len(tree.children[name]))) for name in tree.nodes}
    edge_logp = np.log(np.concatenate([outputs[name] for name in c.nodes]))
    expected = naive(tree, outputs)
    by_membership = np.exp(edge_logp @ c.membership.T)
    by_path = np.exp(np.append(edge_logp, 0.0)[c.leaf_edges].sum(-1))
    for probabilities in (by_membership, by_path):
        np.testing.assert_allclose(probabilities, [expected[label] for label in c.labels], rtol=1e-9)
        assert probabilities.sum() == pytest.approx(1.0)


@given(shapes.filter(bool))
def test_arrays_say_what_the_tree_says(shape: Shape) -> None:
    tree = build(shape)
    c = compile_tree(tree)
    assert (c.nodes, c.labels, c.levels) == (tree.nodes, tree.labels, tree.levels)
    edge = 0
    for n, name in enumerate(tree.nodes):
        assert c.offsets[n] == edge
        assert c.levels[c.level_of_node[n]] == tree.level_of(name)
        for choice, child in enumerate(tree.children[name]):
            assert (c.edge_node[edge], c.edge_choice[edge]) == (n, choice)
            target = int(c.edge_target[edge])
            assert (c.labels[-1 - target] if target < 0 else c.nodes[target]) == child.target
            assert child.is_leaf == (target < 0)
            below = [child.target] if child.is_leaf else tree.labels_below(child.target)
            assert [label for label, on in zip(c.labels, c.membership[:, edge], strict=True) if on] == list(below)
            edge += 1
        for i, label in enumerate(tree.labels):
            answer = tree.answer(name, label)
            assert c.answers[n, i] == (-1 if answer is None else answer)
    assert c.offsets[-1] == edge == len(c.edge_target)


def test_arrays_cannot_be_changed() -> None:
    c = compile_tree(load_tree("wallpaper"))
    assert c.membership.shape == (17, 26)
    assert c.leaf_edges.shape == (17, 3)
    assert c.answers.dtype == np.int8
    with pytest.raises(ValueError, match="read-only"):
        c.membership[0, 0] = False


def test_too_many_choices_for_a_node() -> None:
    tree = build([[] for _ in range(128)])
    with pytest.raises(ValueError, match="node 'n0' has 128 choices"):
        compile_tree(tree)
