"""Where a group's operations lie on an image, how well each holds, and which further ones do not.

The structure factors of the averaged cell are moved by every operation, exactly (`maps` says how). The origin is
where the group's operations hold best taken together; the setting, where there are several, is that of the best
origin. All of it is done for one image at a time, in double precision.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...hierarchy import Operation, minimal_supergroups
from ...hierarchy.operations import IDENTITY, Kind, Matrix
from ...hierarchy.placements import Setting, finer_lattices, named_by_matrix, settings
from ..evidence.maps import band_weights, wiener_weight
from ..evidence.structure import GRID, Structure
from .origins import allowed_origin, central_origin

Array = NDArray[np.float64]
FINE = 2 * GRID  # origins tried along each axis, before Newton's steps
NEAR = 0.002  # origins this close to the best correlation count as equally good; the most central one is taken
STRAIN = 0.15  # operations that change the lattice's metric by more are not tested
STEPS = 6


@dataclass(frozen=True)
class Holding:
    """How well one operation holds.

    `operation` in the conventional cell, and what `kind` it is. `score` in [0, 1] is the correlation of the averaged
    cell with its image, channels together, means left out; noise alone takes that of a perfect
    symmetry to ``1 - noise``.
    """

    operation: Operation
    kind: Kind
    score: float
    noise: float


@dataclass(frozen=True)
class Refused:
    """A supergroup, and how far its further operations hold.

    `operations` are those, in words. `score` in [0, 1] is their mean correlation at the origin at which all of
    the supergroup's operations hold best, None when the lattice does not have its metric; `strain` is how much these
    operations change the metric of the lattice, relative to its area.
    """

    group: str
    operations: str
    score: float | None
    noise: float
    strain: float


@dataclass(frozen=True)
class Placed:
    """A group on an image.

    `basis` (2, 2) px, columns `a` and `b` of the conventional cell, y down, counter-clockwise as seen. `origin` (2,)
    px from the image's middle, x right and y down: where the origin of International Tables lies.
    """

    group: str
    basis: Array
    origin: Array
    holdings: tuple[Holding, ...]
    refused: tuple[Refused, ...]

    @property
    def score(self) -> float:
        """The lowest score of an operation; 1 for p1."""
        return min((h.score for h in self.holdings), default=1.0)


def isometry(placed: Placed, operation: Operation) -> tuple[Array, Array]:
    """An operation of the conventional cell in px from the image's middle: x' = A x + t."""
    A = placed.basis @ np.array(operation.W, dtype=float) @ np.linalg.inv(placed.basis)
    return A, placed.basis @ _vector(operation) + (np.eye(2) - A) @ placed.origin


class Correlations:
    """Correlations of one averaged cell with its images under integer matrices; positions are fractions of the cell."""

    def __init__(self, structure: Structure, index: int = 0) -> None:
        one = slice(index, index + 1)
        F, radius = structure.coefficients[one], structure.radius[one]
        power = F.abs().square().sum(1)
        noise = structure.noise[one].abs().square().sum(2).mean(1)
        weight = band_weights(radius)[:, -1] * wiener_weight(radius, power, noise)
        self.F = F[0].cpu().numpy().astype(np.complex128)
        self.weight, self.power, self.level = (t[0].cpu().numpy().astype(float) for t in (weight, power, noise))
        h = np.fft.fftfreq(GRID, 1 / GRID)
        self.h = np.stack(np.meshgrid(h, h, indexing="ij"), -1).astype(int)
        self.total = max(float((self.weight * self.power).sum()), 1e-12)
        self._made: dict[Matrix, tuple[NDArray[np.complex128], float]] = {}
        self._surfaces: dict[Matrix, Array] = {}

    def spectrum(self, W: Matrix) -> tuple[NDArray[np.complex128], float]:
        """(GRID, GRID): its sum times exp(2 pi i h t) is the correlation with the image under (W, t); and noise."""
        if W not in self._made:
            to = self.h @ np.array(W)
            reachable = (np.abs(to) < GRID // 2).all(-1)
            x, y = (to % GRID)[..., 0], (to % GRID)[..., 1]
            shared = self.weight * self.weight[x, y] * reachable
            own, other = (shared * self.power).sum(), (shared * self.power[x, y]).sum()
            norm = max(float(np.sqrt(own * other)), 0.5 * float((self.weight**2 * self.power).sum()), 1e-12)
            cross = (self.F * self.F[:, x, y].conj()).sum(0)
            noise = float((shared * self.level).sum() / max(own, 1e-12))
            self._made[W] = shared * cross / norm, min(noise, 1.0)
        return self._made[W]

    def at(self, W: Matrix, t: Array) -> float:
        """The correlation under (W, t)."""
        spectrum, _ = self.spectrum(W)
        return float((spectrum * np.exp(2j * np.pi * (self.h @ t))).real.sum())

    def surface(self, W: Matrix) -> Array:
        """The correlation under W and every translation of a grid: (FINE, FINE)."""
        if W not in self._surfaces:
            table = np.zeros((FINE, FINE), dtype=complex)
            half = GRID // 2
            spectrum, _ = self.spectrum(W)
            for a in (slice(0, half), slice(-half, None)):
                for b in (slice(0, half), slice(-half, None)):
                    table[a, b] = spectrum[a, b]
            self._surfaces[W] = np.fft.ifft2(table, norm="forward").real
        return self._surfaces[W]


def place(structure: Structure, basis: Array, name: str, index: int = 0, near: Array | None = None) -> Placed:
    """The group `name` on image `index` of `structure`, whose reduced basis is `basis` (2, 2) px.

    Its origin is the most central one, or the one nearest to `near` (2,) px from the image's middle: `origins`.
    """
    found = Correlations(structure, index)
    fits = [_fit(found, s, basis) for s in settings(name) if strain(s, basis) < STRAIN]
    if not fits:  # the lattice lacks the group's metric: show the least strained setting anyway
        fits = [_fit(found, min(settings(name), key=lambda s: strain(s, basis)), basis)]
    setting, origin, _ = max(fits, key=lambda fit: fit[2])
    cell = conventional_cell(setting, basis)
    holdings = tuple(_holdings(found, setting, origin, cell))
    refused = (*_larger_point_groups(found, setting, basis), *_finer_lattices(found, setting))
    at = central_origin(setting, origin, basis) if near is None else allowed_origin(setting, origin, basis, near)
    return Placed(name, basis @ np.array(cell), basis @ at, holdings, refused)


def strain(setting: Setting, basis: Array) -> float:
    """How much the setting's matrices change the metric of `basis`, relative to the cell's area."""
    return max(_strains(setting, basis).values())


def _strains(setting: Setting, basis: Array) -> dict[Matrix, float]:
    metric = basis.T @ basis
    area = max(abs(float(np.linalg.det(basis))), 1e-9)
    made = {op.W: np.array(op.W).T @ metric @ np.array(op.W) - metric for op in setting.operations}
    return {W: float(np.abs(change).max()) / area for W, change in made.items()}


def _fit(found: Correlations, setting: Setting, basis: Array) -> tuple[Setting, Array, float]:
    """The best origin of a setting, fractional in the reduced basis, and the mean correlation there."""
    moving = [op for op in setting.operations if op.W != IDENTITY]
    if not moving:
        return setting, np.zeros(2), 1.0
    ticks = np.arange(FINE)
    grid = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), -1)
    merit = np.zeros((FINE, FINE))
    for op in moving:
        at = (grid @ (np.eye(2, dtype=int) - np.array(op.W)).T + (FINE * _vector(op)).astype(int)) % FINE
        merit += found.surface(op.W)[at[..., 0], at[..., 1]] / len(moving)
    rolled = [np.roll(merit, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    good = (merit >= np.max(rolled, 0) - 1e-12) & (merit >= merit.max() - NEAR)
    places = (grid[good] + FINE // 2) % FINE - FINE // 2
    nearest = places[np.linalg.norm(places @ basis.T, axis=1).argmin()] / FINE
    return setting, *_climb(found, moving, nearest)


def _climb(found: Correlations, moving: list[Operation], origin: Array) -> tuple[Array, float]:
    """Newton's method on the mean correlation, from a point of the grid; along free axes nothing moves."""
    terms, waves = [], []
    for op in moving:
        spectrum, _ = found.spectrum(op.W)
        used = np.abs(spectrum) > 1e-9
        terms.append((spectrum * np.exp(2j * np.pi * (found.h @ _vector(op))))[used] / len(moving))
        waves.append(found.h[used] @ (np.eye(2) - np.array(op.W)))
    term, wave = np.concatenate(terms), 2 * np.pi * np.concatenate(waves)
    best, value = origin, float((term * np.exp(1j * (wave @ origin))).real.sum())
    for _ in range(STEPS):
        turned = term * np.exp(1j * (wave @ origin))
        slope = -turned.imag @ wave
        bend = np.einsum("k,ki,kj->ij", turned.real, wave, wave)
        curvature, axes = np.linalg.eigh(bend)
        firm = curvature > 1e-3 * max(float(curvature.max()), 1e-9)
        step = axes @ np.where(firm, (axes.T @ slope) / np.where(firm, curvature, 1.0), 0.0)
        origin = origin + step * min(1.0, 0.5 / FINE / max(float(np.abs(step).max()), 1e-12))
        here = float((term * np.exp(1j * (wave @ origin))).real.sum())
        if here > value:
            best, value = origin, here
    return best, value


