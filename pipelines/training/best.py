"""Keep the weights of the best epoch, and stop when none is better any more."""

from __future__ import annotations

from typing import Any

from ...models.node import NodeClassifier


class Enough(Exception):
    """Raised by `Best.seen` to end a training."""


class Best:
    """The weights of `node` at its lowest loss so far; `patience` epochs without a lower one are enough."""

    def __init__(self, node: NodeClassifier, patience: int | None) -> None:
        self.node, self.patience = node, patience
        self.loss, self.since = float("inf"), 0
        self.weights: dict[str, Any] | None = None

    def seen(self, loss: float) -> None:
        """After every epoch. Raises Enough."""
        self.since += 1
        if loss < self.loss:
            self.loss, self.since = loss, 0
            self.weights = {name: value.clone() for name, value in self.node.state_dict().items()}
        elif self.patience is not None and self.since >= self.patience:
            raise Enough

    def restored(self) -> NodeClassifier:
        """The node with these weights, in evaluation mode."""
        if self.weights is not None:
            self.node.load_state_dict(self.weights)
        return self.node.eval()
