# Made from _async_trials.py by tools/make_sync_face.py: change that file, then run `make format`.
"""Tries candidates on a sample through ordinary predict calls, which change nothing and keep nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from time import perf_counter
from typing import TYPE_CHECKING

from maas_client import _label_names, _recommend
from maas_client._calls import Budget, checked_count
from maas_client._operations import _names, models, predict
from maas_client._operations._contract import build
from maas_client._progress import progress_bar
from maas_client._recommend import Sample, Trial
from maas_client.errors import ArgumentError, AuthenticationError, InvalidReplyError, MaasError
from maas_client.types import ModelQuery

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from maas_client._calls import Timeout
    from maas_client._listing import Send
    from maas_client._progress import Bar, Progress
    from maas_client.predictions import AnyPrediction
    from maas_client.recommendations import Recommendation
    from maas_client.types import Model

RECOMMEND_TIMEOUT = 300.0
MOST_ROWS = 10_000
MOST_CANDIDATES = 50
# Rows that are sent alone, to see what a call takes; the others go in batches.
_TIMED_ROWS = 20
_BATCH_ROWS = 64
# How many models of the catalogue are looked at for candidates.
_MOST_LOOKED_AT = 500
_REGRESSION = "tabular-regression"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trials:
    """What is asked for.

    Args:
        examples: The inputs of each row by name.
        labels: What is right for each row.
        task: The task of the candidates, where none are named.
        max_latency_ms: The longest median time of a call that is of use.
        candidates: Names of models; None for those that the task finds.
        limit: The most candidates that are tried of those that the task finds.
        label_map: What a label of a model is called in `labels`.
        seed: Of the resampling.
        progress: Whether and how progress is shown.
        timeout: Seconds for everything together.

    Raises:
        ArgumentError: An argument cannot be.
    """

    examples: Sequence[Mapping[str, object]]
    labels: Sequence[str | float]
    task: str | None
    max_latency_ms: float | None
    candidates: Sequence[str] | None
    limit: int
    label_map: Mapping[str, str]
    seed: int
    progress: Progress
    timeout: Timeout

    def __post_init__(self) -> None:
        checked_count(self.limit, "limit", most=MOST_CANDIDATES)
        if self.candidates is not None:
            checked_count(len(self.candidates), "the number of candidates", most=MOST_CANDIDATES)
        if (self.task is None) == (self.candidates is None):
            raise ArgumentError("say which models: with task='…' or with candidates=['…'], one of them")
        if not 1 <= len(self.examples) == len(self.labels) <= MOST_ROWS:
            raise ArgumentError(
                f"there are {len(self.examples):,} examples and {len(self.labels):,} labels, expected as "
                f"many of each, 1 to {MOST_ROWS:,}"
            )
        for index, row in enumerate(self.examples):
            predict.instance_json(row, what=f"examples[{index}]")
        kinds = {_kind(label) for label in self.labels}
        if kinds not in ({str}, {float}):
            raise ArgumentError("labels must be texts, or finite numbers, and all of one kind")

    def recommendation(self, send: Send) -> Recommendation:
        """Try the candidates and rank them.

        Raises:
            ArgumentError: `label_map` names a label that no candidate has.
            MaasError: The catalogue cannot be read, or the credential does not hold.
        """
        budget = Budget(self.timeout, RECOMMEND_TIMEOUT)
        trials, notes = self._found(send, budget)
        _label_names.check_map(self.label_map, [trial.stated for trial in trials if trial.stated is not None])
        sample = self._sample(trials)
        for trial in trials:
            if trial.stated is not None:
                trial.problem = sample.problem(trial.stated)
        tried = [trial for trial in trials if trial.problem is None]
        total = len(tried) * len(self.examples)
        with progress_bar(self.progress, total=total, unit=" rows", label="recommend") as bar:
            for trial in tried:
                _try(send, trial, sample, budget, bar)
        return _recommend.rank(trials, sample, notes)

    def _sample(self, trials: Sequence[Trial]) -> Sample:
        tasks = [trial.stated.task for trial in trials if trial.stated is not None]
        is_regression = _kind(self.labels[0]) is float and _REGRESSION in (self.task, *tasks[:1])
        return Sample(
            examples=self.examples,
            targets=[float(each) for each in self.labels]
            if is_regression
            else [str(each) for each in self.labels],
            is_regression=is_regression,
            label_map=self.label_map,
            max_latency_ms=self.max_latency_ms,
            seed=self.seed,
        )

    def _found(self, send: Send, budget: Budget) -> tuple[list[Trial], list[str]]:
        """Return whom to try, and what is to be known of that choice."""
        if self.candidates is None:
            return self._by_task(send, budget)
        named = [_names.model(name) for name in self.candidates]
        return _recommend.distinct([_described(send, name, budget) for name in named])

    def _by_task(self, send: Send, budget: Budget) -> tuple[list[Trial], list[str]]:
        """Return the most accurate by their publishers' figures, without those that are known to be slow."""
        query = build(ModelQuery, task=self.task, sort="-accuracy", limit=100)

        trials: list[Trial] = []
        cursor, looked_at = None, 0
        while looked_at < _MOST_LOOKED_AT:
            operation = models.list_page(query.model_copy(update={"cursor": cursor}))
            page = send(operation, timeout=budget)
            trials += [Trial(each.id, stated=each) for each in page.data if not self._is_known_slow(each)]
            looked_at, cursor = looked_at + len(page.data), page.next_cursor
            if len(trials) >= self.limit or cursor is None:
                break
        return trials[: self.limit], self._choice(looked_at, len(trials), has_more=cursor is not None)

    def _choice(self, looked_at: int, found: int, *, has_more: bool) -> list[str]:
        """Return what is to be known of a choice by task: who was left out, and why."""
        if not looked_at:
            told = f"There is no model of the task {self.task!r:.100} that you can use"
            return [f"{told}; client.models.list() shows what there is, each with its task."]
        notes = []
        if slow := looked_at - found:
            notes.append(
                f"{slow:,} of the models looked at are known to take more than {self.max_latency_ms:g} ms "
                "and were left out."
            )
        if (untried := found - self.limit) > 0 or has_more:
            at_least = "at least " if has_more else ""
            notes.append(
                f"Not tried: {at_least}{max(1, untried):,} more of the task {self.task!r}; the limit is "
                f"{self.limit}, take more with limit= or choose with candidates=."
            )
        return notes

    def _is_known_slow(self, model: Model) -> bool:
        known = [each.p50_ms for each in model.performance if each.p50_ms is not None]
        return self.max_latency_ms is not None and bool(known) and min(known) > self.max_latency_ms


