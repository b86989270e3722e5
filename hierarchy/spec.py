"""Decision trees as files: the YAML format, read strictly, and errors that say where and what to do.

A node asks one question; each of its choices leads to a leaf (a label) or to another node::

    name: frieze
    root:
      name: turn
      level: rotation
      question: Is there a half turn?
      children:
        no half turn: p1
        half turn: {name: mirror, level: reflection, children: {no mirror: p2, mirror: pmm}}
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    ValidationError,
)

from .errors import HierError
from .names import on_screen
from .yaml_text import PROBLEMS, YamlError, brief, parse_yaml, read_text

SLUG = r"^[a-z0-9][a-z0-9_-]*$"
LONGEST = 100  # letters of a name: files are named by it, with more around it
Slug = Annotated[str, StringConstraints(pattern=SLUG, max_length=LONGEST)]


def _printable(text: str) -> str:
    if on_screen(text) != text:
        raise ValueError("has a character that cannot be shown: use letters, digits, signs and spaces")
    return text


def _one_line(text: str) -> str:
    return _printable(" ".join(text.split()))


Text = Annotated[str, StringConstraints(min_length=1), AfterValidator(_printable)]
Prose = Annotated[str, AfterValidator(_one_line)]


class TreeError(HierError):
    """A tree that cannot be used; the message names the file, the node or key, and what to do."""


def _leaf_or_node(value: object) -> str:
    return "leaf" if isinstance(value, str) else "node"


class NodeSpec(BaseModel):
    """An inner node: its name, level, question, and choices in order.

    `children` maps each choice to a leaf label or to a further node. Names and levels are of lower-case
    letters, digits, ``_`` and ``-``, so that they can name runs, models and files; choices and labels can be shown.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    name: Slug
    level: Slug
    question: Prose = ""
    children: dict[Text, Child] = Field(min_length=2)


Child = Annotated[
    Annotated[Text, Tag("leaf")] | Annotated[NodeSpec, Tag("node")],
    Discriminator(_leaf_or_node),
]


class TreeSpec(BaseModel):
    """A whole tree: its name, a description, and the root node."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    name: Slug
    description: Prose = ""
    root: NodeSpec


NodeSpec.model_rebuild()
TreeSpec.model_rebuild()


def read_spec(path: Path) -> TreeSpec:
    """Read a tree file; TreeError names the file and what is wrong in it."""
    try:
        text = read_text(path)
    except YamlError as error:
        advice = "; give the name of a built-in tree or a YAML file" if not path.exists() else ""
        raise TreeError(f"{path}: {error}{advice}") from error
    return parse_spec(text, str(path))


def parse_spec(text: str, source: str) -> TreeSpec:
    """Parse the YAML `text` of a tree; `source` (a file's name) appears in errors."""
    try:
        raw = parse_yaml(text, typed=False)
    except YamlError as error:
        raise TreeError(f"{source}: {error}") from error
    if raw is None:
        raise TreeError(f"{source}: the file is empty; a tree needs 'name' and 'root'")
    if not isinstance(raw, dict):
        raise TreeError(f"{source}: a tree is a mapping with 'name' and 'root', not {type(raw).__name__}")
    try:
        return TreeSpec.model_validate(raw)
    except ValidationError as error:
        problems = [_problem(raw, dict(e)) for e in error.errors()[:PROBLEMS]]
        raise TreeError(f"{source}: {'; '.join(problems)}") from error


def dump_spec(spec: TreeSpec) -> str:
    """The YAML text of a tree; `parse_spec` reads it back."""
    return str(yaml.safe_dump(spec.model_dump(), sort_keys=False, allow_unicode=True))


def _problem(raw: dict[Any, Any], error: dict[str, Any]) -> str:
    """One line for one pydantic error: the nearest node that has a name, the key, and what to do."""
    at: Any = raw
    where, keys = "", []
    for step in error["loc"]:
        if isinstance(at, dict) and step in at:
            at = at[step]
            keys.append(str(step))
            if isinstance(at, dict) and isinstance(at.get("name"), str):
                where, keys = f"node {brief(at['name'])}: ", []
        elif isinstance(at, dict) and step not in ("leaf", "node", "[key]"):
            keys.append(str(step))
    key = " > ".join(keys)
    value = error["input"]
    match error["type"]:
        case "extra_forbidden":
            allowed = ", ".join((TreeSpec if len(error["loc"]) == 1 else NodeSpec).model_fields)
            return f"{where}unknown key {brief(key)}; allowed: {allowed}"
        case "missing":
            return f"{where}key {key!r} is missing"
        case "too_short":
            return f"{where}{key} holds {len(value)}; a node has two or more choices"
        case "string_pattern_mismatch":
            return f"{where}{key} is {brief(value)}; use lower-case letters, digits, '_' and '-'"
        case "string_too_long":
            return f"{where}{key} has {len(value)} letters; use at most {LONGEST}"
        case "string_too_short":
            return f"{where}{key} is empty; give it a text"
        case "dict_type":
            return f"{where}{key} is {brief(value)}; expected lines of 'choice: label' or 'choice: node'"
        case "model_type" | "model_attributes_type":
            return f"{where}{key} is {brief(value)}; expected a node with 'name', 'level' and 'children'"
        case "value_error":
            return f"{where}{key} is {brief(value)}: it {str(error['msg']).removeprefix('Value error, ')}"
        case _:
            return f"{where}{key} is {brief(value)}: {error['msg']}"
