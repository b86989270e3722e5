"""What is imported when: nobody waits for what a command does not use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hier

TRAINING_ONLY = (
    "timm",
    "torchvision",
    "torch._dynamo",
    "mlflow",
    "sklearn",
    "skimage",
    "pandas",
    "alembic",
    "sqlalchemy",
    "matplotlib",
)
CODE = f"""
import sys
import hier
from hier.cli.app import main

image, card = sys.argv[1:]
found = hier.load(card).predict([image])
sys.argv = ["hier", "predict", image, "--model", card, "--device", "cpu"]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
print(len(found), sorted(name for name in {TRAINING_ONLY} if name in sys.modules))
"""


def test_predict_imports_nothing_that_only_trainings_use(card_path: Path, tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40), dtype=np.uint8)).save(image)
    command, alone = [sys.executable, "-c", CODE, image, card_path], os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=alone)
    assert done.stdout.splitlines()[-1] == "1 []"


def test_the_package_lists_what_it_offers() -> None:
    assert {"load", "load_node", "HierarchicalClassifier", "Prediction", "Predictor", "Failure"} <= set(dir(hier))


@pytest.mark.parametrize(("given", "found"), [({}, "passive"), ({"OMP_WAIT_POLICY": "active"}, "active")])
def test_threads_that_wait_sleep_unless_told_otherwise(given: dict[str, str], found: str) -> None:
    code = "import os, hier; print(os.environ['OMP_WAIT_POLICY'])"
    rest = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=rest | given)
    assert done.stdout.strip() == found
