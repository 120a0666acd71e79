"""What a worker has to write into the audit log: what it counts, and what has to wait for the store."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from reference_server.registry import audit, hidden
from reference_server.registry.audit import Act, Personal
from reference_server.registry.faults import STORE_AWAY
from reference_server.security.audit_tally import Counted, Tally

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.orm import Session

    from maas_client.types import AuditAct
    from reference_server.registry.audit import Outcome
    from reference_server.registry.database import Database

_log = logging.getLogger(__name__)


class Trail:
    """What a worker has to write into the audit log.

    Args:
        database: Where the log is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tally = Tally()
        self._late: deque[Act] = deque()

    def write(self, acts: Iterable[Act]) -> None:
        """Write what was done; what cannot be written now is written as soon as it can be."""
        dated = [replace(act, at=act.at or self._database.clock()) for act in acts]
        try:
            self._write(dated)
        except STORE_AWAY:
            self._late.extend(dated)
            _log.exception("an entry of the audit log has to wait", extra={"fields": {"entries": len(dated)}})

    def count(self, counted: Counted) -> None:
        """Count an act among like ones of this minute."""
        self._tally.add(counted, at=self._database.clock().timestamp())

    def flush(self, *, everything: bool = False) -> None:
        """Write what waits; called every second.

        Args:
            everything: Also what could wait for the end of its minute, as before the worker stops.
        """
        counted = self._tally.take(at=self._database.clock().timestamp(), everything=everything)
        late = [self._late.popleft() for _ in range(len(self._late))]
        if not counted and not late:
            return
        try:
            with self._database.write() as session:
                for act in late:
                    audit.record(session, act)
                for (second, one), count in counted.items():
                    if (told := _told(session, one, count, datetime.fromtimestamp(second, UTC))) is not None:
                        audit.record(session, told)
        except BaseException:
            self._late.extendleft(reversed(late))
            self._tally.give_back(counted)
            raise

    def _write(self, acts: Iterable[Act]) -> None:
        with self._database.write() as session:
            for act in acts:
                audit.record(session, act)


def _told(session: Session, counted: Counted, count: int, at: datetime) -> Act | None:
    """Return the entry of what was counted; None where what was not found is not there either."""
    act = _act_of(counted, count, at)
    if not counted.asked:
        return act
    what, _, text = counted.asked.partition("=")
    subject = hidden.find(session, what, text)
    # The caller was told that there is nothing; their own log must not say otherwise.
    return None if subject is None else replace(act, outcome="hidden", account=None, subject=subject)


def _act_of(counted: Counted, count: int, at: datetime) -> Act:
    act: AuditAct = counted.act  # type: ignore[assignment] # as the table of endpoints has it
    outcome: Outcome = counted.outcome  # type: ignore[assignment]
    return Act(
        act,
        outcome,
        account=counted.account,
        actor=counted.actor,
        credential=counted.credential,
        subject=counted.subject,
        version=counted.version,
        status=counted.status,
        count=count,
        at=at,
        personal=Personal(address=counted.address),
    )
