"""Evidence of many generated images: made once, in pieces, by all cores, and kept on disk so that nothing is lost."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ...datasets import PatternDataset
from ...hierarchy import HierError
from ...hierarchy.files import sweep
from ...hierarchy.kept import make_room
from ...models.weights import digest, write_tensors
from .parts import BATCH, REVISION, Dataset, Part, digests, make
from .processes import ALONE, Processes
from .stored import Rows, StoredRows
from .workers import in_order

TOGETHER = 4096  # rows on their way to a card
STORE = f"{version('hier')}-{REVISION}"  # folder of pieces: those of other versions hold something else
FEW = 64  # images that one process makes sooner than others would start
DIGEST = "sha256"  # the entry of a file's metadata that holds the digest of its tensors
TENSORS = {"maps": (torch.float16, 4), "numbers": (torch.float32, 2), "misfits": (torch.float32, 2)}  # type, axes
logger = logging.getLogger("hier")


class EvidenceError(HierError):
    """Evidence that no network can read; names the image that it was taken from."""


@dataclass(frozen=True)
class EvidenceSet:
    """Evidence of N images: `maps` (N, M, S, S) float16, `numbers` (N, E) float32, `labels` their names.

    Maps and numbers are tensors, or rows that stay in files until they are asked for.

    `misfits` (N, 18) are those of the 17 groups before instruments spoilt the image, and of a finer lattice; see
    `true_misfits`. None where they are not known.
    """

    maps: Rows
    numbers: Rows
    labels: tuple[str, ...]
    misfits: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)


def gather(
    parts: Sequence[Part],
    cache: Path | None = None,
    device: str = "cpu",
    advance: Callable[[int], None] = lambda _: None,
    processes: Processes = ALONE,
) -> EvidenceSet:
    """Evidence of all `parts`, in their order. With `cache` it stays there, in pieces; those found are not made again.

    On the CPU every core makes batches of its own. `advance` is called with the number of images as they are finished.
    Of several `processes` each makes its share of the pieces in `cache`, and then waits for the others.
    Raises EvidenceError, which names the image, for evidence that is not finite.
    """
    pieces = [piece for part in parts for piece in part.pieces()]
    labels = tuple(piece.dataset.label(j) for piece in pieces for j in range(piece.start, piece.stop))
    if cache is None:
        with closing(_made(pieces, device, advance)) as made:
            maps, numbers, misfits = (torch.cat(some) for some in zip(*made, strict=True))
        return EvidenceSet(maps, numbers, labels, misfits)
    files, missing = [cache / STORE / f"{digest}.safetensors" for digest in digests(pieces)], list[int]()
    for i in range(processes.rank, len(pieces), processes.count):
        if read_evidence(files[i], count := pieces[i].stop - pieces[i].start) is None:
            missing.append(i)
        else:
            advance(count)
    if missing and processes.first:
        sweep(cache / STORE)
        _tell_of_others(cache)
    with closing(_made([pieces[i] for i in missing], device, advance, processes.count)) as made:
        for i, (maps, numbers, misfits) in zip(missing, made, strict=True):
            keep_evidence(files[i], {"maps": maps, "numbers": numbers, "misfits": misfits})
    processes.wait()
    rows = (StoredRows.of(name, files) for name in ("maps", "numbers", "misfits"))
    stored_maps, stored_numbers, stored_misfits = rows
    return EvidenceSet(stored_maps, stored_numbers, labels, stored_misfits[:])


def _tell_of_others(cache: Path) -> None:
    """A warning about what earlier versions left."""
    others = [f for f in cache.rglob("*.safetensors") if f.parent.name != STORE] if cache.exists() else []
    if others:
        _tell(cache, len(others), round(sum(f.stat().st_size for f in others) / 1e9, 1))


@lru_cache(maxsize=16)
def _tell(cache: Path, count: int, gigabytes: float) -> None:
    """Once, for all the sets of a training."""
    logger.warning(
        "%s holds %d pieces of evidence (%.1f GB) that another version of hier made: they are not used, and can be "
        "deleted; evidence is made again", cache, count, gigabytes,
    )  # fmt: skip


def held(evidence: EvidenceSet, device: str, room: float) -> EvidenceSet:
    """The same in the memory of `device`, if it takes at most `room` bytes: there, batches need no transfer."""
    sizes = (rows[:1].nbytes for rows in (evidence.maps, evidence.numbers) if len(rows))
    if sum(sizes) * len(evidence) > room:
        return evidence
    maps, numbers = (_on(rows, device) for rows in (evidence.maps, evidence.numbers))
    return replace(evidence, maps=maps, numbers=numbers)


def _on(rows: Rows, device: str) -> Tensor:
    first = rows[:1]
    whole = torch.empty((len(rows), *first.shape[1:]), dtype=first.dtype, device=device)
    for k in range(0, len(rows), TOGETHER):
        whole[k : k + TOGETHER] = rows[k : k + TOGETHER].to(device)
    return whole


def keep_evidence(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write evidence with its digest."""
    make_room(file)
    write_tensors(file, tensors, {DIGEST: digest(tensors)})


