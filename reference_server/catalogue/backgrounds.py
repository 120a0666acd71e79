"""Backgrounds for explanations: the centres of the training rows' clusters, by k-means (Lloyd, 1982).

The first centres are chosen by k-means++ (Arthur and Vassilvitskii, 2007). Each centre counts as many rows as
are in its cluster, so that the weighted mean of a few rows is that of all.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from maas_client._package import BACKGROUND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

_CENTRES = 10
_MOST_ROUNDS = 100
_SEED = 0
# As in `linear_heads.py`: the same file comes out everywhere.
_DIGITS = 6


def background_file(rows: Floats, columns: Sequence[str]) -> dict[str, bytes]:
    """Return a package's `background.json` by its name.

    Args:
        rows: Training rows, `[rows, columns]`.
        columns: Their names.
    """
    centres, weights = clusters(rows, count=_CENTRES)
    described = {
        "rows": [dict(zip(columns, map(_rounded, centre.tolist()), strict=True)) for centre in centres],
        "weights": weights.tolist(),
    }
    return {BACKGROUND: json.dumps(described, indent=1).encode()}


def clusters(rows: Floats, *, count: int) -> tuple[Floats, Integers]:
    """Return the centres of clusters, `[count, columns]`, and how many rows each has, `[count]`.

    All columns count alike, whatever their units.

    Args:
        rows: `[rows, columns]`, of which at least `count` differ.
        count: How many clusters.
    """
    deviation = rows.std(axis=0)
    scaled = (rows - rows.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    centres = _first_centres(scaled, count, np.random.default_rng(_SEED))
    member = _nearest(scaled, centres)
    for _ in range(_MOST_ROUNDS):
        centres = np.stack([scaled[member == index].mean(axis=0) for index in range(count)])
        before, member = member, _nearest(scaled, centres)
        if (member == before).all() or len(np.unique(member)) < count:
            member = before
            break
    return (
        np.stack([rows[member == index].mean(axis=0) for index in range(count)]),
        np.bincount(member, minlength=count),
    )


def _first_centres(rows: Floats, count: int, draw: np.random.Generator) -> Floats:
    """Choose rows far apart: each next one by its squared distance to the nearest before it."""
    chosen = [int(draw.integers(len(rows)))]
    while len(chosen) < count:
        distances = _squared_distances(rows, rows[chosen]).min(axis=1)
        chosen.append(int(draw.choice(len(rows), p=distances / distances.sum())))
    return rows[chosen]


def _nearest(rows: Floats, centres: Floats) -> Integers:
    nearest: Integers = _squared_distances(rows, centres).argmin(axis=1)
    return nearest


def _squared_distances(rows: Floats, centres: Floats) -> Floats:
    distances: Floats = ((rows[:, None] - centres[None]) ** 2).sum(axis=2)
    return distances


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
