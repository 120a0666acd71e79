"""API keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_client.types import Key, KeyCreate, KeyCreated, KeyRotate, Page, PageQuery
from reference_server.errors import Unprocessable
from reference_server.http.endpoints import Routes
from reference_server.http.exchange import Call
from reference_server.registry import keys
from reference_server.security import credentials
from reference_server.security.limits import WantedLimits, require_no_wider

if TYPE_CHECKING:
    from reference_server.security.credentials import Credential

routes = Routes("keys")


@routes.route("GET", "/v1/keys", access="keys")
def list_keys(call: Call, query: PageQuery) -> Page[Key]:
    """List the account's keys that are not revoked, without their secrets."""
    return keys.list_keys(call.services.database, call.by.account_id, query)


@routes.route("POST", "/v1/keys", access="keys", status=201, one_transaction=True, audit="key_made")
def create(call: Call, body: KeyCreate) -> KeyCreated:
    """Make a key that may do no more than who makes it; its secret is shown in this reply and never again."""
    caller, database = call.by, call.services.database
    if body.expires_at is not None:
        _require_future(call, body)
    scopes, limits = caller.grant(body.scopes), _wanted(body).within(caller.limits)
    secret = credentials.issue("key")
    key = keys.create(
        database,
        caller.account_id,
        secret,
        name=body.name,
        scopes=scopes,
        expires_at=limits.expires_at,
        limits=limits,
        maker=caller.limits,
    )
    return _shown(key, secret)


@routes.route("GET", "/v1/keys/<key>", access="keys")
def get(call: Call, key: str) -> Key:
    """Return a key without its secret."""
    return keys.get(call.services.database, call.by.account_id, key)


@routes.route("DELETE", "/v1/keys/<key>", access="keys", one_transaction=True, audit="key_revoked")
def revoke(call: Call, key: str) -> None:
    """Revoke a key; it stops at once."""
    keys.revoke(call.services.database, call.by.account_id, key)
    call.services.authenticate.forget()


@routes.route("POST", "/v1/keys/<key>/rotate", access="keys", one_transaction=True, audit="key_rotated")
def rotate(call: Call, key: str, body: KeyRotate) -> KeyCreated:
    """Give a key a new secret; the old one stops after the overlap."""
    caller, database = call.by, call.services.database
    # Otherwise a key of few scopes could take over one of many, and a limited key one without limits.
    caller.grant(keys.get(database, caller.account_id, key).scopes)
    require_no_wider(keys.limits_of(database, caller.account_id, key), caller.limits)
    secret = credentials.issue("key")
    rotated = keys.rotate(database, caller.account_id, key, secret, overlap_seconds=body.overlap_seconds)
    call.services.authenticate.forget()
    return _shown(rotated, secret)


def _shown(key: Key, secret: Credential) -> KeyCreated:
    return KeyCreated(**key.model_dump(), secret=secret.secret)


def _wanted(body: KeyCreate) -> WantedLimits:
    return WantedLimits(
        models=None if body.models is None else tuple(body.models),
        networks=None if body.networks is None else tuple(body.networks),
        expires_at=body.expires_at,
        requests_per_minute=body.requests_per_minute,
        rows_per_day=body.rows_per_day,
    )


def _require_future(call: Call, body: KeyCreate) -> None:
    expires_at = body.expires_at
    if expires_at is None or expires_at.tzinfo is None:
        raise Unprocessable(
            "expires_at needs an offset from UTC, such as 2030-01-31T12:00:00Z",
            code="invalid_field",
            param="expires_at",
        )
    if expires_at <= call.services.database.clock():
        raise Unprocessable("expires_at is in the past", code="invalid_field", param="expires_at")
