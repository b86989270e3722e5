"""Trainings as MLflow shows them: one run for a training, one inside it for each node, all with the same columns.

A training never stops for its records. When the store fails they are kept in a file, and sent later.
"""

from __future__ import annotations

import logging
import os
import re
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...hierarchy.kept import keep_text, kept_text
from ...hierarchy.locks import locked
from ...hierarchy.names import on_screen
from .artifacts import NODE, TREE, node_model, slug, tree_model
from .errors import StoreError, reason, shown, store_errors
from .machine import load, origin
from .records import Kind, Pending, Record
from .sender import Sender
from .store import connect

RETRY = 60.0  # s between attempts to reach a store that failed
LOST = 2.0  # s that a training may lose by failures and still try again: a server that hangs takes more at once
PHOTOGRAPHS = "photographs"  # the tag with their digest
logger = logging.getLogger("hier")


@dataclass(frozen=True)
class Store:
    """Where trainings are recorded: `uri` in MLflow's sense, `root` the folder of everything local."""

    root: Path
    uri: str

    @property
    def database(self) -> Path:
        """The store's file when no server is named."""
        return self.root / "mlflow.db"

    @property
    def pending(self) -> Pending:
        """Records that could not be sent yet."""
        return Pending(self.root / "work" / "pending")

    def connect(self) -> Sender:
        """Open it; StoreError if that fails."""
        return connect(self.uri, self.root / "artifacts")

    @contextmanager
    def training(
        self, name: str, params: Mapping[str, object], tags: Mapping[str, str], resume: Path
    ) -> Iterator[Training]:
        """Record a training as one run, FINISHED, FAILED or, after Ctrl-C, KILLED.

        The file `resume` keeps the key of the run. A training that finds it resumes the run of that key, and
        in the node runs inside; what they hold already is not recorded again.
        """
        name, key = titled(name, params), run_key(resume)
        device = tags.get("hier.device", "cpu")
        training = Training(_Way(self, key), key, device, tags.get("hier.tree", "wallpaper"))
        all_tags = {**origin(), **tags, "hier.version": version("hier")}
        with _ending(training):
            training._start(name, params, all_tags, None)
            yield training


def store(root: Path) -> Store:
    """The store of `root`, or the one named by MLFLOW_TRACKING_URI."""
    given = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    return Store(root, given or f"sqlite:///{(root / 'mlflow.db').resolve().as_posix()}")


def send_pending(store: Store, sender: Sender | None = None) -> int:
    """Send what trainings before could not; how many records that were. StoreError if it fails again."""
    if not store.pending:
        return 0
    sender, sent = sender or store.connect(), 0
    with locked(store.pending.folder / ".lock") as mine:
        for file, records in store.pending.batches() if mine else ():  # else another process is sending them
            try:
                for record in records:
                    sender.send(record)
                file.unlink()
            except store_errors() as error:
                raise StoreError(f"MLflow's store {shown(store.uri)} failed: {reason(error)}") from error
            sent += len(records)
    return sent


@dataclass
class _Way:
    """Takes a training's records to the store: sent at once, or kept until the store answers again."""

    store: Store
    key: str
    sender: Sender | None = None
    failed: float | None = None
    lost: float = 0.0

    def put(self, record: Record) -> None:
        """Send or keep a record; never raises for the store."""
        waited = self.failed is None or (self.lost < LOST and time.monotonic() - self.failed > RETRY)
        if self.sender is None and waited:
            self._open()
        if self.sender is not None:
            started = time.monotonic()
            try:
                return self.sender.send(record)
            except store_errors() as error:
                self._fail(StoreError(f"MLflow's store {shown(self.store.uri)} failed: {reason(error)}"), started)
        self.store.pending.keep(record)

    def _open(self) -> None:
        started = time.monotonic()
        try:
            sender = self.store.connect()
            sent = send_pending(self.store, sender)
        except StoreError as error:
            return self._fail(error, started)
        self.sender = sender
        if sent:
            logger.warning("MLflow's store answers: %d records kept earlier are sent", sent)
        return None

    def _fail(self, error: StoreError, started: float) -> None:
        if self.failed is None or self.sender is not None:
            logger.warning(
                "%s. The training continues; its records are kept in %s and sent when the store answers, "
                "at the latest by the next `hier train`, `hier compare` or `hier ui`", error, self.store.pending.folder,
            )  # fmt: skip
        self.sender, self.failed = None, time.monotonic()
        self.lost += self.failed - started


