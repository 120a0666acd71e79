"""What is not stored yet of what a version did on one device: for the catalogue and for accounts' usage."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Asked:
    """What one account asked for.

    Args:
        calls: The calls that were answered.
        rows: Their rows.
        failures: The calls whose run failed.
    """

    calls: int = 0
    rows: int = 0
    failures: int = 0

    def plus(self, other: Asked) -> Asked:
        """Return the sum."""
        return Asked(self.calls + other.calls, self.rows + other.rows, self.failures + other.failures)


@dataclass(slots=True)
class Measured:
    """What was counted.

    Args:
        latencies: Predictions by the bucket of their duration, as `sketches.py` has it.
        run_seconds: What the model's runs took, each counted once however many calls shared it.
        accounts: What each account asked for in predictions, by its id.
        evaluations: Likewise in evaluations, whose times say nothing about a prediction's.
    """

    latencies: Counter[int] = field(default_factory=Counter)
    run_seconds: float = 0.0
    accounts: dict[str, Asked] = field(default_factory=dict)
    evaluations: dict[str, Asked] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.latencies or self.accounts or self.evaluations)

    @property
    def total(self) -> Asked:
        """What all accounts asked for in predictions."""
        return reduce(Asked.plus, self.accounts.values(), Asked())

    @property
    def usage(self) -> dict[str, Asked]:
        """What each account asked for in all."""
        asked = dict(self.accounts)
        for account, more in self.evaluations.items():
            _add(asked, account, more)
        return asked

    def count(self, answered: Iterable[tuple[str, int]], failed: Iterable[str]) -> None:
        """Count predictions by account; those that were answered with their rows."""
        _count(self.accounts, answered, failed)

    def count_evaluations(self, answered: Iterable[tuple[str, int]], failed: Iterable[str]) -> None:
        """Count evaluations likewise."""
        _count(self.evaluations, answered, failed)

    def absorb(self, other: Measured) -> None:
        """Add what was counted elsewhere."""
        self.latencies.update(other.latencies)
        self.run_seconds += other.run_seconds
        for account, more in other.accounts.items():
            _add(self.accounts, account, more)
        for account, more in other.evaluations.items():
            _add(self.evaluations, account, more)


def _count(asked: dict[str, Asked], answered: Iterable[tuple[str, int]], failed: Iterable[str]) -> None:
    # Counter is quick; many calls are alike, and each costs the server whatever is done here.
    for (account, rows), calls in Counter(answered).items():
        _add(asked, account, Asked(calls=calls, rows=calls * rows))
    for account, failures in Counter(failed).items():
        _add(asked, account, Asked(failures=failures))


def _add(asked: dict[str, Asked], account: str, more: Asked) -> None:
    before = asked.get(account)
    asked[account] = more if before is None else before.plus(more)