def conventional_cell(setting: Setting, basis: Array) -> Matrix:
    """The cell to show: counter-clockwise, shortest, `a` not the longer one if there is a choice, pointing right."""

    def merit(cell: Matrix) -> tuple[object, ...]:
        a, b = (basis @ np.array(cell)).T
        lengths = np.linalg.norm(a), np.linalg.norm(b)
        size = round(float(lengths[0] + lengths[1]) / (0.02 * float(np.abs(basis).max())))
        acute = bool(a @ b > 0.02 * lengths[0] * lengths[1])
        return size, acute, bool(lengths[0] > 1.02 * lengths[1]), -float(a[0]) / float(lengths[0])

    seen = [cell for cell in setting.cells if np.linalg.det(basis @ np.array(cell)) < 0]
    return min(seen, key=merit)


def _holdings(found: Correlations, setting: Setting, origin: Array, cell: Matrix) -> list[Holding]:
    """Every operation but the identity, written in the conventional cell."""
    given = named_by_matrix(setting.name, cell)
    made = []
    for op in setting.operations:
        if op.W == IDENTITY:
            continue
        t = _vector(op) + (np.eye(2) - np.array(op.W)) @ origin
        score = _clipped(found.at(op.W, t))
        made.append(Holding(given[op.W], setting.kind[op.W], score, found.spectrum(op.W)[1]))
    return made


