"""Which changes to `models` and `datasets` the tests notice: a sample of mutants, each run against its package's tests.

    pip install -e '.[dev]' && python benchmarks/mutation.py

A mutant is the code with one number, comparison, sign or operator changed by cosmic-ray. The sample is drawn by a hash
of the line, so that it stays the same where the code does, wherever its file is moved. Everything happens in copies.

The tests of a mutant are those nearest to its file by imports, as many as take `--budget` seconds: the score is a lower
bound on what the whole suite notices.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import multiprocessing
import os
import shutil
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from time import monotonic

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

PACKAGES = ("models", "datasets")
BINARY = (
    "Add_Sub",
    "Sub_Add",
    "Mul_Div",
    "Div_Mul",
    "Pow_Mul",
    "Mod_Mul",
    "FloorDiv_Mul",
    "BitAnd_BitOr",
    "BitOr_BitAnd",
)
COMPARISON = ("Lt_LtE", "Lt_Gt", "LtE_Lt", "LtE_GtE", "Gt_GtE", "Gt_Lt", "GtE_Gt", "GtE_LtE", "Eq_NotEq", "NotEq_Eq")
PLAIN = (
    "NumberReplacer",
    "AddNot",
    "ReplaceAndWithOr",
    "ReplaceOrWithAnd",
    "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue",
)
OPERATORS = (
    *(f"core/ReplaceBinaryOperator_{name}" for name in BINARY),
    *(f"core/ReplaceComparisonOperator_{name}" for name in COMPARISON),
    *(f"core/{name}" for name in PLAIN),
    "core/ReplaceUnaryOperator_Delete_USub",
    "core/ReplaceUnaryOperator_Delete_Not",
)
PROCESSES = multiprocessing.get_context("forkserver")  # libraries are imported once, hier again for every mutant
PROCESSES.set_forkserver_preload(["torch", "timm", "sklearn.tree", "skimage.data", "networkx", "pytest", "hypothesis"])


@dataclass(frozen=True)
class Mutant:
    """A change at `line` of a file; `key` is equal for equal code, `occurrence` is cosmic-ray's."""

    file: str
    line: int
    code: str
    operator: str
    occurrence: int
    key: str


