"""One explanation: run the instance, attribute its score, and see how far that can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from reference_server.explain import segments
from reference_server.explain.attribution import attribute, least_budget
from reference_server.explain.budgets import Clock, kept_for_faithfulness, within_memory, within_time
from reference_server.explain.faithfulness import LEAST_ORDERS, MOST_ORDERS, cost, faithfulness, reserve
from reference_server.explain.game import Counted
from reference_server.explain.hierarchy import MOST_WORDS, LongText
from reference_server.explain.scoring import Scores
from reference_server.explain.texts import MaskedText

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from maas_client.types import ExplainOptions
    from reference_server.explain.faithfulness import Trust
    from reference_server.explain.features import Feature, Maskable
    from reference_server.explain.game import Floats
    from reference_server.explain.scoring import Target, Turns
    from reference_server.explain.segments import Segment
    from reference_server.runtime.tasks import Batch, Outputs

_TRIED_PARTS = 8
_UNMEASURED = "How far this can be trusted was not measured: the budget is too small for that."


@dataclass(frozen=True, slots=True)
class Explained:
    """What came of an explanation.

    Args:
        target: What is explained.
        method: How: `exact`, `kernel` or `fast`.
        unit: What the features are.
        masking: What stands where one is away.
        prediction: The score of the instance.
        baseline: The score without any feature.
        features: Its parts.
        values: `[features]`, what each adds to the score.
        standard_errors: `[features]`, NaN where one is exact; None where all are.
        trust: How faithful it is; None where that was not measured.
        evaluations: The rows that the model ran.
        notes: What to know in order to read it.
    """

    target: str
    method: str
    unit: str
    masking: str
    prediction: float
    baseline: float
    features: Sequence[Feature]
    values: Floats
    standard_errors: Floats | None
    trust: Trust | None
    evaluations: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is explained, whatever its kind.

    Args:
        instance: One checked instance.
        aim: Tells from the instance's outputs what is explained; it may run more for that.
        least_rows: How many rows are run before anything is attributed.
        masked: The instance with parts that can be left out; None of a long text.
        long: The words of a text that has too many for one go.
        mask: What stands for a hidden word of such a text.
        notes: What to know of the instance.
    """

    instance: Batch
    aim: Callable[[Outputs, Turns], Target]
    least_rows: int = 1
    masked: Maskable | None = None
    long: Sequence[Segment] = ()
    mask: str | None = None
    notes: tuple[str, ...] = ()

    def target(self, turns: Turns) -> tuple[Target, float]:
        """Run the instance; return what is explained of it, and its score."""
        (outputs,) = turns.run(self.instance)
        target = self.aim(outputs, turns)
        return target, float(target.read(outputs)[0])


@dataclass(frozen=True, slots=True)
class Explaining:
    """An explanation that can be made.

    Args:
        subject: Of what.
        options: How.
    """

    subject: Subject
    options: ExplainOptions

    @property
    def most_rows(self) -> int:
        """The most rows that it can run."""
        budget, masked = self.options.budget, self.subject.masked
        if masked is None:
            return budget
        # Larger powers are beyond all budgets.
        coalitions: int = 2 ** min(len(masked.features), budget.bit_length())
        if self.options.method == "fast":
            coalitions = min(coalitions, _fast_cost(len(masked.features), self.options))
        return min(budget, self.subject.least_rows + (coalitions - 1) * len(masked.weights))

    def run(self, turns: Turns, *, timer: Callable[[], float], check: Callable[[], object]) -> Explained:
        """Explain.

        Args:
            turns: Run the model.
            timer: Seconds, monotonic.
            check: Called between runs; what it raises ends the work.

        Raises:
            Unprocessable: There is no such target, the budget is too small, or a score is not finite.
            DeadlineExceeded, Unavailable: As the model raises them.
        """
        clock = Clock(timer, self.options.time_budget_ms)
        check()
        target, prediction = self.subject.target(turns)
        under_way = _UnderWay(self.options, self.subject.notes, turns, clock, check, target, prediction)
        if self.subject.masked is None:
            return under_way.by_sentences(self.subject)
        return under_way.at_once(self.subject.masked)


