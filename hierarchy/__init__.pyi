from .compiled import CompiledTree, compile_tree
from .errors import HierError, UnknownNameError
from .finite import closure, subgroups_of
from .groups import GROUP_NAMES, GROUPS, WallpaperGroup, group
from .identification import identify
from .lattices import in_supercell
from .operations import Operation
from .relations import Subgroup, is_subgroup, maximal_subgroups, minimal_supergroups
from .render import rich_tree, tree_text
from .spec import NodeSpec, TreeError, TreeSpec, dump_spec, parse_spec
from .tree import BUILT_IN, Child, Tree, load_tree

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
