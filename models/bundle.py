"""Bundles: the nodes of a tree on disk, as one safetensors file and a JSON card beside it. No pickle.

The safetensors file holds the card too, so that weights and card change as one. ``NAME.json`` is the copy for readers
and other programs; it is used while the digest in it is that of the weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from ..hierarchy import Tree, TreeError, TreeSpec, UnknownNameError
from ..hierarchy.files import sweep, whole
from .node import BackboneError, NodeClassifier, NodeSettings
from .routing.mixture import Mix, Stack
from .routing.router import FLAT as FLAT  # kept next to GATE for code that reads bundles
from .saved import BundleError as BundleError
from .saved import find_card as find_card
from .weights import digest, has_text, load_weights, one_line, save_weights

BUNDLED = Path(__file__).with_name("wallpaper.json")
FORMAT = 4  # 3: the card in the weights, their digest; 4: nodes read scores of whole groups, and a tolerance
STACK = "router.stack"  # a dot keeps it apart from the names of nodes
GATE = "periodic"  # the node outside the tree that separates patterns from other images
GATE_CHOICES = ("no pattern", "pattern")
OUTSIDE = (GATE, FLAT)


class NodeCard(BaseModel):
    """One node in a card; `below` as in `NodeSettings`."""

    model_config = ConfigDict(extra="forbid")
    choices: tuple[str, ...]
    backbone: str
    side: int
    below: tuple[int, ...] = ()
    temperature: float = Field(default=1.0, gt=0)
    training: dict[str, Any] = Field(default_factory=dict)
    figures: dict[str, float] = Field(default_factory=dict)


class Routing(BaseModel):
    """What `hier calibrate` fits beside the nodes' temperatures: see `mixture.Fitted`. None where it was not run."""

    model_config = ConfigDict(extra="forbid")
    temperature: float = Field(default=1.0, gt=0)
    how: Mix | None = None
    weight: float | None = Field(default=None, ge=0, le=1)
    images: int = 0
    figures: dict[str, float] = Field(default_factory=dict)


class Card(BaseModel):
    """What is known of a bundle: its tree, its nodes, the data it was trained on, its figures, its version."""

    model_config = ConfigDict(extra="forbid")
    format: int = FORMAT
    hier: str
    created: str
    command: str = ""
    weights: str = ""  # SHA-256 of the weights, see `weights.digest`
    tree: TreeSpec
    nodes: dict[str, NodeCard]
    routing: Routing = Field(default_factory=Routing)
    training: dict[str, Any] = Field(default_factory=dict)
    figures: dict[str, float] = Field(default_factory=dict)


@dataclass(frozen=True)
class Bundle:
    """Node classifiers of `tree` by name, perhaps not all of them, and their card; a `stack` if one was fitted."""

    tree: Tree
    nodes: Mapping[str, NodeClassifier]
    card: Card
    stack: Stack | None = None


ADVICE = "so it is not overwritten: choose another folder or name, or --force"


def choices_of(tree: Tree, name: str) -> tuple[str, ...]:
    """The choices of a node of a bundle, including the nodes outside the tree."""
    outside = {GATE: GATE_CHOICES, FLAT: tree.labels}
    return outside[name] if name in outside else tree.choices(name)


def save_bundle(
    card_path: Path, card: Card, nodes: Mapping[str, NodeClassifier], half: bool = True, stack: Stack | None = None,
    force: bool = False,
) -> None:  # fmt: skip
    """Write ``NAME.json`` and ``NAME.safetensors``; a reader sees the old bundle or the new one, never a mixture.

    `half` stores weights as float16, statistics of normalisation layers and the `stack` excepted. Raises BundleError
    for weights that are not finite, and for files that are not a model's, unless `force` replaces them.
    """
    check_replaceable(card_path, force)
    tensors: dict[str, Tensor] = {}
    for name, node in nodes.items():
        for key, value in node.state_dict().items():
            small = half and value.is_floating_point() and "running_" not in key
            tensors[f"{name}/{key}"] = (value.half() if small else value).detach().cpu().contiguous()
    if stack is not None:
        tensors |= {f"{STACK}/weight": stack.weight.cpu().contiguous(), f"{STACK}/bias": stack.bias.cpu().contiguous()}
    stamped = card.model_copy(update={"format": FORMAT, "weights": digest(tensors)})
    text = stamped.model_dump_json(indent=1) + "\n"
    for file in (card_path, card_path.with_suffix(".safetensors")):
        sweep(file.parent, file)
    save_weights(card_path.with_suffix(".safetensors"), tensors, text)
    with whole(card_path) as file:
        file.write_text(text, encoding="utf-8")


def check_digest(path: Path) -> None:
    """BundleError for a bundle whose card or weights are not those that were saved."""
    _read(find_card(path))


