"""Images answered by the machines of a cluster: Ray Data hands batches of names to actors with one model each.

An actor that dies is replaced, and the batches it had begun are answered again; so is all that a lost `Relay` had not
handed on yet. Results are those of whole batches, in the order of the names: none is lost or doubled.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from ...models.bundle import Bundle, load_bundle
from ...models.classifier import Classifier
from ...models.routing.router import Router
from ..cluster import RETRIES, ClusterError, resources, result, workers
from ..reading.images import PLAIN
from ..reading.picture import Reading
from ..straightening.options import Rectification, metric_change
from .asked import Asked
from .predict import AHEAD, Predictor
from .results import Failure, Prediction

BLOCKS = 10_000  # at most so many blocks of batches: each costs Ray a millisecond, and is answered again as a whole


@dataclass(frozen=True)
class OnRay:
    """A `Predictor` of the models at `cards` on the machines of a `cluster`, which see the same files by their names.

    The models themselves are sent there.
    """

    cards: Sequence[Path]
    device: str = "cpu"
    router: Router = "soft"
    min_confidence: float | None = None
    tolerance: float | None = None
    strain: float | None = None
    rectification: Rectification | None = None
    regions: bool = False
    asked: Asked | None = None

    def predict_each(
        self, images: Iterable[str], advance: Callable[[int], None] = lambda _: None, reading: Reading = PLAIN,
        symmetry: bool = False,
    ) -> Iterator[Prediction | Failure]:  # fmt: skip
        """One `Prediction` or `Failure` for each image, in order. Raises ClusterError."""
        names, here = iter(images), os.getcwd()
        batches = list(iter(lambda: list(islice(names, AHEAD)), []))
        if not batches:
            return
        jobs = [pickle.dumps([os.path.join(here, name) for name in batch]) for batch in batches]
        model = [load_bundle(card) for card in self.cards], self, reading, symmetry
        for batch, results in zip(batches, self._answered(jobs, model), strict=True):
            for name, found in zip(batch, pickle.loads(results), strict=True):
                advance(1)
                yield replace(found, file=name)

    def _answered(self, jobs: Sequence[bytes], model: tuple[Any, ...]) -> Iterator[bytes]:
        """The results of each job, pickled; where the relay is lost, another goes on from the first that is missing."""
        import ray

        done, failed_at = 0, -1
        while done < len(jobs):
            actors = min(workers(self.device), len(jobs) - done)
            relay = ray.remote(num_cpus=0)(Relay).remote(jobs[done:], model, actors)
            try:
                while done < len(jobs):
                    found: bytes = result(relay.next.remote())
                    done += 1
                    yield found
            except ClusterError:
                if failed_at == done:  # twice at the same job
                    raise
                failed_at = done
                ray.kill(relay)


class Relay:
    """Runs Ray Data on the cluster and hands its results on: a client outside the cluster cannot run it itself."""

    def __init__(self, jobs: Sequence[bytes], model: tuple[Any, ...], actors: int) -> None:
        import ray.data

        settings = ray.data.DataContext.get_current()
        settings.enable_progress_bars = False
        settings.execution_options.preserve_order = True
        answered = ray.data.from_items(list(jobs), override_num_blocks=min(len(jobs), BLOCKS)).map_batches(
            Answerer, batch_size=1, fn_constructor_args=model, compute=ray.data.ActorPoolStrategy(size=actors),
            max_restarts=-1, max_task_retries=RETRIES, **resources(model[1].device),
        )  # fmt: skip
        self.rows = iter(answered.iter_rows())

    def next(self) -> bytes:
        """The results of the next batch, pickled."""
        found: bytes = next(self.rows)["results"]
        return found


class Answerer:
    """One model, kept by the actor that it is in."""

    def __init__(self, bundles: Sequence[Bundle], given: OnRay, reading: Reading, symmetry: bool) -> None:
        import torch

        torch.set_num_threads(1)
        classifier = Classifier(bundles, given.device, metric_change(given.strain))
        self.predictor = Predictor(
            classifier, given.router, given.min_confidence, given.tolerance, given.rectification, given.regions,
            given.asked,
        )  # fmt: skip
        self.reading, self.symmetry = reading, symmetry

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        """Pickled batches of names to pickled results."""
        found = [
            list(self.predictor.predict_each(pickle.loads(names), reading=self.reading, symmetry=self.symmetry))
            for names in batch["item"]
        ]
        return {"results": [pickle.dumps(results) for results in found]}
