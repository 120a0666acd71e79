"""What `FakeMaas` trains is what a server trains, where both have the same features."""

from __future__ import annotations

import numpy as np
import pytest

from maas_client._fake_training import Training
from maas_client.types import FineTuneOptions, LabelledRows
from reference_server.training import recipes
from reference_server.training.rows import check_rows
from reference_server.training.splits import split

ROWS = 24


def rows_of(loss):
    random = np.random.default_rng(5)
    inputs = [{"x": x, "y": y} for x, y in random.normal(size=(ROWS, 2)).tolist()]
    if loss == "mse":
        return LabelledRows(inputs=inputs, targets=[3 * row["x"] - row["y"] + 1 for row in inputs])
    labels = ["a" if row["x"] > 0.5 else "b" if row["y"] > 0 else "c" for row in inputs]
    return LabelledRows(inputs=inputs, targets=labels)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize(
    "more",
    [
        {"loss": "mse", "schedule": "cosine"},
        {"label_smoothing": 0.1, "class_weights": {"a": 2.0}, "l2": 0.01},
        {"class_weights": "balanced", "schedule": "constant"},
    ],
)
def test_its_curve_is_a_servers(optimizer, more):
    """In one batch, where the order of the rows does not count: every loss and every rate, epoch by epoch."""
    options = FineTuneOptions(
        name="m", validation=0, batch_size=ROWS, epochs=8, optimizer=optimizer, learning_rate=0.1, **more
    )
    parts = {"train": rows_of(options.loss)}
    data = check_rows(parts, loss=options.loss, has_base=False)
    held = split(data, validation=0, test=0, seed=0)
    source, targets = recipes.from_columns(data, held), recipes.Targets.of(data, held["train"])
    fit = recipes.begin(options, data, held, source, targets)
    while not fit.ended:
        fit.run_epoch()
    fake = Training(dict(parts), options)
    # Adam divides what is nearly no gradient by its own size: there float32 tells.
    tolerance = 1e-3 if optimizer == "adam" else 1e-5
    for name in ("loss", "learning_rate"):
        expected = [getattr(point, name) for point in fit.curve]
        assert [point[name] for point in fake.curve] == pytest.approx(expected, rel=tolerance), name
