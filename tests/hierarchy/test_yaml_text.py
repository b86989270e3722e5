"""YAML is read strictly, and every error is one line that says where."""

from __future__ import annotations

from pathlib import Path

import pytest
from hier.hierarchy.yaml_text import LARGEST, YamlError, brief, parse_yaml, read_text

LAUGHS = "a: &a [x, x]\n" + "".join(f"{n}: &{n} [*{m}, *{m}]\n" for m, n in zip("abcdefgh", "bcdefghi", strict=True))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, r"line 2, column 8: alias \*a"),
        ("a: 1\nb: 2\na: 3", "line 3, column 1: key 'a' is given twice"),
        ("a: [1", "line 1, column 6: "),
        ("a: \x1b[2J", "line 1: character "),
        ("[" * 5000, "nested too deep"),
        ("a: 2001-99-99", "month must be in 1..12"),
        ("a: !!bool perhaps", "not valid YAML: "),
        ("a: !!python/object:os.system x", "line 1, column 4: "),
        ("? [a, b]\n: c\n? {d: e}\n: f", "line 1, column 3: found unhashable key"),
        ("a: !!timestamp x", "not valid YAML: "),
        (f"a: {'9' * 5000}", "not valid YAML: "),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(YamlError, match=message) as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value)


def test_scalars_are_typed_or_text() -> None:
    assert parse_yaml("a: 1\nb: no\nc: x") == {"a": 1, "b": False, "c": "x"}
    assert parse_yaml("a: 1\nb: no\nc: x", typed=False) == {"a": "1", "b": "no", "c": "x"}


def test_files_that_are_no_text(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: 1")
    assert parse_yaml(read_text(file)) == {"a": 1}
    for content, message in ((b"a\nb\n\xff", "line 3: not UTF-8"), (b"#" * (LARGEST + 1), "larger than 256 kB")):
        file.write_bytes(content)
        with pytest.raises(YamlError, match=message):
            read_text(file)
    for path, message in ((tmp_path, "cannot be read"), (tmp_path / "none", "no such file")):
        with pytest.raises(YamlError, match=message):
            read_text(path)


def test_values_are_shown_briefly() -> None:
    assert brief("x" * 1000).endswith("(1002 characters)")
    assert brief(1 << 40000) == "a huge int"
