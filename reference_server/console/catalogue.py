"""The catalogue: models by task, words, tag, owner and order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from maas_client.types import Model, ModelSort, Page
from reference_server.console.api import Refused
from reference_server.console.table import Pages
from reference_server.runtime.tasks import TASKS

if TYPE_CHECKING:
    from reference_server.console.visits import Visit
    from reference_server.http.exchange import Answer

pages = Pages()

_FILTERS = ("q", "task", "tag", "owner", "license", "sort", "max_latency_ms", "min_accuracy")
_ON_A_PAGE = 20


@pages.get("/models")
def list_models(visit: Visit) -> Answer:
    """Show a page of the catalogue."""
    given = {name: visit.query.get(name, "") for name in _FILTERS}
    shown: dict[str, Any] = {"given": given, "tasks": sorted(TASKS), "orders": get_args(ModelSort)}
    query = {**given, "limit": _ON_A_PAGE, "cursor": visit.query.get("cursor")}
    if visit.query.get("shared"):
        query["shared"] = "true"
    try:
        found = visit.api.ask("models.list_models", Page[Model], query=query)
    except Refused as refused:
        return visit.render(
            "catalogue.html", refused=refused, found=Page[Model](data=[]), more_query=None, **shown
        )
    more = {**given, "shared": visit.query.get("shared", ""), "cursor": found.next_cursor or ""}
    return visit.render("catalogue.html", found=found, more_query=more if found.has_more else None, **shown)