def never_run(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where a change has no noticeable effect: annotations, decorators (sizes of caches), `strict=` of zip."""
    nodes: list[ast.AST | None] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.arg | ast.AnnAssign):
            nodes.append(node.annotation)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            nodes += [*node.decorator_list, getattr(node, "returns", None)]
        elif isinstance(node, ast.keyword) and node.arg == "strict":
            nodes.append(node.value)
    return [((n.lineno, n.col_offset), (n.end_lineno, n.end_col_offset)) for n in nodes if n]  # type: ignore[attr-defined]


def mutants(root: Path, seed: int) -> Iterator[Mutant]:
    """One mutant for every position in the code that can be changed, the change drawn by hash."""
    for file in sorted(path for package in PACKAGES for path in (root / "hier" / package).rglob("*.py")):
        source = file.read_text(encoding="utf-8")
        lines, nodes, dead = source.splitlines(), list(ast_nodes(get_ast(source))), never_run(source)
        places: dict[tuple[int, int], list[tuple[str, int]]] = defaultdict(list)
        for operator in OPERATORS:
            found = (start for node in nodes for start, _ in get_operator(operator)().mutation_positions(node))
            for occurrence, at in enumerate(found):
                if not any(start <= at < end for start, end in dead):
                    places[at].append((operator, occurrence))
        seen: Counter[tuple[str, int]] = Counter()
        for (line, column), choices in sorted(places.items()):
            code = lines[line - 1].strip()
            same = code, column - (len(lines[line - 1]) - len(lines[line - 1].lstrip()))
            seen[same] += 1
            key = hashlib.sha256(f"{seed} {file.name} {same} {seen[same]}".encode()).hexdigest()
            operator, occurrence = choices[int(key[:8], 16) % len(choices)]
            yield Mutant(str(file.relative_to(root)), line, code, operator, occurrence, key)


def copied(tree: Path, to: Path) -> Path:
    """The package as it is installed, and its tests, in a folder of their own."""
    skip = shutil.ignore_patterns("__pycache__", ".hypothesis")
    shutil.copytree(tree / "src" / "hier", to / "hier", ignore=skip)
    for package in ("hierarchy", "datasets", "models", "pipelines"):
        shutil.copytree(tree / package, to / "hier" / package, ignore=skip)
    shutil.copytree(tree / "tests", to / "tests", ignore=skip)
    shutil.copy(tree / "pyproject.toml", to)
    return to


def pytest_in(root: Path, arguments: list[str]) -> None:
    """Pytest in a copy, in a process of its own, quietly; leaves with its exit code."""
    os.chdir(root)
    sys.path.insert(0, str(root))
    os.environ["PYTHONPATH"] = str(root)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    import pytest

    code = pytest.main(["-q", "-x", "--tb=no", "-p", "no:cacheprovider", *arguments])
    os._exit(int(code))  # threads of libraries need not be waited for


def run(root: Path, arguments: list[str], timeout: float | None = None) -> int | None:
    """Pytest's exit code in a copy, None after `timeout` seconds."""
    process = PROCESSES.Process(target=pytest_in, args=(root, arguments))
    process.start()
    process.join(timeout)
    if process.exitcode is None:
        process.kill()
        process.join()
        return None
    return process.exitcode


def seconds_of_tests(root: Path, package: str) -> dict[str, float]:
    """Each test file of a package and how long it takes. All of them must pass."""
    report = root / f"{package}.xml"
    code = run(root, [f"tests/{package}", "-o", "junit_family=xunit1", f"--junitxml={report}"])
    seconds: dict[str, float] = defaultdict(float)
    for case in ElementTree.parse(report).iter("testcase"):
        seconds[case.attrib["file"]] += float(case.attrib["time"])
        if code and any(child.tag in ("failure", "error") for child in case):
            raise SystemExit(f"{case.attrib['file']}::{case.attrib['name']} fails without any mutation")
    if code:
        raise SystemExit(f"tests/{package} cannot be run: pytest ends with {code}")
    return dict(seconds)


def imports(file: Path, root: Path) -> set[str]:
    """The files of ours that a file imports; through a package's `__init__`, those that its names come from."""
    found: set[Path] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            start = file.parents[node.level - 1] if node.level else root
            folder = start.joinpath(*(node.module or "").split("."))
            for alias in node.names:
                inner = folder / f"{alias.name}.py"
                found.add(inner if inner.exists() else defining(folder, alias.name))
    return {str(path.relative_to(root)) for path in found if path.is_file() and path.is_relative_to(root)}


def defining(folder: Path, name: str) -> Path:
    """The module that is `folder`, or the one from which the package `folder` has `name`."""
    package = folder / "__init__.py"
    if package.exists():
        for node in ast.parse(package.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom) and node.level == 1 and any(a.name == name for a in node.names):
                return folder.joinpath(*(node.module or "").split(".")).with_suffix(".py")
    return folder.with_suffix(".py")


def users_of(root: Path, tests: Iterable[str]) -> dict[str, set[str]]:
    """For each of our files, the files and tests that import it."""
    users: dict[str, set[str]] = defaultdict(set)
    for path in [*(root / "hier").rglob("*.py"), *(root / name for name in tests)]:
        for other in imports(path, root):
            users[other].add(str(path.relative_to(root)))
    return users


def nearest_tests(file: str, users: dict[str, set[str]], seconds: dict[str, float], budget: float) -> list[str]:
    """The tests nearest to a file by imports, the quickest first: one, and as many more as take `budget` seconds."""
    near: dict[str, int] = {}
    here, distance = {file}, 0
    while here - near.keys():
        near |= {name: distance for name in here - near.keys()}
        here, distance = {user for name in here for user in users[name]}, distance + 1
    own = f"test_{Path(file).stem}"
    reaching = [name for name in seconds if name in near]
    chosen: list[str] = []
    for name in sorted(reaching, key=lambda name: (own not in name, near[name], seconds[name])):
        if not chosen or sum(seconds[other] for other in (*chosen, name)) <= budget:
            chosen.append(name)
    return chosen


def outcome(mutant: Mutant, root: Path, tests: list[str], timeout: float) -> str:
    """`noticed`, `survived` or `timeout`; the file in the copy `root` is as before afterwards."""
    file = root / mutant.file
    source = file.read_text(encoding="utf-8")
    try:
        file.write_text(mutate_code(source, get_operator(mutant.operator)(), mutant.occurrence), encoding="utf-8")
        code = run(root, tests, timeout) if tests else 0
    finally:
        file.write_text(source, encoding="utf-8")
    return {None: "timeout", 0: "survived"}.get(code, "noticed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=120, help="mutants in the sample")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--budget", type=float, default=20, help="seconds of tests for each mutant")
    parser.add_argument("--workers", type=int, default=2, help="mutants at a time")
    parser.add_argument("--minutes", type=float, default=60, help="start no mutant after this many seconds")
    parser.add_argument("--tree", type=Path, default=Path(__file__).resolve().parents[1], help="what to mutate")
    options = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    began = monotonic()
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(options.workers) as pool:
        roots = [copied(options.tree, Path(temporary) / str(k)) for k in range(options.workers)]
        measured = dict(zip(PACKAGES, pool.map(lambda p: seconds_of_tests(roots[0], p), PACKAGES), strict=True))
        every = list(mutants(roots[0], options.seed))
        sample = sorted(every, key=lambda m: m.key)[: options.count]
        print(
            f"{len(sample)} of {len(every)} mutants, after {monotonic() - began:.0f} s of tests without any", flush=True
        )
        users = users_of(roots[0], [name for seconds in measured.values() for name in seconds])
        free: SimpleQueue[Path] = SimpleQueue()
        for root in roots:
            free.put(root)

        def tried(mutant: Mutant) -> str | None:
            if monotonic() - began > 60 * options.minutes:
                return None
            package = mutant.file.split("/")[1]
            tests = nearest_tests(mutant.file, users, measured[package], options.budget)
            root = free.get()
            try:
                return outcome(mutant, root, tests, 30 + 4 * sum(measured[package][name] for name in tests))
            finally:
                free.put(root)

        counts: Counter[str] = Counter()
        for mutant, found in zip(sample, pool.map(tried, sample), strict=True):
            if found:
                counts[found] += 1
                if found != "noticed":
                    print(f"{found}  {mutant.file}:{mutant.line}  {mutant.operator[5:]}\n    {mutant.code}", flush=True)
    noticed = counts["noticed"] + counts["timeout"]
    share = f"{noticed} of {counts.total()} mutants noticed ({noticed / max(1, counts.total()):.0%})"
    print(f"{share}, {counts['timeout']} of them by running on for too long")


if __name__ == "__main__":
    main()
