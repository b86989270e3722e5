"""Calibration on made-up evidence: what it may change, what it must not, and what is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hier.hierarchy import GROUP_NAMES, HierError, compile_tree, load_tree
from hier.models.bundle import FLAT, GATE, Bundle, NodeCard, load_bundle
from hier.models.classifier import Classifier
from hier.models.evidence.representation import EVIDENCE, MAP_CHANNELS, SIDE
from hier.models.node import NodeClassifier, NodeSettings
from hier.models.routing.calibration import temper
from hier.models.routing.router import ROUTERS
from hier.pipelines.generating.evidence import EvidenceSet
from hier.pipelines.training.calibrate import (
    Calibrated,
    Split,
    Wanted,
    calibrate,
    calibrate_file,
    calibration_splits,
    other_parts,
    save_calibrated,
    split_parts,
)
from hier.pipelines.training.fit_routers import Outputs, fit_routers, fit_stack, fit_temperatures, targets_at

TREE = load_tree("wallpaper")
PLAN = compile_tree(TREE)


def evidence(seed: int, labels: tuple[str, ...]) -> EvidenceSet:
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(len(labels), MAP_CHANNELS, SIDE, SIDE, generator=generator).half()
    return EvidenceSet(maps, torch.rand(len(labels), EVIDENCE, generator=generator), labels)


@pytest.fixture(scope="module")
def whole(bundle: Bundle) -> Bundle:
    torch.manual_seed(1)
    flat = NodeClassifier(NodeSettings(TREE.labels)).eval()
    card = NodeCard(choices=TREE.labels, backbone=flat.settings.backbone, side=flat.side)
    cards = bundle.card.model_copy(update={"nodes": {**bundle.card.nodes, FLAT: card}})
    return Bundle(bundle.tree, {**bundle.nodes, FLAT: flat}, cards)


@pytest.fixture(scope="module")
def splits() -> list[Split]:
    return [Split(evidence(k, 2 * GROUP_NAMES), evidence(10 + k, ("noise",) * 6)) for k in range(3)]


@pytest.fixture(scope="module")
def made(whole: Bundle, splits: list[Split]) -> Calibrated:
    return calibrate(whole, splits)


def drawn(seed: int, count: int = 6000) -> Outputs:
    """Outputs of calibrated nodes and flat head, and labels drawn down the tree from them."""
    generator = torch.Generator().manual_seed(seed)
    nodes = {
        name: (2 * torch.randn(count, len(TREE.choices(name)), generator=generator)).log_softmax(1)
        for name in TREE.nodes
    }
    from hier.models.routing.router import soft

    joint = soft(PLAN, nodes)
    truth = torch.multinomial(joint.exp(), 1, generator=generator)[:, 0]
    return Outputs(nodes | {FLAT: joint}, truth)


def test_every_node_gets_the_temperature_that_it_was_spoilt_by() -> None:
    found = drawn(0)
    spoilt = {name: 0.4 + 0.15 * k for k, name in enumerate(found.nodes)}
    crooked = Outputs({n: temper(x, 1 / spoilt[n]) for n, x in found.nodes.items()}, found.truth)
    fitted = fit_temperatures(PLAN, crooked)
    for name, value in spoilt.items():
        assert fitted[name] == pytest.approx(value, rel=0.25), name
        mended = crooked.tempered(fitted).nodes[name]
        assert (mended.argmax(1) == crooked.nodes[name].argmax(1)).all()


def test_a_node_is_fitted_on_the_images_below_it_alone() -> None:
    found = drawn(1, 400)
    outside = targets_at(PLAN, "finer-4", found.truth) < 0
    other = {**found.nodes, "finer-4": found.nodes["finer-4"].clone()}
    other["finer-4"][outside] = torch.tensor([0.0, -30.0])
    assert fit_temperatures(PLAN, Outputs(other, found.truth)) == fit_temperatures(PLAN, found)


@pytest.mark.slow
def test_routers_of_calibrated_nodes_need_no_more() -> None:
    fitted = fit_routers(PLAN, drawn(2))
    assert fitted.temperature == pytest.approx(1, abs=0.05)
    assert fitted.stack is not None


def test_a_stack_finds_labels_that_the_nodes_tell_and_misses_none() -> None:
    truth = torch.arange(340) % 17
    seen = torch.nn.functional.one_hot(truth, 17).float() * 3 + torch.rand(340, 17)
    stack = fit_stack(PLAN, seen, truth)
    assert (stack(seen).argmax(1) == truth).float().mean() > 0.98
    with pytest.raises(HierError, match="none of p6m"):
        fit_stack(PLAN, seen[truth != 16], truth[truth != 16])


def test_calibrating_changes_no_winner_of_a_node(whole: Bundle, made: Calibrated, splits: list[Split]) -> None:
    before, after = Classifier(whole), Classifier(made.bundle)
    assert set(made.temperatures) == {*TREE.nodes, FLAT, GATE}
    found = splits[2].patterns
    one, two = (c.decide(found.maps, found.numbers) for c in (before, after))
    for name in one.nodes:
        assert (one.nodes[name].argmax(1) == two.nodes[name].argmax(1)).all()
    assert ((one.pattern >= 0.5) == (two.pattern >= 0.5)).all()
    assert {"before", "after", *ROUTERS} - {"soft"} == set(made.figures)
    assert made.figures["flat"]["accuracy"] == pytest.approx(
        np.mean([TREE.labels[i] == name for i, name in zip(one.nodes[FLAT].argmax(1), found.labels, strict=True)])
    )


def test_calibrating_twice_is_calibrating_once(made: Calibrated, splits: list[Split]) -> None:
    again = calibrate(made.bundle, splits)
    assert again.temperatures == made.temperatures
    assert again.bundle.card == made.bundle.card


def test_what_is_written_is_read_back_with_a_diagram_beside(made: Calibrated, tmp_path: Path) -> None:
    picture = save_calibrated(made, tmp_path / "deep" / "m.json")
    assert picture.read_bytes().startswith(b"\x89PNG")
    again = load_bundle(tmp_path / "deep")
    stamped = again.card.model_dump(exclude={"format", "weights"})
    assert stamped == made.bundle.card.model_dump(exclude={"format", "weights"})
    assert again.stack is not None
    assert {n: c.temperature for n, c in again.card.nodes.items()} == made.temperatures
    Classifier(again).require("stack")


def test_no_split_shares_an_image_with_another_or_with_training() -> None:
    seen = set()
    for seed in (0, 1):
        for split in range(3):
            for part in [*split_parts(split, 102, seed, ("atoms",), None), *other_parts(split, 102, seed, None)]:
                for index in range(part.start, part.stop):
                    key = (type(part.dataset).__name__, part.dataset.seed, index)
                    assert key not in seen
                    seen.add(key)
                assert part.dataset.seed >= 4 * 10**12
                assert part.split == "valid"
    (clean, spoilt) = split_parts(0, 102, 0, ("atoms",), None)
    assert not clean.dataset.corruptions
    assert spoilt.dataset.corruptions
    assert len({clean.dataset.label(i) for i in range(clean.start, clean.stop)}) == 17


def test_what_cannot_be_calibrated_is_said(whole: Bundle, tmp_path: Path) -> None:
    from hier.hierarchy import NodeSpec, Tree, TreeSpec

    other = Tree.from_spec(
        TreeSpec(name="pets", root=NodeSpec(name="r", level="one", children={"a": "cat", "b": "ox"}))
    )
    with pytest.raises(HierError, match="'pets' has other labels"):
        calibration_splits(replace(whole, tree=other), 102)
    with pytest.raises(HierError, match=r"overwrite the bundled model; .*--out"):
        calibrate_file(None, None, Wanted(), tmp_path)
