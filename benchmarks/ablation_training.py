"""What each addition to the training is worth: rough patterns, tolerance, scores of groups, rings; alone and together.

    python benchmarks/ablation_training.py [--config models/recipes/training.yaml] [--photos DIR] [--cache DIR]
                                           [--folder DIR ...] [--count 4000] [--epochs 12] [--test 340] [--seed 7]

One network with one head over all groups (lcnet_050), trained anew for every row on the same number of patterns: those
of the recipe that are not rough, or, with workmanship, of all. Numbers that a row leaves out are zero. A folder is
measured besides, as `hier evaluate DIR` takes it, images whole. Nothing is calibrated and the gate is left out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from hier.datasets import Corruption, PatternDataset
from hier.hierarchy import GROUP_NAMES, compile_tree, load_tree
from hier.models.evidence.crops import best_view, stacked
from hier.models.evidence.groups import FRC, GROUPS
from hier.models.evidence.representation import EVIDENCE, GROUP_SCORES, GROUP_STRAINS, SymmetryEvidence
from hier.models.node import NodeClassifier, NodeSettings
from hier.pipelines.generating.evidence import EvidenceSet, gather
from hier.pipelines.generating.parts import Part
from hier.pipelines.measuring.labelled import has_table, read_table
from hier.pipelines.reading.images import ImageError, images_in, read_image
from hier.pipelines.training.data import training_parts, training_samples_of
from hier.pipelines.training.fit import Samples, fit, predict
from hier.pipelines.training.loop import Schedule
from hier.pipelines.training.settings import train_settings
from torch import Tensor

EXACT = 1e-3  # misfit of its own group up to which a pattern is not rough
PLAN = compile_tree(load_tree("wallpaper"))


@dataclass(frozen=True)
class Row:
    """What a training has."""

    name: str
    rough: bool = False
    tolerance: bool = False
    scores: bool = False
    rings: bool = False


ROWS = (
    Row("none of them"),
    Row("workmanship", rough=True),
    Row("tolerance", tolerance=True),
    Row("scores of groups", scores=True),
    Row("rings", rings=True),
    Row("workmanship and tolerance", rough=True, tolerance=True),
    Row("all of them", rough=True, tolerance=True, scores=True, rings=True),
)


def kept(numbers: Tensor, row: Row) -> Tensor:
    """`numbers` (N, EVIDENCE) without those that `row` leaves out."""
    use = torch.ones(EVIDENCE)
    each = use[GROUP_SCORES].reshape(len(GROUPS), 2 + FRC)
    each[:, :2], each[:, 2:] = float(row.scores), float(row.rings)
    use[GROUP_STRAINS] = float(row.scores)
    use[-FRC:] = float(row.rings)
    return numbers * use


def trained(evidence: EvidenceSet, row: Row, count: int, epochs: int) -> NodeClassifier:
    assert evidence.misfits is not None
    own = torch.tensor([GROUP_NAMES.index(name) for name in evidence.labels])
    exact = evidence.misfits.gather(1, own[:, None])[:, 0] < EXACT
    chosen = torch.arange(len(own)) if row.rough else exact.nonzero().flatten()
    chosen = chosen[torch.randperm(len(chosen), generator=torch.Generator().manual_seed(0))[:count]]
    labels = tuple(evidence.labels[i] for i in chosen.tolist())
    some = EvidenceSet(evidence.maps[chosen], kept(evidence.numbers[chosen], row), labels, evidence.misfits[chosen])
    samples = training_samples_of(some, PLAN)
    if not row.tolerance:
        asked = (samples.targets >= 0).nonzero().flatten()
        samples = Samples(samples.maps[asked], samples.numbers[asked], samples.targets[asked])
    torch.manual_seed(0)
    node = NodeClassifier(NodeSettings(PLAN.labels))
    none = Samples(samples.maps[:0], samples.numbers[:0], samples.targets[:0])
    return fit(node, samples, none, Schedule(epochs, 5e-3, 128, 0), None)


def right(node: NodeClassifier, row: Row, found: EvidenceSet, accepted: Sequence[frozenset[str]]) -> float:
    logp = predict(node, Samples(found.maps, kept(found.numbers, row), torch.zeros(len(found), dtype=torch.long)))
    said = [PLAN.labels[i] for i in logp.argmax(1).tolist()]
    return sum(name in good for name, good in zip(said, accepted, strict=True)) / len(said)


def of_folder(folder: Path) -> tuple[EvidenceSet, list[frozenset[str]]]:
    """Evidence of the labelled images of a folder, each as a whole, those that can be read and are patterns."""
    if has_table(folder):
        named = [(folder / row.name, frozenset(row.acceptable)) for row in read_table(folder, PLAN.labels)]
    else:
        named = [(file, frozenset([label])) for label, file in images_in(folder)]
    represent, maps, numbers, accepted = SymmetryEvidence(), [], [], []
    for file, groups in named:
        if not groups <= set(PLAN.labels):
            continue
        try:
            view = best_view(read_image(file))
        except ImageError as error:
            print(f"left out: {file.name}: {error}", file=sys.stderr)
            continue
        images, lattice = stacked([view])
        found = represent(images, lattice)
        maps.append(found.maps.half())
        numbers.append(found.numbers)
        accepted.append(groups)
    return EvidenceSet(torch.cat(maps), torch.cat(numbers), ("p1",) * len(accepted)), accepted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("models/recipes/training.yaml"))
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--cache", type=Path, help="folder of evidence, such as mlruns/work/evidence of a training")
    parser.add_argument("--folder", type=Path, action="append", default=[], help="labelled images; may be repeated")
    parser.add_argument("--count", type=int, default=4000, help="training patterns of each row")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--test", type=int, default=340, help="test images of each column")
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    settings = train_settings(given.config, photos=given.photos)
    evidence = gather(training_parts(settings), given.cache)
    rough = (Corruption("workmanship", (3, 3)),)
    columns: dict[str, tuple[EvidenceSet, list[frozenset[str]]]] = {}
    for source in ("photos", "atoms"):
        plain = PatternDataset(source, given.seed)
        for name, dataset in ((source, plain), (f"{source}, workmanship 3", replace(plain, corruptions=rough))):
            found = gather([Part(dataset, 0, given.test, given.photos, "valid")], given.cache)
            columns[name] = found, [frozenset([label]) for label in found.labels]
    columns |= {f"{folder.parent.name}/{folder.name}": of_folder(folder) for folder in given.folder}
    print(f"| % correct | {' | '.join(columns)} |\n|---{'|---' * len(columns)}|", flush=True)
    for row in ROWS:
        node = trained(evidence, row, given.count, given.epochs)
        cells = [f"{100 * right(node, row, found, accepted):.1f}" for found, accepted in columns.values()]
        print(f"| {row.name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
