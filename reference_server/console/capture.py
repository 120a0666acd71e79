"""Capture: whether a model's calls are kept, for how long, what there is of them, and their erasure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from maas_client.types import Capture, CapturedCall, Erasure, Model, Page
from reference_server.console.api import Refused
from reference_server.console.table import Pages

if TYPE_CHECKING:
    from reference_server.console.visits import Visit
    from reference_server.http.exchange import Answer

pages = Pages()

_ON_A_PAGE = 20
_MOST_CHARACTERS = 600


@pages.get("/models/<model>/capture")
def show(visit: Visit, model: str) -> Answer:
    """Show what is set and what is held; the calls themselves when they are asked for, which is audited."""
    return _render(visit, model)


@pages.post("/models/<model>/capture")
def change(visit: Visit, model: str) -> Answer:
    """Switch it on or off."""
    form, enabled = visit.form, visit.form.text("enabled") == "yes"
    percent = form.decimal("percent")
    body: dict[str, object] = {"enabled": enabled}
    if enabled:
        sample = percent / 100 if isinstance(percent, float) else percent
        given = {"days": form.number("days"), "sample": sample}
        body |= {name: value for name, value in given.items() if value is not None}
    try:
        visit.api.send("capture.change", body=body, model=model)
    except Refused as refused:
        return _render(visit, model, refused=refused)
    if enabled:
        return visit.go("models", model, "capture", said="capture_on")
    return visit.go("models", model, "capture", said="capture_off")


@pages.post("/models/<model>/capture/erase")
def erase(visit: Visit, model: str) -> Answer:
    """Erase what is held once that was confirmed, and show the receipt."""
    found = visit.api.ask("models.get", Model, model=model)
    if visit.form.text("confirmation").strip() != found.name:
        return _render(visit, model, mistyped=True)
    return visit.go("erasures", visit.api.ask("capture.erase", Erasure, model=model).id)


def _render(visit: Visit, model: str, *, refused: Refused | None = None, mistyped: bool = False) -> Answer:
    api = visit.api
    found, state = api.ask("models.get", Model, model=model), api.ask("capture.get", Capture, model=model)
    calls = None
    if visit.query.get("calls") and found.role == "owner":
        query = {"limit": _ON_A_PAGE, "cursor": visit.query.get("cursor")}
        calls = api.ask("capture.list_captured", Page[CapturedCall], query=query, model=model)
    return visit.render(
        "capture.html",
        status=422 if mistyped else 200,
        model=found,
        state=state,
        owns=found.role == "owner",
        calls=calls,
        told=_told,
        refused=refused,
        mistyped=mistyped,
    )


def _told(value: object) -> str:
    """Return inputs or answers as JSON, of long ones the beginning."""
    text = orjson.dumps(value).decode()
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]} …"
