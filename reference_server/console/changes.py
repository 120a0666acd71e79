"""What owners and publishers change on a model's page: aliases, traffic, shares, visibility, its end."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from maas_client.types import VERSION_NUMBER, Erasure, Model
from reference_server.console.table import Pages

if TYPE_CHECKING:
    from reference_server.console.visits import Visit
    from reference_server.http.exchange import Answer

pages = Pages()

_NUMBER = re.compile(VERSION_NUMBER)
_WEIGHT = re.compile(rf"weight\.({VERSION_NUMBER})")


@pages.post("/models/<model>/aliases")
def move(visit: Visit, model: str) -> Answer:
    """Point an alias to a version, if nobody has moved it since the page was made."""
    form = visit.form
    body = {
        "version": form.number("version"),
        "note": form.text("note"),
        "force": form.is_ticked("force"),
    }
    alias = form.text("alias").strip()
    visit.api.send("aliases.move", body=body, headers=_unchanged(visit), model=model, alias=alias)
    return visit.go("models", model, said="alias_moved")


@pages.post("/models/<model>/aliases/<alias>/rollback")
def roll_back(visit: Visit, model: str, alias: str) -> Answer:
    """Point an alias to where it was before."""
    body = {"note": visit.form.text("note"), "force": visit.form.is_ticked("force")}
    visit.api.send("aliases.roll_back", body=body, headers=_unchanged(visit), model=model, alias=alias)
    return visit.go("models", model, said="alias_rolled_back")


@pages.post("/models/<model>/traffic")
def split(visit: Visit, model: str) -> Answer:
    """Let versions share the calls, or promote one."""
    form = visit.form
    body = {
        "splits": [
            {"version": int(found[1]), "weight": _number(weight)}
            for name, weight in form.fields.items()
            if (found := _WEIGHT.fullmatch(name)) and weight.strip() not in ("", "0")
        ],
        "shadows": [int(version) for version in form.all("shadow") if _NUMBER.fullmatch(version)],
        "note": form.text("note"),
        "promote": form.is_ticked("promote"),
        "force": form.is_ticked("force"),
    }
    visit.api.send("traffic.change", body=body, headers=_unchanged(visit), model=model)
    return visit.go("models", model, said="traffic_changed")


@pages.post("/models/<model>/traffic/withdraw")
def withdraw(visit: Visit, model: str) -> Answer:
    """Send every call to `default` again."""
    visit.api.send("traffic.withdraw", query={"note": visit.form.text("note")}, model=model)
    return visit.go("models", model, said="traffic_withdrawn")


@pages.post("/models/<model>/shares")
def share(visit: Visit, model: str) -> Answer:
    """Share a model with an account, or change its role."""
    body = {"role": visit.form.text("role")}
    account = visit.form.text("account").strip()
    visit.api.send("shares.put", body=body, model=model, account=account)
    return visit.go("models", model, said="shared")


@pages.post("/models/<model>/shares/<account>/remove")
def unshare(visit: Visit, model: str, account: str) -> Answer:
    """Withdraw a share."""
    visit.api.send("shares.delete", model=model, account=account)
    return visit.go("models", model, said="unshared")


@pages.post("/models/<model>/visibility")
def publish(visit: Visit, model: str) -> Answer:
    """Show a model to everybody, or to nobody else."""
    body = {"visibility": visit.form.text("visibility")}
    changed = visit.api.ask("models.update", Model, body=body, model=model)
    return visit.go("models", changed.id, said="visibility_changed")


@pages.get("/models/<model>/erase")
def erase_form(visit: Visit, model: str) -> Answer:
    """Ask whether a model is to be erased."""
    return visit.render("erase_model.html", model=visit.api.ask("models.get", Model, model=model))


@pages.post("/models/<model>/erase")
def erase(visit: Visit, model: str) -> Answer:
    """Erase a model whose name was typed in again, and show the receipt."""
    found = visit.api.ask("models.get", Model, model=model)
    if visit.form.text("confirmation").strip() != found.name:
        return visit.render("erase_model.html", status=422, model=found, mistyped=True)
    return visit.go("erasures", visit.api.ask("models.delete", Erasure, model=model).id)


def _unchanged(visit: Visit) -> dict[str, str]:
    """Return the header that makes a change depend on what the page showed (RFC 9110, section 13.1.1)."""
    revision = visit.form.optional("revision")
    return {} if revision is None else {"if-match": f'"{revision}"'}


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
