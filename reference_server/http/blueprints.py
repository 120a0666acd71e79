"""The endpoints as Flask views; the only file that knows Flask's requests and responses."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, Flask, Response
from flask import request as incoming
from werkzeug.exceptions import HTTPException, InternalServerError, RequestEntityTooLarge

from reference_server.errors import InvalidRequest, MethodNotAllowed, NotFound, ServiceError
from reference_server.http import bodies
from reference_server.http.addresses import client_address
from reference_server.http.errors import internal_error
from reference_server.http.exchange import Call, Request
from reference_server.http.pipeline import handle, refuse
from reference_server.http.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from reference_server.app import Services
    from reference_server.http.endpoints import Endpoint
    from reference_server.http.exchange import Answer

# Under `maas.` and this name in the WSGI environment lies an upload that a server has received already.
UPLOAD = "upload"
# Under this name among the application's extensions lies what finds another credential than the header.
CREDENTIAL = "maas_credential"
# Likewise what tells the path of the endpoint that a page hands its request on to.
STANDS_FOR = "maas_stands_for"
# Under `maas.` and this name in the WSGI environment lies why a server has not received what a page takes.
FAILURE = "failure"


def mount(app: Flask, services: Services, endpoints: Iterable[Endpoint]) -> None:
    """Register every endpoint, one blueprint for each noun, and answers for what no endpoint takes."""
    blueprints: dict[str, Blueprint] = {}
    for endpoint in endpoints:
        blueprint = blueprints.setdefault(endpoint.tag, Blueprint(endpoint.tag, __name__))
        blueprint.add_url_rule(
            endpoint.path,
            endpoint.handler.__name__,
            _view(services, endpoint),
            methods=[endpoint.method],
            provide_automatic_options=False,
        )
    for blueprint in blueprints.values():
        app.register_blueprint(blueprint)

    def refused(error: HTTPException) -> Response:
        return unmatched(services, error)

    app.register_error_handler(HTTPException, refused)


def unmatched(services: Services, error: HTTPException) -> Response:
    """Answer what no endpoint takes."""
    return _response(refuse(services, incoming_request(services), failure(error, services)))


def _view(services: Services, endpoint: Endpoint) -> Callable[..., Response]:
    def view(**path: str) -> Response:
        if endpoint.body_kind == "none":
            return answered(b"", path)
        if endpoint.body_kind != "upload":
            # One byte too many is enough to know; the pipeline refuses it.
            return answered(incoming.stream.read(services.settings.max_body_bytes + 1), path)
        if (upload := incoming.environ.get(f"maas.{UPLOAD}")) is not None:
            return answered(upload, path)
        limit = endpoint.most_bytes(services.settings)
        with Spool(max_bytes=limit, media_type=endpoint.streamed, source=incoming.stream) as upload:
            return answered(upload, path)

    def answered(body: bytes | Spool, path: Mapping[str, str]) -> Response:
        return _response(handle(Call(services, endpoint, incoming_request(services, body)), path))

    return view


def incoming_request(services: Services, body: bytes | Spool = b"") -> Request:
    """Return the request that Flask is answering, without anything of Flask."""
    headers = {name.lower(): value for name, value in incoming.headers.items()}
    return Request(
        id=services.new_request_id(),
        method=incoming.method,
        path=incoming.path,
        query=incoming.query_string.decode("latin-1"),
        headers=headers,
        address=client_address(incoming.remote_addr or "", headers, services.trusted_proxies),
        received=services.timer(),
        body=body,
    )


def _response(answer: Answer) -> Response:
    response = Response(answer.chunks or answer.body, status=answer.status)
    response.headers.clear()
    response.headers.extend(answer.headers)
    if answer.chunks is None and answer.status != HTTPStatus.NO_CONTENT:
        response.content_length = len(answer.body)
    return response


def failure(error: HTTPException, services: Services) -> ServiceError:
    """Return what a failure of the framework is to whoever called."""
    if error.code == HTTPStatus.NOT_FOUND:
        return NotFound(
            f"there is no route {incoming.method} {incoming.path[:200]}; see /docs", code="route_not_found"
        )
    if error.code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = sorted(getattr(error, "valid_methods", None) or ())
        return MethodNotAllowed(
            f"{incoming.path[:200]} takes {', '.join(allowed)}, not {incoming.method[:20]}", allowed=allowed
        )
    # Flask's own name for what no handler of ours caught, a ServiceError from before the pipeline among it.
    if isinstance(error, InternalServerError):
        cause = error.original_exception
        return cause if isinstance(cause, ServiceError) else internal_error()
    if isinstance(error, RequestEntityTooLarge):
        return bodies.body_too_large(services.settings.max_body_bytes)
    return InvalidRequest(f"the request is malformed: {error.description}")
