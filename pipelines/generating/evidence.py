"""Evidence of many generated images: made once, in pieces, by all cores, kept on disk so that nothing is lost."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ...datasets import NonPatternDataset, PatternDataset, split_pool
from ...models.evidence.representation import SymmetryEvidence

REVISION = 12  # raise it when datasets or representation change what they make
PIECE = 128  # images in one piece of work
BATCH = 16  # images at a time: large ones stay in the processor's cache

Dataset = PatternDataset | NonPatternDataset


@dataclass(frozen=True)
class Part:
    """Images `start` to `stop` of a dataset without its pictures; those come from `photos` and `split`.

    `whitened`: see `Pool.whitened`.
    """

    dataset: Dataset
    start: int
    stop: int
    photos: Path | None
    split: str
    whitened: bool = False

    def pieces(self) -> list[Part]:
        """The same images in pieces of at most `PIECE`."""
        starts = range(self.start, self.stop, PIECE)
        return [replace(self, start=k, stop=min(k + PIECE, self.stop)) for k in starts]

    def with_pictures(self) -> Dataset:
        """The dataset with the pictures that it draws on, where it reads any."""
        if isinstance(self.dataset, PatternDataset) and self.dataset.source != "photos":
            return self.dataset
        pool = split_pool(self.photos, self.split)
        return replace(self.dataset, pool=pool.whitened if self.whitened else pool)

    def digest(self) -> str:
        """Names the images: same digest, same evidence."""
        values = [(f.name, getattr(self.dataset, f.name)) for f in fields(self.dataset) if f.name != "pool"]
        files: list[tuple[str, int]] = []
        if self.photos is not None:
            files = sorted((str(p.relative_to(self.photos)), p.stat().st_size) for p in self.photos.rglob("*.*"))
        of = type(self.dataset).__name__, values, self.start, self.stop, self.split, self.whitened, files
        text = repr((version("hier"), REVISION, *of))
        return hashlib.sha256(text.encode()).hexdigest()[:20]


@dataclass(frozen=True)
class EvidenceSet:
    """Evidence of N images: `maps` (N, M, S, S) float16, `numbers` (N, E) float32, `labels` their names."""

    maps: Tensor
    numbers: Tensor
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


def gather(
    parts: Sequence[Part],
    cache: Path | None = None,
    device: str = "cpu",
    advance: Callable[[int], None] = lambda _: None,
) -> EvidenceSet:
    """Evidence of all `parts`, in their order; pieces found in `cache` are read, others written there.

    On the CPU every core makes pieces of its own. `advance` is told of every piece's number of images.
    """
    pieces = [piece for part in parts for piece in part.pieces()]
    files = [None if cache is None else cache / f"{piece.digest()}.safetensors" for piece in pieces]
    done: dict[int, tuple[Tensor, Tensor]] = {}
    for i, file in enumerate(files):
        if file is not None and file.exists():
            try:
                tensors = load_file(file)
                done[i] = tensors["maps"], tensors["numbers"]
                advance(len(tensors["maps"]))
            except (SafetensorError, OSError, KeyError):
                file.unlink(missing_ok=True)
    missing = [i for i in range(len(pieces)) if i not in done]
    for i, made in _made([pieces[i] for i in missing], missing, device):
        done[i] = made
        file = files[i]
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            unfinished = file.with_suffix(f".{os.getpid()}")
            save_file({"maps": made[0], "numbers": made[1]}, unfinished)
            os.replace(unfinished, file)
        advance(len(made[0]))
    maps, numbers = (torch.cat([done[i][k] for i in range(len(pieces))]) for k in (0, 1))
    labels = tuple(piece.dataset.label(j) for piece in pieces for j in range(piece.start, piece.stop))
    return EvidenceSet(maps, numbers, labels)


def _made(pieces: Sequence[Part], names: Sequence[int], device: str) -> Iterator[tuple[int, tuple[Tensor, Tensor]]]:
    workers = min(os.cpu_count() or 1, len(pieces))
    if device != "cpu" or workers <= 1:
        for name, piece in zip(names, pieces, strict=True):
            yield name, make((piece, device))
        return
    context = multiprocessing.get_context("spawn")
    with _interruption_held():
        pool = context.Pool(workers, torch.set_num_threads, (1,))
    with pool:
        made = pool.imap(make_arrays, [(piece, device) for piece in pieces])
        for name, (maps, numbers) in zip(names, made, strict=True):
            yield name, (torch.from_numpy(maps), torch.from_numpy(numbers))


@contextmanager
def _interruption_held() -> Iterator[None]:
    """Processes started here ignore Ctrl-C, which a terminal sends to all: it is for their parent to end them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def make_arrays(job: tuple[Part, str]) -> tuple[object, object]:
    """`make` with arrays, which travel between processes without shared memory."""
    maps, numbers = make(job)
    return maps.numpy(), numbers.numpy()


def make(job: tuple[Part, str]) -> tuple[Tensor, Tensor]:
    """Draw the images of one piece and take their evidence: maps (float16) and numbers."""
    part, device = job
    dataset = part.with_pictures()
    represent = SymmetryEvidence()
    maps, numbers = [], []
    size = BATCH if device == "cpu" else PIECE
    for k in range(part.start, part.stop, size):
        found = represent(dataset.batch(range(k, min(k + size, part.stop)), device))
        maps.append(found.maps.half().cpu())
        numbers.append(found.numbers.cpu())
    return torch.cat(maps), torch.cat(numbers)
