"""The progress of a job as bars: one for each phase, because each counts in a unit of its own."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from maas_client._progress import progress_bar

if TYPE_CHECKING:
    from types import TracebackType

    from maas_client._progress import Progress
    from maas_client.types import JobProgress


class JobBars:
    """Shows how far a job has come.

    Args:
        progress: Whether and how.
        label: What is written beside a bar.
        known: Where it stands.
    """

    def __init__(self, progress: Progress, label: str, known: JobProgress) -> None:
        self._progress = progress
        self._label = label
        self._known = known
        self._told = ""
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._begin(self._known)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def show(self, known: JobProgress, *, told: str = "") -> None:
        """Show where it stands now, and what it tells beside."""
        self._move(known)
        if told != self._told:
            self._told = told
            self._bar.tell(told)

    def _move(self, known: JobProgress) -> None:
        before, self._known = self._known, known
        if (known.unit, known.total) == (before.unit, before.total):
            self._bar.advance(known.done - before.done)
            return
        if known.unit != before.unit and before.total is not None:
            # Its end was not heard of; that another phase came tells it.
            self._bar.advance(before.total - before.done)
        if known.unit == before.unit or known.done != known.total:
            self._open.close()
            self._begin(known)
            self._bar.advance(0)

    def _begin(self, known: JobProgress) -> None:
        # A new bar says nothing yet.
        self._told = ""
        self._bar = self._open.enter_context(
            progress_bar(
                self._progress,
                total=known.total,
                unit=known.unit or "unit",
                label=self._label,
                done=known.done,
            )
        )
