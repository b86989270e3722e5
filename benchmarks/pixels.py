"""A plain 17-way classifier on pixels, trained on exactly the patterns that a training of `hier train` sees.

    python benchmarks/pixels.py SETTINGS.yaml OUT.pt [--photos DIR] [--backbone lcnet_050] [--side 128] [--epochs 20]

The same images with the same corruptions, halved to SIDE px, the same backbone, optimiser and number of epochs; random
quarter turns and mirrors besides. `accuracy.py --pixels NAME=OUT.pt` measures it beside the others.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import timm
import torch
import torch.nn.functional as F
from hier.hierarchy import GROUP_NAMES, compile_tree, load_tree
from hier.pipelines.generating.parts import Part
from hier.pipelines.training.data import training_parts
from hier.pipelines.training.fit import batch_of
from hier.pipelines.training.loop import Metrics, Schedule, Shuffled, right_of, train
from hier.pipelines.training.settings import train_settings
from numpy.typing import NDArray
from torch import Tensor, nn

LABELS = compile_tree(load_tree("wallpaper")).labels
BATCH, LR = 128, 5e-3  # those of `hier train`


def shrunk(images: Tensor, side: int) -> Tensor:
    """(B, 3, H, W) in [0, 1] to (B, 3, side, side) uint8."""
    small = F.interpolate(images, (side, side), mode="bilinear", antialias=True, align_corners=False)
    return (255 * small).round().clamp(0, 255).byte()


def images_of(part: Part, side: int) -> Tensor:
    """The images of a part, SIDE px a side: (N, 3, side, side) uint8."""
    dataset = part.with_pictures()
    starts = range(part.start, part.stop, 16)
    return torch.cat([shrunk(dataset.batch(range(k, min(k + 16, part.stop))), side) for k in starts])


def logits(network: nn.Module, images: Tensor) -> Tensor:
    return network((images.float() - 128) / 64)


def fit(network: nn.Module, images: Tensor, targets: Tensor, epochs: int, checkpoint: Path | None = None) -> None:
    """Train `network` in place; what is in `checkpoint` is resumed."""
    begun = time.perf_counter()

    def step(indices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        some, aim = torch.rot90(images[indices], int(torch.randint(4, ())), (2, 3)), targets[indices]
        found = logits(network, some.flip(3) if torch.rand(()) < 0.5 else some)
        return F.cross_entropy(found, aim), *right_of(found, aim)

    def after(loss: float, accuracy: float) -> Metrics:
        return {"loss": loss, "accuracy": accuracy}

    def report(epoch: int, metrics: Metrics) -> None:
        seconds = time.perf_counter() - begun
        print(f"epoch {epoch + 1}: {100 * metrics['accuracy']:.1f} % correct in training, {seconds:.0f} s", flush=True)

    epoch = Shuffled(len(images), batch_of(len(images), BATCH))
    train({"network": network}, step, epoch, Schedule(epochs, LR, BATCH, 0), checkpoint, after, report)


def load(file: Path) -> tuple[nn.Module, int]:
    """A network saved by this script, and the side of its images."""
    state = torch.load(file, weights_only=True)
    network = timm.create_model(state["backbone"], num_classes=len(LABELS))
    network.load_state_dict(state["network"])
    return network.eval(), int(state["side"])


@torch.inference_mode()
def predictions(made: tuple[nn.Module, int], part: Part) -> NDArray[np.int64]:
    """Index among `LABELS` of every image of a part."""
    network, side = made
    answers = [logits(network, images_of(p, side)).argmax(1) for p in part.pieces()]
    found: NDArray[np.int64] = torch.cat(answers).numpy()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--backbone", default="lcnet_050")
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=20)
    given = parser.parse_args()
    assert set(LABELS) == set(GROUP_NAMES)
    parts = training_parts(train_settings(given.settings, photos=given.photos))
    images = torch.cat([images_of(piece, given.side) for part in parts for piece in part.pieces()])
    labels = [part.dataset.label(i) for part in parts for i in range(part.start, part.stop)]
    targets = torch.tensor([LABELS.index(name) for name in labels])
    torch.manual_seed(0)
    network = timm.create_model(given.backbone, num_classes=len(LABELS))
    fit(network, images, targets, given.epochs, given.out.with_suffix(".checkpoint"))
    torch.save({"backbone": given.backbone, "side": given.side, "network": network.state_dict()}, given.out)


if __name__ == "__main__":
    main()
