"""Everything that runs on a device runs on any: on a device made up here, which refuses what real ones lack.

`Device` is a dispatch mode. It keeps the tensors of its device in main memory, as `OnDevice`, computes on them there,
and so gives the CPU's answers; but it sees where every tensor is, and raises `Lacks` for what CUDA or Apple's GPU
cannot do. It lends its name from torch's device type "lazy", which no build implements and which all can differentiate.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hier.datasets import CORRUPTIONS, KINDS, SOURCES, Corruption, NonPatternDataset, PatternDataset, Pool
from hier.hierarchy import GROUP_NAMES, HierError, compile_tree, load_tree
from hier.models.bundle import FLAT, GATE, GATE_CHOICES, Bundle, NodeCard, load_bundle
from hier.models.classifier import Answer, Classifier
from hier.models.evidence.lattice import find_lattice
from hier.models.evidence.relabel import random_relabel
from hier.models.evidence.representation import EVIDENCE
from hier.models.evidence.structure import Structure, structure_factors
from hier.models.node import NodeClassifier, NodeSettings
from hier.models.residuals.akaike import akaike_weights, generalised_noise
from hier.models.residuals.scores import residuals
from hier.models.routing.router import ROUTERS, Router
from hier.pipelines.answering.explain import explain_maps
from hier.pipelines.answering.predict import Predictor
from hier.pipelines.benchmark.explain import explain_pixels
from hier.pipelines.field.measure import map_field
from hier.pipelines.generating.evidence import EvidenceSet, gather, held
from hier.pipelines.measuring.evaluate import evaluate_patterns, evaluate_refusals
from hier.pipelines.reading.picture import Picture
from hier.pipelines.training.calibrate import Split, calibrate
from hier.pipelines.training.data import samples_of, training_samples_of
from hier.pipelines.training.endless import fit_together
from hier.pipelines.training.estimator import HierarchicalClassifier
from hier.pipelines.training.fit import Samples, fit, predict
from hier.pipelines.training.loop import Schedule
from hier.pipelines.training.settings import TrainSettings
from hier.pipelines.training.stream import Stream
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from hier.arrays import finest
from hier.cli.options import device_named

NAME = "lazy"
aten = torch.ops.aten
# CUDA has no product of integer matrices, nor anything made of products
PRODUCTS = {aten.mm, aten.bmm, aten.addmm, aten.baddbmm, aten.addbmm, aten.mv, aten.addmv, aten.dot, aten.vdot,
            aten.convolution, aten.avg_pool2d, aten.upsample_bilinear2d, aten.upsample_bicubic2d}  # fmt: skip
FROM_ANYWHERE = {aten.copy_, aten._to_copy}  # operations that carry tensors from one device to another
WAITED_FOR = {aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten.equal}  # the host needs the result
INDEXED = {aten.index, aten.index_put, aten.index_put_, aten._unsafe_index}  # indices may stay in main memory


class Lacks(AssertionError):
    """An operation that some accelerator does not have."""


class OnDevice(Tensor):
    """A tensor of the device that is made up: `held` in main memory."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> OnDevice:
        held = held.resolve_conj().resolve_neg()  # a conjugate here is no promise, as the wrapper would not keep it
        # a view of a normal tensor is one, even where all new tensors are those of inference
        with torch.inference_mode(torch.is_inference_mode_enabled() and held.is_inference()):
            made: OnDevice = torch.Tensor._make_wrapper_subclass(
                cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
                device=torch.device(NAME),
            )  # type: ignore[attr-defined]  # fmt: skip
        made.held = held
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise Lacks(f"{func} on a tensor of a device that is not there any more")

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.held.__reduce_ex__(protocol)  # files have no device


def flat(things: Any) -> Iterator[Any]:
    if isinstance(things, (list, tuple, dict)):
        for thing in things.values() if isinstance(things, dict) else things:
            yield from flat(thing)
    else:
        yield things


def mapped(things: Any, change: Callable[[Any], Any], kind: type) -> Any:
    if isinstance(things, dict):
        return {key: mapped(thing, change, kind) for key, thing in things.items()}
    if isinstance(things, (list, tuple)):
        return type(things)(mapped(thing, change, kind) for thing in things)
    return change(things) if isinstance(things, kind) else things


