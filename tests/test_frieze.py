"""The worked example of docs/own-tree.md: its strips have the groups that they are named after, and it learns them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

FILE = Path(__file__).parent.parent / "examples" / "frieze.py"
MOVES = {
    "half turn": lambda s: s[::-1, ::-1],
    "mirror along": lambda s: s[::-1],
    "glide along": lambda s: np.roll(s[::-1], 12, 1),
    "mirror across": lambda s: s[:, ::-1],
}
HAS = {
    "p111": set(),
    "p11g": {"glide along"},
    "p11m": {"mirror along"},
    "p1m1": {"mirror across"},
    "p2": {"half turn"},
    "p2mg": {"half turn", "mirror across", "glide along"},
    "p2mm": {"half turn", "mirror across", "mirror along"},
}


@pytest.fixture(scope="module")
def frieze() -> ModuleType:
    spec = importlib.util.spec_from_file_location("frieze", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("group", HAS)
@pytest.mark.parametrize("kind", ["dots", "lines"])
def test_strips_have_their_symmetry_and_no_other(frieze: ModuleType, group: str, kind: str) -> None:
    motif = getattr(frieze, kind)(np.random.default_rng(3))
    one = frieze.strip(group, motif, 24.0, 30, 0.0)  # 192 px are 8 periods
    found = set()
    for name, move in MOVES.items():
        places = (0,) if name.endswith("along") else range(24)  # centres and mirrors across may be anywhere
        moved = move(one)
        if max(np.corrcoef(one.ravel(), np.roll(moved, k, 1).ravel())[0, 1] for k in places) > 0.999:
            found.add(name)
    assert found == HAS[group]


def test_strips_are_stacked_further_apart_than_they_repeat(frieze: ModuleType) -> None:
    one = np.ones((26, 192), np.float32)
    image = frieze.stacked(one, 10)
    assert image.shape == (192, 192)
    assert (image[:36] == image[36:72]).all()
    assert image[:36].any(1).sum() == 26
    X, y = frieze.images(14, seed=1)
    assert X.shape == (14, 192, 192)
    assert sorted(set(y)) == sorted(HAS)


@pytest.mark.slow
def test_it_learns_from_a_few(frieze: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["frieze", "--count", "140", "--epochs", "30", "--least", "0.6"])
    frieze.main()
