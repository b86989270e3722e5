"""Against a peer: the displacement of distorted patterns by geometric phase analysis, and by `hier`'s fields.

    python benchmarks/phase_analysis.py [--count 51] [--seed 8] [--photos DIR]

Geometric phase analysis (Hytch, Snoeck and Kilaas, Ultramicroscopy 74, 131, 1998) as microscopists do it: the two
strongest reflections that are not in one line are picked, each is cut out by a Gaussian half as wide as its distance
from the origin, and what its unwrapped phase has beside a plane is the displacement along it. Errors are of the
displacement in px, after the best affine map, over the middle 80 % of the view.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from hier.datasets import Corruption, PatternDataset, split_pool
from hier.models.straightening.plane import pixels
from hier.models.straightening.straighten import straightened
from numpy.typing import NDArray
from skimage.restoration import unwrap_phase

Floats = NDArray[np.float64]
SOURCES = ("photos", "atoms", "noise")
KINDS = {"perspective": 20 / 6, "barrel": 5.0, "creep": 5.0, "bend": 5.0}


def phases(image: Floats) -> Floats:
    """Displacement (H, W, 2) px by geometric phase analysis of an image (H, W)."""
    size = len(image)
    window = np.hanning(size)
    spectrum = np.fft.fft2((image - image.mean()) * np.outer(window, window))
    f = np.fft.fftfreq(size)
    fy, fx = np.meshgrid(f, f, indexing="ij")
    power = np.abs(spectrum) * ((fy > 0) | ((fy == 0) & (fx > 0))) * (np.hypot(fx, fy) > 1.5 / size)
    order = np.argsort(power.ravel())[::-1]
    first = np.array([fx.ravel()[order[0]], fy.ravel()[order[0]]])
    for k in order[1:]:
        second = np.array([fx.ravel()[k], fy.ravel()[k]])
        cross = abs(first[0] * second[1] - first[1] * second[0])
        if cross > 0.5 * np.linalg.norm(first) * np.linalg.norm(second):
            break
    whole = np.fft.fft2(image - image.mean())
    y, x = np.mgrid[:size, :size]
    left = []
    for g in (first, second):
        around = np.exp(-((fx - g[0]) ** 2 + (fy - g[1]) ** 2) / (2 * (np.linalg.norm(g) / 4) ** 2))
        wave = np.fft.ifft2(whole * around) * np.exp(-2j * np.pi * (g[0] * x + g[1] * y))
        left.append(unwrap_phase(np.angle(wave)) / (2 * np.pi))
    found: Floats = np.moveaxis(np.tensordot(np.linalg.inv(np.stack([first, second])), np.stack(left), 1), 0, -1)
    return found


def error(straight: Floats, true: Floats) -> float:
    """Mean distance in px of straight points (N, 2) from the true ones, after the best affine map between the two."""
    affine = np.column_stack([straight, np.ones(len(straight))])
    off = true - affine @ np.linalg.lstsq(affine, true, rcond=None)[0]
    return float(np.linalg.norm(off, axis=1).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=51)
    parser.add_argument("--seed", type=int, default=8)
    parser.add_argument("--photos", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    pool = None if given.photos is None else split_pool(given.photos, "valid")
    print("| | phase analysis: median px | 90 % | hier: median px | 90 % |\n|---|---|---|---|---|")
    for kind, severity in KINDS.items():
        errors = []
        for k in range(given.count):
            step = (Corruption(kind, (severity, severity)),)
            dataset = PatternDataset(SOURCES[k % 3], given.seed, pool=pool, corruptions=step)  # type: ignore[arg-type]
            image, (drawn,) = dataset.batch([k])[0], dataset.distortions(k)
            inner = pixels(*image.shape[1:], image.device)[25:-25:3, 25:-25:3].reshape(-1, 2)
            points = (inner * image.shape[-1] / 2).double()
            true = drawn(points).numpy()
            by_phase = phases(image.mean(0).double().numpy())[25:-25:3, 25:-25:3].reshape(-1, 2)
            field = straightened(image)
            ours = inner if field is None else field.family.apply(inner, field.parameters)
            here = ours.double().numpy() * image.shape[-1] / 2
            errors.append([error(points.numpy() + by_phase, true), error(here, true)])
        columns = [f"{np.quantile(e, q):.2f}" for e in np.transpose(errors) for q in (0.5, 0.9)]
        print(f"| {kind} | {' | '.join(columns)} |", flush=True)


if __name__ == "__main__":
    main()
