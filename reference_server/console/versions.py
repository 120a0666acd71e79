"""Versions: what there is, what happened to it, how two differ, and what may be done with one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maas_client._manifests import changed_fields, changed_metrics
from maas_client._signatures import Interface, differences
from maas_client.types import Erasure, Model, ModelEvent, Page, Version
from reference_server.console.table import Pages

if TYPE_CHECKING:
    from maas_client.types import Metric
    from reference_server.console.visits import Visit
    from reference_server.http.exchange import Answer

pages = Pages()

_ON_A_PAGE = 20
_EVENTS = 50


@pages.get("/models/<model>/versions")
def list_versions(visit: Visit, model: str) -> Answer:
    """Show a model's versions, its history, and how two of them differ."""
    api, query = visit.api, visit.query
    found = api.ask(
        "versions.list_versions",
        Page[Version],
        query={"limit": _ON_A_PAGE, "cursor": query.get("cursor")},
        model=model,
    )
    return visit.render(
        "versions.html",
        model=api.ask("models.get", Model, model=model),
        found=found,
        events=api.ask("events.history", Page[ModelEvent], query={"limit": _EVENTS}, model=model).data,
        difference=_difference(visit, model, query["a"], query["b"]) if {"a", "b"} <= query.keys() else None,
    )


@pages.get("/models/<model>/versions/<version>")
def show(visit: Visit, model: str, version: str) -> Answer:
    """Show a version."""
    return visit.render("version.html", **_version(visit, model, version))


@pages.post("/models/<model>/versions/<version>/state")
def change_state(visit: Visit, model: str, version: str) -> Answer:
    """Deprecate, retire or restore a version."""
    form = visit.form
    body: dict[str, object] = {"state": form.text("state")}
    if body["state"] != "active":
        sunset = form.optional("sunset")
        body |= {
            "reason": form.text("reason"),
            "replacement": form.optional("replacement"),
            "sunset": f"{sunset}:00Z" if sunset else None,
        }
    visit.api.send("versions.update", body=body, model=model, version=version)
    return visit.go("models", model, "versions", version, said="state_changed")


@pages.post("/models/<model>/versions/<version>/erase")
def erase(visit: Visit, model: str, version: str) -> Answer:
    """Erase a version whose number was typed in again, and show the receipt."""
    if visit.form.text("confirmation").strip() != version:
        return visit.render("version.html", status=422, mistyped=True, **_version(visit, model, version))
    return visit.go("erasures", visit.api.ask("versions.delete", Erasure, model=model, version=version).id)


def _version(visit: Visit, model: str, version: str) -> dict[str, Any]:
    found = visit.api.ask("models.get", Model, model=model)
    return {
        "model": found,
        "version": visit.api.ask("versions.get", Version, model=model, version=version),
        "owns": found.role == "owner",
        "may_change": found.role in ("owner", "publisher"),
    }


def _difference(visit: Visit, model: str, a: str, b: str) -> dict[str, object]:
    before, after = (
        visit.api.ask("versions.get", Version, model=model, version=each.strip()) for each in (a, b)
    )
    signature = differences(Interface.of(before), Interface.of(after))
    return {
        "before": before,
        "after": after,
        "same_content": before.digest == after.digest,
        "breaking": any(each.breaking for each in signature),
        "signature": signature,
        "fields": changed_fields(before.manifest, after.manifest),
        "metrics": changed_metrics(_metrics(before), _metrics(after)),
    }


def _metrics(version: Version) -> list[Metric]:
    return [*version.manifest.metrics, *version.measured_metrics]
