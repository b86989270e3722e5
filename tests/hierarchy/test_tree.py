"""Decision trees: the built-in ones, files of one's own, and errors that name the culprit."""

from __future__ import annotations

import pickle
from pathlib import Path

import networkx as nx
import pytest
from hier.hierarchy import (
    GROUP_NAMES,
    GROUPS,
    Tree,
    TreeError,
    UnknownNameError,
    dump_spec,
    load_tree,
    parse_spec,
    rich_tree,
    tree_text,
)
from rich.console import Console

FRIEZE = """
name: frieze
description: The seven frieze groups.
root:
  name: turn
  level: rotation
  question: Is there a half turn?
  children:
    no:
      name: mirrors-1
      level: reflection
      children: {none: p1, across: p1m1, along: p11m, glide: p11g}
    yes: {name: mirrors-2, level: reflection, children: {none: p2, across: p2mg, both: p2mm}}
"""


@pytest.mark.parametrize("name", ["wallpaper", "paper"])
def test_built_in_trees_hold_every_group_once(name: str) -> None:
    tree = load_tree(name)
    assert tree.name == name
    assert tree.labels == GROUP_NAMES
    assert nx.is_arborescence(tree.graph)
    assert nx.is_frozen(tree.graph)
    assert load_tree(name) is tree


def test_wallpaper_nodes_and_levels() -> None:
    tree = load_tree("wallpaper")
    assert set(tree.nodes) == {
        "rotation", "reflection-1", "reflection-2", "reflection-3", "reflection-4", "reflection-6",
        "finer-1", "finer-2", "finer-3", "finer-4",
    }  # fmt: skip
    assert tree.nodes[0] == tree.root == "rotation"
    assert tree.levels == ("rotation", "reflection", "finer")
    assert tree.choices("rotation") == ("order 1", "order 2", "order 3", "order 4", "order 6")
    assert tree.choices("finer-2") == ("pmm", "pmg", "pgg", "cmm")
    assert tree.nodes_at("finer") == ("finer-1", "finer-2", "finer-3", "finer-4")
    assert tree.path("p6") == (("rotation", 4), ("reflection-6", 0))


@pytest.mark.parametrize("tree_name", ["wallpaper", "paper"])
@pytest.mark.parametrize("name", GROUP_NAMES)
def test_branches_agree_with_the_operations(tree_name: str, name: str) -> None:
    """What a branch says of a group is what its operations say."""
    tree, g = load_tree(tree_name), GROUPS[name]
    chosen = {tree.level_of(node): tree.choices(node)[index] for node, index in tree.path(name)}
    family = {1: "no rotation", 2: "2-fold", 4: "2-fold", 3: "3-fold", 6: "3-fold"}[g.rotation_order]
    order = f"order {g.rotation_order}"
    assert chosen["rotation"] == (order if tree_name == "wallpaper" else family)
    assert chosen.get("higher-rotation", order) == order
    assert (chosen["reflection"] == "no reflection") == (not g.has_reflection)
    assert chosen.get("finer", name) == name
    last_node = tree.path(name)[-1][0]
    assert last_node.endswith(f"-{g.rotation_order}")


def test_wallpaper_finer_nodes_ask_what_the_operations_answer() -> None:
    tree = load_tree("wallpaper")
    for node in tree.nodes_at("finer"):
        below = [GROUPS[label] for label in tree.labels_below(node)]
        assert len({g.point_group for g in below}) == 1
    assert [(g, GROUPS[g].has_mirror, GROUPS[g].has_glide) for g in tree.labels_below("finer-1")] == [
        ("pm", True, False),
        ("pg", False, True),
        ("cm", True, True),
    ]


