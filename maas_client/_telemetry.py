"""OpenTelemetry spans, one for each logical call, in programs that use OpenTelemetry.

Names and attributes follow the semantic conventions for HTTP client spans 1.27. An application that traces
has imported `opentelemetry.trace` itself: for one that does not, nothing is imported and little time spent.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from maas_client import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maas_client._calls import Call


@contextmanager
def traced(call: Call[Any], base_url: str) -> Iterator[None]:
    """Make a block the span of a call, whose attempts then carry the trace context of the W3C."""
    if (trace := sys.modules.get("opentelemetry.trace")) is None:
        yield
        return
    from opentelemetry.propagate import inject

    tracer = trace.get_tracer("maas_client", __version__)
    with tracer.start_as_current_span(
        call.name, kind=trace.SpanKind.CLIENT, attributes=_described(call, base_url)
    ) as span:
        carrier: dict[str, str] = {}
        inject(carrier)
        call.trace = carrier
        try:
            yield
        except Exception as error:
            span.set_attribute("error.type", type(error).__name__)
            raise
        finally:
            span.set_attributes(_came_of(call))


def _described(call: Call[Any], base_url: str) -> dict[str, str | int]:
    place = urlsplit(base_url)
    return {
        "http.request.method": call.operation.method,
        "url.template": call.operation.template,
        "server.address": place.hostname or "",
        "server.port": place.port or (443 if place.scheme == "https" else 80),
    }


def _came_of(call: Call[Any]) -> dict[str, str | int]:
    attributes: dict[str, str | int] = {}
    if call.attempt > 1:
        attributes["http.request.resend_count"] = call.attempt - 1
    if call.answer is not None:
        attributes["http.response.status_code"] = call.answer.status
        if request_id := call.answer.headers.get("X-Request-Id"):
            attributes["maas.request_id"] = request_id
    return attributes
