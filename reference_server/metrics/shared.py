"""Puts together what several workers counted, through a file that each writes in one folder.

`prometheus_client` has such files too, but writes them with every observation, a good part of what a request
costs here; a worker of ours writes once a second, at its end, and before it answers a scrape.

A worker takes the lowest slot that no living process holds, and goes on counting from where the slot's last
holder ended. So a dead worker's counts stay, there are never more files than workers at a time, and a slot's
number is a label that does not change with every process.
"""

from __future__ import annotations

import itertools
import logging
import os
import sys
from typing import TYPE_CHECKING

from pydantic import ValidationError

from reference_server.metrics.counts import can_be_added
from reference_server.metrics.states import WorkerState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_log = logging.getLogger(__name__)


class Slot:
    """One worker's file, and its right to write it.

    Args:
        folder: Where the workers of this run share their counts.

    Attributes:
        number: The slot's number, from 0.
        inherited: What the slot's last holder counted.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.number, self._lock = _take_first(folder)
        self.inherited = _read(self._file(self.number))

    def write(self, state: WorkerState) -> None:
        """Write what this worker counted.

        Raises:
            OSError: The folder is gone or the disk is full.
        """
        file = self._file(self.number)
        # A new file in the place of the old one: whoever reads sees one of them whole.
        unfinished = file.with_suffix(".new")
        unfinished.write_text(state.model_dump_json(), encoding="utf-8")
        unfinished.replace(file)
        # What tidies up temporary folders looks for files that have long been left alone.
        _lock_file(self._folder, self.number).touch()

    def others(self) -> Iterator[tuple[int, WorkerState, bool]]:
        """Yield the number and the state of every other slot, and whether its holder lives."""
        for file in sorted(self._folder.glob("[0-9]*.json")):
            if file.stem.isdecimal() and (number := int(file.stem)) != self.number:
                state = _read(file)
                if state is not None:
                    yield number, state, _is_held(_lock_file(self._folder, number))

    def release(self) -> None:
        """Let another worker go on from here."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _file(self, number: int) -> Path:
        return self._folder / f"{number}.json"


def _take_first(folder: Path) -> tuple[int, int]:
    for number in itertools.count():
        if (lock := _take(_lock_file(folder, number))) is not None:
            return number, lock
    raise AssertionError  # there is always another number


def _lock_file(folder: Path, number: int) -> Path:
    return folder / f"{number}.lock"


def _read(file: Path) -> WorkerState | None:
    """Return what a file tells, or None where there is none or it is not of this release's making."""
    try:
        state = WorkerState.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        _log.warning("the metrics in %s are left out: %s", file, error)
        return None
    return state if can_be_added(state) else None


def _is_held(file: Path) -> bool:
    lock = _take(file)
    if lock is not None:
        os.close(lock)
    return lock is None


def _take(file: Path) -> int | None:
    """Lock a file for as long as the descriptor is open or this process lives; None if another holds it."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock_now(descriptor)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


if sys.platform == "win32":
    import msvcrt

    def _lock_now(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock_now(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
