"""`hier check`: what is installed, which devices work, and where things are kept."""

from __future__ import annotations

import json
import os
import platform
import re
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import typer

from .options import ROOT, Json

SHOWN = ("hier", "torch", "torchvision", "timm", "numpy", "mlflow")


def check(as_json: Json = False) -> None:
    """Print versions, devices and whether hier works on them, optional parts, and where things are kept."""
    found = {
        "versions": {"python": platform.python_version()} | {name: _installed(name) or "missing" for name in SHOWN},
        "devices": _devices(),
        "extras": _extras(),
        "places": _places(),
    }
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    from ..screen.console import Screen
    from ..screen.tables import pairs_table

    for title, pairs in found.items():
        Screen().print(pairs_table(title, pairs))


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _devices() -> dict[str, str]:
    import torch

    from ..pipelines.devices import problem

    cards = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
    there = {"cuda": ", ".join(cards), "mps": "Apple" if torch.backends.mps.is_available() else ""}
    found = {"cpu": f"works, {os.cpu_count()} cores, {torch.get_num_threads()} threads"}
    for name, what in there.items():
        wrong = problem(name) if what else None
        found[name] = f"{what}: does not work, {wrong}" if wrong else f"works, {what}" if what else "none"
    return found


def _extras() -> dict[str, str]:
    """Each extra of the installation, with what it lacks."""
    lacking: dict[str, list[str]] = {}
    for line in requires("hier") or []:
        if extra := re.search(r"""extra == ["']([\w-]+)["']""", line):
            name = re.split(r"[^\w.-]", line, maxsplit=1)[0]
            missing = lacking.setdefault(extra[1], [])
            if name != "hier" and _installed(name) is None:
                missing.append(name)
    return {name: f"lacks {', '.join(missing)}" if missing else "installed" for name, missing in lacking.items()}


def _places() -> dict[str, str]:
    from ..models.bundle import BUNDLED
    from ..pipelines.tracking.errors import shown
    from ..pipelines.tracking.runs import store

    return {
        "bundled model": str(BUNDLED),
        "trainings": f"{ROOT.resolve()}{'' if ROOT.exists() else ' (not there yet)'}",
        "records": shown(store(ROOT).uri),
        "timm's weights": os.environ.get("HF_HOME") or str(Path.home() / ".cache" / "huggingface"),
    }
