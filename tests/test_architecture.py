"""Imports go one way: between packages, between the rooms within them, and between the modules of a room.

Imports inside functions and those for type checkers count as all others: who reads a file follows them too.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = {
    "hier": "src/hier",
    "hier.hierarchy": "hierarchy",
    "hier.datasets": "datasets",
    "hier.models": "models",
    "hier.pipelines": "pipelines",
}
MAY_USE = {  # `arrays` stands beside these packages and is everybody's
    "hierarchy": set(),
    "datasets": {"hierarchy", "arrays"},
    "models": {"hierarchy", "arrays"},
    "pipelines": {"hierarchy", "datasets", "models", "arrays"},
}
# A room imports from those before it. Files that lie in `models`, `pipelines` and `hier` themselves: see `room`.
ORDER = (
    "arrays",
    "hierarchy",
    "datasets",
    "models.evidence",
    "models.placing",
    "models.residuals",
    "models.routing",
    "models.straightening",
    "models.regions",
    "models.systems",
    "models",
    "pipelines.stopping",
    "pipelines.reading",
    "pipelines.marks",
    "pipelines.outputs",
    "pipelines.cluster",
    "pipelines.devices",
    "pipelines.generating",
    "pipelines.straightening",
    "pipelines.measuring",
    "pipelines.drawing",
    "pipelines.answering",
    "pipelines.reporting",
    "pipelines.field",
    "pipelines.tracking",
    "pipelines.training",
    "pipelines.benchmark",
    "pipelines.loading",
    "pipelines.onnx_files",
    "pipelines.page",
    "pipelines.predict",
    "pipelines.results",
    "pipelines",
    "hier",
    "pipelines.serving",
    "screen",
    "cli",
    "napari",
    "__main__",
)
ENTRIES = ("hier", "hier.__main__", "hier.cli.app", "hier.napari.widget")
# Models that are logged in MLflow import these by name, and nothing of ours does.
KEPT_FOR_LOGGED_MODELS = {
    "hier.models.representation",
    "hier.pipelines.predict",
    "hier.pipelines.results",
    "hier.pipelines.serving.classifier_pyfunc",
    "hier.pipelines.serving.node_pyfunc",
}
SCREEN_AND_STORE = {"rich", "typer", "mlflow"}  # pipelines and the front door only; hierarchy draws its trees
HEAVY = {"torch", "timm", "mlflow", "sklearn"}


@cache
def modules() -> dict[str, list[Path]]:
    """Every module of ours by its installed name, with its source and its stub."""
    found: dict[str, list[Path]] = {}
    for package, folder in FOLDERS.items():
        for file in sorted(p for suffix in ("py", "pyi") for p in (ROOT / folder).rglob(f"*.{suffix}")):
            parts = [part for part in file.relative_to(ROOT / folder).with_suffix("").parts if part != "__init__"]
            found.setdefault(".".join([package, *parts]), []).append(file)
    return found


@cache
def imported(module: str) -> frozenset[tuple[str, bool]]:
    """What a module imports, wherever in it: full names, of ours a module's; and whether for type checkers alone."""
    found = set()
    for file in modules()[module]:
        package = module if file.stem == "__init__" else module.rpartition(".")[0]
        tree = ast.parse(file.read_text(encoding="utf-8"))
        guarded = [n for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test)]
        typing = {id(n) for guard in guarded for statement in guard.body for n in ast.walk(statement)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found |= {(alias.name, id(node) in typing) for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
                source = ".".join([*above, *([node.module] if node.module else [])])
                names = {f"{source}.{alias.name}" for alias in node.names}
                found |= {(name if name in modules() else source, id(node) in typing) for name in names}
    return frozenset(found)


@cache
def graph(typing: bool = True) -> nx.DiGraph:
    """An edge from each module to those of ours that it imports."""
    made = nx.DiGraph()
    made.add_nodes_from(modules())
    made.add_edges_from(
        (module, other)
        for module in modules()
        for other, for_types in imported(module)
        if other in modules() and (typing or not for_types)
    )
    return made


def room(module: str) -> str:
    """`hierarchy`, `datasets`, a package within another, `models` for the files between those, or a file by itself."""
    first, second, *_ = [*module.split(".")[1:], "", ""]
    if first in ("models", "pipelines"):
        if any(name.startswith(f"hier.{first}.{second}.") for name in modules()) or first == "pipelines":
            return f"{first}.{second}".rstrip(".")
        return first
    return first or "hier"


@pytest.mark.parametrize("module", modules())
def test_packages_import_one_way(module: str) -> None:
    package = module.split(".")[1] if module.count(".") else "hier"
    foreign = {name.partition(".")[0] for name, _ in imported(module)}
    if package in MAY_USE and room(module) != "pipelines.serving":
        used = {[*name.split("."), "hier"][1] for name, _ in imported(module) if name.partition(".")[0] == "hier"}
        wrong = used - MAY_USE[package] - {package}
        assert not wrong, f"{module} imports {', '.join(sorted(wrong))}"
    if package in ("datasets", "models"):
        assert not foreign & SCREEN_AND_STORE, module
    if package == "hierarchy":
        assert not foreign & HEAVY, module


def test_every_room_has_its_place_in_the_order() -> None:
    assert {room(module) for module in modules()} <= set(ORDER)
    assert len(ORDER) == len(set(ORDER))


@pytest.mark.parametrize("name", ORDER)
def test_a_room_imports_from_those_before_it(name: str) -> None:
    later = [
        f"{name} imports {room(to)}, which comes later: {module} from {to}"
        for module, to in graph().edges
        if room(module) == name and ORDER.index(room(to)) > ORDER.index(name)
    ]
    assert not later, "\n".join(later)


def test_only_serving_knows_the_front_door_and_it_knows_nothing_else() -> None:
    """MLflow copies its files beside a model and runs them years later: what is public stays."""
    for module in modules():
        ours = {name for name, _ in imported(module) if name.partition(".")[0] == "hier"}
        if room(module) == "pipelines.serving":
            assert ours <= {"hier"}, f"{module} imports {', '.join(sorted(ours - {'hier'}))}"
        elif module.startswith("hier.pipelines"):
            front = {name for name in ours if name == "hier" or room(name) in ("cli", "screen")}
            assert not front, f"{module} imports {', '.join(sorted(front))}"


def test_modules_of_a_room_form_no_circle() -> None:
    """An import for a type checker alone may go both ways within a room: a file and what it draws name each other."""
    circles = [sorted(c) for c in nx.strongly_connected_components(graph(typing=False)) if len(c) > 1]
    assert not circles


@pytest.mark.parametrize("package", [name for name, files in modules().items() if files[0].stem == "__init__"])
def test_a_package_names_each_of_its_modules(package: str) -> None:
    """Its docstring is the map: in backticks, each file and each package within it."""
    source = next(file for file in modules()[package] if file.suffix == ".py")
    told = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
    within = {name.rpartition(".")[2] for name in modules() if name.rpartition(".")[0] == package}
    missing = sorted(stem for stem in within if f"`{stem}`" not in told and not stem.startswith("__"))
    assert not missing, f"the docstring of {package} does not name {', '.join(missing)}"


def test_every_module_is_used_by_the_command_line_or_the_public_names() -> None:
    reached = set(ENTRIES).union(*(nx.descendants(graph(), entry) for entry in ENTRIES))
    packages = {name for name, files in modules().items() if files[0].stem == "__init__"}
    rooms = ("hier.datasets.", "hier.models.", "hier.pipelines.")
    unused = {name for name in modules() if name.startswith(rooms)} - reached - packages
    assert unused == KEPT_FOR_LOGGED_MODELS, f"only tests use {', '.join(sorted(unused - KEPT_FOR_LOGGED_MODELS))}"


def test_every_package_is_installed_under_hier() -> None:
    import importlib

    for package, folder in FOLDERS.items():
        module = importlib.import_module(package)
        assert module.__name__ == package
        assert module.__file__ is not None, folder
