"""The lease of a running job: renewed beside it, so that only a process that died loses its job."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from reference_server.registry import job_runs
from reference_server.registry.faults import STORE_AWAY

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from reference_server.registry.database import Database
    from reference_server.registry.job_runs import Claim, Verdict

LEASE = timedelta(seconds=10)
# A cancelled job should stop within a second; a lease that is renewed four times survives three failures.
_LISTEN_SECONDS = 0.5
_RENEW_EVERY = 5
_log = logging.getLogger(__name__)


class Lease:
    """Says beside a running job that it still runs, and listens for what is to become of it.

    Attributes:
        verdict: What was last heard.
    """

    def __init__(self, claim: Claim, database: Database, *, timer: Callable[[], float]) -> None:
        self.verdict: Verdict = "go on"
        self._claim = claim
        self._database = database
        self._timer = timer
        self._renewed = timer()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="lease", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _listen(self) -> None:
        rounds = 0
        # A job that was asked to stop still needs its lease until it has.
        while self.verdict != "lost" and not self._stop.wait(_LISTEN_SECONDS):
            rounds += 1
            try:
                self._hear(renewing=rounds % _RENEW_EVERY == 0)
            except STORE_AWAY:
                # A store that is away for a moment is no reason to end; a lease that ran out is.
                _log.warning("the lease of the job %s could not be renewed", self._claim.job_id)
                if self._timer() - self._renewed > LEASE.total_seconds():
                    self.verdict = "lost"

    def _hear(self, *, renewing: bool) -> None:
        if not renewing:
            self.verdict = job_runs.verdict(self._database, self._claim)
            return
        self.verdict = job_runs.renew(self._database, self._claim, lease=LEASE)
        self._renewed = self._timer()
