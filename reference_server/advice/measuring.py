"""The measuring itself: each candidate beside the original, then the best ones together and once more.

The best of many is partly the luckiest of many. So what seems best is measured again, and what is recommended
rests on those fresh pairs alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from maas_client import _advice_choice as choice
from maas_client._advice_choice import ORIGINAL
from maas_client._timed_pairs import LEAST_PAIRS, Pairs, take
from maas_client.types import AdviceVariant, NotMeasured
from reference_server.advice import quality
from reference_server.advice.graphs import MAKERS, CannotBeMade
from reference_server.advice.making import make, try_out
from reference_server.advice.settings import Candidate, candidates, changes_of, combined
from reference_server.advice.trials import BudgetSpentError, Meter, Trial, open_trial
from reference_server.errors import ServiceError
from reference_server.runtime.batch_invariance import rows_first

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from maas_client._package import Package
    from maas_client.types import (
        AdviceObjective,
        AdviceQuality,
        AdviceRecommendation,
        AdviceSetting,
    )
    from reference_server.advice.making import Made
    from reference_server.advice.quality import Answers
    from reference_server.advice.sample import Sample
    from reference_server.runtime.execution_providers import ExecutionProvider

# Of the time budget: for each in turn, and for the best ones once more.
_FIRST_SHARE, _AGAIN_SHARE = 0.7, 0.15
_MOST_AGAIN = 2
# Long enough that a clock's steps and a thread's wake-up do not count.
_BURST_SECONDS, _MOST_BURST_ROWS = 0.05, 1024
_FEW_CALLS = 5


@dataclass(slots=True)
class Bench:
    """Where a version is measured in its settings.

    Args:
        package: The version's, open.
        graph: Its graph.
        provider: Returns what runs on a device.
        sample: The rows.
        meter: Counts those that are run.
        timer: Seconds, monotonic.
        cores: How many there are.
        overridden: The serving options that the operator has set for the model.
        seconds: About how long to take times.
    """

    package: Package
    graph: bytes
    provider: Callable[[str], ExecutionProvider]
    sample: Sample
    meter: Meter
    timer: Callable[[], float]
    cores: int
    overridden: frozenset[str]
    seconds: float
    original: Trial = field(init=False)
    not_measured: list[NotMeasured] = field(init=False, default_factory=list)
    _said: Answers = field(init=False)
    _graphs: dict[str, Made] = field(init=False, default_factory=dict)
    _invariant: dict[str, bool] = field(init=False, default_factory=dict)
    _calls: list[float] = field(init=False, default_factory=list)
    _bursts: tuple[int, float] = field(init=False, default=(0, 0.0))
    _to_come: int = field(init=False, default=1)

    def begin(self, setting: AdviceSetting, *, batch_invariant: bool | None) -> None:
        """Load the original and run it over the sample.

        Raises:
            ServiceError: It cannot be loaded, or fails on a row.
        """
        self.original = open_trial(
            self.package,
            self.graph,
            setting,
            self.provider(setting.device),
            self.sample,
            self.meter,
            timer=self.timer,
            batch_invariant=batch_invariant,
        )
        self._said = quality.answers(self.original)
        self._calls = [self.original.call(number) for number in range(_FEW_CALLS)]

    def candidates(self, devices: Sequence[str]) -> list[Candidate]:
        """Return what is to be tried one by one; what need not be is noted at once."""
        joins = self._joins()
        if not joins:
            self.not_measured.append(NotMeasured(name="batches", reason=self._why_not_joined()))
        found = candidates(self.original.setting, cores=self.cores, devices=devices, joins=joins)
        if not any(each.setting.weights == "fp16" for each in found):
            reason = "float16 is measured where CUDA works: on a CPU it is turned back around each node"
            self.not_measured.append(NotMeasured(name="fp16", reason=reason))
        weights = dict.fromkeys(each.setting.weights for each in found)
        self._graphs = make(self.graph, [each for each in weights if each in MAKERS])
        return found

    def measure(
        self, wanted: Sequence[Candidate], *, share: float = _FIRST_SHARE
    ) -> Iterator[AdviceVariant | None]:
        """Measure candidates one after the other; None of each that cannot be."""
        for number, candidate in enumerate(wanted):
            self._to_come = len(wanted) - number + 1 + _MOST_AGAIN
            yield self._noted(candidate, share * self.seconds / len(wanted))
        self._to_come = 1 + _MOST_AGAIN

    def together(
        self, variants: Sequence[AdviceVariant], objective: AdviceObjective, *, max_quality_loss: float
    ) -> AdviceVariant | None:
        """Measure the best settings together, where there are several; None where that is not so."""
        best = choice.ranked(
            variants, objective, max_quality_loss=max_quality_loss, sample_rows=self.given_rows
        )
        joins = all(each.batch_invariant for each in best)
        candidate = combined(self.original.setting, best, joins=joins)
        return None if candidate is None else self._noted(candidate, _AGAIN_SHARE * self.seconds)

    def decide(
        self, variants: list[AdviceVariant], objective: AdviceObjective, *, max_quality_loss: float
    ) -> AdviceRecommendation:
        """Measure what seems best once more, and recommend it if it is.

        Args:
            variants: All of them, the original first; what is measured anew takes the place of the first
            time. objective: What is to become better.
            max_quality_loss: What that may cost.
        """
        found = choice.ranked(
            variants, objective, max_quality_loss=max_quality_loss, sample_rows=self.given_rows
        )
        tried = []
        for before in found[:_MOST_AGAIN]:
            candidate = Candidate(before.name, before.title, before.setting)
            again = self._noted(candidate, _AGAIN_SHARE * self.seconds / _MOST_AGAIN, known=before.quality)
            if again is None:
                continue
            variants[variants.index(before)] = again
            if choice.is_certain(again, variants[0], objective):
                return choice.recommended(again, variants[0], objective)
            tried.append(again)
        return choice.left_as_it_is(
            variants,
            objective,
            max_quality_loss=max_quality_loss,
            sample_rows=self.given_rows,
            tried=tried,
        )

    def not_found(self, name: str, reason: str) -> None:
        """Note that something cannot be measured here."""
        self.not_measured.append(NotMeasured(name=name, reason=reason))

    @property
    def given_rows(self) -> int:
        """How many rows a caller gave to be measured on."""
        return len(self.sample) if self.sample.is_given else 0

    def original_variant(self) -> AdviceVariant:
        """Return the original, by all its runs so far."""
        trial, (rows, seconds) = self.original, self._bursts
        return AdviceVariant(
            name=ORIGINAL,
            title="as it is served now",
            setting=trial.setting,
            p50_ms=_ms(self._calls, 50),
            p99_ms=_ms(self._calls, 99),
            calls=len(self._calls),
            throughput_rows_per_second=rows / seconds if seconds else 1 / median(self._calls),
            memory_bytes=trial.memory_bytes,
            load_ms=round(trial.load_ms, 3),
            package_bytes=self._package_bytes(self.graph),
            graph_sha256=trial.graph_sha256,
            batch_invariant=trial.batch_invariant,
        )

    def close(self) -> None:
        """Free the original."""
        self.original.close()

    def _noted(
        self, candidate: Candidate, seconds: float, *, known: AdviceQuality | None = None
    ) -> AdviceVariant | None:
        try:
            return self._measured(candidate, seconds, known)
        except (CannotBeMade, BudgetSpentError, ServiceError) as error:
            # One that this machine or this graph cannot have is a result too.
            self.not_measured.append(NotMeasured(name=candidate.name, reason=str(error)))
            return None

    def _measured(self, candidate: Candidate, seconds: float, known: AdviceQuality | None) -> AdviceVariant:
        setting = candidate.setting
        graph, invariant = self._graph_of(setting.weights)
        same = setting.weights == self.original.setting.weights
        trial = open_trial(
            self.package,
            graph,
            setting,
            self.provider(setting.device),
            self.sample,
            self.meter,
            timer=self.timer,
            batch_invariant=invariant,
        )
        try:
            found = known
            if known is None and (not same or setting.device != self.original.setting.device):
                found = quality.compared(self._said, quality.answers(trial), each=self.meter.check)
            calls, bursts, rows = self._timed(trial, seconds)
        finally:
            trial.close()
        return self._variant(candidate, trial, graph, found, calls, bursts, rows)

    def _timed(self, trial: Trial, seconds: float) -> tuple[Pairs, Pairs, int]:
        """Take pairs of calls and pairs of bursts, within this one's share of the rows that are left."""
        calls_rows = self.meter.left // (3 * self._to_come)
        calls = self._pairs(self.original.call, trial.call, seconds / 2, rows=1, most_rows=calls_rows)
        bursts_rows = 2 * calls_rows
        rows = self._burst_rows(trial, bursts_rows // (2 * LEAST_PAIRS))
        bursts = self._pairs(
            lambda number: self.original.burst(number, rows),
            lambda number: trial.burst(number, rows),
            seconds / 2,
            rows=rows,
            most_rows=bursts_rows,
        )
        self._calls += calls.original
        before, took = self._bursts
        self._bursts = before + rows * len(bursts), took + sum(bursts.original)
        return calls, bursts, rows

    def _pairs(
        self,
        original: Callable[[int], float],
        variant: Callable[[int], float],
        seconds: float,
        *,
        rows: int,
        most_rows: int,
    ) -> Pairs:
        """Take pairs of runs of so many rows each.

        Raises:
            BudgetSpentError: Not even one is within the budget.
        """
        last = max(self.meter.left - most_rows, 0)
        pairs = take(
            original,
            variant,
            seconds=seconds,
            timer=self.timer,
            may_go_on=lambda: self.meter.left - 2 * rows >= last,
        )
        if not len(pairs):
            raise self.meter.spent()
        return pairs

    def _burst_rows(self, trial: Trial, most: int) -> int:
        """Return how many rows a burst has, the same ones for both: whole batches for each lane."""
        settings = (self.original.setting, trial.setting)
        least = max(each.batch_rows * each.lanes for each in settings)
        wanted = math.ceil(_BURST_SECONDS / max(median(self._calls), 1e-9))
        return least * max(1, min(wanted, most, _MOST_BURST_ROWS) // least)

    def _variant(  # noqa: PLR0917 - what a variant tells of
        self,
        candidate: Candidate,
        trial: Trial,
        graph: bytes,
        found: AdviceQuality | None,
        calls: Pairs,
        bursts: Pairs,
        rows: int,
    ) -> AdviceVariant:
        notes = self._hindrances(candidate.setting)
        remarks = []
        if candidate.setting.lanes * candidate.setting.intra_op_threads > self.cores:
            remarks.append(f"lanes times threads are more than the {self.cores} cores")
        return AdviceVariant(
            name=candidate.name,
            title=candidate.title,
            setting=candidate.setting,
            p50_ms=_ms(calls.variant, 50),
            p99_ms=_ms(calls.variant, 99),
            calls=len(calls),
            throughput_rows_per_second=rows * len(bursts) / sum(bursts.variant),
            memory_bytes=trial.memory_bytes,
            load_ms=round(trial.load_ms, 3),
            package_bytes=self._package_bytes(graph),
            graph_sha256=trial.graph_sha256,
            latency=calls.ratio(),
            time_per_row=bursts.ratio(),
            batch_invariant=trial.batch_invariant,
            quality=found,
            applicable=not notes,
            notes=[*notes, *remarks],
        )

    def _graph_of(self, weights: str) -> tuple[bytes, bool]:
        """Return the graph with some weights, tried once, and whether its rows are the same in any company.

        Raises:
            CannotBeMade, ServiceError: It cannot be, or does not run.
        """
        if weights == self.original.setting.weights:
            return self.graph, self.original.batch_invariant
        made = self._graphs[weights]
        if isinstance(made, CannotBeMade):
            raise made
        if weights not in self._invariant:
            self._invariant[weights] = try_out(self.package, made)
        return made, self._invariant[weights]

    def _hindrances(self, setting: AdviceSetting) -> list[str]:
        """Return why a setting cannot be applied; nothing where it can."""
        changes = changes_of(self.original.setting, setting)
        notes = []
        if "graph_optimization" in changes:
            notes.append("servers load every graph at the level `all`: this one is for comparison")
        set_ = sorted({option for change in changes for option in OPTIONS.get(change, ())} & self.overridden)
        if set_:
            notes.append(
                f"the server's operator has set {', '.join(set_)} for this model, which goes before what a "
                "version says: ask them"
            )
        return notes

    def _joins(self) -> bool:
        original = self.original
        return original.batch_invariant and rows_first(original.runner.tensors) and self.sample.can_be_joined

    def _why_not_joined(self) -> str:
        if not self.original.batch_invariant:
            return "a row's result depends on the other rows of its run, so rows run one by one"
        return "the first axis of an input or output has a fixed size, so rows cannot share a run"

    def _package_bytes(self, graph: bytes) -> int:
        return sum(self.package.sizes.values()) - len(self.graph) + len(graph)


# By which serving options of a manifest a setting is applied.
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "lanes": ("lanes",),
    "intra_op_threads": ("intra_op_threads",),
    "batch_rows": ("batching", "max_batch_rows"),
    "device": ("provider",),
}


def _ms(seconds: Sequence[float], percentile: float) -> float:
    return round(float(np.percentile(seconds, percentile, method="higher")) * 1000, 6)
