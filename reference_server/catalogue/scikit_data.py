"""The small data sets that scikit-learn carries in its wheel, read without scikit-learn."""

from __future__ import annotations

import gzip
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reference_server.catalogue.sources import SCIKIT_LEARN, SourceError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reference_server.catalogue.sources import Wheels

    Floats = NDArray[np.float64]

_FOLDER = "sklearn/datasets/data"
_HELD_OUT = 0.2
_SPLIT_SEED = 7


@dataclass(frozen=True, slots=True)
class Rows:
    """Features `[rows, features]` and targets `[rows]`: classes, or numbers."""

    features: Floats
    targets: NDArray[Any]

    def take(self, rows: NDArray[np.int64]) -> Rows:
        """Return some of the rows, in the given order."""
        return Rows(self.features[rows], self.targets[rows])


@dataclass(frozen=True, slots=True)
class Split:
    """Rows to train on, and rows that training never sees.

    Args:
        described: How they were parted, for a manifest.
    """

    train: Rows
    held_out: Rows
    described: str = f"held out, {_HELD_OUT:.0%}, seed {_SPLIT_SEED}, equal rows on one side"


def iris(wheels: Wheels) -> Rows:
    """Return 150 flowers: four lengths in cm, and the species 0 to 2."""
    return _classes(_table(wheels, "iris.csv", separator=",", skip=1))


def digits(wheels: Wheels) -> Rows:
    """Return 1,797 handwritten digits: 64 inks of 0 to 16, row by row, and the digit."""
    return _classes(_table(wheels, "digits.csv.gz", separator=","))


def diabetes(wheels: Wheels) -> Rows:
    """Return 442 patients: ten figures in their own units, and the progression of their disease."""
    features = _table(wheels, "diabetes_data_raw.csv.gz")
    return Rows(features, _table(wheels, "diabetes_target.csv.gz")[:, 0])


def split(rows: Rows) -> Split:
    """Hold a fifth of the distinct rows out, chosen by a fixed seed."""
    _, group = np.unique(rows.features, axis=0, return_inverse=True)
    groups = int(group.max()) + 1
    chosen = np.random.default_rng(_SPLIT_SEED).permutation(groups)[: round(_HELD_OUT * groups)]
    is_held_out = np.isin(group, chosen)
    return Split(rows.take(np.flatnonzero(~is_held_out)), rows.take(np.flatnonzero(is_held_out)))


def _classes(table: Floats) -> Rows:
    return Rows(table[:, :-1], table[:, -1].astype(np.int64))


def _table(wheels: Wheels, name: str, *, separator: str | None = None, skip: int = 0) -> Floats:
    content = wheels.read(SCIKIT_LEARN, f"{_FOLDER}/{name}")
    try:
        text = (gzip.decompress(content) if name.endswith(".gz") else content).decode("ascii")
        table: Floats = np.loadtxt(io.StringIO(text), delimiter=separator, skiprows=skip, ndmin=2)
    except (OSError, EOFError, ValueError) as error:
        raise SourceError(f"{name} in {SCIKIT_LEARN.file} cannot be read: {error}") from error
    return table
