"""How long a row of each model takes in a run, as runs go now: batches, other lanes and all."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reference_server.runtime.pool import LoadedModel

# Of the newest run in a model's pace: some ten runs after a change the estimate has followed it.
_WEIGHT = 0.2
# A run that took longer counts as so many times the pace: a machine that stood still for a while must not
# have calls refused afterwards. What has truly become slower is followed within some runs.
_MOST_RISE = 4.0
_MOST_MODELS = 1000


class Paces:
    """An exponentially weighted mean for each model; for one thread at a time."""

    def __init__(self) -> None:
        # By identity, which a later model may have again: its first runs then set that right.
        self._seconds: OrderedDict[int, float] = OrderedDict()

    def ran(self, model: LoadedModel, rows: int, seconds: float) -> None:
        """Take note of a run of some rows."""
        each = seconds / max(1, rows)
        before = self._seconds.pop(id(model), each)
        self._seconds[id(model)] = before + _WEIGHT * (min(each, _MOST_RISE * before) - before)
        if len(self._seconds) > _MOST_MODELS:
            self._seconds.popitem(last=False)

    def seconds(self, model: LoadedModel, rows: int) -> float:
        """Return how long some rows take in one lane; 0 for a model that has not run yet."""
        return rows * self._seconds.get(id(model), 0.0)
