"""Which rows are held out: by a seed, of each label the same share, and what tells the same on one side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from reference_server.errors import Unprocessable
from reference_server.training.rows import PARTS, key_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reference_server.training.rows import Data, Part


def split(data: Data, *, validation: float, test: float, seed: int) -> dict[str, Part]:
    """Hold shares of the training rows out, unless such rows came by themselves.

    Rows that tell the same (`key_of`) stay on one side. Of each label the same share is held out.

    Args:
        data: The rows.
        validation: The share for validation, 0 to 0.5.
        test: The share for the test.
        seed: Of the choice.

    Raises:
        Unprocessable: Code `too_few_rows`.
    """
    parts = dict(data.parts)
    shares = {"validation": validation, "test": test}
    wanted = {part: share for part, share in shares.items() if share > 0 and part not in parts}
    if not wanted:
        return parts
    train = parts["train"]
    groups: dict[str, list[int]] = {}
    for number, row in enumerate(train.inputs):
        groups.setdefault(key_of(row), []).append(number)
    strata: dict[float, list[list[int]]] = {}
    for rows in groups.values():
        strata.setdefault(0 if data.is_regression else train.targets[rows[0]].item(), []).append(rows)
    chosen = _chosen(strata, wanted, np.random.default_rng(seed))
    for part, rows in chosen.items():
        if not rows:
            raise Unprocessable(
                f"of {len(groups):,} different rows, {wanted[part]:.0%} cannot be held out for {part} with "
                f"each label left to learn from; give more rows, or rows for {part} of their own",
                code="too_few_rows",
                param=part,
            )
        parts[part] = train.take(np.array(sorted(rows), np.int64))
    taken = {row for rows in chosen.values() for row in rows}
    parts["train"] = train.take(np.array([row for row in range(len(train)) if row not in taken], np.int64))
    return {part: parts[part] for part in PARTS if part in parts}


def _chosen(
    strata: Mapping[float, list[list[int]]], wanted: Mapping[str, float], random: np.random.Generator
) -> dict[str, list[int]]:
    chosen: dict[str, list[int]] = {part: [] for part in wanted}
    for stratum in sorted(strata):
        groups = strata[stratum]
        order, start = random.permutation(len(groups)).tolist(), 0
        for part, share in wanted.items():
            # One group of each label stays to be learnt from.
            count = min(round(share * len(groups)), len(groups) - 1 - start)
            for index in order[start : start + count]:
                chosen[part] += groups[index]
            start += count
    return chosen
