"""What the authors published, to stand beside a benchmark. Theirs, not ours: nothing here was run by this project."""

from __future__ import annotations

from dataclasses import dataclass

SAID = (
    "Guo, Qin and Agar report 99.9 % on held-out patterns of the kind trained on, and 45 to 59 % on patterns made of "
    "simulated atoms."
)
LATER = (
    "Later runs published by the same authors, 256 x 256 images, trained on patterns of photographs. With noise added "
    "to the test images (ResNet50, 10M): 85.4 % of atoms and 80.1 % of noise at p = 0.1, 58.9 and 13.0 % at 0.3."
)


@dataclass(frozen=True)
class Theirs:
    """Accuracies in % on patterns of photographs, atoms and noise, after training on `images` patterns."""

    network: str
    images: str
    valid: float
    atoms: float
    noise: float


TABLE = (
    Theirs("ResNet50", "1k", 24, 12, 8),
    Theirs("ResNet50", "10k", 61, 41, 38),
    Theirs("ResNet50", "100k", 92, 44, 69),
    Theirs("ResNet50", "1M", 98.2, 74.6, 93.8),
    Theirs("ResNet50", "10M", 98.7, 88.4, 96.2),
    Theirs("FPN", "10M", 98.7, 82.9, 96.7),
    Theirs("XCiT", "100k", 95.4, 65.8, 73.1),
    Theirs("XCiT", "2M", 98.6, 91.9, 96.9),
    Theirs("XCiT", "10M", 98.8, 91.8, 98.6),
)
