"""Symmetry elements against what Tables print, and against the operations they come from."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hier.hierarchy import GROUP_NAMES, group
from hier.hierarchy.elements import Line, reflection_lines, rotation_centres

# Positions of the rotation centres in one cell, counted from the Wyckoff positions of International Tables.
CENTRES = {
    "p2": {2: 4}, "pmm": {2: 4}, "pmg": {2: 4}, "pgg": {2: 4}, "cmm": {2: 8}, "p4": {4: 2, 2: 2}, "p4m": {4: 2, 2: 2},
    "p4g": {4: 2, 2: 2},
    "p3": {3: 3}, "p3m1": {3: 3}, "p31m": {3: 3}, "p6": {6: 1, 3: 2, 2: 3}, "p6m": {6: 1, 3: 2, 2: 3},
}  # fmt: skip
BASES = {
    "oblique": [[1.0, -0.3], [0.0, 0.8]], "rectangular": [[1.0, 0.0], [0.0, 0.7]], "square": [[1.0, 0.0], [0.0, 1.0]],
    "hexagonal": [[1.0, -0.5], [0.0, 3**0.5 / 2]],
}  # fmt: skip


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_centres_in_a_cell_are_as_many_as_tables_print(name: str) -> None:
    found = {(c.at[0] % 1, c.at[1] % 1): c.order for c in rotation_centres(group(name))}
    assert dict(Counter(found.values())) == CENTRES.get(name, {})


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_a_turn_about_a_centre_is_an_operation_and_no_finer_turn_is(name: str) -> None:
    g = group(name)
    for centre in rotation_centres(g):
        site = []
        for op in g.operations:
            image = [sum(a * x for a, x in zip(row, centre.at, strict=True)) for row in op.W]
            back = [x + t - y for x, t, y in zip(image, op.w, centre.at, strict=True)]
            if op.det == 1 and all(t.denominator == 1 for t in back):
                site.append(op)
        # modulo the cell's own translations: those that fix the point are the rotations about it
        assert len({op.W for op in site}) == centre.order


def reflected(line: Line, basis: np.ndarray, point: np.ndarray) -> np.ndarray:
    """The mirror image of a fractional point in a line, by plane geometry."""
    p, q = (basis @ np.array(end, dtype=float) for end in (line.start, line.end))
    along = (q - p) / np.linalg.norm(q - p)
    x = basis @ point - p
    return np.asarray(np.linalg.solve(basis, p + 2 * (x @ along) * along - x))


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_mirrors_reflect_the_pattern_and_glides_do_with_a_step_along(name: str) -> None:
    g = group(name)
    basis = np.array(BASES[g.lattice_system])
    point = np.array([0.137, 0.291])
    orbit = [np.array(op.W) @ point + [float(t) for t in op.w] for op in g.operations]
    lines = reflection_lines(g)
    assert bool(lines) == g.has_reflection
    assert any(not k.glide for k in lines) == g.has_mirror
    assert any(k.glide for k in lines) == g.has_glide
    for line in lines:
        image = reflected(line, basis, point)
        apart = [(image - q + 0.5) % 1 - 0.5 for q in orbit]
        hits = [np.abs(a).max() < 1e-9 for a in apart]
        assert any(hits) != line.glide, line
        if line.glide:
            direction = basis @ (np.array(line.end, dtype=float) - np.array(line.start, dtype=float))
            shifts = [basis @ np.add(a, (i, j)) for a in apart for i, j in product((-1, 0, 1), repeat=2)]
            crossed = [abs(s[0] * direction[1] - s[1] * direction[0]) for s in shifts if np.linalg.norm(s) < 1.2]
            assert min(crossed) < 1e-9, line


def test_the_lines_of_p4g_are_those_of_the_tables() -> None:
    half, quarter = Fraction(1, 2), Fraction(1, 4)
    lines = reflection_lines(group("p4g"))
    mirrors = {(k.start, k.end) for k in lines if not k.glide}
    assert mirrors == {
        ((0, half), (half, 0)), ((0, half), (half, 1)), ((half, 0), (1, half)), ((half, 1), (1, half)),
    }  # fmt: skip
    glides = {(k.start, k.end) for k in lines if k.glide}
    assert ((quarter, 0), (quarter, 1)) in glides
    assert ((0, 0), (1, 1)) in glides
    assert len(glides) == 6
