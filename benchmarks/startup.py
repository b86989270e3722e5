"""How long commands take that should answer at once: best and median of several runs, in seconds.

Run it as `python benchmarks/startup.py`.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

COMMANDS = (("--help",), ("train", "--help"), ("tree",))
RUNS = 9


def seconds(*arguments: str) -> float:
    """Wall-clock time of one call in a fresh process."""
    command = [sys.executable, "-c", "from hier.cli.app import main; main()", *arguments]
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


if __name__ == "__main__":
    for arguments in COMMANDS:
        times = [seconds(*arguments) for _ in range(RUNS)]
        print(f"hier {' '.join(arguments):14} {min(times):.2f} {statistics.median(times):.2f}")
