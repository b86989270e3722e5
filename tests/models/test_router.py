"""The router against a naive walk down random trees, and what must hold of any answer."""

from __future__ import annotations

from itertools import count
from math import log

import pytest
import torch
from hier.hierarchy import NodeSpec, Tree, TreeSpec, compile_tree, load_tree
from hier.models.routing.cost import cheapest
from hier.models.routing.ensemble import average, disagreement, divergence
from hier.models.routing.mixture import Fitted, Stack
from hier.models.routing.partial import Climbed, Statements, candidates, climb, in_words
from hier.models.routing.router import FLAT, ROUTERS, Router, beam, conditionals, hard, route, soft, winners
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


def with_flat(tree: Tree, nodes: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
    flat = torch.randn(BATCH, len(tree.labels), generator=torch.Generator().manual_seed(seed))
    return nodes | {FLAT: flat.log_softmax(-1)}


def fitted(tree: Tree, edge_order: list[int] | None = None, label_order: list[int] | None = None) -> Fitted:
    """Something for every router to be fitted to; in another order for a tree with its children permuted."""
    labels, count = len(tree.labels), sum(len(tree.choices(name)) for name in tree.nodes)
    made = torch.Generator().manual_seed(1)
    weight, bias = torch.randn(labels, count + labels, generator=made), torch.randn(labels, generator=made)
    if edge_order is not None and label_order is not None:
        weight = weight[:, [*edge_order, *(count + i for i in label_order)]][label_order]
        bias = bias[label_order]
    return Fitted(temperature=1.3, how="arithmetic", weight=0.3, stack=Stack(weight, bias), width=2)


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
    labels = [tree.labels.index(label) for label in other.labels]
    whole = with_flat(tree, nodes, seed)
    moved[FLAT] = whole[FLAT][:, labels]
    places = {(n, c): i for i, (n, c) in enumerate((n, c) for n in tree.nodes for c in tree.choices(n))}
    edge_order = [places[n, c] for n in other.nodes for c in other.choices(n)]
    fits = fitted(tree), fitted(tree, edge_order, labels)
    for router in ROUTERS:
        here, there = (
            route(compile_tree(t), x, router, f) for t, x, f in zip((tree, other), (whole, moved), fits, strict=True)
        )
        torch.testing.assert_close(there, here[:, labels], atol=1e-4, rtol=1e-4)


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
def test_an_answer_does_not_depend_on_its_batch(router: Router) -> None:
    tree = load_tree("paper")
    plan = compile_tree(tree)
    nodes = with_flat(tree, outputs(tree, 5), 5)
    whole = route(plan, nodes, router, fitted(tree))
    said = climb(Statements(plan), whole, 0.6)
    for image in range(BATCH):
        alone = route(plan, {n: x[image : image + 1] for n, x in nodes.items()}, router, fitted(tree))
        # sums over labels add up in the order that suits their size
        exact = 1e-5 if router in ("stack", "blend") else 0
        torch.testing.assert_close(alone[0], whole[image], atol=exact, rtol=exact)
        assert winners(plan, alone, router)[0] == winners(plan, whole, router)[image]
        assert climb(Statements(plan), alone, 0.6).statement[0] == said.statement[image]


def test_impossible_choices_stay_impossible() -> None:
    tree = load_tree("wallpaper")
    nodes = outputs(tree, 1)
    nodes[tree.root] = torch.tensor([[0.0, *[-torch.inf] * 4]] * BATCH)
    p = soft(compile_tree(tree), nodes).exp()
    assert p.isfinite().all()
    below = [tree.labels.index(name) for name in ("p1", "pm", "pg", "cm")]
    torch.testing.assert_close(p[:, below].sum(1), torch.ones(BATCH))


@pytest.mark.parametrize("router", [r for r in ROUTERS if r != "flat"])
def test_missing_and_misshapen_nodes_are_named(router: Router) -> None:
    tree = load_tree("wallpaper")
    plan = compile_tree(tree)
    nodes = with_flat(tree, outputs(tree, 0), 0)
    with pytest.raises(ValueError, match="finer-4"):
        route(plan, {k: v for k, v in nodes.items() if k != "finer-4"}, router, fitted(tree))
    with pytest.raises(ValueError, match=r"'rotation' has 5 choices .*\(3, 4\)"):
        route(plan, nodes | {"rotation": nodes["rotation"][:, :4]}, router, fitted(tree))


def test_what_a_router_lacks_is_said() -> None:
    tree = load_tree("wallpaper")
    plan, nodes = compile_tree(tree), outputs(tree, 0)
    for router in ("blend", "flat"):
        with pytest.raises(ValueError, match=f"'{router}' needs .*flat head"):
            route(plan, nodes, router)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'stack' is not fitted"):
        route(plan, nodes, "stack")
    with pytest.raises(ValueError, match=r"fitted to 43 outputs of nodes, here are 26"):
        route(plan, nodes, "stack", fitted(tree))
    with pytest.raises(ValueError, match=r"'best'.*soft, hard"):
        route(plan, nodes, "best")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="width 0"):
        beam(plan, nodes, 0)


