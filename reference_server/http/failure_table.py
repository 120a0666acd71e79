"""Which failures each endpoint may answer with, for OpenAPI; a fuzz run holds every answer against it."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reference_server.http.endpoints import Endpoint

_CHANGES = ("POST", "PUT", "PATCH", "DELETE")


def failures(endpoint: Endpoint) -> dict[int, str]:
    """Return the meaning of each failure of an endpoint, by its status; a 500 is always a defect."""
    return {status.value: meaning for status, meaning in sorted(_failures(endpoint))}


def _failures(endpoint: Endpoint) -> Iterator[tuple[HTTPStatus, str]]:
    yield HTTPStatus.BAD_REQUEST, "The request is malformed."
    yield HTTPStatus.TOO_MANY_REQUESTS, "Too many requests; `Retry-After` says when to come back."
    yield HTTPStatus.SERVICE_UNAVAILABLE, "Not now; `Retry-After` says when to come back."
    yield from _of_access(endpoint)
    yield from _of_the_state(endpoint)
    yield from _of_the_body(endpoint)
    if endpoint.has_ranges:
        yield HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "There is no such range."
    if endpoint.inference:
        yield HTTPStatus.GATEWAY_TIMEOUT, "The time for the call ran out."


def _of_access(endpoint: Endpoint) -> Iterator[tuple[HTTPStatus, str]]:
    if endpoint.access != "open":
        yield HTTPStatus.UNAUTHORIZED, "There is no credential, or it is not valid."
        yield HTTPStatus.FORBIDDEN, "The credential does not allow this."
    elif endpoint.method == "POST":
        yield HTTPStatus.UNAUTHORIZED, "What was given does not identify anybody."
        yield HTTPStatus.FORBIDDEN, "This is not open to you."


def _of_the_state(endpoint: Endpoint) -> Iterator[tuple[HTTPStatus, str]]:
    if endpoint.parameters or endpoint.inference or endpoint.query is not None:
        yield HTTPStatus.NOT_FOUND, "It is not there, or you cannot see it."
    if endpoint.parameters or endpoint.inference:
        yield HTTPStatus.GONE, "It is retired, or deleted for ever."
    if endpoint.method in _CHANGES or endpoint.parameters:
        yield HTTPStatus.CONFLICT, "It does not fit what is there now."
    if endpoint.method in _CHANGES and endpoint.parameters:
        yield HTTPStatus.PRECONDITION_FAILED, "Somebody else has changed it since."


def _of_the_body(endpoint: Endpoint) -> Iterator[tuple[HTTPStatus, str]]:
    if endpoint.body_kind != "none":
        yield HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large."
        yield HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body is of another type, or encoded in another way."
    if endpoint.body_kind != "none" or endpoint.parameters:
        yield HTTPStatus.UNPROCESSABLE_ENTITY, "Well-formed, but a value cannot be taken."
