"""The account's part of the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from maas_client.types import AuditAct, AuditEntry, AuditOutcome, Page
from reference_server.console.table import Pages

if TYPE_CHECKING:
    from reference_server.console.visits import Visit
    from reference_server.http.exchange import Answer

pages = Pages()

_FILTERS = ("act", "outcome", "cursor")
_ON_A_PAGE = 50


@pages.get("/audit")
def show(visit: Visit) -> Answer:
    """Show a page of what the account did and what was done to it."""
    given = {name: visit.query.get(name, "") for name in _FILTERS}
    return visit.render(
        "audit.html",
        found=visit.api.ask("audit.list_own", Page[AuditEntry], query={**given, "limit": _ON_A_PAGE}),
        given=given,
        acts=get_args(AuditAct),
        outcomes=get_args(AuditOutcome),
    )