def _fast_cost(features: int, options: ExplainOptions) -> int:
    """Return the most coalitions that leave-one-out scores, which is asked for because it is cheap."""
    measured = cost(features, LEAST_ORDERS) if options.faithfulness else 0
    return least_budget(features, "fast") + measured


@dataclass(slots=True)
class _UnderWay:
    options: ExplainOptions
    notes: tuple[str, ...]
    turns: Turns
    clock: Clock
    check: Callable[[], object]
    target: Target
    prediction: float

    def at_once(self, masked: Maskable) -> Explained:
        options, count, each = self.options, len(masked.features), len(masked.weights)
        scores = Scores(self.turns, masked, self.target, prediction=self.prediction)
        # The whole instance has been run already.
        budget = 1 + (options.budget - self.turns.rows) // each
        budget, capped = within_memory(count, budget)
        budget, late = within_time(
            self.clock, self.turns, scores, count, method=options.method, rows_each=each, budget=budget
        )
        game = Counted(scores, budget=budget, check=self.check)
        kept = kept_for_faithfulness(count, budget, options.method) if options.faithfulness else 0
        found = attribute(game, count, method=options.method, budget=budget - kept, rng=self._rng(0))
        trust = self._trust(game, found.values) if options.faithfulness else None
        return self._explained(
            masked,
            method=found.method,
            baseline=found.baseline,
            values=found.values,
            errors=found.standard_errors,
            trust=trust,
            notes=(*masked.notes, *capped, *late, *found.notes),
        )

    def by_sentences(self, subject: Subject) -> Explained:
        options = self.options
        (text,) = next(iter(subject.instance.columns.values()))
        budget = options.budget - self.turns.rows
        if self.clock.is_set:
            self._find_pace(text, subject)
            budget = min(options.budget - self.turns.rows, self.clock.rows(self.turns))
        budget, capped = within_memory(MOST_WORDS, budget)
        kept = reserve(len(subject.long), budget) if options.faithfulness else 0

        def game(masked: Maskable) -> Scores:
            is_whole = len(masked.weights) == 1
            return Scores(self.turns, masked, self.target, prediction=self.prediction if is_whole else None)

        long = LongText(text, subject.long, subject.mask, options.method, self._rng(0), game, self.check)
        shares = long.explain(budget - kept)
        trust = None
        if options.faithfulness:
            left = kept if self.clock.is_set or capped else options.budget - self.turns.rows
            # One of all coalitions is the whole text, which costs nothing.
            last = Counted(game(shares.masked), budget=left + 1, check=self.check)
            trust = self._trust(last, shares.values)
        return self._explained(
            shares.masked,
            method=shares.sentences.method,
            baseline=shares.sentences.baseline,
            values=shares.values,
            errors=shares.standard_errors,
            trust=trust,
            notes=(*capped, *shares.notes, *shares.sentences.notes),
        )

    def _find_pace(self, text: str, subject: Subject) -> None:
        """Run some parts of a long text, so that the clock can tell how many rows fit into the time."""
        parts = segments.sentences(text, subject.long, most=_TRIED_PARTS, longest=MOST_WORDS)
        masked = MaskedText(text, parts, mask=subject.mask)
        self.turns.run(masked.masked(np.eye(len(parts), dtype=np.bool_)))

    def _trust(self, game: Counted, values: Floats) -> Trust | None:
        orders = LEAST_ORDERS if self.options.method == "fast" else MOST_ORDERS
        return faithfulness(game, values, rng=self._rng(1), orders=orders)

    def _rng(self, part: int) -> np.random.Generator:
        return np.random.default_rng([self.options.seed, part])

    def _explained(
        self,
        masked: Maskable,
        *,
        method: str,
        baseline: float,
        values: Floats,
        errors: Floats | None,
        trust: Trust | None,
        notes: tuple[str, ...],
    ) -> Explained:
        unmeasured = self.options.faithfulness and trust is None
        notes = (*self.notes, *notes)
        return Explained(
            target=self.target.name,
            method=method,
            unit=masked.unit,
            masking=masked.masking,
            prediction=self.prediction,
            baseline=baseline,
            features=masked.features,
            values=values,
            standard_errors=errors,
            trust=trust,
            evaluations=self.turns.rows,
            notes=(*notes, _UNMEASURED) if unmeasured else notes,
        )
