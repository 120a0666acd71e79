"""`client.audit`: what your account did, and what was done to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_client._async_listing import AsyncListing
from maas_client._operations import audit
from maas_client._operations._contract import build
from maas_client.types import AuditQuery

if TYPE_CHECKING:
    from datetime import datetime

    from maas_client._async_listing import AsyncSend
    from maas_client.types import AuditAct, AuditEntry, AuditOutcome


class AsyncAuditResource:
    """Your account's entries in the server's audit log."""

    def __init__(self, send: AsyncSend) -> None:
        self._send = send

    def list(
        self,
        *,
        act: AuditAct | None = None,
        outcome: AuditOutcome | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        page_size: int | None = None,
    ) -> AsyncListing[AuditEntry]:
        """List what your account did and what was done to it, newest first.

        Changes, log-ins, denials and downloads are in it; predictions are not: see `client.usage`. It needs a
        log-in session, or a key with the scope `audit`.

        Args:
            act: Only entries of this act, such as `key_made`.
            outcome: Only entries that ended so: `succeeded`, `denied` or `failed`.
            since: The first moment, with a time zone.
            until: The moment before which all must lie, with a time zone.
            page_size: How many entries to fetch at a time, 1 to 1000.

        Raises:
            ArgumentError: There is no such act or outcome, or a moment has no time zone.
        """
        query = build(AuditQuery, act=act, outcome=outcome, since=since, until=until, limit=page_size)
        return AsyncListing(
            self._send, lambda cursor: audit.list_page(query.model_copy(update={"cursor": cursor}))
        )
