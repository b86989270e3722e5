"""Tensors on disk with text about them, in one safetensors file that is replaced as one; and their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from errno import EIO
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..hierarchy.files import whole
from .saved import BundleError

ABOUT = "card"  # the entry of the file's metadata that holds the text


def save_weights(path: Path, tensors: Mapping[str, Tensor], about: str) -> None:
    """Write `tensors` and the text `about` to `path`, whole or not at all. BundleError for NaN or infinite values."""
    _check_finite(path, tensors)
    write_tensors(path, tensors, {ABOUT: about})


def write_tensors(path: Path, tensors: Mapping[str, Tensor], texts: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file, whole or not at all. Raises OSError."""
    with whole(path) as file:
        try:
            save_file(dict(tensors), file, None if texts is None else dict(texts))
        except SafetensorError as error:  # that the disk is full, too
            raise OSError(EIO, one_line(error), str(path)) from error


def load_weights(path: Path) -> tuple[dict[str, Tensor], str | None]:
    """The tensors in `path` and the text about them, None in files without one. Raises BundleError."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise BundleError(
            f"weights {path} cannot be read, train or fetch the model again: {one_line(error)}"
        ) from error
    _check_finite(path, tensors)
    return tensors, metadata.get(ABOUT)


def has_text(path: Path) -> bool:
    """Whether a file is one that `save_weights` wrote."""
    try:
        with safe_open(path, "pt") as file:
            return ABOUT in (file.metadata() or {})
    except (OSError, SafetensorError):
        return False


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, dtypes, shapes and values, whatever the order of the names."""
    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        if flat.stride() != (1,):  # a single value may have any, and torch holds that for contiguous
            flat = flat.clone(memory_format=torch.contiguous_format)
        found.update(flat.view(torch.uint8).numpy().data)
    return found.hexdigest()


def one_line(error: Exception) -> str:
    """The beginning of an error's text, on one line."""
    return " ".join(str(error).split())[:200]


def _check_finite(path: Path, tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise BundleError(f"weights {name!r} of {path} are not finite (NaN or infinity): train the model again")
