"""Progress without a terminal: a line for every stage and epoch, none with ``-q``."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import pytest

from hier.screen import progress
from hier.screen.console import Screen
from hier.screen.streams import set_level

FIGURES = {"train/loss": 1.25, "valid/accuracy": 0.5}


@pytest.fixture(autouse=True)
def _as_always() -> Iterator[None]:
    yield
    set_level(0)


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Lines on standard error, without the time they begin with."""
    return [re.sub(r"^\d\d:\d\d:\d\d  ", "", line) for line in capsys.readouterr().err.splitlines()]


def train() -> None:
    with progress.training_progress(Screen(stderr=True)) as reporter:
        advance = reporter.stage("images: train", 32)
        advance(16)
        advance(16)
        for epoch in range(2):
            reporter.epoch("rotation", epoch, 2, FIGURES)


def test_each_stage_and_each_epoch_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    train()
    assert told(capsys) == [
        "images: train: 0 of 32",
        "images: train: 32 of 32, 0 s",
        "fit rotation: epoch 1 of 2, loss 1.250, valid 50.0 %",
        "fit rotation: epoch 2 of 2, loss 1.250, valid 50.0 %",
    ]


def test_a_long_stage_is_told_again_and_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 10_000, 50))
    monkeypatch.setattr(progress, "monotonic", lambda: float(next(clock)))
    with progress.progress(Screen(stderr=True), "images", 100) as advance:
        for _ in range(5):
            advance(20)
    assert told(capsys)[1:] == [
        "images: 40 of 100, 2 min left", "images: 80 of 100, 50 s left", "images: 100 of 100, 4 min",
    ]  # fmt: skip


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    set_level(logging.ERROR)
    train()
    with progress.counter(Screen(stderr=True), "images") as advance:
        advance(1)
    assert told(capsys) == []
