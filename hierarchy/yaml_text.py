"""YAML read strictly: of one line is every error, and a small file cannot become a large one.

A duplicate key is rejected, of which YAML would silently drop one; so are aliases, which put a thing in two places and
let few lines stand for billions.
"""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from .errors import HierError

LARGEST = 1 << 18  # bytes of a file
PROBLEMS = 5  # problems that one error tells of


class YamlError(HierError):
    """A file that cannot be read as YAML; the message says why and where in it, without its name."""


def read_text(path: Path) -> str:
    """The text of a small file in UTF-8; a byte order mark is left out. Raises YamlError."""
    try:
        if path.is_file() and path.stat().st_size > LARGEST:
            raise YamlError(f"larger than {LARGEST >> 10} kB, which no settings and no tree are")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise YamlError("no such file") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise YamlError(f"line {line}: not UTF-8: save it as text in UTF-8") from error
    except (OSError, ValueError) as error:
        raise YamlError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error


def parse_yaml(text: str, typed: bool = True) -> Any:
    """What a YAML text says: with numbers and switches, or, not `typed`, with each scalar as text. Raises YamlError."""
    try:
        return yaml.load(text, Loader=_TypedLoader if typed else _TextLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise YamlError(f"not valid YAML: {where}{_one_line(error.problem or error.context)}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlError(f"not valid YAML: line {line}: character {error.character!r} has no place in it") from error
    except RecursionError:
        raise YamlError("nested too deep; check the brackets") from None
    except (ValueError, LookupError, AttributeError, TypeError, OverflowError, yaml.YAMLError) as error:
        raise YamlError(f"not valid YAML: {_one_line(error) or type(error).__name__}") from error


def brief(value: object) -> str:
    """A value as an error shows it."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits
        return f"a huge {type(value).__name__}"
    return text if len(text) <= 100 else f"{text[:80]}... ({len(text)} characters)"


def _one_line(text: object) -> str:
    return " ".join(str(text).split())[:200]


class _Strict:
    """What both loaders refuse."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {brief(key_node.value)} is given twice", key_node.start_mark
                )
            seen.add(key_node.value)
        made: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)  # type: ignore[misc]
        return made

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):  # type: ignore[attr-defined]
            event = self.peek_event()  # type: ignore[attr-defined]
            raise yaml.composer.ComposerError(
                None,
                None,
                f"alias *{event.anchor[:40]}: write out what it stands for, a thing can appear only once",
                event.start_mark,
            )
        composed: yaml.Node | None = super().compose_node(parent, index)  # type: ignore[misc]
        return composed


class _TextLoader(_Strict, yaml.BaseLoader):
    """Reads every scalar as text, so that ``no``, ``4`` and ``1.0`` are names like any other."""


class _TypedLoader(_Strict, yaml.SafeLoader):
    """Reads numbers and switches as such."""
