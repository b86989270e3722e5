"""The machine that a training runs on: what it is, who uses it, and how busy it is, by the names that MLflow uses."""

from __future__ import annotations

import getpass
import platform
import subprocess
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import psutil

MEGABYTE = 1e6


def hardware(device: str, processes: int = 1) -> dict[str, str]:
    """Tags of a run: processor, cores, memory, and the card if `device` is one."""
    found = {
        "hier.device": device,
        "hier.processes": str(processes),
        "hier.processor": platform.processor() or platform.machine(),
        "hier.cores": str(psutil.cpu_count()),
        "hier.memory_gb": f"{psutil.virtual_memory().total / 1e9:.0f}",
    }
    if device.startswith("cuda"):
        import torch

        found["hier.card"] = torch.cuda.get_device_name(device)
    return found


@cache
def origin() -> dict[str, str]:
    """Tags of a run, where they are known: the user; the commit of hier's checkout, and whether files were changed."""
    found = {}
    with suppress(KeyError, OSError):  # a user without a name
        found["mlflow.user"] = getpass.getuser()
    here = Path(__file__).resolve()
    if _git(
        here.parent, "ls-files", "--error-unmatch", here.name
    ):  # else the commit would be of somebody else's folder
        found["mlflow.source.git.commit"] = _git(here.parent, "rev-parse", "HEAD")
        found["mlflow.source.git.dirty"] = str(bool(_git(here.parent, "status", "--porcelain", "-uno", ":/")))
    return found


def _git(folder: Path, *arguments: str) -> str:
    """What git says in a folder; nothing where it fails or is not there."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def load(device: str = "cpu") -> dict[str, float]:
    """How busy the machine has been since the last call, by the names of MLflow's own system metrics.

    They begin with ``system/``: its page shows them under a heading of their own.
    """
    memory = psutil.virtual_memory()
    found: dict[str, Any] = {
        "system/cpu_utilization_percentage": psutil.cpu_percent(),
        "system/system_memory_usage_megabytes": memory.used / MEGABYTE,
        "system/system_memory_usage_percentage": memory.percent,
    }
    if device.startswith("cuda"):
        import torch

        free, total = torch.cuda.mem_get_info(device)
        found["system/gpu_0_memory_usage_megabytes"] = (total - free) / MEGABYTE
        found["system/gpu_0_memory_usage_percentage"] = 100 * (1 - free / total)
    return {name: float(value) for name, value in found.items()}
