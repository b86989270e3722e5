"""The registry of models: which versions there are of a node, and which of them is the champion."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...hierarchy import Tree, UnknownNameError
from ...models.bundle import FLAT, OUTSIDE
from .artifacts import node_model, tree_model
from .errors import StoreError, shown, telling
from .runs import Store, send_pending
from .sender import CANDIDATE, CHAMPION, Sender

OPTIONAL = (FLAT,)  # nodes outside the tree that a classifier can do without
WHOLE = "tree"  # in place of a node: the assembled classifier


@dataclass(frozen=True)
class Registered:
    """A registered model: its versions, oldest first, as MLflow's entities by number; and its aliases."""

    name: str
    versions: dict[int, Any] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        """What there is of it, in a line."""
        named = {v: [a for a, w in sorted(self.aliases.items()) if w == v] for v in self.versions}
        return ", ".join(f"{v} ({', '.join(names)})" if names else str(v) for v, names in named.items()) or "none"


@dataclass(frozen=True)
class Promoted:
    """An alias that was moved: `before` is the version that had it, or None."""

    node: str
    model: str
    version: int
    before: int | None


def check_there(store: Store) -> None:
    """StoreError when the store is a file in the training's folder that does not exist yet."""
    local = store.uri == f"sqlite:///{store.database.resolve().as_posix()}"
    if local and not store.database.exists():
        raise StoreError(
            f"no trainings in {store.root} yet ({store.database} is not there): `hier train --level rotation` is a "
            "start, or change to the folder where you trained"
        )


def reopen(store: Store) -> Sender:
    """Open a store that must be there already, and send what is pending; StoreError."""
    if not store.pending:
        check_there(store)
    sender = store.connect()
    send_pending(store, sender)
    return sender


def registered(client: Any, name: str) -> Registered:
    """The registered model of that name; without versions if there is none."""
    versions = sorted(client.search_model_versions(f"name = '{name}'"), key=lambda v: int(v.version))
    if not versions:
        return Registered(name)
    aliases = {alias: int(v) for alias, v in client.get_registered_model(name).aliases.items()}
    return Registered(name, {int(v.version): v for v in versions}, aliases)


def models_of(tree: Tree) -> dict[str, str]:
    """Registered models by node of the tree, gate included; `WHOLE` stands for the assembled tree."""
    names = (*tree.nodes, *(name for name in OUTSIDE if name not in tree.nodes))
    return {name: node_model(tree.name, name) for name in names} | {WHOLE: tree_model(tree.name)}


def nodes_named(tree: Tree, given: Iterable[str], whole: bool = False) -> list[str]:
    """The nodes named, each once: of the tree, outside it, `WHOLE` if allowed, or ``all``; UnknownNameError."""
    known = [name for name in models_of(tree) if whole or name != WHOLE]
    chosen: list[str] = []
    for name in given:
        if name == "all":
            chosen.extend(n for n in known if n != WHOLE)
        elif name in known:
            chosen.append(name)
        else:
            raise UnknownNameError("node", name, [*known, "all"])
    return list(dict.fromkeys(chosen))


def promote(store: Store, tree: Tree, given: Sequence[str], version: int | None = None) -> list[Promoted]:
    """Move the alias `champion` of nodes to their candidates, or to that version of a single node.

    ``all`` are the nodes that have a candidate. Raises StoreError for a node without the version, and then moves
    none; UnknownNameError for a node that the tree does not have.
    """
    nodes, models = nodes_named(tree, given, whole=True), models_of(tree)
    if version is not None and len(nodes) != 1:
        raise StoreError(f"--version {version} needs exactly one node, not {len(nodes)}: promote them one by one")
    sender, moves = reopen(store), []
    with telling(store.uri):
        for node in nodes:
            model = registered(sender.client, models[node])
            if "all" in given and node not in given and CANDIDATE not in model.aliases:
                continue
            moves.append(Promoted(node, model.name, _wanted(tree, node, model, version), model.aliases.get(CHAMPION)))
        if not moves:
            raise StoreError(
                f"no node of tree {tree.name!r} is in {shown(store.uri)} yet: run `hier train --level all`"
            )
        for move in moves:
            sender.client.set_registered_model_alias(move.model, CHAMPION, str(move.version))
    return moves


def _wanted(tree: Tree, node: str, model: Registered, version: int | None) -> int:
    if not model.versions:
        raise StoreError(f"node {node!r} is not trained yet, there is no {model.name}: run {training(tree, node)}")
    if version is None:
        if CANDIDATE not in model.aliases:
            raise StoreError(f"{model.name} has no candidate: give --version; there are {model}")
        return model.aliases[CANDIDATE]
    if version not in model.versions:
        raise StoreError(f"{model.name} has no version {version}; there are {model}")
    return version


def training(tree: Tree, node: str) -> str:
    """The command that makes a version of a node, or of the whole tree."""
    return f"`hier assemble{option(tree)}`" if node == WHOLE else f"`hier train --node {node}{option(tree)}`"


def option(tree: Tree) -> str:
    """The option that names the tree on the command line; for a tree from a file, its file's name is not known."""
    return {"wallpaper": "", "paper": " --tree paper"}.get(tree.name, " --tree FILE")
