"""The lattice by least squares: nearer to the truth than the autocorrelation's, and as uncertain as it says."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hier.datasets import Corruption, PatternDataset
from hier.models.evidence.lattice import find_lattice, reduce_basis
from hier.models.placing.precise import cell_lengths, precise_lattice
from torch import Tensor


def deviations(source: str, corruptions: tuple[Corruption, ...], count: int) -> tuple[Tensor, Tensor]:
    """How far a, b and gamma are from the truth, in standard uncertainties, (N, 3): fitted, and as they were found."""
    fitted, found = [], []
    for name in ("p2", "pmm", "p4", "p3", "p6m", "pgg"):
        dataset = PatternDataset(source, 21, 192, groups=(name,), cells=(20, 60), corruptions=corruptions)
        for index in range(count):
            image = dataset.batch([index])
            drawn = dataset.accepted([index])[0][0].frame.basis
            true = reduce_basis(torch.from_numpy(drawn)[None])[0]
            start = find_lattice(image).basis[0]
            made = precise_lattice(image[0], start)
            if made is None or abs(float((torch.linalg.det(start) / torch.linalg.det(true)).abs()) - 1) > 0.02:
                continue
            values, uncertain = cell_lengths(made.basis, made.covariance)
            known = cell_lengths(true, made.covariance)[0]
            before = cell_lengths(start.double(), made.covariance)[0]
            fitted.append((values - known) / uncertain)
            found.append((before - known) / uncertain)
    return torch.stack(fitted), torch.stack(found)


@pytest.mark.parametrize("source", ["atoms", "noise"])
def test_two_in_three_lie_within_one_standard_uncertainty(source: str) -> None:
    """68 % within one and 95 % within two, as far as so few patterns tell."""
    fitted, found = deviations(source, (Corruption("noise", (2.0, 2.0)),), 8)
    assert len(fitted) > 30
    assert 0.58 < float((fitted.abs() < 1).float().mean()) < 0.8
    assert float((fitted.abs() < 2).float().mean()) > 0.89
    assert float(fitted.square().mean()) < 0.5 * float(found.square().mean())


def test_the_uncertainty_is_that_of_simulated_lattices() -> None:
    """One lattice, many draws of noise: the scatter of the lengths is what each draw says of itself."""
    y, x = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    basis = torch.tensor([[15.3, -2.0], [1.0, 18.2]])
    u = torch.einsum("ij,jhw->ihw", torch.linalg.inv(basis), torch.stack([x - 63.5, y - 63.5]))
    wave = sum(
        (2 * math.pi * (h * u[0] + k * u[1] + 0.1 * h)).cos() / (h * h + k * k)
        for h, k in ((1, 0), (0, 1), (1, 1), (2, 1))
    )
    g = torch.Generator().manual_seed(3)
    values, uncertain = [], []
    for _ in range(40):
        image = (0.5 + 0.1 * wave + 0.1 * torch.randn(128, 128, generator=g)).expand(3, -1, -1)
        made = precise_lattice(image, basis)
        assert made is not None
        found, su = cell_lengths(made.basis, made.covariance)
        values.append(found)
        uncertain.append(su)
    scatter, said = torch.stack(values).std(0), torch.stack(uncertain).square().mean(0).sqrt()
    assert torch.allclose(scatter, said, rtol=0.35)
    true = cell_lengths(basis.double(), torch.eye(4, dtype=torch.float64))[0]
    assert ((torch.stack(values).mean(0) - true).abs() < 4 * said / math.sqrt(40)).all()


def test_slopes_of_the_lengths_are_those_of_differences() -> None:
    cell, step = torch.tensor([[15.0, -4.0], [2.0, 18.0]]).double(), 1e-6
    rng = np.random.default_rng(0)
    root = torch.from_numpy(rng.normal(size=(4, 4)) * 1e-3)
    covariance = root @ root.T
    start, said = cell_lengths(cell, covariance)
    one = torch.eye(2).double()
    slopes = torch.stack(
        [
            (cell_lengths((one + step * e.reshape(2, 2)) @ cell, covariance)[0] - start) / step
            for e in torch.eye(4).double()
        ],
        1,
    )
    assert torch.allclose(said, (slopes @ covariance @ slopes.T).diagonal().sqrt(), rtol=1e-4)


def test_stripes_and_few_cells_have_none() -> None:
    x = torch.arange(128.0).expand(3, 128, -1)
    stripes = 0.5 + 0.2 * (2 * math.pi * x / 12).cos()
    assert precise_lattice(stripes, torch.tensor([[12.0, 0.0], [0.0, 15.0]])) is None
    image = PatternDataset("atoms", 5, 96, groups=("p4",), cells=(4, 5)).batch([0])
    assert precise_lattice(image[0], find_lattice(image).basis[0]) is None
