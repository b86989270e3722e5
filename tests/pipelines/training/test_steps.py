"""What is said of a training before its first network is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
from hier.hierarchy import load_tree
from hier.pipelines.generating.processes import ALONE
from hier.pipelines.training.data import TrainingData
from hier.pipelines.training.fit import Reporter
from hier.pipelines.training.settings import SettingsError, TrainSettings
from hier.pipelines.training.steps import Steps


class Counted(Steps):
    """Steps whose nodes get as many images as their names have letters, less six."""

    def images(self, name: str) -> int:
        return len(name) - 6


def test_nodes_with_fewer_than_two_images_are_named_together(tmp_path: Path) -> None:
    settings = TrainSettings(count=17)
    data = TrainingData(settings, tmp_path, "cpu", Reporter().stage)
    steps = Counted(settings, load_tree("wallpaper"), data, tmp_path, ALONE, "cpu", Reporter())
    steps.check(["rotation", "reflection-2", "periodic"])
    with pytest.raises(SettingsError, match=r"^count = 17 .* two images .*: finer-3 \(1\), finer-4 \(1\)\. Give more$"):
        steps.check(["finer-3", "rotation", "finer-4", "periodic"])
