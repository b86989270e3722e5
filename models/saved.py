"""Where a model is on disk, before any of it is read: without torch, which takes seconds to import."""

from __future__ import annotations

from pathlib import Path

from ..hierarchy import HierError

REGISTRY = "models:/"  # how the name of a model in MLflow's registry begins


class BundleError(HierError):
    """A bundle that cannot be read or used; says which file, what is wrong and what to do."""


def find_card(path: Path) -> Path:
    """The card that `path` stands for: itself, or the only ``*.json`` of the folder that has weights beside it."""
    try:
        is_folder, exists = path.is_dir(), path.exists()
    except OSError as error:  # such as a name that is too long
        raise BundleError(f"no model at {str(path)[:60]}...: {error.strerror}") from error
    if is_folder:
        cards = [p for p in sorted(path.glob("*.json")) if p.with_suffix(".safetensors").exists()]
        if len(cards) != 1:
            raise BundleError(
                f"{path} holds {len(cards)} model cards (NAME.json with NAME.safetensors beside it), one is needed: "
                "train one with `hier train --level all`, or name the card"
            )
        return cards[0]
    if not exists:
        raise BundleError(f"no model at {path}: train one with `hier train --level all`, or leave --model out")
    return path
