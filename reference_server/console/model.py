"""A model's page: what it is, how good it is, who serves its calls, and how quickly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_client.types import Alias, Model, Page, Share, Traffic, Version
from reference_server.console import charts
from reference_server.console.table import Pages

if TYPE_CHECKING:
    from reference_server.console.api import Api
    from reference_server.console.visits import Visit
    from reference_server.http.exchange import Answer

pages = Pages()

# Of models with more, the other pages tell of the rest.
_VERSIONS = 20
_OWNER = "owner"
_MAY_CHANGE = (_OWNER, "publisher")


@pages.get("/models/<model>")
def show(visit: Visit, model: str) -> Answer:
    """Show a model."""
    api, found = visit.api, visit.api.ask("models.get", Model, model=model)
    newest = versions_of(api, model)
    owns = found.role == _OWNER
    return visit.render(
        "model.html",
        model=found,
        versions=newest,
        aliases=api.ask("aliases.list_aliases", Page[Alias], model=model).data,
        traffic=api.ask("traffic.get", Traffic, model=model),
        shares=api.ask("shares.list_shares", Page[Share], model=model).data if owns else [],
        owns=owns,
        may_change=found.role in _MAY_CHANGE,
        latencies=charts.latencies(newest),
    )


def versions_of(api: Api, model: str) -> list[Version]:
    """Return a model's newest versions."""
    return api.ask("versions.list_versions", Page[Version], query={"limit": _VERSIONS}, model=model).data