def test_questions_about_a_tree() -> None:
    tree = load_tree("wallpaper")
    assert tree.answer("rotation", "p4g") == 3
    assert tree.answer("finer-4", "p4g") == 1
    assert tree.answer("finer-4", "pmm") is None
    assert tree.labels_below("reflection-3") == ("p3", "p3m1", "p31m")
    assert tree.labels_below("rotation") == GROUP_NAMES
    assert tree.level_of("reflection-3") == "reflection"
    assert "order" in tree.question("rotation")
    for label in tree.labels:
        for node in tree.nodes:
            below = label in tree.labels_below(node)
            assert (tree.answer(node, label) is not None) == below


def test_unknown_names_are_told_with_near_ones() -> None:
    tree = load_tree("wallpaper")
    with pytest.raises(UnknownNameError, match=r"node of tree 'wallpaper' 'finer-6'.*finer-"):
        tree.level_of("finer-6")
    with pytest.raises(UnknownNameError, match=r"'reflections'.*did you mean reflection"):
        tree.nodes_at("reflections")
    with pytest.raises(UnknownNameError, match=r"label.*'p5'"):
        tree.answer("rotation", "p5")
    with pytest.raises(UnknownNameError, match=r"'walpaper'.*did you mean wallpaper.*YAML"):
        load_tree("walpaper")


@pytest.mark.parametrize("name", ["wallpaper", "paper"])
def test_yaml_round_trip(name: str, tmp_path: Path) -> None:
    tree = load_tree(name)
    path = tmp_path / "copy.yaml"
    path.write_text(dump_spec(tree.to_spec()))
    again = load_tree(path)
    assert again == tree
    assert again.to_spec() == tree.to_spec()
    assert pickle.loads(pickle.dumps(tree)).digest == tree.digest


def test_digest_sees_the_order_of_choices_and_not_the_wording() -> None:
    tree = Tree.from_spec(parse_spec(FRIEZE, "frieze.yaml"))
    reworded = FRIEZE.replace("Is there a half turn?", "Half turn?").replace("name: frieze", "name: strips")
    swapped = FRIEZE.replace("none: p2, across: p2mg", "across: p2mg, none: p2")
    assert Tree.from_spec(parse_spec(reworded, "")).digest == tree.digest
    assert Tree.from_spec(parse_spec(swapped, "")).digest != tree.digest
    assert load_tree("wallpaper").digest != load_tree("paper").digest


def test_a_tree_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "frieze.yaml"
    path.write_text(FRIEZE)
    tree = load_tree(path)
    assert tree.labels == ("p1", "p1m1", "p11m", "p11g", "p2", "p2mg", "p2mm")
    assert tree.choices("turn") == ("no", "yes")  # plain YAML would read two truth values
    assert tree.levels == ("rotation", "reflection")
    assert tree.question("mirrors-1") == ""


def test_levels_of_an_uneven_tree_follow_its_paths() -> None:
    tree = Tree.from_spec(
        parse_spec(
            """
            name: uneven
            root: {name: a, level: one, children: {
              x: {name: b, level: three, children: {u: '1', v: '2'}},
              y: {name: c, level: two, children: {
                u: '3', v: {name: d, level: three, children: {u: 4, v: 5}}}}}}
            """,
            "uneven.yaml",
        )
    )
    assert tree.levels == ("one", "two", "three")
    assert tree.labels == ("1", "2", "3", "4", "5")


