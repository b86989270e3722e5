"""What is shipped: a source distribution with all of the checkout, versions that fit, an image that can be built."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LEFT_OUT = {".gitignore", ".dockerignore", ".pre-commit-config.yaml"}
INSTRUCTIONS = {"FROM", "ARG", "RUN", "COPY", "USER", "WORKDIR", "ENTRYPOINT", "CMD"}


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.M)
    lines = text.replace("\\\n", " ").splitlines()
    return [(name, rest) for line in lines if line.strip() for name, _, rest in [line.partition(" ")]]


@pytest.mark.slow
def test_a_source_distribution_has_all_that_the_checkout_has(tmp_path: Path) -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a checkout")
    copy = tmp_path / "copy"
    for name in listed.stdout.split():
        if (ROOT / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    code = f"import setuptools.build_meta as b; b.build_sdist({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=copy, check=True, capture_output=True)
    (made,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(made) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    assert {name for name in listed.stdout.split() if (ROOT / name).exists()} - names <= LEFT_OUT


def test_the_versions_written_down_are_versions_allowed() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    known = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pinned.items()}
    extras = PROJECT["optional-dependencies"]
    wanted = [
        *PROJECT["dependencies"],
        *extras["test"],
        *extras["docs"],
        *extras["hdf5"],
        *extras["em"],
        *extras["afm"],
    ]
    for requirement in map(Requirement, wanted):
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        assert requirement.specifier.contains(known[name], prereleases=True), f"{requirement}: {known[name]}"


def test_the_image_is_built_of_what_is_there() -> None:
    steps = instructions()
    assert {name for name, _ in steps} <= INSTRUCTIONS
    assert steps[0][0] == "FROM"
    python = re.fullmatch(r"python:([\d.]+)-slim", steps[0][1])
    assert python
    assert SpecifierSet(PROJECT["requires-python"]).contains(python[1])
    for source in (rest.split()[0] for name, rest in steps if name == "COPY"):
        assert (ROOT / source).exists()
    (extras,) = (re.search(r"/hier\[(.*?)\]", rest) for name, rest in steps if "/hier[" in rest)
    assert extras
    assert set(extras[1].split(",")) <= set(PROJECT["optional-dependencies"])
    (entry,) = (json.loads(rest) for name, rest in steps if name == "ENTRYPOINT")
    assert entry[0] in PROJECT["scripts"]
    users = [rest for name, rest in steps if name == "USER"]
    assert users, "a container that reads foreign files does not run as root"
    assert "root" not in users[-1]