@cache
def made_of_others(func: Any) -> bool:
    return bool(torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"))


class Device(TorchDispatchMode):
    """The device while the mode is on; with `doubles` it is as CUDA, without as Apple's GPU."""

    def __init__(self, doubles: bool) -> None:
        super().__init__()
        self.doubles, self.calls, self.waits = doubles, 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if made_of_others(func):  # in inference mode operations come whole, matmul as matmul
            with self:
                return func.decompose(*args, **kwargs)
        given = [t for t in flat((args, kwargs)) if isinstance(t, Tensor)]
        here = [t for t in given if isinstance(t, OnDevice)]
        wanted = kwargs.get("device")
        onto = bool(here) if wanted is None else wanted.type == NAME
        if wanted is not None:
            kwargs["device"] = torch.device("cpu")
        if not onto and not here:
            return func(*args, **kwargs)
        if here:
            self._check(func, args, [t for t in given if not isinstance(t, OnDevice)], here)
        self.waits += bool(here) and (
            func.overloadpacket in WAITED_FOR
            or (func.overloadpacket in FROM_ANYWHERE and not onto)
            or (func.overloadpacket in INDEXED and any(t.dtype == torch.bool for t in flat(args[1]) if t is not None))
        )
        found = func(*mapped(args, lambda t: t.held, OnDevice), **mapped(kwargs, lambda t: t.held, OnDevice))
        if not onto:
            return found
        self.calls += 1
        for t in flat(found):
            if isinstance(t, Tensor) and t.dtype in (torch.float64, torch.complex128) and not self.doubles:
                raise Lacks(f"{func} makes {t.dtype} on a device without float64")
        known = {id(t.held): t for t in here}  # what is changed in place stays what it was
        return mapped(found, lambda t: known[id(t)] if id(t) in known else OnDevice(t), Tensor)

    @staticmethod
    def _check(func: Any, args: Any, elsewhere: Sequence[Tensor], here: Sequence[Tensor]) -> None:
        packet = func.overloadpacket
        if packet in PRODUCTS and not all(t.is_floating_point() or t.is_complex() for t in here):
            raise Lacks(f"{func} on {', '.join(str(t.dtype) for t in here)}: CUDA multiplies no integer matrices")
        if packet in FROM_ANYWHERE:
            return
        if packet in INDEXED and isinstance(args[0], OnDevice):
            indices = [id(t) for t in args[1] if t is not None]
            elsewhere = [t for t in elsewhere if id(t) not in indices]
            loose = packet in (aten.index_put, aten.index_put_)
        else:
            loose = torch.Tag.pointwise in func.tags
        if any(t.ndim or not loose for t in elsewhere):
            raise Lacks(f"{func} mixes tensors of the device with {[tuple(t.shape) for t in elsewhere]} of the CPU")


class FromData(TorchFunctionMode):
    """Makes tensors of Python's numbers in main memory and moves them: torch does both out of sight of modes."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is Tensor.new_tensor and isinstance(args[0], OnDevice):
            own, data = args
            return torch.tensor(data, dtype=kwargs.get("dtype", own.dtype)).to(own.device)
        if func in (Tensor.__getitem__, Tensor.__setitem__) and isinstance(args[0], OnDevice):
            own, index, *value = args
            parts = index if isinstance(index, tuple) else (index,)
            index = tuple(torch.tensor(part) if isinstance(part, list) else part for part in parts)
            return func(own, index, *value)
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            where = kwargs.pop("device")
            return func(*args, **kwargs).to(where)
        return func(*args, **kwargs)


@contextmanager
def device(monkeypatch: pytest.MonkeyPatch, doubles: bool) -> Iterator[Device]:
    """A device that has float64, or one without that `finest` knows of."""
    with monkeypatch.context() as patch, FromData(), Device(doubles) as mode:
        if not doubles:
            patch.setattr("hier.arrays.SINGLE", frozenset({NAME}))
        yield mode


@pytest.fixture(params=[True, False], ids=["like CUDA", "like Apple's GPU"])
def on(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    with device(monkeypatch, request.param) as mode:
        yield mode


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    """A device that lacks all that any lacks."""
    with device(monkeypatch, False) as mode:
        yield mode


def there(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.ones(shape, dtype=dtype).to(NAME)


REFUSED: dict[str, Callable[[], object]] = {
    "integer mm": lambda: there(2, 2, dtype=torch.int64) @ there(2, 2, dtype=torch.int64),
    "integer bmm": lambda: there(3, 2, 2, dtype=torch.int32) @ there(3, 2, 2, dtype=torch.int32),
    "integer mv": lambda: there(2, 2, dtype=torch.int64) @ there(2, dtype=torch.int64),
    "integer dot": lambda: there(2, dtype=torch.int64) @ there(2, dtype=torch.int64),
    "integer addmm": lambda: torch.addmm(*(there(2, 2, dtype=torch.int64) for _ in range(3))),
    "integer baddbmm": lambda: torch.baddbmm(*(there(2, 2, 2, dtype=torch.int64) for _ in range(3))),
    "integer einsum": lambda: torch.einsum("xyi,ij->xyj", there(4, 4, 2, dtype=torch.int64), there(2, 2).long()),
    "float64 made there": lambda: torch.zeros(2, dtype=torch.float64, device=NAME),
    "float64 taken there": lambda: torch.zeros(2, dtype=torch.float64).to(NAME),
    "float64 from float32": lambda: there(2).double(),
    "complex128": lambda: there(2).to(torch.complex128),
    "sum of two devices": lambda: there(2) + torch.ones(2),
    "cat of two devices": lambda: torch.cat([there(2), torch.ones(2)]),
    "stack with a number of the CPU": lambda: torch.stack([there(), torch.tensor(1.0)]),
    "rows by an index of the CPU": lambda: there(3).index_select(0, torch.tensor([1])),
    "pixels of the CPU by an index of the device": lambda: torch.ones(3)[there(1, dtype=torch.int64)],
    "values of the CPU put in": lambda: there(3).index_put_((torch.tensor([0]),), torch.ones(1)),
    "network of the device, image of the CPU": lambda: nn.Linear(2, 2).to(NAME)(torch.ones(1, 2)),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_the_device_refuses_what_an_accelerator_lacks(strict: Device, name: str) -> None:
    with pytest.raises(Lacks):
        REFUSED[name]()


def test_the_device_does_what_every_accelerator_does(strict: Device) -> None:
    x = there(3, 4)
    assert x.device.type == NAME
    with pytest.raises(RuntimeError, match="numpy"):
        x.numpy()
    for fine in (
        x @ x.T, x + 1, x * torch.tensor(2.0), x[torch.tensor([0, 2])], x.long() * 2, torch.fft.fft2(x).real, x.half(),
        torch.einsum("ij,ij->i", x, x), torch.cat([x, x.to(NAME)]), x.index_select(0, there(1, dtype=torch.int64)),
    ):  # fmt: skip
        assert fine.device.type == NAME
    x[torch.tensor([1])] = torch.tensor(5.0)
    x[:, 0].add_(2)
    assert x.cpu().tolist() == x.tolist() == [[3, 1, 1, 1], [7, 5, 5, 5], [3, 1, 1, 1]]
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 1)).to(NAME)
    network(torch.rand(5, 1, 2, 2).to(NAME)).square().mean().backward()
    assert all(p.grad is not None and p.grad.device.type == NAME for p in network.parameters())


def test_only_a_device_that_has_float64_computes_in_it(on: Device) -> None:
    assert finest(torch.device(NAME)) == (torch.float64 if on.doubles else torch.float32)
    assert finest(torch.device("cpu")) == finest(torch.device("cuda")) == torch.float64
    if on.doubles:
        assert there(2).double().sum().item() == 2


# -- the product -----------------------------------------------------------------------------------------------------


EVERY = tuple(Corruption(name, (0.5, 3.0)) for name in CORRUPTIONS)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("construction", ["fold", "paste"])
def test_patterns_are_those_of_the_cpu(strict: Device, pool: Pool, source: Any, construction: Any) -> None:
    near = 0.0 if construction == "paste" else 0.5
    dataset = PatternDataset(
        source, 3, 64, construction=construction, cells=(4, 9), pool=pool, near_misses=near, corruptions=EVERY
    )
    drawn = dataset.batch(range(8), NAME)
    assert drawn.device.type == NAME
    torch.testing.assert_close(drawn.cpu(), dataset.batch(range(8)), atol=2e-3, rtol=0)
    assert strict.calls > 100


def test_images_that_are_no_pattern_are_those_of_the_cpu(strict: Device, pool: Pool) -> None:
    dataset = NonPatternDataset(3, 64, pool=pool, corruptions=EVERY)
    drawn = dataset.batch(range(len(KINDS)), NAME)
    torch.testing.assert_close(drawn.cpu(), dataset.batch(range(len(KINDS))), atol=1e-4, rtol=0)


@pytest.fixture(scope="module")
def untrained(card_path: Path) -> tuple[Bundle, Bundle]:
    """Two models with flat heads and some temperatures."""
    made = []
    for seed in (1, 2):
        bundle = load_bundle(card_path)
        torch.manual_seed(seed)
        nodes = {name: NodeClassifier(node.settings).eval() for name, node in bundle.nodes.items()}
        nodes[FLAT] = NodeClassifier(NodeSettings(bundle.tree.labels)).eval()
        cards = bundle.card.nodes | {FLAT: NodeCard(choices=bundle.tree.labels, backbone="lcnet_050", side=16)}
        cards = {name: card.model_copy(update={"temperature": 1.5}) for name, card in cards.items()}
        made.append(Bundle(bundle.tree, nodes, bundle.card.model_copy(update={"nodes": cards})))
    return made[0], made[1]


def fresh(bundle: Bundle) -> Bundle:
    """The same with nodes of its own, which may be moved."""
    return replace(bundle, nodes=copy.deepcopy(dict(bundle.nodes)))


@pytest.fixture(scope="module")
def patterns() -> Tensor:
    return PatternDataset("atoms", 5, 64, cells=(4, 9)).batch(range(4))


def made_up(count: int, seed: int) -> EvidenceSet:
    """Evidence of nothing, for what only asks where it is."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(count, 56, 16, 16, generator=generator).half()
    return EvidenceSet(
        maps, 0.1 + 0.9 * torch.rand(count, EVIDENCE, generator=generator), (GROUP_NAMES * count)[:count]
    )


def same(found: Answer, expected: Answer) -> None:
    for name in ("log_probabilities", "pattern"):
        a, b = getattr(found, name).exp(), getattr(expected, name).exp()
        assert a.device.type == NAME
        torch.testing.assert_close(a.cpu(), b, atol=1e-4, rtol=0)
    assert found.winners.tolist() == expected.winners.tolist()


def test_many_images_wait_for_the_device_as_often_as_few(strict: Device, patterns: Tensor) -> None:
    """Nothing there runs image by image: neither lattices nor light nor nodes."""
    bright = patterns.clone()
    bright[2] += torch.linspace(0, 1, 64)  # a slope is taken away
    bright[3, :, :, 32:] += 0.5  # and an edge of light, where that helps
    model, counts = Classifier.load(device=NAME), []
    model.answer(bright.to(NAME))  # tables are made once
    for times in (1, 5):
        strict.calls = strict.waits = 0
        model.answer(bright.repeat(times, 1, 1, 1).to(NAME))
        counts.append((strict.calls, strict.waits))
    (few, waits), (many, as_often) = counts
    assert waits == as_often
    assert many < 1.02 * few  # products are taken apart in different ways


def test_several_models_answer_as_on_the_cpu_by_every_router(
    on: Device, untrained: tuple[Bundle, Bundle], patterns: Tensor
) -> None:
    here, there = Classifier(untrained), Classifier([fresh(b) for b in untrained], NAME)
    evidence, expected = there.represent(patterns.to(NAME)), here.represent(patterns)
    torch.testing.assert_close(evidence.lattice.basis.cpu(), expected.lattice.basis, atol=1e-3, rtol=0)
    outputs, others = there.outputs(evidence.maps, evidence.numbers), here.outputs(expected.maps, expected.numbers)
    for router in ROUTERS:
        if router == "stack":  # which one model alone can have, see the calibration below
            continue
        found, wanted = there.combine(outputs, router), here.combine(others, router)
        same(found, wanted)
        assert found.disagreement is not None
        assert wanted.disagreement is not None
        torch.testing.assert_close(found.disagreement.float().cpu(), wanted.disagreement.float(), atol=1e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("router", ["soft", "hard"])
def test_one_model_answers_as_on_the_cpu(
    on: Device, untrained: tuple[Bundle, Bundle], patterns: Tensor, router: Router
) -> None:
    here, there = Classifier(untrained[0]), Classifier(fresh(untrained[0]), NAME)
    same(there.answer(patterns, router), here.answer(patterns, router))


@pytest.mark.slow
@pytest.mark.parametrize("router", ["bayes", "climb"])
def test_predictions_come_with_operations_and_explanations(strict: Device, patterns: Tensor, router: Router) -> None:
    predictor, other = Predictor(Classifier.load(device=NAME), router), Predictor(Classifier.load(), router)
    for found, expected in zip(predictor.predict(list(patterns)), other.predict(list(patterns)), strict=True):
        assert (found.group, found.statement) == (expected.group, expected.statement)
        assert found.probability == pytest.approx(expected.probability, abs=1e-4)
        assert [o.xyz for o in found.operations] == [o.xyz for o in expected.operations]
    steps = explain_maps(predictor.classifier, patterns[0])
    assert [s.choice for s in steps] == [s.choice for s in explain_maps(other.classifier, patterns[0])]


@pytest.mark.slow
def test_generated_and_made_up_images_are_evaluated(
    strict: Device, untrained: tuple[Bundle, Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = Classifier(fresh(untrained[0]), NAME)
    wanted = []
    monkeypatch.setattr("hier.pipelines.measuring.evaluate.gather", lambda *a: wanted.append(a[2]) or gather(*a))
    report = evaluate_patterns(classifier, PatternDataset("noise", 1, 64, cells=(4, 9)), 17)
    assert (report.count, len(report.confusion)) == (17, 17)
    assert evaluate_refusals(classifier, NonPatternDataset(1, 64), 5)["all"] in {0, 0.2, 0.4, 0.6, 0.8, 1}
    assert wanted == [NAME]


def test_residuals_of_all_groups_are_those_of_the_cpu(strict: Device, patterns: Tensor) -> None:
    basis = find_lattice(patterns).basis
    structure = structure_factors(patterns, basis)
    here = residuals(structure, basis)
    moved = Structure(*(t.to(NAME) for t in (structure.coefficients, structure.noise, structure.radius)))
    away = residuals(moved, basis.to(NAME))
    for name in ("phase", "target", "amplitude", "squares", "stretch"):
        torch.testing.assert_close(
            getattr(away, name).cpu(), getattr(here, name), atol=1e-3, rtol=1e-3, equal_nan=True, msg=name
        )
    noise = generalised_noise(away.squares, away.free, away.data, away.phase < 5, away.noise)
    assert akaike_weights(away.squares, away.free, noise).sum(1).tolist() == pytest.approx([1.0] * len(patterns))


@pytest.mark.slow
def test_a_field_is_mapped(strict: Device) -> None:
    image = PatternDataset("atoms", 5, 128, cells=(20, 30)).batch([11])[0].permute(1, 2, 0).numpy()
    picture = Picture(np.rint(255 * image).astype(np.uint8))
    found, expected = (map_field(Classifier.load(device=d), picture, 64, 32) for d in (NAME, "cpu"))
    np.testing.assert_array_equal(found.group, expected.group)
    np.testing.assert_allclose(found.basis, expected.basis, atol=1e-2)


@pytest.mark.slow
def test_a_training_resumes_where_it_ended(strict: Device, tmp_path: Path) -> None:
    torch.serialization.register_package(-1, lambda storage: None, lambda storage, at: storage if at == NAME else None)
    samples = samples_of(made_up(34, 1), compile_tree(load_bundle().tree))

    def trained(epochs: int, checkpoint: str, stop: int | None = None) -> NodeClassifier:
        torch.manual_seed(0)
        node = NodeClassifier(NodeSettings(GROUP_NAMES)).to(NAME)
        seen: list[int] = []

        def after(epoch: int, metrics: Any) -> None:
            seen.append(epoch)
            if epoch == stop:
                raise KeyboardInterrupt

        fit(node, samples, samples, Schedule(epochs, 1e-3, 16, 0), tmp_path / checkpoint, after)
        assert seen == list(range(epochs))
        return node

    straight = trained(2, "straight.pt")
    assert next(straight.parameters()).device.type == NAME
    with pytest.raises(KeyboardInterrupt):
        trained(2, "broken.pt", stop=0)
    torch.testing.assert_close(predict(trained(2, "broken.pt"), samples), predict(straight, samples))


@pytest.mark.slow
def test_all_nodes_learn_from_images_that_are_made_on_the_device(strict: Device) -> None:
    settings = TrainSettings(source=("noise", "atoms"), count=34, sizes=(64,), batch=16, seed=3)
    plan, valid = compile_tree(load_tree("wallpaper")), made_up(8, 2)
    nodes = {
        name: NodeClassifier(NodeSettings(choices, "test_convnext")).to(NAME)
        for name, choices in (("rotation", ("1", "2", "3", "4", "6")), (GATE, GATE_CHOICES))
    }
    scored = {name: Samples(valid.maps, valid.numbers, torch.zeros(8, dtype=torch.long)) for name in nodes}
    told: list[Any] = []
    schedule, stream = Schedule(1, 1e-3, 16, 0), Stream(settings, NAME, 16, others=True)
    fit_together(nodes, plan, stream, scored, schedule, None, lambda _, metrics: told.append(metrics))
    assert set(told[0]) == set(nodes)
    assert all(math.isfinite(value) for metrics in told[0].values() for value in metrics.values())


def test_evidence_that_the_device_holds_is_that_in_files(strict: Device) -> None:
    found = made_up(20, 2)
    there = held(found, NAME, 1e9)
    samples, on_cpu = (training_samples_of(e, compile_tree(load_tree("wallpaper")), "rotation") for e in (there, found))
    at = torch.arange(0, len(samples), 3)
    assert samples.maps[at].device.type == NAME
    assert torch.equal(samples.maps[at].cpu(), on_cpu.maps[at])
    assert torch.equal(samples.targets, on_cpu.targets)


def test_bases_are_changed_at_random(strict: Device) -> None:
    found = made_up(6, 2)
    maps, numbers = random_relabel(found.maps.float().to(NAME), found.numbers.to(NAME))
    assert maps.device.type == numbers.device.type == NAME


@pytest.mark.slow
def test_a_model_is_calibrated_and_its_routers_fitted(on: Device, untrained: tuple[Bundle, Bundle]) -> None:
    splits = [Split(made_up(34, k), made_up(4, 10 + k)) for k in range(3)]
    found, expected = (calibrate(fresh(untrained[0]), splits, d) for d in (NAME, "cpu"))
    for name, value in expected.temperatures.items():
        assert found.temperatures[name] == pytest.approx(value, rel=1e-3)
    assert found.bundle.stack is not None
    fitted = Classifier(found.bundle, NAME)
    logp = fitted.decide(splits[0].patterns.maps, splits[0].patterns.numbers, "stack").log_probabilities
    assert logp.device.type == NAME


def test_pixels_that_count_are_found(strict: Device) -> None:
    class Darkness(nn.Module):
        classes = ("dark", "bright")

        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.tensor(3.0))

        def forward(self, images: Tensor) -> Tensor:
            x = self.gain * (images[..., :8].mean((1, 2, 3)) - 0.5)
            return torch.stack([-x, x], 1).log_softmax(1)

    found = explain_pixels(Darkness().to(NAME), torch.full((3, 16, 16), 0.8))  # type: ignore[arg-type]
    assert found.answer == "bright"
    assert found.saliency.device.type == "cpu"


def test_labels_of_ones_own_are_learnt(strict: Device) -> None:
    images = list(PatternDataset("atoms", 5, 64, groups=("p2", "p4m"), cells=(4, 9)).batch(range(8)))
    model = HierarchicalClassifier(epochs=1, tune_epochs=1, device=NAME).fit(images, ["two", "four"] * 4)
    p = model.predict_proba(images)
    assert p.shape == (8, 2)
    np.testing.assert_allclose(p.sum(1), 1)
    assert next(model.nodes_["label"].parameters()).device.type == NAME


# -- the choice of a device -------------------------------------------------------------------------------------------


def test_a_device_is_chosen_on_which_a_pattern_is_drawn_and_analysed(strict: Device) -> None:
    assert device_named(NAME) == NAME
    assert strict.calls > 1000


@pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="there is a device")
def test_auto_passes_over_a_device_that_does_not_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert device_named("auto") == "cpu"
    first, second = capsys.readouterr().err.splitlines()
    assert "cuda" in first
    assert "mps" in second
    assert max(len(first), len(second)) < 200


@pytest.mark.parametrize("name", ["cuda:77", "mps:5", "xpu", "hpu", "privateuseone", "meta", "gpu", ""])
def test_a_device_that_cannot_be_used_is_one_short_line(name: str) -> None:
    with pytest.raises(HierError) as caught:
        device_named(name)
    (line,) = str(caught.value).splitlines()
    assert repr(name) in line
    assert len(line) < 300


def test_a_device_that_computes_nonsense_is_not_used(strict: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PatternDataset, "batch", lambda self, indices, device: torch.rand(1, 3, 64, 64, device=device))
    with pytest.raises(HierError, match="no lattice"):
        device_named(NAME)
