"""The page on GPUs: its commands, on the CPU where no card is at hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hier.datasets import PatternDataset
from PIL import Image

Open = Callable[..., Any]
SMALLER = {
    "--device cuda": "--device cpu",
    "hier train --level all --count 100000": "hier train --level rotation --config small.yaml",
}
SMALL = """
{source: [noise], count: 34, valid_count: 17, cross_count: 17, sizes: [64], augment: false, near_misses: 0, epochs: 1,
 tune_epochs: 1, batch: 16}
"""


@pytest.mark.slow
def test_the_page_on_gpus(page: Open, tmp_path: Path, shell: Open) -> None:
    (tmp_path / "scans").mkdir()
    image = (PatternDataset("atoms", 1, 96, ("p4m",)).batch([0])[0] * 255).byte().permute(1, 2, 0).numpy()
    Image.fromarray(image).save(tmp_path / "scans" / "a.png")
    (tmp_path / "small.yaml").write_text(SMALL, encoding="utf-8")
    told, there = page("docs/gpu.md"), shell(tmp_path, SMALLER)
    commands = [command for command in told.commands if not command.startswith("python benchmarks/gpu.py")]
    assert len(commands) == len(told.commands) - 1, "which CI rehearses"
    for command in commands:
        there.run(command)
    assert there.used >= set(SMALLER)
    assert "a.png" in (tmp_path / "scans.csv").read_text(encoding="utf-8")
