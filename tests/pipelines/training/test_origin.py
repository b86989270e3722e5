"""A training shows each image with its origin anywhere in the cell."""

from __future__ import annotations

from pathlib import Path

import torch
from hier.models.evidence.representation import EVIDENCE, MAP_CHANNELS, SIDE
from hier.models.node import NodeClassifier, NodeSettings
from hier.pipelines.training.fit import Samples, fit
from hier.pipelines.training.loop import Schedule
from torch import Tensor


def test_the_origin_is_drawn_anew_for_every_step_and_left_alone_in_validation(tmp_path: Path) -> None:
    maps = torch.zeros(32, MAP_CHANNELS, SIDE, SIDE)
    maps[:, :, 0, 0] = 1  # no choice of the basis moves the origin
    samples = Samples(maps, torch.zeros(32, EVIDENCE), torch.arange(32) % 2)
    few = Samples(maps[:4], samples.numbers[:4], samples.targets[:4])
    node = NodeClassifier(NodeSettings(("no", "yes"), "test_resnet"))
    seen: dict[bool, list[tuple[int, int]]] = {True: [], False: []}

    def watch(module: NodeClassifier, inputs: tuple[Tensor, Tensor]) -> None:
        for image in inputs[0]:
            assert torch.equal(image, image[:1].expand_as(image)), "all maps of an image have one origin"
            row, column = divmod(int(image[0].argmax()), SIDE)
            seen[module.training].append((row, column))

    node.register_forward_pre_hook(watch)
    fit(node, samples, few, Schedule(epochs=8, lr=1e-3, batch=4, seed=0), tmp_path / "checkpoint.pt")
    assert set(seen[False]) == {(0, 0)}
    rows, columns = (set(axis) for axis in zip(*seen[True], strict=True))
    assert len(rows) >= SIDE - 2, "64 steps reach nearly every row"
    assert len(columns) >= SIDE - 2
    assert len(set(seen[True])) > 45, "rows and columns are drawn apart"
