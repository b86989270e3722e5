"""A tree as plain text, or coloured for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .groups import GROUPS
from .names import on_screen
from .tree import Child, Tree

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree as RichTree

COLOURS = ("cyan", "magenta", "yellow", "green", "blue", "red")


def tree_text(tree: Tree) -> str:
    """The tree as plain text, one line for each node and leaf."""
    lines = [f"{tree.name}: {len(tree.nodes)} nodes, {len(tree.labels)} labels"]

    def add(name: str, choice: str, first: str, rest: str) -> None:
        lines.append(first + _node_line(tree, name, choice))
        children = tree.children[name]
        for i, child in enumerate(children):
            last = i == len(children) - 1
            head, tail = rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  ")
            if child.is_leaf:
                lines.append(head + _leaf_line(child))
            else:
                add(child.target, child.choice, head, tail)

    add(tree.root, "", "", "")
    return "\n".join(lines)


def rich_tree(tree: Tree) -> RichTree:
    """The tree for `rich.print`: nodes coloured by level, labels bold."""
    from rich.text import Text
    from rich.tree import Tree as RichTree

    colour = {level: COLOURS[i % len(COLOURS)] for i, level in enumerate(tree.levels)}

    def node_text(name: str, choice: str) -> Text:
        level = tree.level_of(name)
        text = Text(f"{on_screen(choice)}: " if choice else "")
        text.append(name, style=f"bold {colour[level]}")
        text.append(f" [{level}]", style=colour[level])
        return text.append(f" {on_screen(tree.question(name))}" if tree.question(name) else "", style="italic")

    def leaf_text(child: Child) -> Text:
        text = Text("" if child.choice == child.target else f"{on_screen(child.choice)}: ")
        text.append(on_screen(child.target), style="bold")
        return text.append(f"  {about}" if (about := _about(child.target)) else "", style="dim")

    def grow(branch: RichTree, name: str) -> None:
        for child in tree.children[name]:
            if child.is_leaf:
                branch.add(leaf_text(child))
            else:
                grow(branch.add(node_text(child.target, child.choice)), child.target)

    top = RichTree(node_text(tree.root, ""), guide_style="dim")
    grow(top, tree.root)
    return top


def _node_line(tree: Tree, name: str, choice: str) -> str:
    question = on_screen(tree.question(name))
    return f"{choice + ': ' if choice else ''}{name} [{tree.level_of(name)}]{' ' + question if question else ''}"


def _leaf_line(child: Child) -> str:
    name = child.target if child.choice == child.target else f"{child.choice}: {child.target}"
    about = _about(child.target)
    return f"{name}  ({about})" if about else name


def _about(label: str) -> str:
    if label not in GROUPS:
        return ""
    g = GROUPS[label]
    symbol = "" if g.symbol == g.name else f"{g.symbol}, "
    return f"{symbol}No. {g.number}, point group {g.point_group} of order {g.order}, {g.lattice_system}"