def read_evidence(file: Path, count: int, names: Sequence[str] = tuple(TENSORS)) -> dict[str, Tensor] | None:
    """The tensors in `file`, evidence of `count` images; None without a file or, with a warning, for a bad one.

    `names` are those that must be there.
    """
    if not file.exists():
        return None
    try:
        with safe_open(file, "pt") as opened:
            kept = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            saved = (opened.metadata() or {}).get(DIGEST)
        problem = _problem(kept, count, names)
        if not problem and saved is not None and saved != digest(kept):
            problem = "its digest is not the one saved"
    except (SafetensorError, OSError) as error:
        problem = str(error)
    if not problem:
        return kept
    logger.warning("evidence %s is damaged and is made again: %s", file, problem)
    return None


def _problem(kept: dict[str, Tensor], count: int, names: Sequence[str]) -> str:
    for name in names:
        dtype, axes = TENSORS[name]
        tensor = kept.get(name)
        if tensor is None or tensor.dtype != dtype or tensor.ndim != axes or len(tensor) != count:
            return f"it does not hold {name} of {count} images"
        if not bool(tensor.isfinite().all()):
            return f"{name} are not finite"
    return ""


def _check_finite(part: Part, maps: Tensor, numbers: Tensor) -> None:
    good = maps.flatten(1).isfinite().all(1) & numbers.isfinite().all(1)
    if not bool(good.all()):
        index = part.start + int((~good).nonzero()[0, 0])
        raise EvidenceError(
            f"the evidence of {_source(part.dataset)} seed {part.dataset.seed} index {index} "
            f"({part.dataset.label(index)}, {part.dataset.size} px) is not finite, so that "
            "nothing can be trained on it. Please report this image; another seed avoids it"
        )


def _source(dataset: Dataset) -> str:
    return dataset.source if isinstance(dataset, PatternDataset) else "non-pattern"


def _made(
    pieces: Sequence[Part], device: str, advance: Callable[[int], None], processes: int = 1
) -> Generator[tuple[Tensor, Tensor, Tensor], None, None]:
    """Maps, numbers and misfits of each piece, checked; one of so many `processes` takes its share of the cores.

    On the CPU a job is a batch of a piece, so that `advance` is called as soon as a few images are there.
    """
    few = sum(piece.stop - piece.start for piece in pieces) <= FEW
    batches = [piece.pieces(BATCH) if device == "cpu" else [piece] for piece in pieces]
    jobs = [(batch, device) for of_piece in batches for batch in of_piece]
    workers = 1 if few or device != "cpu" else min(max(1, (os.cpu_count() or 1) // processes), len(jobs))
    with closing(in_order(make, jobs, workers)) as made:
        for piece, of_piece in zip(pieces, batches, strict=True):
            arrays = []
            for _ in of_piece:
                arrays.append(next(made))
                advance(len(arrays[-1][0]))
            maps, numbers, misfits = (torch.from_numpy(np.concatenate(some)) for some in zip(*arrays, strict=True))
            _check_finite(piece, maps, numbers)
            yield maps, numbers, misfits
