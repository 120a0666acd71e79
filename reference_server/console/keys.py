"""API keys: what there is, a new one that is shown once, a new secret for one, and its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_client.types import SCOPES, Key, KeyCreated, Page
from reference_server.console.api import Refused
from reference_server.console.table import Pages

if TYPE_CHECKING:
    from reference_server.console.visits import Visit
    from reference_server.http.exchange import Answer

pages = Pages()


@pages.get("/keys")
def list_keys(visit: Visit) -> Answer:
    """Show the account's keys and a form for a new one."""
    return _render(visit)


@pages.post("/keys")
def create(visit: Visit) -> Answer:
    """Make a key, and show its secret this once: in this answer, which nothing keeps and no address finds."""
    form = visit.form
    expires_at = form.optional("expires_at")
    body = {
        "name": form.text("name").strip(),
        "scopes": form.all("scopes"),
        "expires_at": f"{expires_at}:00Z" if expires_at else None,
        "models": form.words("models"),
        "networks": form.words("networks"),
        "requests_per_minute": form.number("requests_per_minute"),
        "rows_per_day": form.number("rows_per_day"),
    }
    try:
        made = visit.api.ask("keys.create", KeyCreated, body=body)
    except Refused as refused:
        return _render(visit, refused=refused)
    return visit.render("key_made.html", status=201, made=made, secret=made.secret.get_secret_value())


@pages.post("/keys/<key>/rotate")
def rotate(visit: Visit, key: str) -> Answer:
    """Give a key a new secret, and show it this once."""
    body = {"overlap_seconds": visit.form.number("overlap_seconds") or 0}
    made = visit.api.ask("keys.rotate", KeyCreated, body=body, key=key)
    return visit.render("key_made.html", made=made, secret=made.secret.get_secret_value())


@pages.post("/keys/<key>/revoke")
def revoke(visit: Visit, key: str) -> Answer:
    """Revoke a key."""
    visit.api.send("keys.revoke", key=key)
    return visit.go("keys", said="key_revoked")


def _render(visit: Visit, refused: Refused | None = None) -> Answer:
    found = visit.api.ask("keys.list_keys", Page[Key], query={"cursor": visit.query.get("cursor")})
    return visit.render("keys.html", found=found, scopes=SCOPES, refused=refused)
