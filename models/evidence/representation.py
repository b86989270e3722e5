"""What a node sees: symmetry maps and a short list of numbers, on a logarithmic scale of the residual.

Content does not enter: every number is a correlation of the image with its own image under an operation, a
noise level, or a measure of the lattice's metric.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...arrays import in_threads
from .batches import joined, rows
from .copies import copies
from .flatten import Flattened, flattened
from .groups import FRC, GROUPS, MOST, GroupScores, group_scores
from .lattice import Lattice, find_lattice
from .maps import FLOOR, MAPS, WEIGHTINGS, symmetry_maps
from .structure import Structure, structure_factors

SIDE = 16  # grid of the maps that a node sees
STRAIN = 0.15  # an operation that changes the metric by more is not offered to a node
ABSENT = -0.5
DENIED, QUIET = 0.3, 0.05  # a correlation that no symmetry has where less than that share is noise
CACHED = 2**18  # px at a time: memory does not grow with the batch
MAP_CHANNELS = len(MAPS) * len(WEIGHTINGS)
GROUP_NUMBERS = len(GROUPS) * (3 + FRC) + FRC  # scores of each group, strain of each, noise in each ring
EVIDENCE = MAP_CHANNELS + len(MAPS) + 8 * len(WEIGHTINGS) + 3 + GROUP_NUMBERS
# Where they stand among the numbers: noise in the correlations, the cell, scores and then strains of the groups.
NOISE = MAP_CHANNELS + len(MAPS) + WEIGHTINGS.index("Wiener")
CELL = EVIDENCE - GROUP_NUMBERS - 1
GROUP_SCORES = slice(CELL + 1, CELL + 1 + len(GROUPS) * (2 + FRC))
GROUP_STRAINS = slice(GROUP_SCORES.stop, GROUP_SCORES.stop + len(GROUPS))


@dataclass(frozen=True)
class Evidence:
    """Input of the nodes for a batch: `maps` (B, MAP_CHANNELS, SIDE, SIDE) and `numbers` (B, EVIDENCE).

    Both lie roughly in [-0.5, 1.3]. They were made from `structure`, the structure factors on `lattice`; `groups` are
    the scores of all groups. `flat` says what was taken from the images before, and `level` (B, C, H, W) is what was
    left; its content is shared among as many cells as `copies` (B,) says.
    """

    maps: Tensor
    numbers: Tensor
    lattice: Lattice
    structure: Structure
    groups: GroupScores
    flat: Flattened
    level: Tensor
    copies: Tensor


def log_residual(correlation: Tensor) -> Tensor:
    """1 for a perfect correlation, 0 for none: ``-log10(1 - r + FLOOR) / 3``."""
    return -torch.log10((1 - correlation).clamp_min(0) + FLOOR) / 3


class SymmetryEvidence(nn.Module):
    """Images (B, C, H, W), any range, C = 1 or 3, to `Evidence`; no parameters, any device.

    If a `lattice` is given, it was found on the same pixels, flattened ones: none is looked for.
    """

    @torch.inference_mode()
    def forward(self, images: Tensor, lattice: Lattice | None = None) -> Evidence:
        """See the class."""
        *_, H, W = images.shape
        step = max(1, (CACHED if images.device.type == "cpu" else 64 * CACHED) // (H * W))
        cuts = [slice(k, k + step) for k in range(0, len(images), step)]

        def evidence(cut: slice) -> Evidence:
            return self._evidence(images[cut], None if lattice is None else rows(lattice, cut))

        parts = in_threads(evidence, cuts, images.device)
        changed = any(p.level.data_ptr() != images[cut].data_ptr() for p, cut in zip(parts, cuts, strict=True))
        return Evidence(
            torch.cat([p.maps for p in parts]),
            torch.cat([p.numbers for p in parts]),
            joined([p.lattice for p in parts]),
            joined([p.structure for p in parts]),
            joined([p.groups for p in parts]),
            joined([p.flat for p in parts]),
            torch.cat([p.level for p in parts]) if changed else images,
            torch.cat([p.copies for p in parts]),
        )

    def _evidence(self, images: Tensor, lattice: Lattice | None) -> Evidence:
        flat = Flattened.nothing(images)
        if lattice is None:
            images, lattice, flat = flattened(images, find_lattice)
        structure = structure_factors(images, lattice.basis)
        found = symmetry_maps(structure, lattice.basis)
        possible = (found.strain < STRAIN)[:, :, None]
        coarse = found.maps.reshape(*found.maps.shape[:-2], SIDE, -1, SIDE, found.maps.shape[-1] // SIDE).amax((-3, -1))
        maps = torch.where(possible[..., None, None], log_residual(coarse), ABSENT).flatten(1, 2)
        peaks = torch.where(possible, log_residual(found.peaks), ABSENT)
        numbers = [
            peaks.flatten(1),
            -torch.log10(found.strain + 1e-3) / 3,
            -torch.log10(found.noise + 1e-4) / 4,
            log_residual(found.finer).flatten(1),
            log_residual(lattice.level)[:, None],
            log_residual(lattice.coset)[:, None],
            torch.linalg.det(lattice.basis).abs().log2()[:, None] / 16,
        ]
        groups = group_scores(structure, lattice.basis)
        every = torch.cat([*numbers, group_numbers(groups)], 1)
        return Evidence(maps, every, lattice, structure, groups, flat, images, copies(images, lattice.basis))


def ruled_out(numbers: Tensor) -> Tensor:
    """Groups that an image cannot have, in the order of `GROUP_NAMES`: (B, 17), never p1.

    From `numbers` (B, EVIDENCE): those whose metric the lattice does not have, and, unless the image is noisy, those of
    which some operation correlates by less than `DENIED`.
    """
    misfits = measured_misfits(numbers)
    denied = (misfits > 1 - DENIED) & (quietness(numbers) > 0)[:, None]
    return denied | (misfits == MOST)


def strained(numbers: Tensor, most: float) -> Tensor:
    """Groups that would change the lattice's metric by more than `most`, in the order of `GROUP_NAMES`: (B, 17)."""
    strain = 10 ** (-3 * numbers[:, GROUP_STRAINS]) - 1e-3
    return torch.cat([torch.zeros_like(strain[:, :1]), strain], 1) > most


def measured_misfits(numbers: Tensor) -> Tensor:
    """Misfits (B, 17) that `numbers` (B, EVIDENCE) tell, noise and all, as `groups.all_misfits`."""
    seen = numbers[:, GROUP_SCORES].reshape(-1, len(GROUPS), 2 + FRC)[..., 0]
    misfits = torch.where(seen == ABSENT, MOST, (10 ** (-3 * seen) - FLOOR).clamp(0.0, 0.999 * MOST))
    return torch.cat([torch.zeros_like(misfits[:, :1]), misfits], 1)


def quietness(numbers: Tensor) -> Tensor:
    """(B,) 1 without noise, 0 where more than `QUIET` of what is correlated is noise."""
    noise = 10 ** (-4 * numbers[:, NOISE]) - 1e-4
    return (1 - noise / QUIET).clamp(0.0, 1.0)


def group_numbers(groups: GroupScores) -> Tensor:
    """What a node sees of the groups' scores: (B, GROUP_NUMBERS). They do not depend on the choice of basis."""
    scores = torch.cat([groups.lowest[..., None], groups.mean[..., None], groups.rings], -1)
    seen = log_residual(scores).nan_to_num(ABSENT).flatten(1)
    strain = -torch.log10(groups.strain.clamp_max(1.0) + 1e-3) / 3
    return torch.cat([seen, strain, -torch.log10(groups.noise + 1e-4) / 4], 1)
