"""Predict the group of every example image and check the answers against the file names.

python examples/answers.py
"""

from __future__ import annotations

from pathlib import Path

import hier


def main() -> None:
    """Print one line for each image. Raises AssertionError for a wrong answer."""
    files = sorted(Path(__file__).parent.glob("*.png"))
    for file, found in zip(files, hier.load().predict(files), strict=True):
        print(f"{file.name:18} {found.group or 'not periodic':12} {found.periodic_probability:.4f}")
        expected = file.stem.rpartition("_")[2]
        assert found.group == (None if expected == "pattern" else expected), file.name


if __name__ == "__main__":
    main()
