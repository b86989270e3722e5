"""Imports go one way: hierarchy <- datasets, models <- pipelines <- hier."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_USE = {
    "hierarchy": {"hierarchy"},
    "datasets": {"datasets", "hierarchy"},
    "models": {"models", "hierarchy"},
    "pipelines": {"pipelines", "models", "datasets", "hierarchy"},
    "src/hier": {"hier", "pipelines", "models", "datasets", "hierarchy"},
}
SCREEN_AND_STORE = {"rich", "typer", "mlflow"}  # pipelines and the front door only; hierarchy draws its trees


def imports(file: Path, package: str) -> set[str]:
    """Packages that a source file imports: our own by the folder's name, others by theirs."""
    found = set()
    depth = len(file.relative_to(ROOT / package).parts)  # 1 in the package itself, 2 in a package within it
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level == 0:
                found.add(module.removeprefix("hier.").partition(".")[0])
            elif package == "src/hier":  # its parent's subpackages are its own
                names = [module] if module else [alias.name for alias in node.names]
                found |= {first if (first := name.partition(".")[0]) in MAY_USE else "hier" for name in names}
            elif node.level <= depth:
                found.add(package)
            else:
                assert node.level == depth + 1, f"{file}: {'.' * node.level}{module} leaves the package"
                names = [module] if module else [alias.name for alias in node.names]
                found |= {name.partition(".")[0] for name in names}
    return found


@pytest.mark.parametrize("package", MAY_USE)
def test_imports_go_one_way(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    own = {name.rpartition("/")[2] for name in MAY_USE}
    for file in files:
        used = imports(file, package)
        wrong = (used & own) - MAY_USE[package]
        assert not wrong, f"{file.relative_to(ROOT)} imports {', '.join(sorted(wrong))}"
        if package in ("datasets", "models"):
            assert not used & SCREEN_AND_STORE, file
        if package == "hierarchy":
            assert not used & {"torch", "timm", "mlflow", "sklearn"}, file


def test_every_package_is_installed_under_hier() -> None:
    import hier

    for package in MAY_USE:
        name = package.rpartition("/")[2]
        module = hier if name == "hier" else __import__(f"hier.{name}", fromlist=["__file__"])
        assert module.__name__ == ("hier" if name == "hier" else f"hier.{name}")
        assert module.__file__ is not None
