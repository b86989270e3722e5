"""The example of docs/extending.md runs, and its systems stand in the table like any other."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from hier.datasets import PatternDataset
from hier.hierarchy import compile_tree, load_tree
from hier.models import systems
from hier.models.systems import LOSSES, SYSTEMS, Sizes, build, parts_of
from hier.pipelines.benchmark.fit import answers_of, fit_network, stored
from hier.pipelines.benchmark.jobs import chosen_systems
from hier.pipelines.benchmark.settings import load_preset
from hier.pipelines.training.loop import Schedule

PAGE = Path(__file__).parent.parent / "docs" / "extending.md"


def test_the_example_adds_systems_that_train(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    added = {table: set(getattr(systems, table)) for table in ("REPRESENTATIONS", "BACKBONES", "LOSSES", "SYSTEMS")}
    try:
        exec(code, {})
        assert set(chosen_systems(load_preset("smoke"), ["slopes", "slopes-tree"])) == {"slopes", "slopes-tree"}
        dataset = PatternDataset("noise", seed=1, size=64, cells=(4, 9))
        images = (dataset.batch(range(34)) * 255).byte().numpy()
        plan = compile_tree(load_tree("wallpaper"))
        labels = torch.tensor([plan.labels.index(dataset.label(i)) for i in range(34)])
        for name, count in (("slopes", 1), ("slopes-tree", len(plan.nodes))):
            system = SYSTEMS[name]
            parts = parts_of(system.questions, plan)
            assert len(parts) == count
            torch.manual_seed(0)
            network = build(system, Sizes(64, 8), parts[0])
            told: list[float] = []
            source = stored(images, labels, parts[0], 16, "cpu")
            fit_network(
                network, LOSSES[system.loss](network.width), source, Schedule(8, 0.01, 16, 0),
                tmp_path / f"{name}.pt", report=lambda _, m, told=told: told.append(m["train/running_loss"]),  # type: ignore[misc]
            )  # fmt: skip
            assert told[-1] < told[0], "it learns"
            assert answers_of(network, images, "cpu").shape == (34, parts[0].sizes[0])
    finally:
        for table, names in added.items():
            for name in set(getattr(systems, table)) - names:
                del getattr(systems, table)[name]
