"""OpenTelemetry spans for inference, made after the fact from the times that are measured anyway.

A request's span is the child of its caller's (W3C Trace Context, in `traceparent`); under it are `decode`,
`queue`, `compute` and `encode`. Names and attributes follow the semantic conventions 1.27 for HTTP servers
and those for generative AI. What is sent where is for OpenTelemetry's environment variables to say.
"""

from __future__ import annotations

import os
import time
from importlib.metadata import entry_points, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

    from reference_server.http.exchange import Answer, Call
    from reference_server.http.inference import Pending, Times

_SERVICE = "maas-server"
_INSTALL = "pip install 'maas-client[telemetry]'"
_PROTOCOLS = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
_OWN_DEFECTS = 500


class Stages(NamedTuple):
    """What is known of a call that was decoded.

    Args:
        pending: What was to be run.
        times: How long it waited and ran; None when it failed.
        encoding: When its answer was begun, on the services' timer.
        encoded: When that was done.
    """

    pending: Pending
    times: Times | None = None
    encoding: float = 0.0
    encoded: float = 0.0


class Tracing:
    """Makes the spans.

    Args:
        provider: Where they go.
        timer: The services' timer, in seconds.
        scheme: `http` or `https`, as callers reach us.
    """

    def __init__(
        self, provider: TracerProvider, *, timer: Callable[[], float] = time.monotonic, scheme: str = "http"
    ) -> None:
        from opentelemetry import propagate, trace
        from opentelemetry.context import Context

        self._provider = provider
        self._tracer = provider.get_tracer("reference_server", version("maas-client"))
        self._timer = timer
        self._scheme = scheme
        self._trace = trace
        self._extract = propagate.extract
        self._nothing = Context()

    def record(self, call: Call, answer: Answer) -> None:
        """Make the span of an answered call and of what happened under it; only inference has one."""
        if not call.endpoint.inference:
            return
        at = self._clock()
        parent = self._extract(call.request.headers, context=self._nothing)
        span = self._tracer.start_span(
            f"{call.request.method} {call.endpoint.template}",
            context=parent,
            kind=self._trace.SpanKind.SERVER,
            attributes=self._described(call),
            start_time=at(call.request.received),
        )
        if span.is_recording():
            span.set_attribute("http.response.status_code", answer.status)
            if answer.status >= _OWN_DEFECTS:
                span.set_attribute("error.type", str(answer.status))
                span.set_status(self._trace.StatusCode.ERROR)
            if call.stages is not None:
                span.set_attributes(_model(call, call.stages.pending))
                inside = self._trace.set_span_in_context(span, parent)
                for name, began, ended in _parts(call.stages):
                    part = self._tracer.start_span(name, context=inside, start_time=at(began))
                    part.end(at(ended))
        span.end(at(self._timer()))

    def close(self) -> None:
        """Send what is left, and stop."""
        self._provider.shutdown()

    def _clock(self) -> Callable[[float], int]:
        """Return what makes nanoseconds of the epoch from the timer's seconds."""
        now, since = time.time_ns(), self._timer()
        return lambda seconds: now + round((seconds - since) * 1e9)

    def _described(self, call: Call) -> dict[str, str]:
        request = call.request
        described = {
            "http.request.method": request.method,
            "http.route": call.endpoint.template,
            "url.path": request.path,
            "url.scheme": self._scheme,
            "maas.request_id": request.id,
        }
        if agent := request.headers.get("user-agent"):
            described["user_agent.original"] = agent
        return described


def check_installed() -> None:
    """Look for everything that tracing needs.

    Raises:
        ValueError: Saying what is missing and how to install it, or which variable asks for the unknown.
    """
    _require_sdk()
    for name in _exporter_names():
        _exporter(name)


def open_tracing(*, timer: Callable[[], float], scheme: str) -> Tracing:
    """Make what sends spans where OpenTelemetry's environment variables say.

    Raises:
        ValueError: As `check_installed`.
    """
    _require_sdk()
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create()
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: _SERVICE}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    for name in _exporter_names():
        provider.add_span_processor(BatchSpanProcessor(_exporter(name)()))
    return Tracing(provider, timer=timer, scheme=scheme)


def _require_sdk() -> None:
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        raise ValueError(f"telemetry is on and opentelemetry-sdk is not installed: {_INSTALL}")


def _exporter_names() -> list[str]:
    """Return what OTEL_TRACES_EXPORTER asks for, by the names under which exporters are installed."""
    asked = os.environ.get("OTEL_TRACES_EXPORTER") or "otlp"
    names = [name.strip() for name in asked.split(",")]
    return [_otlp() if name == "otlp" else name for name in names if name and name != "none"]


def _otlp() -> str:
    variables = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    protocol = next((value for name in variables if (value := os.environ.get(name))), "http/protobuf")
    if protocol not in _PROTOCOLS:
        raise ValueError(f"{variables[1]} is {protocol!r}; it may be {' or '.join(_PROTOCOLS)}")
    return _PROTOCOLS[protocol]


def _exporter(name: str) -> Callable[[], SpanExporter]:
    found = next(iter(entry_points(group="opentelemetry_traces_exporter", name=name)), None)
    if found is None:
        install = _INSTALL if name == "otlp_proto_http" else "install the package that has it"
        raise ValueError(
            f"telemetry is on and there is no OpenTelemetry exporter of traces named {name!r}: {install}, or "
            "set OTEL_TRACES_EXPORTER"
        )
    exporter: Callable[[], SpanExporter] = found.load()
    return exporter


def _model(call: Call, pending: Pending) -> dict[str, Any]:
    model, number, device = pending.key
    described: dict[str, Any] = {
        "gen_ai.request.model": model,
        "maas.model.version": number,
        "maas.device": device,
        "maas.rows": pending.work.rows,
    }
    if call.endpoint.template.endswith("/embeddings"):
        described["gen_ai.operation.name"] = "embeddings"
    return described


def _parts(stages: Stages) -> Iterator[tuple[str, float, float]]:
    """Yield the stages with their begin and end.

    Of the queue and the run, how long they took is measured, and that one followed the other.
    """
    pending, times = stages.pending, stages.times
    yield "decode", pending.began, pending.decoded
    if times is not None:
        started = pending.decoded + times.queue
        yield "queue", pending.decoded, started
        yield "compute", started, started + times.compute
        yield "encode", stages.encoding, stages.encoded
