"""Mini-batch gradient descent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from reference_server.training.linear import Bags, LinearClassifier
    from reference_server.training.losses import Loss, ScalarT
    from reference_server.training.optimizers import Optimizer


def descend(
    model: LinearClassifier,
    bags: Bags,
    targets: NDArray[ScalarT],
    *,
    loss: Loss[ScalarT],
    optimizer: Optimizer,
    epochs: int,
    batch_size: int,
    seed: int,
) -> Iterator[float]:
    """Train a model in place, and yield the loss on the training rows after each epoch.

    Args:
        bags: The training rows.
        targets: What the loss compares with: classes, or numbers, `[rows]`.
        epochs: How often every row is seen, in a new order each time.
        batch_size: Rows in one step.
        seed: Of those orders.
    """
    random = np.random.default_rng(seed)
    for epoch in range(epochs):
        order = random.permutation(len(bags))
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            batch = bags.take(rows)
            outer = loss.gradient(model.logits(batch), targets[rows])
            progress = (epoch + start / len(order)) / epochs
            optimizer.step(model, model.gradient(batch, outer), progress=progress)
        yield loss.value(model.logits(bags), targets)
