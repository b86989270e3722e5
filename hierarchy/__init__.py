"""What is true of the 17 wallpaper groups, and the decision trees that tell them apart.

Groups need nothing but the standard library; trees are imported when first asked for, since they bring
networkx, pydantic and numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import HierError, UnknownNameError
from .finite import closure, subgroups_of
from .groups import GROUP_NAMES, GROUPS, WallpaperGroup, group
from .identification import identify
from .lattices import in_supercell
from .operations import Operation
from .relations import Subgroup, is_subgroup, maximal_subgroups, minimal_supergroups

if TYPE_CHECKING:
    from .compiled import CompiledTree, compile_tree
    from .render import rich_tree, tree_text
    from .spec import NodeSpec, TreeError, TreeSpec, dump_spec, parse_spec
    from .tree import BUILT_IN, Child, Tree, load_tree

_LATER = {
    "BUILT_IN": "tree",
    "Child": "tree",
    "CompiledTree": "compiled",
    "NodeSpec": "spec",
    "Tree": "tree",
    "TreeError": "spec",
    "TreeSpec": "spec",
    "compile_tree": "compiled",
    "dump_spec": "spec",
    "load_tree": "tree",
    "parse_spec": "spec",
    "rich_tree": "render",
    "tree_text": "render",
}

__all__ = [
    "BUILT_IN",
    "GROUPS",
    "GROUP_NAMES",
    "Child",
    "CompiledTree",
    "HierError",
    "NodeSpec",
    "Operation",
    "Subgroup",
    "Tree",
    "TreeError",
    "TreeSpec",
    "UnknownNameError",
    "WallpaperGroup",
    "closure",
    "compile_tree",
    "dump_spec",
    "group",
    "identify",
    "in_supercell",
    "is_subgroup",
    "load_tree",
    "maximal_subgroups",
    "minimal_supergroups",
    "parse_spec",
    "rich_tree",
    "subgroups_of",
    "tree_text",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_LATER[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
