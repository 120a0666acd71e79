"""What clients asked for and what they were told: written before and after each call."""

from __future__ import annotations

import json
import threading
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Outcome: TypeAlias = Literal["unanswered", "acknowledged", "refused"]


@dataclass(slots=True)
class Change:
    """One change that a client asked for.

    Args:
        number: Its place among all; `note` is made of it, and found again in histories.
        kind: What was asked, such as `move`.
        model: Of which model.
        said: What the client said beside.
        outcome: What it was told; `unanswered` until then.
        told: What the answer held.
        was_unanswered: Whether no answer came, whatever was found out afterwards.
    """

    number: int
    kind: str
    model: str
    said: dict[str, Any]
    outcome: Outcome = "unanswered"
    told: dict[str, Any] = field(default_factory=dict)
    was_unanswered: bool = False

    @property
    def note(self) -> str:
        """What the change writes into histories."""
        return f"change {self.number}"


class Ledger:
    """Every change, in memory and as JSON lines in a file.

    Args:
        file: Where the lines go, each as soon as it is known.
    """

    def __init__(self, file: Path) -> None:
        self._lock = threading.Lock()
        self._lines = file.open("w", encoding="utf-8", buffering=1)
        self.changes: list[Change] = []
        self.faults: list[str] = []

    def begin(self, kind: str, model: str, **said: object) -> Change:
        """Write down that a change is about to be asked for."""
        with self._lock:
            change = Change(len(self.changes) + 1, kind, model, said)
            self.changes.append(change)
            self._write(change)
        return change

    def end(self, change: Change, outcome: Outcome, **told: object) -> None:
        """Write down what came of it."""
        with self._lock:
            change.was_unanswered |= outcome == "unanswered"
            change.outcome = outcome
            change.told.update(told)
            self._write(change)

    def fault(self, text: str) -> None:
        """Write down an answer that no server should give."""
        with self._lock:
            self.faults.append(text)

    def of(self, model: str, *kinds: str) -> Iterator[Change]:
        """Give the changes of a model, in the order in which they were asked for."""
        return (each for each in self.changes if each.model == model and (not kinds or each.kind in kinds))

    def models(self) -> list[str]:
        """Return every model's name."""
        return sorted({change.model for change in self.changes})

    def counts(self) -> dict[str, Counter[str]]:
        """Return for each kind how many changes came to which end."""
        counted: dict[str, Counter[str]] = {}
        for change in self.changes:
            outcome = "unanswered" if change.was_unanswered else change.outcome
            counted.setdefault(change.kind, Counter())[outcome] += 1
        return counted

    def close(self) -> None:
        """Close the file."""
        self._lines.close()

    def _write(self, change: Change) -> None:
        self._lines.write(json.dumps(asdict(change), default=str) + "\n")