def _larger_point_groups(found: Correlations, setting: Setting, basis: Array) -> list[Refused]:
    """Minimal supergroups on the same lattice: for each type the setting that holds best, or strains least."""
    made = []
    for name, relation in sorted(minimal_supergroups(setting.name)):
        above = [s for s in settings(name) if relation == "t" and s.kinds > setting.kinds]
        choices = []
        for larger in above:
            more = [op for op in larger.operations if op.W not in setting.kind]
            strains = _strains(larger, basis)
            most = max(strains[op.W] for op in more)
            if most >= STRAIN:
                choices.append(Refused(name, _named(more, larger), None, 0.0, most))
                continue
            _, origin, _ = _fit(found, larger, basis)
            scores = [found.at(op.W, _vector(op) + (np.eye(2) - np.array(op.W)) @ origin) for op in more]
            noise = float(np.mean([found.spectrum(op.W)[1] for op in more]))
            choices.append(Refused(name, _named(more, larger), _clipped(float(np.mean(scores))), noise, most))
        if choices:
            made.append(max(choices, key=lambda r: (-1.0 if r.score is None else r.score, -r.strain)))
    return sorted(made, key=lambda r: -1.0 if r.score is None else r.score, reverse=True)


def _finer_lattices(found: Correlations, setting: Setting) -> list[Refused]:
    """Supergroups with a finer lattice, the best of each type."""
    noise = found.spectrum(IDENTITY)[1]
    best: dict[tuple[str, int], Refused] = {}
    for finer in finer_lattices(setting):
        score = _clipped(min(found.at(IDENTITY, np.array(step, dtype=float)) for step in finer.steps))
        key = finer.name, finer.index
        if key not in best or score > (best[key].score or 0.0):
            best[key] = Refused(finer.name, f"a lattice {finer.index} times as fine", score, noise, 0.0)
    return sorted(best.values(), key=lambda r: r.score or 0.0, reverse=True)


def _named(operations: list[Operation], setting: Setting) -> str:
    """In words: ``4-fold rotations, 2 mirrors``."""
    turns = sorted({op.order for op in operations if op.det == 1})
    words = [f"{n}-fold rotations" for n in turns]
    for kind in ("mirror", "glide"):
        count = sum(setting.kind[op.W] == kind for op in operations)
        words += [f"{count} {kind}{'s' if count > 1 else ''}"] if count else []
    return ", ".join(words)


def _vector(op: Operation) -> Array:
    return np.array([float(t) for t in op.w])


def _clipped(score: float) -> float:
    return min(max(score, 0.0), 1.0)
