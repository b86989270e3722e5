"""The short form of the campaign on names."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import names
from driving import Campaign


@pytest.mark.parametrize("commands", [("predict_tables", "tree"), ("predict_panels", "settings")])
def test_a_few_names_by_some_commands(commands: tuple[str, ...]) -> None:
    campaign = Campaign("names", "pytest")
    names.play(campaign, 2, random.Random(0), commands)
    assert not campaign.failures


@pytest.mark.slow
def test_names_by_all_commands() -> None:
    campaign = Campaign("names", "pytest")
    names.play(campaign, 32, random.Random(1))
    assert not campaign.failures
