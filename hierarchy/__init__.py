"""Facts about the 17 wallpaper groups, and the decision trees that tell them apart.

Groups need nothing but the standard library; trees need networkx, pydantic and numpy. So each name is imported when it
is first asked for; ``__init__.pyi`` says where it is.

`operations`, `groups` and `lattices` are typed tables and exact arithmetic, `finite` closes generators to groups,
`relations` (sub- and supergroups) and `identification` follow from them, `placements` and `elements` say where
operations lie, `layers` which layer groups look alike from above. `spec`, `tree` and `compiled` are a tree as text, as
a graph, and as arrays; `build` leads from the first to the second, `render` prints it. `yaml_text` is YAML read
strictly. `errors`, `files` (written whole or not at all), `kept` (what one command keeps for the next), `locks` (one
command at a time) and `names` (said to a screen, a table, a picture) are used by all packages.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
