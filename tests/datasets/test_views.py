"""Views: the right images with the right answers, balanced, and none of them copied."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hier.datasets import DatasetError, Epoch, PatternDataset, answers, flat_view, level_view, node_view
from hier.hierarchy import BUILT_IN, GROUP_NAMES, Tree, UnknownNameError, load_tree, parse_spec
from hypothesis import given
from hypothesis import strategies as st

DATASET = PatternDataset("atoms", 5, 32, cells=(4, 16))
TREES = [load_tree(name) for name in BUILT_IN]
nodes = st.sampled_from([(tree, node) for tree in TREES for node in tree.nodes])


@given(nodes, st.integers(0, 10**12))
def test_an_image_of_a_node_lies_below_it_and_its_target_is_the_answer(where: tuple[Tree, str], i: int) -> None:
    tree, node = where
    view = node_view(DATASET, tree, node)
    label = DATASET.label(view.index(i))
    assert label == view.label(i)
    assert tree.answer(node, label) == view.target(i)
    assert view.names == tree.choices(node)


@pytest.mark.parametrize("tree", TREES, ids=lambda t: t.name)
def test_views_are_balanced_and_no_image_comes_twice(tree: Tree) -> None:
    views = [node_view(DATASET, tree, node) for node in tree.nodes]
    views += [level_view(DATASET, tree, level) for level in tree.levels] + [flat_view(DATASET, tree)]
    for view in views:
        n = 60 * len(view.classes)
        counts = Counter(view.target(i) for i in range(n))
        assert set(counts.values()) == {60}
        indices = [view.index(i) for i in range(n)]
        assert len(set(indices)) == n
        for labels in view.classes:  # labels of a class take turns
            shares = [sum(DATASET.label(i) == name for i in indices) for name in labels]
            assert max(shares) - min(shares) <= 1


def test_a_view_shows_the_images_of_its_dataset() -> None:
    view = node_view(DATASET, TREES[0], "finer-1")
    assert torch.equal(view.batch([4, 0]), DATASET.batch([view.index(4), view.index(0)]))
    assert view.targets([0, 1, 2, 3]).tolist() == [0, 1, 2, 0]


def test_a_level_has_a_class_for_each_choice_of_its_nodes() -> None:
    view = level_view(DATASET, TREES[0], "finer")
    assert "finer-1/pm" in view.names
    assert {name for labels in view.classes for name in labels} == set(GROUP_NAMES) - {"p1", "p2", "p4", "p3", "p6", "p6m"}  # noqa: E501  # fmt: skip
    assert len(level_view(DATASET, TREES[0], "rotation").classes) == 5


@pytest.mark.parametrize("tree", TREES, ids=lambda t: t.name)
def test_answers_at_every_node_are_the_path(tree: Tree) -> None:
    table = answers(tree, GROUP_NAMES)
    assert table.shape == (17, len(tree.nodes))
    for row, label in zip(table.tolist(), GROUP_NAMES, strict=True):
        assert {tree.nodes[n]: c for n, c in enumerate(row) if c >= 0} == dict(tree.path(label))
    with pytest.raises(UnknownNameError, match="p5"):
        answers(tree, ["p5"])


def test_a_dataset_of_some_groups_has_views_of_these() -> None:
    some = PatternDataset("atoms", 5, 32, ("p4g", "p1", "p4"), cells=(4, 16))
    view = node_view(some, TREES[0], "reflection-4")
    assert view.classes == (("p4",), ("p4g",))
    assert [some.label(view.index(i)) for i in range(4)] == ["p4", "p4g", "p4", "p4g"]
    assert flat_view(some, TREES[0]).names == ("p1", "p4", "p4g")
    with pytest.raises(UnknownNameError, match="finer-3"):
        node_view(some, TREES[0], "finer-3")
    with pytest.raises(UnknownNameError, match="node"):
        node_view(some, TREES[0], "finer-7")


def test_views_follow_a_tree_over_other_labels() -> None:
    class Shelf:
        labels = ("cat", "dog", "oak")

        def label(self, index: int) -> str:
            return self.labels[index // 2]

        def find(self, label: str, k: int) -> int:
            return 2 * self.labels.index(label) + k % 2

        def batch(self, indices: object, device: object = "cpu") -> torch.Tensor:
            raise NotImplementedError

    text = """
    name: things
    root:
      {name: alive, level: kind, children: {plant: oak, animal: {name: pet, level: pet, children: {a: cat, b: dog}}}}
    """
    tree = Tree.from_spec(parse_spec(text, "things"))
    view = node_view(Shelf(), tree, "alive")
    assert [view.label(i) for i in range(6)] == ["oak", "cat", "oak", "dog", "oak", "cat"]
    assert [view.index(i) for i in range(8)] == [4, 0, 5, 2, 4, 1, 5, 3]  # the one oak image after the other, again


@given(st.integers(1, 3000), st.integers(0, 2**40), st.integers(0, 50))
def test_an_epoch_is_a_permutation_that_can_begin_anywhere(count: int, seed: int, epoch: int) -> None:
    order = Epoch(count, seed, epoch)
    whole = order.at(range(count))
    assert np.array_equal(np.sort(whole), np.arange(count))
    start = count // 3
    resumed = np.concatenate([*order.batches(7, start), np.empty(0, dtype=np.int64)])
    assert np.array_equal(resumed, whole[start:])
    shares = [np.concatenate([*order.batches(7, 0, rank, 3), np.empty(0, dtype=np.int64)]) for rank in range(3)]
    assert np.array_equal(np.sort(np.concatenate(shares)), np.arange(count))


def test_epochs_and_seeds_differ_and_every_image_comes_first_equally_often() -> None:
    orders = [Epoch(1000, seed, epoch).at(range(1000)) for seed in range(3) for epoch in range(3)]
    for i, a in enumerate(orders):
        for b in orders[:i]:
            assert (a == b).mean() < 0.02
    first = np.array([Epoch(10, 4, epoch).at([0])[0] for epoch in range(4000)])
    counts = np.bincount(first, minlength=10)
    assert ((counts - 400) ** 2 / 400).sum() < 33  # 9 degrees of freedom: one in ten thousand
    follow = np.array([Epoch(10, 4, epoch).at([0, 1]) for epoch in range(4000)])
    table = np.zeros((10, 10))
    np.add.at(table, (follow[:, 0], follow[:, 1]), 1)
    off = table[~np.eye(10, dtype=bool)]
    assert np.diag(table).sum() == 0
    assert ((off - 4000 / 90) ** 2 / (4000 / 90)).sum() < 150  # 89 degrees of freedom


def test_an_epoch_of_ten_million_needs_no_list() -> None:
    order = Epoch(10**7, 1, 2)
    found = order.at(range(10**7 - 500, 10**7))
    assert len(set(found.tolist())) == 500
    with pytest.raises(IndexError, match="position 10000000"):
        order.at([10**7])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"source": "photo"}, "unknown source 'photo': did you mean photos"),
        ({"groups": ("p5",)}, "unknown wallpaper group 'p5'"),
        ({"groups": ()}, "no groups given"),
        ({"orientation": "up"}, "unknown orientation 'up'"),
        ({"construction": "glue"}, "unknown construction 'glue'"),
        ({"cells": (2, 9)}, "2 to 9 cells in view: at least 4"),
        ({"cells": (9, 4)}, "9 to 4 cells in view"),
        ({"cells": (4, 60), "size": 32}, "at most 16 cells"),
    ],
)
def test_datasets_that_cannot_be_made_are_one_clear_line(given: dict[str, object], message: str) -> None:
    with pytest.raises((DatasetError, UnknownNameError), match=message):
        PatternDataset(**{"source": "atoms", "seed": 1, **given})  # type: ignore[arg-type]
