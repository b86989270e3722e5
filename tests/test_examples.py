"""Examples in docstrings and in the folder of examples do what they say."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "examples"
FOLDERS = {"src/hier": "hier"} | {name: f"hier.{name}" for name in ("hierarchy", "datasets", "models", "pipelines")}


def modules_with_examples() -> list[str]:
    """Names of all modules with a prompt in a docstring, in rooms within rooms too."""
    found = []
    for folder, package in FOLDERS.items():
        for file in (ROOT / folder).rglob("*.py"):
            if ">>>" in file.read_text(encoding="utf-8"):
                inside = file.relative_to(ROOT / folder).with_suffix("").parts
                found.append(".".join([package, *(part for part in inside if part != "__init__")]))
    return sorted(found)


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", modules_with_examples())
def test_docstrings_tell_the_truth(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


def test_example_images_are_those_that_the_generators_draw(tmp_path: Path) -> None:
    files = example("make").write(tmp_path)
    assert [p.name for p in sorted(files)] == [p.name for p in sorted(FOLDER.glob("*.png"))]
    for file in files:
        new, old = (np.asarray(Image.open(p)).astype(int) for p in (file, FOLDER / file.name))
        assert new.shape == old.shape
        assert 256 <= min(new.shape[:2]) <= 512
        assert np.quantile(np.abs(new - old), 0.999) <= 2, "run examples/make.py"
        assert (FOLDER / file.name).stat().st_size < 150_000


def test_example_images_are_answered_as_they_are_named() -> None:
    example("answers").main()
