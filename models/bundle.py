"""Bundles: the nodes of a tree on disk, as one safetensors file and a JSON card beside it. No pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..hierarchy import HierError, Tree, TreeError, TreeSpec, UnknownNameError
from .node import BackboneError, NodeClassifier, NodeSettings
from .routing.mixture import Mix, Stack
from .routing.router import FLAT as FLAT  # it stands beside GATE for whoever reads bundles

BUNDLED = Path(__file__).with_name("wallpaper.json")
FORMAT = 2  # 2: temperatures, what routers are fitted to, a flat head
STACK = "router.stack"  # a dot keeps it apart from the names of nodes
GATE = "periodic"  # the node outside the tree that tells patterns from other images
GATE_CHOICES = ("no pattern", "pattern")
OUTSIDE = (GATE, FLAT)


class BundleError(HierError):
    """A bundle that cannot be read or used; says which file, what is wrong and what to do."""


class NodeCard(BaseModel):
    """One node in a card."""

    model_config = ConfigDict(extra="forbid")
    choices: tuple[str, ...]
    backbone: str
    side: int
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


def choices_of(tree: Tree, name: str) -> tuple[str, ...]:
    """What a node of a bundle chooses among, those outside the tree included."""
    outside = {GATE: GATE_CHOICES, FLAT: tree.labels}
    return outside[name] if name in outside else tree.choices(name)


def save_bundle(
    card_path: Path, card: Card, nodes: Mapping[str, NodeClassifier], half: bool = True, stack: Stack | None = None
) -> None:
    """Write ``NAME.json`` and ``NAME.safetensors``; a reader never meets one half written.

    `half` stores weights as float16, statistics of normalisation layers and the `stack` excepted.
    """
    tensors: dict[str, Tensor] = {}
    for name, node in nodes.items():
        for key, value in node.state_dict().items():
            small = half and value.is_floating_point() and "running_" not in key
            tensors[f"{name}/{key}"] = (value.half() if small else value).detach().cpu().contiguous()
    if stack is not None:
        tensors |= {f"{STACK}/weight": stack.weight.cpu().contiguous(), f"{STACK}/bias": stack.bias.cpu().contiguous()}
    card_path.parent.mkdir(parents=True, exist_ok=True)
    weights = card_path.with_suffix(".safetensors")
    unfinished = weights.with_suffix(".unfinished"), card_path.with_suffix(".unfinished-card")
    save_file(tensors, unfinished[0])
    unfinished[1].write_text(
        card.model_copy(update={"format": FORMAT}).model_dump_json(indent=1) + "\n", encoding="utf-8"
    )
    os.replace(unfinished[0], weights)
    os.replace(unfinished[1], card_path)


def find_card(path: Path) -> Path:
    """The card meant by `path`: itself, or the only ``*.json`` of the folder that has weights beside it."""
    if path.is_dir():
        cards = [p for p in sorted(path.glob("*.json")) if p.with_suffix(".safetensors").exists()]
        if len(cards) != 1:
            raise BundleError(
                f"{path} holds {len(cards)} model cards (NAME.json with NAME.safetensors beside it), one is needed: "
                "train one with `hier train --level all`, or name the card"
            )
        return cards[0]
    if not path.exists():
        raise BundleError(f"no model at {path}: train one with `hier train --level all`, or leave --model out")
    return path


def load_bundle(path: Path = BUNDLED) -> Bundle:
    """Read a bundle by its card or folder; the bundled model by default. Nodes are in evaluation mode."""
    card_path = find_card(path)
    card, tree = _read_card(card_path)
    weights = card_path.with_suffix(".safetensors")
    try:
        tensors = load_file(weights)
    except (OSError, SafetensorError) as error:
        raise BundleError(
            f"weights {weights} cannot be read, train or fetch the model again: {_line(error)}"
        ) from error
    nodes = {}
    for name, node_card in card.nodes.items():
        if node_card.choices != choices_of(tree, name):
            raise BundleError(f"node {name!r} of {card_path} answers {node_card.choices}, its tree asks something else")
        settings = NodeSettings(node_card.choices, node_card.backbone, node_card.side)
        own = {k.removeprefix(f"{name}/"): v for k, v in tensors.items() if k.startswith(f"{name}/")}
        try:
            node = NodeClassifier(settings)
            node.load_state_dict({k: v.float() if v.dtype == torch.float16 else v for k, v in own.items()})
        except (RuntimeError, BackboneError) as error:
            raise BundleError(f"node {name!r} of {card_path} does not fit its weights: {_line(error)}") from error
        nodes[name] = node.eval()
    return Bundle(tree, nodes, card, _stack(tensors, weights, len(tree.labels)))


def _stack(tensors: Mapping[str, Tensor], weights: Path, labels: int) -> Stack | None:
    if f"{STACK}/weight" not in tensors:
        return None
    weight, bias = tensors[f"{STACK}/weight"], tensors.get(f"{STACK}/bias")
    if bias is None or bias.shape != (labels,) or weight.ndim != 2 or len(weight) != labels:
        raise BundleError(f"the stack in {weights} is not one of {labels} labels: `hier calibrate` fits it again")
    return Stack(weight, bias)


def _read_card(path: Path) -> tuple[Card, Tree]:
    try:
        raw = json.loads(path.read_bytes())
        newer = raw.get("format", 0) if isinstance(raw, dict) else 0
        if isinstance(newer, int) and newer > FORMAT:
            raise BundleError(f"{path} has format {newer}, this version of hier reads up to {FORMAT}: update hier")
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
        raise BundleError(f"{path} is no model card: {where or 'file'}: {first['msg']}") from error
    except (TreeError, UnknownNameError, OSError) as error:
        raise BundleError(f"model {path} cannot be read: {_line(error)}") from error
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is no model card: {_line(error)}") from error
    return card, tree


def _line(error: Exception) -> str:
    """The beginning of an error's text, on one line."""
    return " ".join(str(error).split())[:200]
