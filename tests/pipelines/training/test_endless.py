"""Endless trainings: every image is new, a batch holds what it would hold alone, and a break changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from hier.datasets import SOURCES
from hier.hierarchy import GROUP_NAMES, compile_tree, load_tree
from hier.models.bundle import FLAT, GATE
from hier.models.evidence.representation import EVIDENCE, MAP_CHANNELS, SIDE
from hier.models.node import NodeClassifier, NodeSettings
from hier.pipelines.generating.parts import Part
from hier.pipelines.training import loop, stream
from hier.pipelines.training.data import training_samples_of
from hier.pipelines.training.endless import fit_together
from hier.pipelines.training.fit import Samples
from hier.pipelines.training.loop import SPEED, Metrics, Schedule
from hier.pipelines.training.settings import TrainSettings
from hier.pipelines.training.stream import Fresh, Stream
from torch import Tensor

PLAN = compile_tree(load_tree("wallpaper"))
SETTINGS = TrainSettings(source=("photos", "noise"), count=170, sizes=(64, 96), whitened=0.3, batch=16, seed=3)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evidence made up from seed, index and kind, which are its first numbers, in this process."""

    def made_up(part: Part, indices: Sequence[int], device: str) -> tuple[Tensor, Tensor, Tensor]:
        maps, numbers, misfits = [], [], []
        for i in indices:
            generator = torch.Generator().manual_seed((part.dataset.seed * 7919 + i) % 2**60)
            maps.append(torch.rand(MAP_CHANNELS, SIDE, SIDE, generator=generator).half())
            own = torch.rand(EVIDENCE, generator=generator)
            own[0], own[1], own[2] = part.dataset.seed % 10**6, i, hasattr(part.dataset, "source")
            numbers.append(own)
            misfits.append(torch.rand(18, generator=generator))
        return torch.stack(maps), torch.stack(numbers), torch.stack(misfits)

    monkeypatch.setattr(stream, "evidence_of", made_up)
    monkeypatch.setattr("os.cpu_count", lambda: 1)


def batches(of: Stream, epoch: int, first: int = 0) -> list[Fresh]:
    torch.manual_seed(epoch)
    return list(of.batches(epoch, first))


def without_speed(metrics: Mapping[str, Metrics]) -> dict[str, Metrics]:
    assert len({m[SPEED] for m in metrics.values()}) == 1, "they learn together"
    return {name: {k: v for k, v in m.items() if k != SPEED} for name, m in metrics.items()}


def seen(some: Sequence[Fresh]) -> list[tuple[float, ...]]:
    return [tuple(row) for batch in some for row in batch.evidence.numbers[:][:, :3].tolist()]


def test_an_image_is_seen_once_in_all_epochs_and_stages() -> None:
    backbone, nodes = Stream(SETTINGS, "cpu", 16), Stream(SETTINGS, "cpu", 16, others=True, before=2)
    found = [seen(batches(backbone, k)) for k in range(2)] + [seen(batches(nodes, k)) for k in range(2)]
    everything = [image for some in found for image in some]
    assert len(set(everything)) == len(everything)
    assert [len(some) for some in found] == [160, 160, 240, 240], (
        "170 patterns, and 85 without a pattern, in full batches"
    )


def test_labels_are_those_of_the_images_and_patterns_come_first() -> None:
    for batch in batches(Stream(SETTINGS, "cpu", 16, others=True), 0):
        found = batch.evidence
        assert len(found) == 16
        index = found.numbers[:][:, 1].long().tolist()
        for k, (i, label) in enumerate(zip(index, found.labels, strict=True)):
            assert (label in GROUP_NAMES) == (k < batch.patterns)
            assert k >= batch.patterns or label == GROUP_NAMES[i % 17]
        assert batch.samples(PLAN, GATE).targets.tolist() == [int(name in GROUP_NAMES) for name in found.labels]


def test_a_batch_asks_what_stored_evidence_would_be_asked() -> None:
    batch = batches(Stream(SETTINGS, "cpu", 64), 0)[0]
    for name in (None, *PLAN.nodes):
        one, other = batch.samples(PLAN, name), training_samples_of(batch.evidence, PLAN, name)
        assert torch.equal(one.targets, other.targets)
        assert torch.equal(one.numbers[:], other.numbers[:])
    assert torch.equal(batch.samples(PLAN, FLAT).targets, batch.samples(PLAN).targets)


@pytest.mark.parametrize("first", [1, 7, 8, 9])
def test_an_epoch_goes_on_from_any_batch(first: int) -> None:
    some = Stream(SETTINGS, "cpu", 16)
    whole, rest = batches(some, 1), batches(some, 1, first)
    assert len(rest) == len(whole) - first
    for one, other in zip(whole[first:], rest, strict=True):
        assert torch.equal(one.evidence.maps[:], other.evidence.maps[:])
        assert torch.equal(one.evidence.numbers[:], other.evidence.numbers[:])
        assert one.evidence.labels == other.evidence.labels


def test_nodes_that_learn_together_resume_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "CHECKED", 1)
    monkeypatch.setattr(loop, "EVERY", 0.0)
    names = ("rotation", "finer-4", GATE)
    generator = torch.Generator().manual_seed(0)
    maps, numbers = (
        torch.rand(8, MAP_CHANNELS, SIDE, SIDE, generator=generator),
        torch.rand(8, EVIDENCE, generator=generator),
    )
    valid = {name: Samples(maps, numbers, torch.zeros(8, dtype=torch.long)) for name in names}

    def fitted(checkpoint: Path | None, most: int = 10**6) -> tuple[dict[str, Tensor], list[dict[str, Metrics]]]:
        torch.manual_seed(1)
        sizes = {"rotation": 5, "finer-4": 2, GATE: 2}
        nodes = {n: NodeClassifier(NodeSettings(tuple("abcde"[:k]), "test_convnext")) for n, k in sizes.items()}
        history, steps = list[dict[str, Metrics]](), 0

        class Stopped(Stream):
            def batches(self, epoch: int, first: int):  # type: ignore[no-untyped-def]
                nonlocal steps
                for batch in super().batches(epoch, first):
                    steps += 1
                    if steps > most:
                        raise KeyboardInterrupt
                    yield batch

        some = Stopped(SETTINGS.model_copy(update={"count": 68}), "cpu", 32, True)
        fit_together(
            nodes,
            PLAN,
            some,
            valid,
            Schedule(2, 1e-3, 32, 4),
            checkpoint,
            lambda _, m: history.append(without_speed(m)),
        )
        return {f"{n}.{k}": v for n, node in nodes.items() for k, v in node.state_dict().items()}, history

    weights, history = fitted(None)
    assert set(history[0]) == set(names)
    for most in (1, 2, 4):
        with pytest.raises(KeyboardInterrupt):
            fitted(tmp_path / f"{most}.pt", most)
        again, told = fitted(tmp_path / f"{most}.pt")
        assert told == history
        assert all(torch.equal(v, again[k]) for k, v in weights.items())


def test_every_source_can_be_streamed() -> None:
    every = TrainSettings(source=SOURCES, count=136, batch=16)  # type: ignore[arg-type]
    assert sum(len(b.evidence) for b in batches(Stream(every, "cpu", 16), 0)) == 128
