"""How long `hier app` takes for an answer: from the request to its last byte, as a browser on the same machine waits.

    python benchmarks/page.py --count 20

starts the page, sends a pattern of 512 px and asks for its answer, with overlay, ladder, table and path, first once and
then so many times; the tolerance is another each time. Prints the first answer's time after the page was up, and the
median and the slowest of the others.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import time

import torch
from hier.pipelines.page.examples import EXAMPLES, SIDE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20, help="answers to each image")
    given = parser.parse_args()
    command = [sys.executable, "-m", "hier", "app", "--no-browser", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        try:
            found = re.search(r"http://([^/\s]+)", server.stdout.readline())
            assert found is not None, "the page is not served"
            measure(found[1], given.count)
        finally:
            server.terminate()


def measure(address: str, count: int) -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"{SIDE} px, {cores} cores, {torch.get_num_threads()} threads")
    line = http.client.HTTPConnection(address, timeout=300)
    line.request("GET", "/")
    first = line.getresponse()
    first.read()
    sent = {"Cookie": (first.getheader("set-cookie") or "").split(";")[0], "Origin": f"http://{address}"}

    def asked(path: str, body: str) -> tuple[float, dict[str, object]]:
        start = time.perf_counter()
        line.request("POST", path, body, sent)
        told = json.loads(line.getresponse().read())
        return time.perf_counter() - start, told

    for number, example in enumerate(EXAMPLES):
        _, image = asked(f"/api/examples/{number}", "")
        path = f"/api/images/{image['id']}/answer"
        begun, told = asked(path, "{}")
        times = [asked(path, json.dumps({"tolerance": 0.02 + 0.005 * k}))[0] for k in range(count)]
        usual = statistics.median(times)
        print(
            f"{example.title:14} {told['headline']!s:5} first {begun:.2f} s, then median {usual:.2f} s, "
            f"slowest {max(times):.2f} s"
        )


if __name__ == "__main__":
    main()
