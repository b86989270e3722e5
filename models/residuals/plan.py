"""What every setting of the 17 groups asks of structure factors, as index tables: the same for every image.

A pattern with the operation (W, w) has F(hW) = F(h) exp(2 pi i h w). So a group divides the indices h = (h, k) into
sets of equivalents, restricts the phases of those that it sends to their Friedel mates, and extinguishes those that it
sends to themselves with another phase (International Tables for Crystallography, Vol. B, section 1.4.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ...hierarchy import GROUP_NAMES
from ...hierarchy.placements import Setting, settings
from ..evidence.structure import GRID, harmonics

FINE = 96  # origins tried along each axis: halves, thirds, quarters and sixths of the cell are among them
SETTINGS: tuple[Setting, ...] = tuple(s for name in GROUP_NAMES for s in settings(name))
MOST = max(len(s.operations) for s in SETTINGS)


@dataclass(frozen=True)
class Plan:
    """S settings as in `SETTINGS`, of at most O operations, over K matrices; N = GRID**2 indices in FFT order.

    `hk` (N, 2) are the indices. `matrices` (K, 2, 2); `to` (K, N) and `on_grid` (K, N): which index h W is, and whether
    it is there. `group` (S,) indexes `GROUP_NAMES`; `operation` (S, O) the matrices, `shift` (S, O, 2) translations,
    `weight` (S, O) 1 over the order, 0 where a setting has fewer. `wave` (S, O, N, 2) is h (I - W), the frequency with
    which an operation's phase turns when the origin moves. `extinct`, `restricted` (S, N) are what a group makes of an
    index, `multiplicity` (S, N) the number of its equivalents, Friedel mates counted as one. `fixed` (S,): coordinates
    of the origin that the group does not leave free.
    """

    hk: Tensor
    matrices: Tensor
    to: Tensor
    on_grid: Tensor
    group: Tensor
    operation: Tensor
    shift: Tensor
    weight: Tensor
    wave: Tensor
    extinct: Tensor
    restricted: Tensor
    multiplicity: Tensor
    fixed: Tensor


@lru_cache(maxsize=4)
@torch.inference_mode(False)
def plan(device: torch.device, dtype: torch.dtype = torch.float32) -> Plan:
    """The plan on a device, in the precision of the lattice."""
    matrices = list(dict.fromkeys(op.W for s in SETTINGS for op in s.operations))
    hk = harmonics(torch.device("cpu")).long().reshape(-1, 2)
    turns = torch.tensor(matrices)
    targets = hk @ turns
    operation = torch.zeros(len(SETTINGS), MOST, dtype=torch.long)
    shift, weight = torch.zeros(len(SETTINGS), MOST, 2), torch.zeros(len(SETTINGS), MOST)
    for k, s in enumerate(SETTINGS):
        n = len(s.operations)
        operation[k, :n] = torch.tensor([matrices.index(op.W) for op in s.operations])
        shift[k, :n] = torch.tensor([[float(t) for t in op.w] for op in s.operations])
        weight[k, :n] = 1 / n
    parts = (
        hk.float(), turns.float(), (targets % GRID) @ torch.tensor([GRID, 1]), (targets.abs() < GRID // 2).all(-1),
        torch.tensor([GROUP_NAMES.index(s.name) for s in SETTINGS]), operation, shift, weight,
        (hk - targets)[operation].float(), *(torch.from_numpy(t) for t in _conditions(hk.numpy())),
        torch.tensor([_fixed(s) for s in SETTINGS]),
    )  # fmt: skip
    return Plan(*(x.to(device, dtype if x.is_floating_point() else x.dtype) for x in parts))


def _conditions(hk: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Extinct, restricted, and multiplicity of indices (N, 2) in every setting: (S, N) each."""
    extinct, restricted, multiplicity = [], [], []
    for s in SETTINGS:
        sent = np.stack([hk @ np.array(op.W) for op in s.operations])
        phase = np.stack([hk @ np.array([float(t) for t in op.w]) for op in s.operations])
        kept, reversed_ = (sent == hk).all(-1), (sent == -hk).all(-1)
        extinct.append(np.abs((kept * np.exp(2j * np.pi * phase)).sum(0)) < 0.5)
        restricted.append(reversed_.any(0))
        size = len(s.operations) // kept.sum(0)
        multiplicity.append(np.where(restricted[-1], (size + 1) // 2, size))
    return np.stack(extinct), np.stack(restricted), np.stack(multiplicity).astype(np.float32)


def _fixed(setting: Setting) -> int:
    moved = np.concatenate([np.eye(2) - np.array(op.W) for op in setting.operations])
    return int(np.linalg.matrix_rank(moved))
