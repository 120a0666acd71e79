"""The console's pages as Flask views: the one place where who may open a page is decided."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from flask import Blueprint, Response
from flask import request as incoming

from maas_client.types import ErrorBody
from reference_server.console import (
    account,
    advice,
    audit,
    capture,
    catalogue,
    changes,
    entrance,
    erasures,
    evaluations,
    fine_tunes,
    forgery,
    forms,
    jobs,
    keys,
    model,
    publishing,
    trying,
    usage,
    versions,
)
from reference_server.console.api import Api, Refused
from reference_server.console.cookies import Cookies, credential_of
from reference_server.console.languages import chosen, texts
from reference_server.console.visits import Visit
from reference_server.errors import Forbidden, MethodNotAllowed, ServiceError, Unauthenticated
from reference_server.http import pipeline
from reference_server.http.blueprints import (
    CREDENTIAL,
    FAILURE,
    STANDS_FOR,
    failure,
    incoming_request,
    unmatched,
)
from reference_server.http.errors import internal_error
from reference_server.http.exchange import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask
    from werkzeug.exceptions import HTTPException

    from reference_server.app import Services
    from reference_server.console.table import Page
    from reference_server.security.callers import Caller

PAGES: tuple[Page, ...] = tuple(
    page
    for part in (
        entrance,
        catalogue,
        model,
        changes,
        publishing,
        versions,
        capture,
        trying,
        evaluations,
        advice,
        keys,
        fine_tunes,
        jobs,
        usage,
        audit,
        account,
        erasures,
    )
    for page in part.pages.pages
)
_log = logging.getLogger(__name__)


def mount(app: Flask, services: Services) -> None:
    """Register the pages, unless the operator does without."""
    if not services.settings.console:
        return
    blueprint = Blueprint("console", __name__)
    for page in PAGES:
        blueprint.add_url_rule(
            page.path,
            page.name,
            _view(services, page),
            methods=[page.method],
            provide_automatic_options=False,
        )
    app.register_blueprint(blueprint)
    for status in (404, 405):
        app.register_error_handler(status, partial(_no_page, services))
    # Who has logged in here may send as much as who shows a credential.
    app.extensions[CREDENTIAL] = partial(credential_of, services.settings)
    app.extensions[STANDS_FOR] = stands_for


def stands_for(method: str, path: str) -> str | None:
    """Return the endpoint's path that a page hands its whole request on to, and its stream of events.

    A server that knows it holds no thread for a stream, and lets packages come to the disk.
    """
    streams = method == "GET" and path.startswith("/console/jobs/") and path.endswith("/events")
    packages = method == "POST" and path.startswith("/console/models/") and path.endswith("/versions")
    return f"/v1/{path.removeprefix('/console/')}" if streams or packages else None


def _view(services: Services, page: Page) -> Callable[..., Response]:
    def view(**path: str) -> Response:
        visit = _visit(services)
        try:
            answer = _answer(visit, page, path)
        finally:
            visit.form.close()
        return _shown(visit, answer, page.template)

    return view


def _shown(visit: Visit, answer: Answer, template: str) -> Response:
    answer = pipeline.show(visit.services, visit.request, answer, template=template, caller=visit.caller)
    response = Response(answer.chunks or answer.body, status=answer.status)
    response.headers.clear()
    response.headers.extend(answer.headers)
    for cookie in visit.set_cookies:
        response.headers.add("set-cookie", cookie)
    if answer.chunks is None:
        response.content_length = len(answer.body)
    return response


def _no_page(services: Services, error: HTTPException) -> Response:
    """Make a page of an address of the console that there is not; of others what the API says."""
    if not incoming.path.startswith("/console/"):
        return unmatched(services, error)
    visit, told = _visit(services), failure(error, services)
    visit.caller = _caller(visit)
    answer = _failed(visit, told)
    allow = {"allow": ", ".join(told.allowed)} if isinstance(told, MethodNotAllowed) else {}
    return _shown(visit, Answer(answer.status, {**answer.headers, **allow}, answer.body), "none")


def _visit(services: Services) -> Visit:
    request = incoming_request(services)
    cookies, headers = Cookies.of(services.settings), request.headers
    session, visitor, set_cookies = cookies.session(headers), cookies.visitor(headers), []
    secret = session or visitor
    if secret is None:
        secret, cookie = cookies.new_visitor()
        set_cookies = [cookie]
    return Visit(
        services=services,
        request=request,
        form=forms.Form(),
        texts=texts(chosen(cookies.language(headers), headers.get("accept-language"))),
        api=Api(services, request, session),
        caller=None,
        secret=secret,
        cookies=cookies,
        set_cookies=set_cookies,
    )


def _answer(visit: Visit, page: Page, path: dict[str, str]) -> Answer:
    """Let in, show the page, and make a page of every failure."""
    try:
        visit.caller = _caller(visit)
        if page.access == "session" and visit.caller is None:
            return _to_log_in(visit)
        if page.method == "POST":
            visit.form = _form(visit, page)
            _require_own_form(visit)
        return page.show(visit, **path)
    except Refused as refused:
        # It may have ended since: the API has the last word on who is logged in.
        if refused.status == Unauthenticated.status and refused.error.code == Unauthenticated.default_code:
            return _to_log_in(visit)
        return visit.render("failure.html", refused=refused)
    except ServiceError as error:
        return _failed(visit, error)
    except Exception:  # noqa: BLE001 - logged whole, shown to nobody
        _log.exception("the page failed", extra={"fields": {"request_id": visit.request.id}})
        return _failed(visit, internal_error())


def _form(visit: Visit, page: Page) -> forms.Form:
    settings, environ = visit.services.settings, incoming.environ
    if (told := environ.get(f"maas.{FAILURE}")) is not None:
        raise told
    if not page.takes_packages:
        return forms.read(environ, settings.max_body_bytes)
    return forms.read_packages(
        environ, max_bytes=settings.max_body_bytes, max_package_bytes=settings.max_package_bytes
    )


def _caller(visit: Visit) -> Caller | None:
    """Return who has logged in; an API key in the cookie's place is nobody."""
    if visit.api.token is None:
        return None
    services, authorization = visit.services, f"Bearer {visit.api.token}"
    try:
        caller = services.authenticate.known(authorization) or services.authenticate(
            authorization, visit.request.address
        )
    except Unauthenticated:
        return None
    return caller if caller.kind == "session" else None


def _to_log_in(visit: Visit) -> Answer:
    if visit.api.token is not None:
        visit.set_cookies.append(visit.cookies.no_session())
        return visit.go("login", ended="yes")
    return visit.go("login")


def _require_own_form(visit: Visit) -> None:
    settings = visit.services.settings
    is_ours = forgery.is_ours(visit.secret, visit.form.text(forgery.FIELD))
    if not (is_ours and forgery.is_same_origin(visit.request.headers, settings.public_url)):
        raise Forbidden(
            "the form did not come from a page of the console in this browser; reload the page and try again",
            code="foreign_form",
        )


def _failed(visit: Visit, error: ServiceError) -> Answer:
    body = ErrorBody(
        type=error.type,
        code=error.code,
        message=error.message,
        param=error.param,
        request_id=visit.request.id,
    )
    return visit.render("failure.html", refused=Refused(error.status, body))
