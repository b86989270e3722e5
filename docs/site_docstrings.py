"""Shows docstrings as Markdown: examples (`>>>`) as code, and `name : what it is` as a list. An extension of Griffe."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

EXAMPLE = re.compile(r"^>>> .*(?:\n\S.*)*", re.M)  # up to an empty line
HEADING = re.compile(r"^(\w+)\n-{3,}$", re.M)
ITEM = re.compile(r"^(\w+(?:, \w+)*) : ", re.M)


class Docstrings(Extension):
    """Rewrites docstrings before they are rendered."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Called for everything that may have a docstring."""
        if obj.docstring:
            text = EXAMPLE.sub(r"```pycon\n\g<0>\n```", obj.docstring.value)
            obj.docstring.value = ITEM.sub(r"- `\1`: ", HEADING.sub(r"**\1**\n", text))
