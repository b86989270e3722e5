"""What tests share: one thread, unhurried hypothesis, and a few made-up pictures in place of photographs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hier.datasets import Pool
from hier.datasets.sources import dead_leaves
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("house", deadline=None)
settings.load_profile("house")


@pytest.fixture(scope="session")
def pool() -> Pool:
    pictures = np.stack([dead_leaves(np.random.default_rng([seed, 7])) for seed in range(16)])
    names = tuple(f"leaves-{seed}" for seed in range(16))
    return Pool(torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous(), names)
