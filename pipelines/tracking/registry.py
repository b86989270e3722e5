"""The registry of models: which versions there are of a node, and what they are called."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ...hierarchy import Tree, UnknownNameError
from ...models.bundle import FLAT, OUTSIDE
from .artifacts import node_model, tree_model
from .errors import StoreError
from .runs import Store, send_pending
from .sender import Sender

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


def training(tree: Tree, node: str) -> str:
    """The command that makes a version of a node, or of the whole tree."""
    return f"`hier assemble{option(tree)}`" if node == WHOLE else f"`hier train --node {node}{option(tree)}`"


def option(tree: Tree) -> str:
    """The option that names the tree on the command line; for a tree from a file, its file's name is not known."""
    return {"wallpaper": "", "paper": " --tree paper"}.get(tree.name, " --tree FILE")
