"""How long commands take that should answer at once: best and median in seconds, and the best beside `import torch`.

Run it as `python benchmarks/startup.py`.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

EXAMPLE = str(Path(__file__).parent.parent / "examples" / "cat_p4g.png")
COMMANDS = (("--help",), ("train", "--help"), ("tree",), ("predict", EXAMPLE))
RUNS = 9


def seconds(code: str, *arguments: str) -> list[float]:
    """Wall-clock times, in order, of so many calls in fresh processes."""
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code, *arguments], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - started)
    return sorted(times)


if __name__ == "__main__":
    torch = seconds("import torch")
    print(f"import torch        {torch[0]:.2f} {statistics.median(torch):.2f}")
    for arguments in COMMANDS:
        own = seconds("from hier.cli.app import main; main()", *arguments)
        name = " ".join(Path(a).name for a in arguments)
        print(f"hier {name:14} {own[0]:.2f} {statistics.median(own):.2f}   {own[0] / torch[0]:.2f} of torch")
