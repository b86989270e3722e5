"""The networks of a model as ONNX files, with what they read described, for programs that have no PyTorch."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..datasets import PatternDataset
from ..hierarchy import HierError
from ..hierarchy.files import whole
from ..models.bundle import GATE, choices_of
from ..models.classifier import Classifier
from ..models.evidence.described import channel_names, number_names
from ..models.evidence.representation import EVIDENCE, MAP_CHANNELS, SIDE
from ..models.leanings import groups_below, leanings
from ..models.routing.calibration import temper
from ..models.routing.ensemble import average
from ..models.routing.router import FLAT

if TYPE_CHECKING:
    from collections.abc import Iterator

INPUTS, OUTPUT = ("maps", "numbers"), "log_probabilities"
ABOUT, CHECK = "model.json", "check.npz"
SEED, IMAGES = 50_001, 5  # of the patterns whose evidence is written for comparison
QUESTIONS = {GATE: "Does the image repeat at all?", FLAT: "Which group, in one step?"}


@dataclass(frozen=True)
class Written:
    """What was written: the description, and the network of each node by its name."""

    about: Path
    nodes: Mapping[str, Path]


class _Node(nn.Module):
    """All models of a node, with what the scores rule out, tempered and averaged: as `Classifier` has them."""

    def __init__(self, classifier: Classifier, name: str) -> None:
        super().__init__()
        self.members = nn.ModuleList(classifier.nodes[name])
        self.temperatures = classifier.temperatures[name]
        self.below = {key: groups for key, groups in groups_below(classifier.plan).items() if key == name}
        self.name, self.strain = name, classifier.strain

    def forward(self, maps: Tensor, numbers: Tensor) -> Tensor:
        """(B, k) log-probabilities."""
        added = leanings(self.below, numbers, None, self.strain).get(self.name, 0.0)
        each = [(m(maps, numbers) + added).log_softmax(1) for m in self.members]
        return average(torch.stack([temper(x, t) for x, t in zip(each, self.temperatures, strict=True)]))


def check_onnx() -> None:
    """HierError where what writes ONNX is not installed."""
    missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if missing:
        raise HierError(f"writing ONNX needs {' and '.join(missing)}: pip install onnx onnxscript")


def write_onnx(classifier: Classifier, out: Path, advance: Callable[[int], None] = lambda _: None) -> Written:
    """Write every node's network to ``NODE.onnx`` in `out`, ``model.json`` and ``check.npz``, the last two at the end.

    A network maps ``maps`` and ``numbers`` of any number of images to the node's calibrated log-probabilities, those
    that `Classifier` has without a tolerance; ``model.json`` says what these are and names every channel and choice.
    ``check.npz`` has them for `IMAGES` patterns, with what PyTorch answers. Each file appears whole.
    """
    check_onnx()
    out.mkdir(parents=True, exist_ok=True)
    inputs, written, expected = _inputs(classifier), {}, {}
    for name in classifier.nodes:
        node = _Node(classifier, name).eval()
        written[name] = out / f"{name}.onnx"
        with whole(written[name]) as path:
            path.write_bytes(_onnx(node, inputs))
        with torch.inference_mode():
            expected[name] = node(*inputs).numpy()
        advance(1)
    given: dict[str, NDArray[Any]] = {key: x.numpy() for key, x in zip(INPUTS, inputs, strict=True)}
    kept = BytesIO()
    np.savez_compressed(kept, allow_pickle=False, **given, **expected)
    with whole(out / CHECK) as path:
        path.write_bytes(kept.getvalue())
    with whole(out / ABOUT) as path:
        path.write_text(json.dumps(_about(classifier, written), indent=1, ensure_ascii=False), encoding="utf-8")
    return Written(out / ABOUT, written)


def _inputs(classifier: Classifier) -> tuple[Tensor, Tensor]:
    """The evidence of a few patterns."""
    dataset = PatternDataset("atoms", SEED, 128, ("p4m", "p6", "pgg", "cm", "p1"), cells=(6, 16))
    found = classifier.represent(dataset.batch(range(IMAGES)))
    return found.maps.float(), found.numbers.float()


def _onnx(node: nn.Module, inputs: tuple[Tensor, ...]) -> bytes:
    images = torch.export.Dim("images")
    file = BytesIO()
    with _quiet():
        made = torch.onnx.export(
            node.cpu(), inputs, dynamo=True, input_names=list(INPUTS), output_names=[OUTPUT], verbose=False,
            dynamic_shapes=tuple({0: images} for _ in inputs), external_data=False,
        )  # fmt: skip
    if made is None:
        raise HierError("this PyTorch cannot write ONNX: install a newer one")
    made.save(file)  # type: ignore[arg-type]  # any file will do
    return file.getvalue()


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells its steps on the screen, and warns of axes that have one name on purpose."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _about(classifier: Classifier, files: Mapping[str, Path]) -> dict[str, Any]:
    tree = classifier.bundle.tree
    nodes = {
        name: {
            "file": path.name,
            "question": QUESTIONS.get(name) or tree.question(name),
            "choices": list(choices_of(tree, name)),
        }
        for name, path in files.items()
    }
    return {
        "hier": classifier.bundle.card.hier,
        "created": classifier.bundle.card.created,
        "weights": classifier.bundle.card.weights,
        "evidence": "hier.models.evidence.representation.SymmetryEvidence()(images), images (B, C, H, W)",
        "inputs": {
            "maps": {"shape": ["images", MAP_CHANNELS, SIDE, SIDE], "type": "float32", "channels": channel_names()},
            "numbers": {"shape": ["images", EVIDENCE], "type": "float32", "entries": number_names()},
        },
        "output": {OUTPUT: "of the node's choices in their order, calibrated; (images, choices)"},
        "answer": "a label is as likely as the product of the choices on its way down the tree",
        "tree": tree.to_spec().model_dump(mode="json", exclude_none=True),
        "nodes": nodes,
        "routing": classifier.bundle.card.routing.model_dump(mode="json", exclude={"figures"}, exclude_none=True),
        "check": f"{CHECK}: the inputs of {IMAGES} patterns, and what each node answers",
    }  # fmt: skip