@dataclass
class Run:
    """One run, of a training or of a node."""

    way: _Way = field(repr=False)
    key: str
    device: str

    def metrics(self, values: Mapping[str, float]) -> None:
        """Final figures; at the step of the last epoch."""
        self._put("metrics", values=_figures(values), step=None)

    def epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Figures of an epoch, counted from 0, and how busy the machine was: a point on each curve."""
        self._put("metrics", values=_figures({**values, **load(self.device)}), step=epoch)

    def dataset(self, name: str, digest: str, source: Mapping[str, object], count: int, context: str) -> None:
        """What the run reads, ``context`` training or validation: MLflow shows it among the run's datasets."""
        data = {"source": dict(source), "profile": {"count": count}, "context": context}
        self._put("input", name=name, digest=digest, **data)

    def confusion(self, counts: npt.NDArray[np.integer], choices: Sequence[str]) -> None:
        """Images (k, k) by true choice (rows) and answer: a picture and a table."""
        self._put("confusion", counts=counts.tolist(), choices=list(choices))

    def file(self, path: Path) -> None:
        """A file beside the figures: a picture, a table."""
        self._put("file", path=str(path.resolve()))

    def _put(self, kind: Kind, **data: Any) -> None:
        self.way.put(Record(self.key, kind, data))

    def _start(self, name: str, params: Mapping[str, object], tags: Mapping[str, str], parent: str | None) -> None:
        self._put("start", name=name, params={k: _text(v) for k, v in params.items()}, tags=dict(tags), parent=parent)


@dataclass
class NodeRun(Run):
    """The run of a node."""

    node: str
    tree: str

    def model(self, card: Path) -> None:
        """The bundle of this node alone, as a pyfunc model from images to probabilities, registered as a candidate."""
        self._put("model", name=node_model(self.tree, self.node), code=NODE, card=str(card.resolve()))


@dataclass
class Training(Run):
    """The run of a training."""

    tree: str

    def model(self, tree: str, card: Path) -> None:
        """The bundle of a whole tree, as a pyfunc model from images to answers, registered as a candidate."""
        self._put("model", name=tree_model(tree), code=TREE, card=str(card.resolve()))

    @contextmanager
    def node(self, name: str, level: str, params: Mapping[str, object], tags: Mapping[str, str]) -> Iterator[NodeRun]:
        """Record a node as a run inside this one. The node is in name, tags and params, never in a metric's name."""
        run = NodeRun(self.way, f"{self.key}/{slug(name)}", self.device, name, self.tree)
        place = {"node": name, "level": level}
        with _ending(run):
            tags = {**origin(), **tags, "hier.tree": self.tree, "hier.node": name, "hier.level": level}
            run._start(titled(name, params), {**params, **place}, tags, self.key)
            yield run


@contextmanager
def _ending(run: Run) -> Iterator[None]:
    """Set the run's status by how its block ends; the exception propagates."""
    status = "FAILED"
    try:
        yield
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        run._put("end", status=status)


def titled(name: str, params: Mapping[str, object]) -> str:
    """The name of a run, with the settings that tell it from others: ``rotation · lcnet_050 · 10k · seed 3``."""
    count, seed = params.get("count"), params.get("seed")
    images = f"{count / 1000:g}k" if isinstance(count, int) and count >= 1000 else count
    parts = (name, params.get("backbone"), images, None if seed is None else f"seed {seed}")
    return on_screen(" · ".join(str(part) for part in parts if part))


def run_key(resume: Path) -> str:
    """The key of a run, which the file `resume` keeps for a command that goes on with it."""
    found = kept_text(resume, "the training is recorded as a new run")
    if found is not None and re.fullmatch("[0-9a-f]{32}", found):
        return found
    key = uuid.uuid4().hex
    keep_text(resume, key)
    return key


def _figures(values: Mapping[str, float]) -> dict[str, float]:
    """Six digits: all that counts, and all that fits into a column of MLflow's table."""
    return {name: float(f"{value:.6g}") for name, value in values.items()}


def _text(value: object) -> str:
    return on_screen(", ".join(map(str, value)) if isinstance(value, list | tuple) else value)
