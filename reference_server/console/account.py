"""One's own account: its sessions, its password, all that is held about it, and its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_client.types import Account, Erasure, ErasurePlan, Page, Session
from reference_server.console.api import Refused
from reference_server.console.table import Pages
from reference_server.http.exchange import Answer

if TYPE_CHECKING:
    from reference_server.console.visits import Visit

pages = Pages()

_DOWNLOAD = {
    "content-type": "application/json",
    "cache-control": "no-store",
    "content-disposition": 'attachment; filename="account.json"',
}


@pages.get("/account")
def show(visit: Visit) -> Answer:
    """Show the account and its sessions."""
    return _render(visit)


@pages.post("/account/password")
def change_password(visit: Visit) -> Answer:
    """Change the password, which ends every other session."""
    body = {name: visit.form.text(name) for name in ("current_password", "new_password")}
    try:
        visit.api.send("accounts.change_password", body=body)
    except Refused as refused:
        return _render(visit, refused=refused)
    return visit.go("account", said="password_changed")


@pages.post("/account/sessions/<session>/end")
def end_session(visit: Visit, session: str) -> Answer:
    """End another of the sessions."""
    visit.api.send("sessions.end", session=session)
    return visit.go("account", said="session_ended")


@pages.post("/account/export")
def export(visit: Visit) -> Answer:
    """Hand out everything that the service holds about the account, as a file."""
    return Answer(200, _DOWNLOAD, visit.api.send("accounts.export_data").body)


@pages.get("/account/erase")
def erase_form(visit: Visit) -> Answer:
    """Tell what erasing the account takes along, and ask for the password."""
    return visit.render("erase_account.html", plan=visit.api.ask("accounts.erasure_plan", ErasurePlan))


@pages.post("/account/erase")
def erase(visit: Visit) -> Answer:
    """Erase the account and show the receipt, which needs no session."""
    try:
        erased = visit.api.ask("accounts.erase", Erasure, body={"password": visit.form.text("password")})
    except Refused as refused:
        plan = visit.api.ask("accounts.erasure_plan", ErasurePlan)
        return visit.render("erase_account.html", plan=plan, refused=refused)
    visit.set_cookies.append(visit.cookies.no_session())
    return visit.go("erasures", erased.id)


def _render(visit: Visit, refused: Refused | None = None) -> Answer:
    api = visit.api
    return visit.render(
        "account.html",
        account=api.ask("accounts.get", Account),
        sessions=api.ask("sessions.list_sessions", Page[Session]).data,
        refused=refused,
    )
