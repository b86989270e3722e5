"""Draw the tree `wallpaper` with the cell of each group beside its leaf: `hierarchy.svg`.

    python docs/hierarchy_picture.py [FILE]

Tree, cells, axes and mirrors all follow from the project's own tables. Symbols are those of International Tables.
"""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path

import numpy as np
from hier.hierarchy import GROUPS, Tree, WallpaperGroup, load_tree
from hier.hierarchy.elements import reflection_lines, rotation_centres
from hier.pipelines.drawing.diagram import SIDE, cell_basis
from hier.pipelines.drawing.symbols import symbol

ROW, TOP, CELL = 72, 34, 60.0  # px: a leaf's row, above the first, longest side of a cell
NODES, CELLS, NAMES = (14, 150, 370), 610, 720  # px from the left: nodes by depth, cells, names
WIDTH = 850
HEADS = ((14, "1  rotation"), (150, "2  reflection"), (370, "3  finer"))
TEXT = 'font-family="sans-serif" font-size="13"'


def text(x: float, y: float, content: str, more: str = "") -> str:
    """An SVG text, the middle of its left edge at (x, y)."""
    return f'<text x="{x:.1f}" y="{y:.1f}" {TEXT} dominant-baseline="central" {more}>{escape(content)}</text>'


def line(p: np.ndarray, q: np.ndarray, more: str) -> str:
    """An SVG line."""
    return f'<line x1="{p[0]:.2f}" y1="{p[1]:.2f}" x2="{q[0]:.2f}" y2="{q[1]:.2f}" {more}/>'


def cell(of: WallpaperGroup, left: float, middle: float) -> list[str]:
    """The conventional cell with its axes and mirrors, its left edge and the middle of its height given."""
    basis = cell_basis(of)
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) @ basis.T
    scale = CELL / max(SIDE, float(np.ptp(corners[:, 1])))
    low, high = corners.min(0), corners.max(0)
    shift = np.array([left, middle]) - scale * np.array([low[0], (low[1] + high[1]) / 2])

    def place(at: object) -> np.ndarray:
        return np.asarray(scale * (basis @ np.array(at, dtype=float)) + shift)

    points = " ".join(f"{x:.2f},{y:.2f}" for x, y in scale * corners + shift)
    drawn = [f'<polygon points="{points}" fill="#e8f0fe" stroke="#9aa0a6" stroke-width="0.8"/>']
    for k in sorted(reflection_lines(of), key=lambda k: not k.glide):
        dashed = ' stroke-dasharray="4 3"' if k.glide else ""
        drawn.append(line(place(k.start), place(k.end), f'stroke="#111" stroke-width="1.4"{dashed}'))
    for c in rotation_centres(of):
        outline = " ".join(f"{x:.2f},{y:.2f}" for x, y in place(c.at) + symbol(c.order, 4.2))
        drawn.append(f'<polygon points="{outline}" fill="#111"/>')
    return drawn


def leaves(tree: Tree, node: str) -> list[str]:
    """The labels below a node, so that no two branches cross."""
    parts = ([c.target] if c.is_leaf else leaves(tree, c.target) for c in tree.children[node])
    return [label for part in parts for label in part]


def drawing(tree: Tree) -> str:
    """The whole as an SVG file's text."""
    rows = {label: TOP + ROW * (k + 0.5) for k, label in enumerate(leaves(tree, tree.root))}
    height = TOP + ROW * len(rows)
    drawn = [text(x, 18, head, 'font-weight="bold" fill="#1a56b0"') for x, head in HEADS]

    def add(node: str, depth: int) -> float:
        """Draw what is below a node; returns the height of the node itself."""
        ends = [(c, rows[c.target] if c.is_leaf else add(c.target, depth + 1)) for c in tree.children[node]]
        here = sum(y for _, y in ends) / len(ends)
        fork = NODES[depth] + 10
        for child, y in ends:
            to = CELLS - 12 if child.is_leaf else NODES[depth + 1]
            path = f"M {fork} {here:.1f} V {y:.1f} H {to}"
            drawn.append(f'<path d="{path}" fill="none" stroke="#9aa0a6" stroke-width="1.2"/>')
            if child.choice != child.target:
                drawn.append(text(fork + 8, y - 9, child.choice))
        drawn.append(f'<circle cx="{fork}" cy="{here:.1f}" r="5" fill="#1a56b0"/>')
        return here

    add(tree.root, 0)
    for label, y in rows.items():
        of = GROUPS[label]
        drawn += cell(of, CELLS, y)
        drawn.append(text(NAMES, y - 9, label, 'font-weight="bold"'))
        drawn.append(text(NAMES, y + 9, of.lattice_system, 'fill="#5f6368"'))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}">'
    title = "<title>The decision tree and the cells of the 17 wallpaper groups</title>"
    return "\n".join([head, title, f'<rect width="{WIDTH}" height="{height}" fill="white"/>', *drawn, "</svg>", ""])


def main() -> None:
    """Write the file."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("hierarchy.svg")
    out.write_text(drawing(load_tree("wallpaper")), encoding="utf-8")


if __name__ == "__main__":
    main()
