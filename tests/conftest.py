"""What tests share: one thread, unhurried hypothesis, and a few made-up pictures in place of photographs."""

from __future__ import annotations

import os
import signal
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; commands under test inherit it

import numpy as np
import pytest
import torch
from hier.datasets import Pool
from hier.datasets.textures import dead_leaves
from hier.hierarchy import load_tree
from hier.models.bundle import GATE, GATE_CHOICES, Bundle, Card, NodeCard, load_bundle, save_bundle
from hier.models.node import NodeClassifier, NodeSettings
from hypothesis import settings
from PIL import Image

torch.set_num_threads(1)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a script; commands under test inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # as nohup leaves it
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
settings.register_profile("house", deadline=None)
settings.load_profile("house")


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test draws the same numbers, whichever ran before it in its process."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def pool() -> Pool:
    pictures = np.stack([dead_leaves(np.random.default_rng([seed, 7])) for seed in range(16)])
    names = tuple(f"leaves-{seed}" for seed in range(16))
    return Pool(torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous(), names)


def write_bundle(card_path: Path, tree_name: str = "wallpaper", leave_out: tuple[str, ...] = ()) -> Path:
    """A bundle of untrained nodes; its gate holds every image to be a pattern."""
    torch.manual_seed(3)
    tree = load_tree(tree_name)
    choices = {name: tree.choices(name) for name in tree.nodes} | {GATE: GATE_CHOICES}
    nodes = {k: NodeClassifier(NodeSettings(v)) for k, v in choices.items() if k not in leave_out}
    if GATE in nodes:
        nodes[GATE].head[-1].bias.data = torch.tensor([-50.0, 50.0])
    cards = {
        k: NodeCard(choices=v.settings.choices, backbone=v.settings.backbone, side=v.side) for k, v in nodes.items()
    }
    card = Card(hier="0.1.0", created="2026-01-01T00:00:00+00:00", tree=tree.to_spec(), nodes=cards)
    save_bundle(card_path, card, nodes)
    return card_path


@pytest.fixture
def with_pictures(tmp_path: Path, pool: Pool) -> Path:
    """A folder with a few pictures in ``pictures/train`` and the same in ``pictures/valid``."""
    for split in ("train", "valid"):
        (tmp_path / "pictures" / split).mkdir(parents=True)
        for picture, name in zip(pool.pictures, pool.names, strict=True):
            Image.fromarray(picture.permute(1, 2, 0).numpy()).save(tmp_path / "pictures" / split / f"{name}.png")
    return tmp_path


@pytest.fixture(scope="session")
def card_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The card of an untrained bundle: its answers mean nothing, all else is as in a trained one."""
    return write_bundle(tmp_path_factory.mktemp("bundle") / "untrained.json")


@pytest.fixture(scope="session")
def bundle(card_path: Path) -> Bundle:
    return load_bundle(card_path)
