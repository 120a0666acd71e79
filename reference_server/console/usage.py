"""Usage: what the account asked for, by day, model and version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_client.types import Page, UsageEntry
from reference_server.console import charts
from reference_server.console.table import Pages

if TYPE_CHECKING:
    from reference_server.console.visits import Visit
    from reference_server.http.exchange import Answer

pages = Pages()

_FILTERS = ("model", "since", "until", "cursor")
_ON_A_PAGE = 200


@pages.get("/usage")
def show(visit: Visit) -> Answer:
    """Show a page of it, and as a chart."""
    given = {name: visit.query.get(name, "") for name in _FILTERS}
    found = visit.api.ask("usage.list_usage", Page[UsageEntry], query={**given, "limit": _ON_A_PAGE})
    return visit.render("usage.html", found=found, given=given, days=charts.rows_by_day(found.data))
