"""A decision tree over labels: built once from data, validated, frozen."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import networkx as nx

from .build import build_graph, is_leaf, level_graph
from .errors import UnknownNameError
from .groups import GROUP_NAMES
from .spec import NodeSpec, TreeSpec, parse_spec, read_spec

BUILT_IN = ("wallpaper", "paper")


@dataclass(frozen=True)
class Child:
    """One choice of a node and where it leads: a leaf's label or another node's name."""

    choice: str
    target: str
    is_leaf: bool


@dataclass(frozen=True, eq=False)
class Tree:
    """A validated decision tree; two trees are equal when their `digest` is.

    `graph` is a frozen `networkx.DiGraph`. Inner nodes carry ``level`` and ``question``, edges ``choice`` and
    ``index``; leaves are labels. It is for queries and drawing; to compute probabilities use `compile_tree`.

    >>> tree = load_tree("wallpaper")
    >>> tree.path("p4g")
    (('rotation', 3), ('reflection-4', 1), ('finer-4', 1))
    """

    name: str
    description: str
    graph: nx.DiGraph[str]

    @classmethod
    def from_spec(cls, spec: TreeSpec, source: str = "") -> Tree:
        """Build and validate; TreeError names `source` (by default the tree) and the node or label."""
        return cls(spec.name, spec.description, build_graph(spec, source or f"tree {spec.name!r}"))

    def to_spec(self) -> TreeSpec:
        """The tree as plain data, ready for YAML; `from_spec` gives it back."""

        def node(name: str) -> NodeSpec:
            children = {c.choice: c.target if c.is_leaf else node(c.target) for c in self.children[name]}
            data = self.graph.nodes[name]
            return NodeSpec(name=name, level=data["level"], question=data["question"], children=children)

        return TreeSpec(name=self.name, description=self.description, root=node(self.root))

    @cached_property
    def root(self) -> str:
        """Name of the first node."""
        return next(str(n) for n, degree in self.graph.in_degree() if degree == 0)

    @cached_property
    def children(self) -> dict[str, tuple[Child, ...]]:
        """Choices of every inner node, in order."""
        found = {}
        for name in self.nodes:
            edges = sorted(self.graph.out_edges(name, data=True), key=lambda e: int(e[2]["index"]))
            found[name] = tuple(Child(d["choice"], t, is_leaf(self.graph, t)) for _, t, d in edges)
        return found

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """Inner nodes, breadth first."""
        order = [self.root, *(target for _, target in nx.bfs_edges(self.graph, self.root))]
        return tuple(n for n in order if not is_leaf(self.graph, n))

    @cached_property
    def levels(self) -> tuple[str, ...]:
        """Levels from the root down; a path passes each at most once, in this order."""
        graph = level_graph(self.graph)
        order = list(graph)
        return tuple(nx.lexicographical_topological_sort(graph, key=order.index))

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Leaf labels: in the order of International Tables if all are wallpaper groups, else of the tree."""
        leaves = [n for n in nx.dfs_preorder_nodes(self.graph, self.root) if is_leaf(self.graph, n)]
        if all(label in GROUP_NAMES for label in leaves):
            leaves.sort(key=GROUP_NAMES.index)
        return tuple(leaves)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of nodes, levels, choices and labels in order; names of trees and wording do not count.

        Trained weights belong to a digest; rewording a question or description leaves them valid.
        """
        rows = [[n, self.level_of(n), [[c.choice, c.target, c.is_leaf] for c in self.children[n]]] for n in self.nodes]
        return sha256(json.dumps(rows, ensure_ascii=True, separators=(",", ":")).encode()).hexdigest()

    def level_of(self, node: str) -> str:
        """Level of an inner node."""
        return str(self.graph.nodes[self._known(node)]["level"])

    def question(self, node: str) -> str:
        """What the node asks, in words; may be empty."""
        return str(self.graph.nodes[self._known(node)]["question"])

    def nodes_at(self, level: str) -> tuple[str, ...]:
        """Inner nodes of a level, breadth first."""
        if level not in self.levels:
            raise UnknownNameError(f"level of tree {self.name!r}", level, self.levels)
        return tuple(n for n in self.nodes if self.level_of(n) == level)

    def choices(self, node: str) -> tuple[str, ...]:
        """Choices of a node, in order."""
        return tuple(c.choice for c in self.children[self._known(node)])

    def labels_below(self, node: str) -> tuple[str, ...]:
        """Labels that can still be reached from a node, in the order of `labels`."""
        below = nx.descendants(self.graph, self._known(node))
        return tuple(label for label in self.labels if label in below)

    def answer(self, node: str, label: str) -> int | None:
        """Index of the choice under which `label` lies, None when it does not lie below `node`."""
        self._known(node)
        return dict(self.path(label)).get(node)

    def path(self, label: str) -> tuple[tuple[str, int], ...]:
        """The path from the root to a label: (node, index of the choice) for each step."""
        if label not in self.labels:
            raise UnknownNameError(f"label of tree {self.name!r}", label, self.labels)
        steps, at = [], label
        while at != self.root:
            ((parent, _, index),) = self.graph.in_edges(at, data="index")
            steps.append((parent, int(index)))
            at = parent
        return tuple(reversed(steps))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tree) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def _known(self, node: str) -> str:
        if node not in self.nodes:
            raise UnknownNameError(f"node of tree {self.name!r}", node, self.nodes)
        return node


def load_tree(name_or_path: str | Path) -> Tree:
    """A built-in tree (``wallpaper``, ``paper``) or the tree of a YAML file.

    Raises TreeError for a file that is missing or invalid, UnknownNameError for a name that is not built in.
    """
    text = str(name_or_path)
    if text in BUILT_IN:
        return _built_in(text)
    path = Path(name_or_path)
    if path.suffix.lower() not in (".yaml", ".yml") and len(path.parts) == 1 and not path.exists():
        raise UnknownNameError("tree", text, BUILT_IN, "; or give the path of a YAML file")
    return Tree.from_spec(read_spec(path), str(path))


@lru_cache
def _built_in(name: str) -> Tree:
    resource = files(__package__) / f"{name}.yaml"
    return Tree.from_spec(parse_spec(resource.read_text(encoding="utf-8"), f"{name}.yaml"), f"{name}.yaml")
