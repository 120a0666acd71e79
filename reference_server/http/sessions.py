"""Log-in sessions."""

from __future__ import annotations

from datetime import timedelta

from maas_client.types import Page, PageQuery, Session, SessionCreate, SessionCreated
from reference_server.errors import Unauthenticated, Unavailable
from reference_server.http.auditing import failed_login
from reference_server.http.endpoints import Routes
from reference_server.http.exchange import Call
from reference_server.registry import accounts, sessions
from reference_server.security import credentials

routes = Routes("sessions")


@routes.route(
    "POST",
    "/v1/sessions",
    access="open",
    status=201,
    replayable=False,
    one_transaction=True,
    audit="session_started",
)
def log_in(call: Call, body: SessionCreate) -> SessionCreated:
    """Log in with e-mail and password; the reply's token is the Bearer credential of the session."""
    services, address = call.services, call.request.address
    services.limits.logins.take(f"address {address}")
    services.limits.delays.begin(body.email, address)
    login = accounts.find_login(services.database, body.email)
    try:
        right = services.passwords.verify(
            login.password_hash if login else None, body.password.get_secret_value(), address=address
        )
    except Unavailable:
        # Nothing was tried: the next one need not wait.
        services.limits.delays.undecided(body.email, address)
        raise
    # One answer for a wrong password, an unknown e-mail and a disabled account: who asks learns nothing.
    if login is None or not right or login.disabled:
        failed_login(call, login.account.id if login else None)
        raise Unauthenticated(
            "the e-mail and the password do not belong together, or the account is disabled",
            code="wrong_password",
        )
    services.limits.delays.succeeded(body.email, address)
    token = credentials.issue("session")
    expires_at = services.database.clock() + timedelta(hours=services.settings.session_hours)
    session = sessions.create(services.database, login.account.id, token, expires_at=expires_at)
    return SessionCreated(
        id=session.id,
        created_at=session.created_at,
        expires_at=session.expires_at,
        current=True,
        token=token.secret,
        account=login.account,
    )


@routes.route("GET", "/v1/sessions", access="session")
def list_sessions(call: Call, query: PageQuery) -> Page[Session]:
    """List one's own log-in sessions that have not ended."""
    caller = call.by
    return sessions.list_sessions(
        call.services.database, caller.account_id, query, current=caller.credential_id
    )


@routes.route(
    "DELETE", "/v1/sessions/<session>", access="session", one_transaction=True, audit="session_ended"
)
def end(call: Call, session: str) -> None:
    """End a session; `current` is the one that asks."""
    caller = call.by
    session_id = caller.credential_id if session == "current" else session
    sessions.end(call.services.database, caller.account_id, session_id)
    call.services.authenticate.forget()