def _described(send: Send, name: str, budget: Budget) -> Trial:
    try:
        found = send(models.get(name), timeout=budget)
    except AuthenticationError:
        raise
    except MaasError as error:
        return Trial(name, problem=str(error))
    return Trial(name, stated=found)


def _try(send: Send, trial: Trial, sample: Sample, budget: Budget, bar: Bar) -> None:
    """Run one candidate on the sample; what fails is its problem and nobody else's."""
    if trial.stated is None:
        return
    rows = sample.instances(trial.stated)
    try:
        for row in rows[:_TIMED_ROWS]:
            began = perf_counter()
            prediction = send(
                predict.predict(trial.model, row, version=trial.version, parameters=None), timeout=budget
            )
            trial.round_trips_ms.append((perf_counter() - began) * 1000)
            timing = prediction.call.timing
            trial.latencies_ms.append(timing.queue_ms + timing.compute_ms)
            # One version for all rows, whatever an alias does meanwhile.
            trial.version = prediction.call.version
            trial.outputs.append(_output(prediction, is_regression=sample.is_regression))
            bar.advance(1)
        for start in range(_TIMED_ROWS, len(rows), _BATCH_ROWS):
            batch = rows[start : start + _BATCH_ROWS]
            answered = send(
                predict.predict_batch(trial.model, batch, version=trial.version, parameters=None),
                timeout=budget,
            )
            trial.outputs += [_output(each, is_regression=sample.is_regression) for each in answered]
            bar.advance(len(batch))
    except AuthenticationError:
        raise
    except MaasError as error:
        trial.problem = f"after {len(trial.outputs):,} rows: {error}"


def _output(prediction: AnyPrediction, *, is_regression: bool) -> str | float:
    name = "value" if is_regression else "label"
    value = prediction.outputs.get(name)
    if not isinstance(value, int | float if is_regression else str):
        raise InvalidReplyError(
            f"its predictions have no {name!r}, but {', '.join(prediction.outputs)[:200]}"
        )
    return value


def _kind(label: object) -> type[str | float] | None:
    if isinstance(label, str):
        return str
    if isinstance(label, bool) or not isinstance(label, Real):
        return None
    return float if math.isfinite(label) else None
