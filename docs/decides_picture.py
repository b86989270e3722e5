"""One image followed through all steps, for the page how-it-decides: `decides.jpg`.

    python docs/decides_picture.py [FILE]

The image is of group p4g, from the project's generator, with noise. All that is drawn is what `hier predict` computes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from hier.datasets import PatternDataset
from hier.models.evidence.autocorrelation import autocorrelation, bragg_filtered
from hier.models.evidence.lattice import find_lattice
from hier.models.evidence.maps import MAPS, symmetry_maps
from hier.models.evidence.repeats import BLUR
from hier.models.evidence.structure import structure_factors
from hier.models.placing.cells import averaged_cell, tiled
from torch import Tensor

import hier
from hier.arrays import gaussian_blur

matplotlib.use("Agg")
from matplotlib import pyplot

GROUP, SEED, SIZE, NOISE = "p4g", 2_718, 256, 0.12
SHOWN = ("4-fold", "mirror a", "glide a", "mirror a+b")
SIDE, CELLS = 300, 1.7  # px of a map, and lattice vectors along its side


def noisy() -> Tensor:
    """The image (3, SIZE, SIZE)."""
    clean = PatternDataset("photos", SEED, SIZE, groups=(GROUP,), cells=(14, 18)).batch([0])[0]
    noise = torch.from_numpy(np.random.default_rng(SEED).standard_normal((3, SIZE, SIZE), dtype=np.float32))
    return (clean + NOISE * noise).clamp(0, 1)


def arrows(axes: Any, basis: np.ndarray, origin: tuple[float, float], colour: str) -> None:
    """The lattice vectors, with their names."""
    for k, name in enumerate("ab"):
        tip = np.add(origin, basis[:, k])
        axes.annotate("", tip, origin, arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 2})
        axes.text(*np.add(tip, 7 * basis[:, k] / np.linalg.norm(basis[:, k])), name, color=colour, fontsize=14,
                  ha="center", va="center", weight="bold")  # fmt: skip


def path_panel(axes: Any, found: hier.Prediction) -> None:
    """Every node on the path, with the probabilities of its answers."""
    y, ticks = 0.0, []
    for step in found.path:
        axes.text(0, y, f"{step.level}", fontsize=11, weight="bold", va="center")
        for choice, p in step.choices.items():
            y += 1
            axes.barh(y, p, height=0.7, color="#1a56b0" if choice == step.choice else "#c3cad6")
            ticks.append((y, choice))
        y += 1.6
    axes.set_yticks([t for t, _ in ticks], [name for _, name in ticks], fontsize=10)
    axes.set(
        xlim=(0, 1), ylim=(y - 1, -0.8), xticks=(0, 0.5, 1), title=f"4  path: {found.group}, {found.probability:.3f}"
    )
    axes.spines[["top", "right"]].set_visible(False)


@torch.inference_mode()
def figure() -> tuple[Any, float]:
    """All panels, and the residual that noise would leave of a true symmetry."""
    image = noisy()
    (found,) = hier.load().predict(image, keep=True)
    lattice = find_lattice(image[None])
    basis = lattice.basis[0].double().numpy()
    maps = symmetry_maps(structure_factors(image[None], lattice.basis), lattice.basis)
    surface = autocorrelation(gaussian_blur(bragg_filtered(image[None]), BLUR))[0]
    whole = torch.cat([surface[1:].flip(0, 1), surface])  # a shift and its negative are one

    made, axes = pyplot.subplots(2, 4, figsize=(15, 7.9), layout="constrained")
    for panel in axes.flat:
        panel.set(xticks=(), yticks=())
    axes[0, 0].imshow(image.permute(1, 2, 0))
    axes[0, 0].set_title(f"image: {GROUP}, with noise")

    Y, X = whole.shape[0] // 2, whole.shape[1] // 2
    reach = 1.9 * float(np.linalg.norm(basis, axis=0).max())
    axes[0, 1].imshow(whole, cmap="gray", extent=(-X - 0.5, X + 0.5, Y + 0.5, -Y - 0.5))
    arrows(axes[0, 1], basis, (0, 0), "#e8590c")
    axes[0, 1].set(xlim=(-reach, reach), ylim=(reach, -reach), title="1  lattice: peaks of the autocorrelation")

    side = CELLS * float(np.linalg.norm(basis, axis=0).max())
    large, middle = basis * SIDE / side, np.full(2, (SIDE - 1) / 2)
    outline = (np.array([(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]) - 0.5) @ large.T + middle
    centre = np.full(2, (SIZE - 1) / 2)
    cell = averaged_cell(image, basis, centre)
    axes[0, 2].imshow(tiled(cell, large, middle, SIDE, SIDE).clamp(0, 1).permute(1, 2, 0))
    count = SIZE**2 / abs(float(np.linalg.det(basis)))
    axes[0, 2].plot(*outline.T, color="#66d9e8", lw=1)
    axes[0, 2].set_title(f"2  cell: mean of {count:.0f}, repeated")
    path_panel(axes[0, 3], found)

    names = [name for name, _, _ in MAPS]
    for panel, name in zip(axes[1], SHOWN, strict=True):
        m = names.index(name)
        surface = maps.maps[0, m, -1].clamp(0, 1)[None]
        drawn = panel.imshow(tiled(surface, large, middle, SIDE, SIDE)[0].clamp(0, 1), cmap="magma", vmin=0, vmax=1)
        panel.plot(*outline.T, color="#66d9e8", lw=1)
        panel.set(xlim=(0, SIDE), ylim=(SIDE, 0), title=f"{name}: highest {float(maps.peaks[0, m, -1]):.3f}")
    axes[1, 0].set_ylabel("3  symmetry maps", fontsize=12)
    made.colorbar(drawn, ax=axes[1, -1], shrink=0.8, label="correlation")
    return made, float(maps.noise[0, -1])


def main() -> None:
    """Write the file."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("decides.jpg")
    made, noise = figure()
    made.savefig(out, dpi=80, pil_kwargs={"quality": 82, "optimize": True})
    print(out, f"{out.stat().st_size / 1000:.0f} kB; noise alone would leave 1 - {noise:.4f} of a true symmetry")


if __name__ == "__main__":
    main()