@given(shapes, seeds)
def test_a_wide_beam_is_soft_a_narrow_one_hard_and_any_keeps_the_share_of_what_it_keeps(
    shape: Shape, seed: int
) -> None:
    tree = build(shape)
    plan, nodes = compile_tree(tree), outputs(tree, seed)
    whole = soft(plan, nodes)
    torch.testing.assert_close(beam(plan, nodes, len(tree.labels)), whole)
    torch.testing.assert_close(beam(plan, nodes, 1), hard(plan, nodes))
    for width in (2, 3):
        narrow = beam(plan, nodes, width)
        kept = narrow > -torch.inf
        assert (kept.sum(1) <= width).all()
        torch.testing.assert_close(narrow.exp().sum(1), torch.ones(BATCH))
        want = whole.masked_fill(~kept, -torch.inf).log_softmax(1)
        torch.testing.assert_close(narrow, want, atol=1e-5, rtol=1e-5)


@given(shapes, seeds)
def test_nodes_are_found_again_in_the_answer_of_soft(shape: Shape, seed: int) -> None:
    tree = build(shape)
    plan, nodes = compile_tree(tree), outputs(tree, seed)
    again = conditionals(plan, soft(plan, nodes))
    for name in tree.nodes:
        torch.testing.assert_close(again[name], nodes[name], atol=1e-4, rtol=1e-4)


@given(shapes, seeds)
def test_least_cost_is_the_likeliest_where_all_errors_cost_the_same(shape: Shape, seed: int) -> None:
    tree = build(shape)
    plan = compile_tree(tree)
    logp = soft(plan, outputs(tree, seed))
    assert (cheapest(logp, 1 - torch.eye(len(tree.labels))) == winners(plan, logp)).all()


def statement(tree: Tree, climbed: Climbed, image: int) -> tuple[str, ...]:
    return candidates(Statements(compile_tree(tree)), int(climbed.statement[image]))


@given(shapes, seeds, st.floats(0.5, 0.999))
def test_climb_says_the_deepest_that_reaches_the_threshold(shape: Shape, seed: int, threshold: float) -> None:
    tree = build(shape)
    plan, nodes = compile_tree(tree), outputs(tree, seed)
    known, logp = Statements(plan), soft(plan, nodes)
    lowest, middle, highest = (climb(known, logp, t) for t in (0, threshold, 1))
    for image in range(BATCH):
        p = dict(zip(tree.labels, logp[image].double().softmax(0).tolist(), strict=True))
        assert statement(tree, lowest, image) == (max(p, key=lambda label: p[label]),), "at 0 the leaf"
        assert statement(tree, highest, image) == tree.labels, "at 1 the root"
        at: str = tree.root  # a naive walk: down as long as a child reaches the threshold
        while at in tree.nodes:
            below = {c.target: tree.labels_below(c.target) if not c.is_leaf else (c.target,) for c in tree.children[at]}
            mass = {target: sum(p[label] for label in labels) for target, labels in below.items()}
            best = max(mass, key=lambda target: mass[target])
            if mass[best] < threshold:
                break
            at = best
        want = tree.labels_below(at) if at in tree.nodes else (at,)
        assert statement(tree, middle, image) == want
        assert float(middle.probability[image]) == pytest.approx(sum(p[label] for label in want))