LEAVES = "children: {u: p1, v: p2}"
WRONG = {
    "duplicate node": (
        "name: t\nroot: {name: a, level: l, children: {x: {name: a, level: m, " + LEAVES + "}, y: p3}}",
        r"node 'a' is given twice",
    ),
    "leaf twice": (
        "name: t\nroot: {name: a, level: l, children: {x: p1, y: {name: b, level: m, " + LEAVES + "}}}",
        r"label 'p1' is under node 'a' and under node 'b'",
    ),
    "node and label": (
        "name: t\nroot: {name: a, level: l, children: {x: b, y: {name: b, level: m, " + LEAVES + "}}}",
        r"'b' is both a node and a label",
    ),
    "label and node": (
        "name: t\nroot: {name: a, level: l, children: {x: a, y: b}}",
        r"'a' under node 'a' is also a node",
    ),
    "one child": (
        "name: t\nroot: {name: a, level: l, children: {x: p1, y: {name: b, level: m, children: {u: p2}}}}",
        r"node 'b': children holds 1; a node has two or more choices",
    ),
    "unknown key": (
        "name: t\nroot: {name: a, level: l, colour: red, " + LEAVES + "}",
        r"node 'a': unknown key 'colour'; allowed: name, level, question, children",
    ),
    "unknown top key": (
        "name: t\nrot: 1\nroot: {name: a, level: l, " + LEAVES + "}",
        r"unknown key 'rot'; allowed: name, description, root",
    ),
    "missing level": ("name: t\nroot: {name: a, " + LEAVES + "}", r"node 'a': key 'level' is missing"),
    "missing root": ("name: t", r"key 'root' is missing"),
    "bad node name": (
        "name: t\nroot: {name: a, level: l, children: {x: p3, y: {name: B/c, level: m, " + LEAVES + "}}}",
        r"node 'B/c': name is 'B/c'; use lower-case letters",
    ),
    "no name": (
        "name: t\nroot: {name: a, level: l, children: {x: p1, y: {level: m, children: {u: p2, v: p3}}}}",
        r"node 'a': key 'children > y > name' is missing",
    ),
    "list of children": (
        "name: t\nroot: {name: a, level: l, children: [p1, p2]}",
        r"node 'a': children is \['p1', 'p2'\]; expected lines of 'choice: label'",
    ),
    "list as child": (
        "name: t\nroot: {name: a, level: l, children: {x: [p1], y: p2}}",
        r"node 'a': children > x is \['p1'\]; expected a node",
    ),
    "empty label": (
        "name: t\nroot: {name: a, level: l, children: {x: , y: p2}}",
        r"node 'a': children > x is empty",
    ),
    "level below itself": (
        "name: t\nroot: {name: a, level: l, children: {x: p3, y: {name: b, level: l, " + LEAVES + "}}}",
        r"node 'b' of level 'l' stands below node 'a' of level 'l'",
    ),
    "key twice": (
        "name: t\nroot: {name: a, level: l, children: {x: p1, x: p2}}",
        r"key 'x' is given twice",
    ),
    "alias": ("name: t\nroot: &r {name: a, level: l, children: {x: p1, y: *r}}", r"alias \*r"),
    "syntax": ("name: t\nroot: {name: a", r"not valid YAML.*"),
    "empty": ("", r"file is empty"),
    "list": ("- a", r"mapping with 'name' and 'root', not list"),
    "too deep": ("[" * 5000, r"nested too deep"),
    "list as key": ("name: t\nroot: {[a, b]: c}", r"not valid YAML"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_errors_name_the_file_and_the_culprit(case: str, tmp_path: Path) -> None:
    text, message = WRONG[case]
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(TreeError, match=message) as caught:
        load_tree(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(TreeError, match=r"nowhere\.yaml: no such file"):
        load_tree(tmp_path / "nowhere.yaml")
    with pytest.raises(TreeError, match="cannot be read"):
        load_tree(tmp_path)
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(TreeError, match="line 1: not UTF-8"):
        load_tree(tmp_path / "bytes.yaml")


@pytest.mark.parametrize("name", ["wallpaper", "paper"])
def test_drawings_show_every_node_choice_and_label(name: str) -> None:
    tree = load_tree(name)
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(rich_tree(tree))
    for drawing in (tree_text(tree), console.export_text()):
        for node in tree.nodes:
            assert f"{node} [{tree.level_of(node)}]" in drawing
            assert all(choice in drawing for choice in tree.choices(node))
        assert drawing.count("point group") == 17
        assert "p4gm, No. 12, point group 4mm of order 8, square" in drawing
