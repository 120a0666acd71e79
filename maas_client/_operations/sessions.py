"""Calls about log-in sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_client._operations import _names
from maas_client._operations._contract import build, encode, reader, secrets_of
from maas_client._operations._operation import Operation, fill, nothing
from maas_client.types import Page, PageQuery, Session, SessionCreate, SessionCreated

if TYPE_CHECKING:
    from maas_client._masking import Masked

_SESSIONS = "/v1/sessions"
_SESSION = "/v1/sessions/{session}"


def create(*, email: str, password: Masked) -> Operation[SessionCreated]:
    """Log in."""
    request = build(SessionCreate, email=email, password=password)
    return Operation(
        method="POST",
        template=_SESSIONS,
        path=_SESSIONS,
        body=encode(request),
        read=reader(SessionCreated),
        keyed=True,
        credential="none",
        secrets=secrets_of(request),
    )


def list_page(*, limit: int | None = None, cursor: str | None = None) -> Operation[Page[Session]]:
    """Ask for a page of one's sessions."""
    query = build(PageQuery, limit=limit, cursor=cursor)
    return Operation(
        method="GET", template=_SESSIONS, path=fill(_SESSIONS, query), read=reader(Page[Session])
    )


def end(session: str = "current") -> Operation[None]:
    """End a session, or the one that asks."""
    path = fill(_SESSION, session=_names.identifier(session))
    return Operation(method="DELETE", template=_SESSION, path=path, read=nothing)