@given(shapes, seeds)
def test_climb_says_less_the_surer_it_must_be(shape: Shape, seed: int) -> None:
    tree = build(shape)
    known = Statements(compile_tree(tree))
    logp = soft(known.plan, outputs(tree, seed))
    sizes = torch.stack([torch.from_numpy(known.size)[climb(known, logp, t / 10).statement] for t in range(11)])
    assert (sizes.diff(dim=0) >= 0).all()


def test_climb_near_certainty_tells_almost_from_surely() -> None:
    """In float32 the first label's probability is 1 all the same, and so is the sum of them all."""
    plan = compile_tree(load_tree("wallpaper"))
    logp = torch.full((1, 17), -40.0)
    logp[0, 11] = 0
    assert int(climb(Statements(plan), logp, 0.999999).statement) == len(plan.nodes) + 11
    assert int(climb(Statements(plan), logp, 1).statement) == 0
    certain = torch.where(logp == 0, logp, -torch.inf)
    assert int(climb(Statements(plan), certain, 1).statement) == len(plan.nodes) + 11
    with pytest.raises(ValueError, match=r"threshold = 1\.2"):
        climb(Statements(plan), logp, 1.2)


def test_a_statement_holds_the_label_it_must() -> None:
    tree = load_tree("wallpaper")
    known = Statements(compile_tree(tree))
    logp = torch.full((1, 17), -9.0)
    logp[0, [tree.labels.index("p4m"), tree.labels.index("p4g")]] = torch.tensor([0.6, 0.4]).log()
    holding = torch.tensor([tree.labels.index("p4g")])
    at_0, at_half = (candidates(known, int(climb(known, logp, t, holding).statement)) for t in (0, 0.5))
    assert (at_0, at_half) == (("p4g",), ("p4m", "p4g"))


def test_statements_in_words() -> None:
    tree = load_tree("paper")
    known = Statements(compile_tree(tree))
    for i in range(len(known.below)):
        said = in_words(tree, known, i, 0.91)
        for label in candidates(known, i):
            assert label in said or i == 0


@given(shapes, seeds, st.integers(1, 4))
def test_models_that_agree_have_no_disagreement_and_are_their_own_mean(shape: Shape, seed: int, models: int) -> None:
    tree = build(shape)
    plan, nodes = compile_tree(tree), outputs(tree, seed)
    members = {name: x.expand(models, -1, -1) for name, x in nodes.items()}
    for name, x in members.items():
        torch.testing.assert_close(average(x), nodes[name])
    torch.testing.assert_close(disagreement(plan, members), torch.zeros(BATCH).double(), atol=1e-6, rtol=0)


@given(shapes, seeds, seeds)
def test_disagreement_is_the_entropy_of_the_mean_less_the_mean_entropy(shape: Shape, one: int, other: int) -> None:
    """Over every way to choose one of the models at each node: the mutual information by its definition."""
    tree = build(shape)
    plan = compile_tree(tree)
    pairs = {n: torch.stack([a, b]) for (n, a), b in zip(outputs(tree, one).items(), outputs(tree, other).values())}  # noqa: B905
    found = disagreement(plan, pairs)
    assert (found >= 0).all()
    assert (found <= log(2) * len(tree.nodes)).all()
    if len(tree.nodes) > 6:
        return
    total = torch.zeros(BATCH).double()
    for chosen in range(2 ** len(tree.nodes)):
        logp = soft(plan, {n: pairs[n][chosen >> k & 1].double() for k, n in enumerate(tree.nodes)})
        total += torch.special.entr(logp.exp()).sum(1) / 2 ** len(tree.nodes)
    mean = soft(plan, {n: average(x.double()) for n, x in pairs.items()})
    torch.testing.assert_close(found, torch.special.entr(mean.exp()).sum(1) - total, atol=1e-6, rtol=1e-6)


def test_models_that_contradict_each_other_disagree_most() -> None:
    sure = torch.tensor([[[0.0, -torch.inf]], [[-torch.inf, 0.0]]])
    assert float(divergence(sure)) == pytest.approx(log(2))
