"""What a job has while it runs: its request, its services, and whom to tell how far it has come."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from reference_server.registry import job_runs
from reference_server.registry.sealed_artifacts import keep, open_reader
from reference_server.security.encryption import SealBrokenError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import JsonValue

    from reference_server.metrics import Measured, ModelKey
    from reference_server.registry.artifacts import ArtifactStore
    from reference_server.registry.database import Database
    from reference_server.registry.job_runs import Claim, Explanations, Verdict
    from reference_server.runtime.pool import ModelPool
    from reference_server.security.callers import Caller
    from reference_server.settings import Settings

# Each report is a commit, which costs about a millisecond with its fsync.
_REPORT_SECONDS = 0.5
# What a death costs at most; a checkpoint of 100,000 rows is 3 MB.
_SAVE_SECONDS = 1.0
_QUICK_SAVE_SECONDS, _SAVE_SHARE = 0.05, 0.05
_SHORTEST_RATE_SECONDS = 0.2


class Ended(Exception):  # noqa: N818 - no error: the job is told to end
    """A job ends here, for reasons that are not its own."""


class Cancelled(Ended):
    """Its account asked for that."""


class Lost(Ended):
    """It is no longer this process's: whoever has it now must not be disturbed."""


class Stopping(Ended):
    """The process ends."""


@dataclass(slots=True)
class Services:
    """What jobs work with."""

    settings: Settings
    database: Database
    artifacts: ArtifactStore
    pool: ModelPool


@dataclass(slots=True)
class Context:
    """A job under way.

    Args:
        claim: The job.
        services: What it works with.
        verdict: Returns what was last heard of its lease; never waits.
        stopping: Tells whether the process is to end.
        timer: Seconds, monotonic.
        counted: What it asked of versions, which counts as its account's usage once it has succeeded.
        explained: The explanations that it made, for the workers' metrics once it has succeeded.
        spent: How many rows it has run of those that were taken from a day when it was asked for.
    """

    claim: Claim
    services: Services
    verdict: Callable[[], Verdict]
    stopping: Callable[[], bool]
    timer: Callable[[], float]
    counted: dict[ModelKey, Measured] = field(init=False, default_factory=dict)
    explained: Explanations | None = field(init=False, default=None)
    spent: int = field(init=False, default=0)
    _began: tuple[float, int] = field(init=False)
    _unit: str = field(init=False)
    _interim: Mapping[str, JsonValue] | None = field(init=False, default=None)
    _reported: float = field(init=False)
    _next_save: float = field(init=False)

    def __post_init__(self) -> None:
        """Start the clocks."""
        now = self.timer()
        self._began = now, self.claim.done
        self._unit = self.claim.unit
        # The first checkpoint comes with the first work.
        self._next_save = now
        self._reported = now - _REPORT_SECONDS

    @property
    def caller(self) -> Caller:
        """The job's account: it may see what that may see now."""
        return self.claim.caller

    @property
    def request(self) -> Mapping[str, JsonValue]:
        """What was asked, small."""
        return self.claim.request

    def input(self) -> IO[bytes]:
        """Open what was asked and is large.

        Raises:
            FileNotFoundError: There is none.
        """
        if self.claim.input is None:
            raise FileNotFoundError(f"the job {self.claim.job_id} has no input")
        return open_reader(self.services.artifacts, self.claim.input, self.claim.key)

    def check(self) -> None:
        """Go on, or end; to be called several times a second.

        Raises:
            Ended: As the subclass says.
        """
        if self.stopping():
            raise Stopping
        heard = self.verdict()
        if heard == "cancel":
            raise Cancelled
        if heard == "lost":
            raise Lost

    def begin(self, done: int, total: int | None, *, unit: str) -> None:
        """Begin a phase, whose speed is its own, and tell of it at once.

        Args:
            done: Units that are done already, as the checkpoint has them.
            total: Units in all.
            unit: What they are.

        Raises:
            Ended: As in `check`.
        """
        now = self.timer()
        self._began, self._unit = (now, done), unit
        self._reported = now - _REPORT_SECONDS
        self.progress(done, total)

    def progress(self, done: int, total: int | None) -> None:
        """Tell how many units are done; written twice a second at most.

        Raises:
            Ended: As in `check`.
        """
        self.check()
        now = self.timer()
        if now - self._reported < _REPORT_SECONDS and done != total:
            return
        self._reported = now
        remaining = self._remaining(now, done, total)
        job_runs.report(
            self.services.database,
            self.claim,
            done=done,
            total=total,
            unit=self._unit,
            remaining_seconds=remaining,
            interim=self._interim,
        )
        self._interim = None

    def tell(self, interim: Mapping[str, JsonValue]) -> None:
        """Tell what is known of the result so far; written with the next report of progress."""
        self._interim = interim

    def log(self, text: str) -> None:
        """Add a line to the job's log, which its account reads."""
        database = self.services.database
        job_runs.add_lines(database, self.claim, [(database.clock(), text)])

    def restored(self) -> bytes | None:
        """Return the checkpoint of an earlier process, if one saved any."""
        if self.claim.checkpoint is None:
            return None
        try:
            with open_reader(self.services.artifacts, self.claim.checkpoint, self.claim.key) as file:
                return file.read()
        except (FileNotFoundError, SealBrokenError):
            # Taken out of the store by hand, or damaged; what it held can be computed again.
            return None

    def save(self, content: Callable[[], bytes], *, done: int) -> None:
        """Save a checkpoint, every second at most, and so seldom that saving takes a twentieth of the time.

        Args:
            content: Makes what `restored` is to return.
            done: How many units it holds.
        """
        now = self.timer()
        if now < self._next_save:
            return
        name = keep(self.services.artifacts, self.claim.key, "job-checkpoint", content())
        job_runs.save(self.services.database, self.services.artifacts, self.claim, artifact=name, done=done)
        took = self.timer() - now
        # The time that it takes to write many megabytes would else be most of a job's.
        pause = _SAVE_SECONDS if took < _QUICK_SAVE_SECONDS else took / _SAVE_SHARE
        self._next_save = now + pause

    def _remaining(self, now: float, done: int, total: int | None) -> float | None:
        began, before = self._began
        if total is None or done <= before or now - began < _SHORTEST_RATE_SECONDS:
            return None
        return round((total - done) * (now - began) / (done - before), 1)
