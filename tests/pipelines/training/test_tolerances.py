"""What a training asks for at a tolerance, and which images it asks about without one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hier.datasets import Corruption, PatternDataset
from hier.hierarchy import GROUP_NAMES, compile_tree, load_tree
from hier.models.evidence.groups import MOST
from hier.models.evidence.representation import EVIDENCE, MAP_CHANNELS, SIDE
from hier.pipelines.generating.evidence import EvidenceSet
from hier.pipelines.generating.parts import with_misfits
from hier.pipelines.training.data import samples_of, stands_out, training_samples_of
from hier.pipelines.training.fit import TOLERANCES, draw_tolerances

PLAN = compile_tree(load_tree("wallpaper"))


def misfits_of(**known: float) -> torch.Tensor:
    """(18,): the largest but for those that are given; a finer lattice too."""
    found = torch.full((18,), MOST)
    found[0] = 0
    for name, value in known.items():
        found[17 if name == "finer" else GROUP_NAMES.index(name)] = value
    return found


def evidence(labels: tuple[str, ...], misfits: torch.Tensor) -> EvidenceSet:
    n = len(labels)
    maps = torch.zeros(n, MAP_CHANNELS, SIDE, SIDE, dtype=torch.float16)
    return EvidenceSet(maps, torch.zeros(n, EVIDENCE), labels, misfits)


def test_the_target_is_the_group_that_holds_within_the_tolerance() -> None:
    near = misfits_of(p2=0.001, p4=0.01, p4m=0.08)
    many = 400
    samples = training_samples_of(evidence(("p4",) * many, near.expand(many, -1)), PLAN)
    asked, targets = draw_tolerances(samples, torch.arange(many))
    none = asked.isnan()
    assert 0.4 < float(none.float().mean()) < 0.6
    assert (targets[none] == PLAN.labels.index("p4")).all()
    names = np.array(PLAN.labels)[targets[~none]]
    for t, name in zip(asked[~none].tolist(), names, strict=True):
        assert TOLERANCES[0] <= t <= TOLERANCES[1]
        assert name == ("p4m" if t >= 0.08 else "p4" if t >= 0.01 else "p2")


def test_a_lattice_that_would_be_finer_is_not_asked_about() -> None:
    samples = training_samples_of(evidence(("p4",) * 300, misfits_of(p4=0.0, finer=0.05).expand(300, -1)), PLAN)
    asked, targets = draw_tolerances(samples, torch.arange(300))
    assert float(asked[~asked.isnan()].max()) < 0.05
    assert (targets[~asked.isnan()] >= 0).all()


def test_a_rough_pattern_near_a_larger_group_is_only_asked_about_with_a_tolerance() -> None:
    misfits = torch.stack([misfits_of(p4=0.05, p4m=0.09), misfits_of(p4=0.001, p4m=0.09), misfits_of(p4=0.05, p4m=0.3)])
    own = torch.full((3,), GROUP_NAMES.index("p4"))
    assert stands_out(misfits, own).tolist() == [False, True, True]
    samples = training_samples_of(evidence(("p4",) * 3, misfits), PLAN)
    assert samples.targets.tolist() == [-1, PLAN.labels.index("p4"), PLAN.labels.index("p4")]


def test_a_node_sees_what_comes_below_it_at_some_tolerance() -> None:
    """p3 that is nearly p6 belongs below the sixfold node where that is forgiven."""
    misfits = torch.stack([misfits_of(p3=0.0, p6=0.1), misfits_of(p3=0.0, p6=0.6)])
    both = evidence(("p3", "p3"), misfits)
    node = next(n for n in PLAN.nodes if n.startswith("reflection-6"))
    assert len(samples_of(both, PLAN, node)) == 0
    samples = training_samples_of(both, PLAN, node)
    assert len(samples) == 1
    asked, targets = draw_tolerances(samples, torch.zeros(200, dtype=torch.long))
    assert (targets[asked.isnan()] == -1).all()
    assert float(asked[~asked.isnan()].min()) >= 0.1


def test_evidence_without_misfits_is_never_asked_with_a_tolerance() -> None:
    plain = EvidenceSet(*(getattr(evidence(("p4",), misfits_of()[None]), k) for k in ("maps", "numbers", "labels")))
    asked, targets = draw_tolerances(training_samples_of(plain, PLAN), torch.zeros(50, dtype=torch.long))
    assert asked.isnan().all()
    assert (targets >= 0).all()


@pytest.mark.parametrize("source", ["atoms", "noise"])
def test_misfits_are_those_before_instruments_spoil_the_image(source: str) -> None:
    clean = PatternDataset(source, 51, 128)  # type: ignore[arg-type]
    noisy = PatternDataset(source, 51, 128, corruptions=(Corruption("noise", (4, 4)), Corruption("blur", (2, 2))))  # type: ignore[arg-type]
    rough = PatternDataset(source, 51, 128, corruptions=(Corruption("workmanship", (4, 4)),))  # type: ignore[arg-type]
    (_, one), (_, two), (images, three) = (with_misfits(d, range(17)) for d in (clean, noisy, rough))
    torch.testing.assert_close(one, two)
    torch.testing.assert_close(images, rough.batch(range(17)))
    own = torch.arange(17)[:, None]
    assert float(one.gather(1, own)[1:].max()) < 0.02
    assert float(three.gather(1, own)[1:].mean()) > 0.015