def load_bundle(path: Path = BUNDLED) -> Bundle:
    """Read a bundle by its card or folder; the bundled model by default. Nodes are in evaluation mode."""
    card_path = find_card(path)
    card, tree, tensors = _read(card_path)
    nodes = {}
    for name, node_card in card.nodes.items():
        if node_card.choices != choices_of(tree, name):
            raise BundleError(
                f"node {name!r} of {card_path} has the choices {node_card.choices}, which are not those of its tree"
            )
        below = node_card.below
        if below and (set(below) != set(range(len(node_card.choices))) or len(below) > len(tree.labels)):
            raise BundleError(f"node {name!r} of {card_path} has outputs that are not those of its choices")
        settings = NodeSettings(node_card.choices, node_card.backbone, node_card.side, below)
        own = {k.removeprefix(f"{name}/"): v for k, v in tensors.items() if k.startswith(f"{name}/")}
        try:
            node = NodeClassifier(settings, filled=True)
            node.load_state_dict({k: v.float() if v.dtype == torch.float16 else v for k, v in own.items()})
        except (RuntimeError, BackboneError) as error:
            raise BundleError(f"node {name!r} of {card_path} does not fit its weights: {one_line(error)}") from error
        nodes[name] = node.eval()
    return Bundle(tree, nodes, card, _stack(tensors, card_path.with_suffix(".safetensors"), len(tree.labels)))


def _stack(tensors: Mapping[str, Tensor], weights: Path, labels: int) -> Stack | None:
    if f"{STACK}/weight" not in tensors:
        return None
    weight, bias = tensors[f"{STACK}/weight"], tensors.get(f"{STACK}/bias")
    if bias is None or bias.shape != (labels,) or weight.ndim != 2 or len(weight) != labels:
        raise BundleError(f"the stack in {weights} does not have {labels} labels: refit it with `hier calibrate`")
    return Stack(weight, bias)


def _read(card_path: Path) -> tuple[Card, Tree, dict[str, Tensor]]:
    """A card and the weights that belong to it, even while another process replaces both."""
    try:
        content = card_path.read_bytes()
    except OSError as error:
        raise BundleError(f"model {card_path} cannot be read: {one_line(error)}") from error
    beside = _card(content, card_path)
    weights = card_path.with_suffix(".safetensors")
    tensors, inside = load_weights(weights)
    found = digest(tensors)
    if beside[0].weights == found:
        return *beside, tensors
    # a writer has replaced the weights but not, or not yet, their card
    if inside is not None and (within := _card(inside.encode(), weights))[0].weights == found:
        return *within, tensors
    raise BundleError(f"weights {weights} are damaged, their digest is not the one saved: train or fetch them again")


def _card(content: bytes, path: Path) -> tuple[Card, Tree]:
    try:
        raw = json.loads(content)
        newer = raw.get("format", 0) if isinstance(raw, dict) else 0
        if isinstance(newer, int) and newer > FORMAT:
            raise BundleError(f"{path} has format {newer}, this version of hier reads up to {FORMAT}: update hier")
        if isinstance(newer, int) and isinstance(raw, dict) and {"tree", "nodes"} <= raw.keys() and newer < FORMAT:
            raise BundleError(
                f"{path} has format {newer}: its nodes read other evidence than this version of hier makes. Train it "
                "again with `hier train --level all`, or use the version of hier that made it"
            )
        card = Card.model_validate_json(json.dumps(raw))
        tree = Tree.from_spec(card.tree, str(path))
        for name in card.nodes:
            if name not in OUTSIDE:
                tree.level_of(name)
    except BundleError:
        raise
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"{path} is not a model card: {where or 'file'}: {first['msg']}") from error
    except (TreeError, UnknownNameError) as error:
        raise BundleError(f"model {path} cannot be read: {one_line(error)}") from error
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is not a model card: {one_line(error)}") from error
    return card, tree


def check_replaceable(card_path: Path, force: bool = False) -> None:
    """BundleError if ``NAME.json`` is a file that is not a card, or ``NAME.safetensors`` one without a card in it."""
    if force:
        return
    weights = card_path.with_suffix(".safetensors")
    try:
        there = json.loads(card_path.read_bytes() or b"{}")
    except FileNotFoundError:
        if not weights.exists() or has_text(weights):
            return
        raise BundleError(f"{weights} is not a model's weights, {ADVICE}") from None
    except OSError as error:
        raise BundleError(f"{card_path} cannot be written: {error.strerror or error}") from error
    except (ValueError, RecursionError):
        there = None
    if not isinstance(there, dict) or (there and not {"tree", "nodes"} <= there.keys()):
        raise BundleError(f"{card_path} is not a model card, {ADVICE}")
