"""Coming and going: registering, logging in and out, the language, and the two files that pages need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_client.types import Account, ServiceInfo, SessionCreated
from reference_server.console.api import Refused
from reference_server.console.languages import LANGUAGES
from reference_server.console.rendering import asset
from reference_server.console.table import Pages
from reference_server.http.exchange import Answer

if TYPE_CHECKING:
    from reference_server.console.visits import Visit

pages = Pages()

# Their addresses change with their content.
_KEPT = {
    "cache-control": "public, max-age=31536000, immutable",
    "cross-origin-resource-policy": "same-origin",
}


@pages.get("", access="open")
def begin(visit: Visit) -> Answer:
    """Send on to the catalogue, or to the log-in."""
    return visit.go("models" if visit.caller else "login")


@pages.get("/style.css", access="open")
def style(_visit: Visit) -> Answer:
    """Return the style sheet."""
    return Answer(200, {**_KEPT, "content-type": "text/css; charset=utf-8"}, asset("style.css"))


@pages.get("/script.js", access="open")
def script(_visit: Visit) -> Answer:
    """Return the script."""
    return Answer(200, {**_KEPT, "content-type": "text/javascript; charset=utf-8"}, asset("script.js"))


@pages.post("/language", access="open")
def language(visit: Visit) -> Answer:
    """Keep which language is wanted, and go back to where that was said."""
    if (wanted := visit.form.text("language")) in LANGUAGES:
        visit.set_cookies.append(visit.cookies.new_language(wanted))
    back = [part for part in visit.form.text("back").split("/") if part not in ("", ".", "..")]
    # Back is a path below the console, whatever the form says.
    return visit.go(*back[1:])


@pages.get("/login", access="open")
def log_in_form(visit: Visit) -> Answer:
    """Show the log-in."""
    return visit.render("log_in.html")


@pages.post("/login", access="open")
def log_in(visit: Visit) -> Answer:
    """Log in as the API does, and keep the token where no script reads it."""
    body = {"email": visit.form.text("email"), "password": visit.form.text("password")}
    try:
        made = visit.api.ask("sessions.log_in", SessionCreated, body=body)
    except Refused as refused:
        return visit.render("log_in.html", refused=refused)
    seconds = round((made.expires_at - made.created_at).total_seconds())
    visit.set_cookies.append(visit.cookies.new_session(made.token.get_secret_value(), seconds=seconds))
    return visit.go("models")


@pages.get("/register", access="open")
def register_form(visit: Visit) -> Answer:
    """Show the registration with the usage policy."""
    return visit.render("register.html", service=_service(visit))


@pages.post("/register", access="open")
def register(visit: Visit) -> Answer:
    """Register as the API does; then one logs in."""
    form, service = visit.form, _service(visit)
    body = {
        "email": form.text("email"),
        "password": form.text("password"),
        "accept_policy": form.text("accept_policy"),
        "name": form.optional("name"),
        "invitation": form.optional("invitation"),
    }
    try:
        visit.api.ask("accounts.register", Account, body=body)
    except Refused as refused:
        return visit.render("register.html", service=service, refused=refused)
    return visit.go("login", said="registered")


@pages.post("/logout")
def log_out(visit: Visit) -> Answer:
    """End the session, here and at the service."""
    visit.api.send("sessions.end", session="current")
    visit.set_cookies.append(visit.cookies.no_session())
    return visit.go("login", said="logged_out")


def _service(visit: Visit) -> ServiceInfo:
    return visit.api.ask("service.info", ServiceInfo)
