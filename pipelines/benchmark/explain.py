"""Which pixels decided an answer of a benchmark's network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...arrays import gaussian_blur
from ...hierarchy import HierError, compile_tree, load_tree
from ...hierarchy.files import output
from ...hierarchy.kept import kept_text
from ...hierarchy.names import in_picture
from ...models.evidence.crops import best_view
from ...models.systems import BUNDLED, Network, Part, Sizes, System, assembled, build, parts_of, system_named
from ...models.systems import MAPS as MAPS_SYSTEM
from ..marks import save_figure
from ..training.checkpoints import load_checkpoint
from .run import find_network

AGAIN = "the networks in {} cannot be read: delete that folder and run the same `hier benchmark` again"
DRAWS, NOISE = 16, 0.08  # noisy copies whose gradients are averaged, and their noise


@dataclass(frozen=True)
class PixelAnswer:
    """`image` (3, S, S) as the network saw it, `saliency` (S, S) in [0, 1], and the answer with its probability."""

    image: Tensor
    saliency: Tensor
    answer: str
    probability: float


class Ensemble(nn.Module):
    """All networks of a system, as they are answered together: (B, 3, S, S) to log-probabilities (B, K)."""

    def __init__(self, system: System, sizes: Sizes, tree: str, folder: Path) -> None:
        super().__init__()
        self.system, self.tree = system, load_tree(system.tree or tree)
        self.plan = compile_tree(self.tree)
        self.parts: dict[str, Part] = {p.name: p for p in parts_of(system.questions, self.plan)}
        self.networks = nn.ModuleList()
        for k, part in enumerate(self.parts.values()):
            network = build(system, sizes, part)
            weights = load_checkpoint(folder / f"part-{k}.weights")
            if weights is None:
                raise HierError(AGAIN.format(folder))
            network.load_state_dict({name: value for name, value in weights.items() if name != "made_of"})
            self.networks.append(network.eval())

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the K answers."""
        if self.system.questions == "root":
            return self.tree.choices(self.plan.nodes[0])
        return self.plan.labels

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        networks = (n for n in self.networks if isinstance(n, Network))
        outputs = {name: network(images) for name, network in zip(self.parts, networks, strict=True)}
        return assembled(self.system.questions, self.plan, self.parts, outputs)


def load_ensemble(root: Path, name: str) -> tuple[Ensemble, int]:
    """The networks of a benchmark's system under `root`, and the px of their images. HierError when there are none."""
    system = system_named(name)
    if system.representation in (MAPS_SYSTEM, BUNDLED):
        raise HierError(f"{name} reads symmetry maps, not pixels: leave --backbone out to see which maps decide")
    if system.of:
        name, system = system.of, system_named(system.of)
    if system.centred:
        raise HierError(f"{name} reads windows about hand-picked centres, which an image of your own does not have")
    folder = find_network(root, name).parent
    made_of = kept_text(folder / "made.json", "the networks beside it cannot be used")
    if made_of is None:
        raise HierError(AGAIN.format(folder))
    made = json.loads(made_of)
    sizes = Sizes(**made["sizes"])
    return Ensemble(system, sizes, made["tree"], folder), sizes.side


def fitted(image: Tensor, side: int) -> Tensor:
    """A view of an image (3, H, W) as (3, side, side): cropped about the middle, enlarged when it is smaller."""
    image = best_view(image).image
    H, W = image.shape[-2:]
    if min(H, W) < side:
        scale = side / min(H, W)
        size = (max(side, round(H * scale)), max(side, round(W * scale)))
        image = F.interpolate(image[None], size, mode="bilinear", align_corners=False)[0]
        H, W = size
    top, left = (H - side) // 2, (W - side) // 2
    return image[:, top : top + side, left : left + side]


def explain_pixels(ensemble: Ensemble, image: Tensor) -> PixelAnswer:
    """Which pixels an answer depends on: the slope of its log-probability, averaged over noisy copies of the image.

    Smilkov, Thorat, Kim, Viegas and Wattenberg, "SmoothGrad: removing noise by adding noise", 2017. It works for any
    network, transformers and equivariant ones too. `image` (3, S, S) has the size that the networks were trained at.
    """
    device = next(ensemble.parameters()).device
    generator = torch.Generator().manual_seed(0)
    noise = NOISE * torch.randn(DRAWS, *image.shape, generator=generator)
    copies = (image + noise).to(device).requires_grad_()
    with torch.inference_mode():
        logp = ensemble(image[None].to(device))[0]
    best = int(logp.argmax())
    (slope,) = torch.autograd.grad(ensemble(copies)[:, best].sum(), copies)
    strength = gaussian_blur(slope.abs().sum(1, keepdim=True).mean(0, keepdim=True), 1.0)[0, 0].cpu()
    return PixelAnswer(
        image, strength / strength.max().clamp_min(1e-12), ensemble.classes[best], float(logp[best].exp())
    )


def draw_pixels(found: PixelAnswer, system: str, path: Path) -> None:
    """The image, and over its grey version the pixels that the answer depends on."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.2, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.imshow(found.image.permute(1, 2, 0).numpy().clip(0, 1))
    left.set_title("what the network saw")
    right.imshow(found.image.mean(0).numpy(), cmap="gray", vmin=-1, vmax=1)
    shown = right.imshow(found.saliency.numpy(), cmap="inferno", alpha=found.saliency.clamp_min(0.15).numpy())
    right.set_title(f"{in_picture(found.answer)} ({100 * found.probability:.0f} %) depends on")
    figure.colorbar(shown, ax=right, label="slope of the answer, largest is 1", shrink=0.8)
    figure.suptitle(in_picture(system))
    for axes in (left, right):
        axes.set_axis_off()
    with output(path) as file:
        save_figure(figure, file, path.suffix.lower(), dpi=120)
