"""Capture: inputs and outputs of a model's calls, kept for its owners where they have switched that on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pydantic_core

from maas_client.types import Capture, CapturedCall, CapturedQuery, CaptureUpdate, Erasure, Page
from reference_server.errors import Unauthenticated
from reference_server.http.endpoints import Routes
from reference_server.http.erasures import PENDING, told
from reference_server.http.exchange import Answer, Call, Replied
from reference_server.registry import capture, captured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

routes = Routes("capture")

NDJSON = "application/x-ndjson"
_JSON = {"content-type": "application/json", "cache-control": "no-store", "vary": "accept"}
_LINES = {"content-type": NDJSON, "cache-control": "no-store", "vary": "accept"}
_PAGE = 1000


@routes.route("GET", "/v1/models/<model>/capture", access="models:read")
def get(call: Call, model: str) -> Capture:
    """Tell whether inputs and outputs of a model's calls are stored, since when, for how long and how many.

    Whoever may call the model sees that; what there is of them, its owners alone.
    """
    most = call.services.settings.capture_bytes
    return capture.get(call.services.database, call.by, model, most_bytes=most)


@routes.route(
    "PUT", "/v1/models/<model>/capture", access="models:write", one_transaction=True, audit="capture_changed"
)
def change(call: Call, model: str, body: CaptureUpdate) -> Capture:
    """Switch the capture of a model's calls on or off, for its owners; it holds on every worker in a second.

    Callers see it in the model and in the header `X-Maas-Capture` of their answers. Switching it off stops
    writing; what is there stays until its days end, or until `DELETE …/captured` erases it.
    """
    services = call.services
    most = services.settings.capture_bytes
    changed = capture.change(services.database, call.by, model, body, most_bytes=most)
    services.forget_targets()
    return changed


@routes.route(
    "GET",
    "/v1/models/<model>/captured",
    access="models:read",
    produces=NDJSON,
    answers={200: Page[CapturedCall]},
    audit="captured_read",
)
def list_captured(call: Call, model: str, query: CapturedQuery) -> Answer:
    """List a model's captured calls, oldest first, for its owners; a page of large calls is shorter.

    With `Accept: application/x-ndjson` all of them from the cursor on come as a stream, one on each line.
    What other workers answered in the last second is not among them yet. A call that was changed in the store
    has a `fault`.
    """
    services = call.services
    # Who may not read them must not make the store write either.
    captured.check(services.database, call.by, model)
    services.captures.flush()

    def page(query: CapturedQuery) -> Page[CapturedCall]:
        return captured.list_calls(services.database, call.by, model, query)

    if not takes_lines(call.request.headers):
        return Answer(200, _JSON, pydantic_core.to_json(page(query)))
    whole = query.model_copy(update={"limit": _PAGE})
    return Answer(200, _LINES, chunks=Lines(page, page(whole), whole, holds=_holds(call)))


@routes.route(
    "DELETE",
    "/v1/models/<model>/captured",
    access="models:write",
    others=PENDING,
    audit="captured_deleted",
)
def erase(call: Call, model: str) -> Replied[Erasure]:
    """Erase what was captured of a model's calls, for its owners; capture goes on as it is set.

    The key of the calls is destroyed; what workers have not stored yet is dropped too.
    """
    services = call.services
    erased = captured.erase(services.database, services.artifacts, call.by, model)
    services.forget_targets()
    return told(erased)


class Lines:
    """Captured calls as lines of JSON, read page by page: no reader holds the database's log in between.

    Args:
        page: Reads a page, and refuses whom the model is not shared with any more.
        first: The first one.
        query: What it was asked by.
        holds: Tells whether the client's credential still holds; asked before each further page.
    """

    def __init__(
        self,
        page: Callable[[CapturedQuery], Page[CapturedCall]],
        first: Page[CapturedCall],
        query: CapturedQuery,
        *,
        holds: Callable[[], bool],
    ) -> None:
        self._page, self._next, self._query, self._holds = page, first, query, holds

    def __iter__(self) -> Iterator[bytes]:
        """Give the lines of a page at a time.

        Raises:
            Unauthenticated, Forbidden, NotFound: It may be read no further; the stream then has no end, so
                that nobody takes a part for the whole.
        """
        page = self._next
        while True:
            if page.data:
                yield b"".join(pydantic_core.to_json(each) + b"\n" for each in page.data)
            if page.next_cursor is None:
                return
            if not self._holds():
                raise Unauthenticated("the credential holds no more; the export is not whole")
            page = self._page(self._query.model_copy(update={"cursor": page.next_cursor}))


def takes_lines(headers: Mapping[str, str]) -> bool:
    """Tell whether a caller names the media type of lines among those that it takes (RFC 9110, 12.5.1)."""
    return any(
        kind.partition(";")[0].strip() == NDJSON for kind in headers.get("accept", "").lower().split(",")
    )


def _holds(call: Call) -> Callable[[], bool]:
    authorization, address = call.request.headers.get("authorization"), call.request.address
    return lambda: call.services.authenticate.holds(authorization, address)
