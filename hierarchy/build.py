"""From a tree's description to its graph, with every check that the description must pass."""

from __future__ import annotations

import networkx as nx

from .spec import NodeSpec, TreeError, TreeSpec


def build_graph(spec: TreeSpec, where: str) -> nx.DiGraph[str]:
    """The frozen graph of a tree; TreeError begins with `where` and names the node or label.

    Inner nodes carry ``level`` and ``question``, edges ``choice`` and ``index``; leaves are labels.
    """
    graph: nx.DiGraph[str] = nx.DiGraph()
    _add(graph, spec.root, where)
    if not nx.is_arborescence(graph):
        raise TreeError(f"{where}: not a tree with one root; every node and label must appear exactly once")
    _check_levels(graph, where)
    nx.freeze(graph)
    return graph


def is_leaf(graph: nx.DiGraph[str], name: str) -> bool:
    """Whether `name` is a label and not an inner node."""
    return "level" not in graph.nodes[name]


def level_graph(graph: nx.DiGraph[str]) -> nx.DiGraph[str]:
    """Levels in order of appearance; an edge leads from the level of a node to those of its children."""
    levels: nx.DiGraph[str] = nx.DiGraph()
    (root,) = (n for n, degree in graph.in_degree() if degree == 0)
    levels.add_node(graph.nodes[root]["level"])
    for above, below in nx.bfs_edges(graph, root):
        if not is_leaf(graph, below):
            levels.add_edge(graph.nodes[above]["level"], graph.nodes[below]["level"])
    return levels


def _add(graph: nx.DiGraph[str], node: NodeSpec, where: str) -> None:
    if node.name in graph and not is_leaf(graph, node.name):
        raise TreeError(f"{where}: node {node.name!r} is given twice; give every node a unique name")
    if node.name in graph:
        raise TreeError(f"{where}: {node.name!r} is both a node and a label; rename the node")
    graph.add_node(node.name, level=node.level, question=node.question)
    for index, (choice, child) in enumerate(node.children.items()):
        if isinstance(child, NodeSpec):
            _add(graph, child, where)
            graph.add_edge(node.name, child.name, choice=choice, index=index)
        elif child not in graph:
            graph.add_edge(node.name, child, choice=choice, index=index)
        elif is_leaf(graph, child):
            (other,) = graph.predecessors(child)
            raise TreeError(
                f"{where}: label {child!r} is under node {other!r} and under node {node.name!r}; keep one of them"
            )
        else:
            raise TreeError(f"{where}: {child!r} under node {node.name!r} is also a node; rename the node")


def _check_levels(graph: nx.DiGraph[str], where: str) -> None:
    levels = level_graph(graph)
    if nx.is_directed_acyclic_graph(levels):
        return
    loop = [edge[0] for edge in nx.find_cycle(levels)]
    for name, target in graph.edges:
        above, below = graph.nodes[name]["level"], graph.nodes[target].get("level")
        if above in loop and below in loop:
            raise TreeError(
                f"{where}: node {target!r} of level {below!r} stands below node {name!r} of level {above!r}, "
                f"so levels {', '.join(loop)} have no order; use the same order of levels on all paths"
            )
