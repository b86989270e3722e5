"""Bundles: what is written is read back, without pickle, and what is wrong with a file is said."""

from __future__ import annotations

import json
import pickle
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from hier.hierarchy import compile_tree, load_tree
from hier.models.bundle import FORMAT, GATE, Bundle, BundleError, Card, find_card, load_bundle, save_bundle
from hier.models.classifier import Classifier
from hier.models.evidence.representation import EVIDENCE, MAP_CHANNELS, SIDE
from hier.models.node import NodeClassifier, NodeSettings
from safetensors.torch import load_file, save_file
from torch import Tensor


def evidence(count: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(count, MAP_CHANNELS, SIDE, SIDE, generator=generator)
    return maps, torch.rand(count, EVIDENCE, generator=generator)


@pytest.fixture
def copy(card_path: Path, tmp_path: Path) -> Path:
    """A copy of the bundle that a test may spoil."""
    for suffix in (".json", ".safetensors"):
        shutil.copy(card_path.with_suffix(suffix), tmp_path / f"m{suffix}")
    return tmp_path / "m.json"


def edit(card: Path, change: Callable[[dict], None]) -> None:  # type: ignore[type-arg]
    data = json.loads(card.read_text())
    change(data)
    card.write_text(json.dumps(data))


@pytest.mark.parametrize(("half", "tolerance"), [(False, 0.0), (True, 5e-2)])
def test_what_is_written_is_read_back(bundle: Bundle, tmp_path: Path, half: bool, tolerance: float) -> None:
    save_bundle(tmp_path / "deep" / "again.json", bundle.card, bundle.nodes, half)
    again = load_bundle(tmp_path / "deep")
    assert again.card.model_dump(exclude={"weights"}) == bundle.card.model_dump(exclude={"weights"})
    assert again.tree == bundle.tree
    assert set(again.nodes) == {*bundle.tree.nodes, GATE}
    maps, numbers = evidence()
    for name, node in again.nodes.items():
        assert not node.training
        here, there = (n.log_probabilities(maps, numbers) for n in (bundle.nodes[name], node))
        torch.testing.assert_close(there, here, atol=tolerance, rtol=0)
    assert sorted(p.name for p in (tmp_path / "deep").iterdir()) == ["again.json", "again.safetensors"]


def test_the_same_bundle_is_written_to_the_same_bytes(bundle: Bundle, tmp_path: Path) -> None:
    for name in ("one", "two"):
        save_bundle(tmp_path / f"{name}.json", bundle.card, bundle.nodes)
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_no_pickle_is_read(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("pickle was asked to load a bundle")

    monkeypatch.setattr(pickle, "load", refuse)
    monkeypatch.setattr(pickle, "loads", refuse)
    monkeypatch.setattr(torch, "load", refuse)
    load_bundle(copy)
    copy.with_suffix(".safetensors").write_bytes(pickle.dumps({"rotation/head.bias": [0.0]}))
    with pytest.raises(BundleError):
        load_bundle(copy)


def test_an_interrupted_write_leaves_the_old_bundle(
    bundle: Bundle, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {p.name: p.read_bytes() for p in copy.parent.iterdir()}

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hier.hierarchy.files.os.replace", stop)
    with pytest.raises(KeyboardInterrupt):
        save_bundle(copy, bundle.card, bundle.nodes, half=False)
    assert {name: (copy.parent / name).read_bytes() for name in before} == before


def spoil_tree(card: Path) -> None:
    edit(card, lambda d: d["tree"]["root"]["children"].update({"1": "p1", "again": "p1"}))


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "no card": (lambda card: card.unlink(), "no model at .*m.json"),
    "no weights": (lambda card: card.with_suffix(".safetensors").unlink(), "m.safetensors"),
    "empty card": (lambda card: card.write_text(""), "m.json is not a model card"),
    "cut card": (lambda card: card.write_text(card.read_text()[:500]), "m.json is not a model card"),
    "other card": (lambda card: card.write_text('{"name": "something else"}'), "m.json is not a model card"),
    "binary card": (lambda card: card.write_bytes(b"\x80\x81\xff" * 50), "m.json is not a model card"),
    "unknown key": (lambda card: edit(card, lambda d: d.update(flavour="mint")), "flavour"),
    "spoilt tree": (spoil_tree, "m.json.*p1"),
    "cut weights": (
        lambda card: card.with_suffix(".safetensors").write_bytes(card.with_suffix(".safetensors").read_bytes()[:9999]),
        "m.safetensors",
    ),
    "empty weights": (lambda card: card.with_suffix(".safetensors").write_bytes(b""), "m.safetensors"),
    "other weights": (lambda card: card.with_suffix(".safetensors").write_bytes(b"PK\3\4" * 99), "m.safetensors"),
    "newer format": (lambda card: edit(card, lambda d: d.update(format=FORMAT + 1)), "update hier"),
    "newer format with new keys": (
        lambda card: edit(card, lambda d: d.update(format=FORMAT + 1, flavour="mint")),
        f"format {FORMAT + 1}.*update hier",
    ),
    "unknown backbone": (
        lambda card: edit(card, lambda d: d["nodes"]["finer-4"].update(backbone="lcnet_051")),
        "finer-4.*lcnet_050",
    ),
    "other backbone": (
        lambda card: edit(card, lambda d: d["nodes"]["finer-4"].update(backbone="lcnet_075")),
        "'finer-4'.*does not fit",
    ),
    "other choices": (
        lambda card: edit(card, lambda d: d["nodes"]["finer-4"].update(choices=["a", "b", "c"])),
        "finer-4",
    ),
    "absurd side": (lambda card: edit(card, lambda d: d["nodes"]["finer-4"].update(side=-3)), "finer-4"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_what_is_wrong_with_a_bundle_is_said_in_one_line(name: str, copy: Path) -> None:
    spoil, message = SPOILT[name]
    spoil(copy)
    with pytest.raises(BundleError, match=message) as caught:
        load_bundle(copy)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_choices_of_a_node_belong_to_the_tree(copy: Path) -> None:
    """A card whose node answers in another order than its tree would be wrong in silence."""
    edit(copy, lambda d: d["nodes"]["finer-4"]["choices"].reverse())
    with pytest.raises(BundleError, match="finer-4"):
        load_bundle(copy)


def test_a_folder_holds_one_bundle(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text("{}")
    assert find_card(tmp_path) == copy
    for suffix in (".json", ".safetensors"):
        shutil.copy(copy.with_suffix(suffix), tmp_path / f"second{suffix}")
    with pytest.raises(BundleError, match="holds 2 model cards"):
        find_card(tmp_path)
    with pytest.raises(BundleError, match="holds 0 model cards"):
        find_card(Path(__file__).parent)


def test_a_bundle_without_all_nodes_says_which_are_missing(bundle: Bundle) -> None:
    some = Bundle(bundle.tree, {k: v for k, v in bundle.nodes.items() if k not in ("finer-4", GATE)}, bundle.card)
    with pytest.raises(BundleError, match=r"finer-4, periodic .*hier train --level all"):
        Classifier(some)


def test_a_classifier_answers_for_every_image_alone(bundle: Bundle) -> None:
    classifier = Classifier(bundle)
    maps, numbers = evidence(5)
    whole = classifier.decide(maps, numbers)
    torch.testing.assert_close(whole.log_probabilities.exp().sum(1), torch.ones(5))
    for i in range(5):
        alone = classifier.decide(maps[i : i + 1], numbers[i : i + 1])
        torch.testing.assert_close(alone.log_probabilities[0], whole.log_probabilities[i], atol=1e-4, rtol=1e-4)
    tree, plan = load_tree("wallpaper"), compile_tree(load_tree("wallpaper"))
    for label in tree.labels:
        steps = classifier.path(whole, 2, label)
        product = torch.tensor([p for *_, p in steps]).prod()
        torch.testing.assert_close(product, whole.log_probabilities[2, plan.labels.index(label)].exp())


@pytest.mark.parametrize("below", [(0, 1), (0, 1, 2, 3, 9), (0,) * 9000])
def test_outputs_that_do_not_fit_the_choices_are_told(copy: Path, below: tuple[int, ...]) -> None:
    edit(copy, lambda card: card["nodes"]["rotation"].update(below=below))
    with pytest.raises(BundleError, match=r"node 'rotation' of .* has outputs that are not those of its choices"):
        load_bundle(copy)


def test_a_flipped_byte_in_the_weights_is_found(copy: Path) -> None:
    weights = copy.with_suffix(".safetensors")
    content = bytearray(weights.read_bytes())
    content[-1001] ^= 1
    weights.write_bytes(content)
    with pytest.raises(BundleError, match=r"m.safetensors are damaged"):
        load_bundle(copy)


@pytest.mark.parametrize("before", [1, 3])
def test_bundles_of_before_are_told_to_be_trained_again(copy: Path, before: int) -> None:
    edit(copy, lambda d: d.update(format=before))
    with pytest.raises(BundleError, match=rf"format {before}: its nodes read other evidence.*hier train --level all"):
        load_bundle(copy)


def warmer(bundle: Bundle, degrees: float) -> tuple[Card, dict[str, NodeClassifier]]:
    """A bundle that differs in its card (a node's temperature) and in its weights, both by the same number."""
    nodes = {GATE: NodeClassifier(NodeSettings(bundle.nodes[GATE].settings.choices))}
    nodes[GATE].head[-1].bias.data.fill_(degrees)
    cards = {GATE: bundle.card.nodes[GATE].model_copy(update={"temperature": degrees})}
    return bundle.card.model_copy(update={"nodes": cards}), nodes


def matches(found: Bundle) -> bool:
    return found.nodes[GATE].head[-1].bias[0].item() == found.card.nodes[GATE].temperature


def test_a_writer_killed_between_weights_and_card_leaves_the_new_bundle(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = tmp_path / "m.json"
    save_bundle(card, *warmer(bundle, 1.0))

    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hier.models.bundle.whole", killed)
    with pytest.raises(KeyboardInterrupt):
        save_bundle(card, *warmer(bundle, 2.0))
    found = load_bundle(card)
    assert found.card.nodes[GATE].temperature == 2.0
    assert matches(found)


def test_readers_meet_one_bundle_or_the_other_while_a_writer_alternates(bundle: Bundle, tmp_path: Path) -> None:
    card, both = tmp_path / "m.json", [warmer(bundle, 1.0), warmer(bundle, 2.0)]
    save_bundle(card, *both[0])
    done = threading.Event()

    def read() -> list[float]:
        found = []
        while not done.is_set():
            now = load_bundle(card)
            assert matches(now)
            found.append(now.card.nodes[GATE].temperature)
        return found

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        try:
            for k in range(16):
                save_bundle(card, *both[k % 2])
        finally:
            done.set()
        assert {t for reader in readers for t in reader.result()} == {1.0, 2.0}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])  # the last has no float16
def test_weights_that_are_not_finite_are_neither_written_nor_read(bundle: Bundle, tmp_path: Path, value: float) -> None:
    card, nodes = warmer(bundle, 1.0)
    save_bundle(tmp_path / "m.json", card, nodes)
    nodes[GATE].head[-1].bias.data[1] = value
    with pytest.raises(BundleError, match=r"'periodic/head.3.bias' of .*m.safetensors are not finite"):
        save_bundle(tmp_path / "m.json", card, nodes)
    assert matches(load_bundle(tmp_path / "m.json"))
    weights = tmp_path / "m.safetensors"
    save_file(load_file(weights) | {"periodic/head.3.bias": torch.tensor([0.0, float("nan")])}, weights)
    with pytest.raises(BundleError, match=r"'periodic/head.3.bias' of .*m.safetensors are not finite"):
        load_bundle(tmp_path / "m.json")


def test_a_file_that_is_not_a_card_is_not_replaced(bundle: Bundle, tmp_path: Path) -> None:
    for text in ("my notes", '{"name": "package"}'):
        (tmp_path / "m.json").write_text(text)
        with pytest.raises(BundleError, match="is not a model card, so it is not overwritten"):
            save_bundle(tmp_path / "m.json", *warmer(bundle, 1.0))
        assert (tmp_path / "m.json").read_text() == text
