"""The server's spans: whose they are, what is on them, and what is under them."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import ValidationError
from werkzeug.serving import make_server as serve_wsgi

from maas_client import Client, errors
from reference_server.settings import Settings
from reference_server.tracing import Tracing

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PREDICT = "/v1/models/words/predict"
ROUTE = "/v1/models/{model}/predict"


@pytest.fixture(scope="module")
def exporter(shared):
    """Where the spans of the module's server arrive."""
    made = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(made))
    shared.services.tracing = Tracing(provider)
    yield made
    shared.services.tracing.close()
    shared.services.tracing = None


@pytest.fixture
def spans(exporter):
    """Return what returns the server's own span and those under it, by name."""
    exporter.clear()

    def read():
        found = {span.name: span for span in exporter.get_finished_spans()}
        return found.pop(f"POST {ROUTE}", None), found

    return read


@pytest.fixture(params=["flask", "front"])
def predict(request, shared):
    """Predict in both ways."""
    way = shared.through_flask if request.param == "flask" else shared.through_front

    def call(body=b'{"text": "good"}', path=PREDICT, **headers):
        return way(
            "POST", path, headers={**shared.ada, "content-type": "application/json", **headers}, body=body
        )

    return call


def test_a_prediction_is_a_span_with_its_stages(predict, spans):
    """Model, version, device, rows, status; the stages one after the other within it."""
    began = time.time_ns()
    answer = predict(b'{"instances": [{"text": "good"}, {"text": "bad"}]}', **{"user-agent": "test/1"})
    span, parts = spans()
    assert span.kind is trace.SpanKind.SERVER
    assert dict(span.attributes) == {
        "http.request.method": "POST",
        "http.route": ROUTE,
        "url.path": PREDICT,
        "url.scheme": "http",
        "user_agent.original": "test/1",
        "http.response.status_code": 200,
        "maas.request_id": answer.headers["x-request-id"],
        "gen_ai.request.model": "ada~words",
        "maas.model.version": 1,
        "maas.device": "cpu",
        "maas.rows": 2,
    }
    assert span.status.is_ok or span.status.is_unset
    assert set(parts) == {"decode", "queue", "compute", "encode"}
    assert {part.parent.span_id for part in parts.values()} == {span.context.span_id}
    times = [parts[name] for name in ("decode", "queue", "compute", "encode")]
    assert all(part.start_time <= part.end_time for part in times)
    # Their clock is read anew for each span that is begun, so only whole microseconds compare.
    assert span.start_time <= times[0].start_time + 1000
    assert times[-1].end_time <= span.end_time + 1000
    assert began - 1_000_000 <= span.start_time <= span.end_time <= time.time_ns() + 1_000_000


def test_the_callers_span_is_the_parent(predict, spans):
    """By the W3C's header; without one, or with a broken one, a trace begins here."""
    predict(traceparent=PARENT)
    span, _ = spans()
    assert f"{span.context.trace_id:032x}" == PARENT.split("-")[1]
    assert f"{span.parent.span_id:016x}" == PARENT.split("-")[2]


@pytest.mark.parametrize("header", ["", "00-zz-01", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
def test_without_a_caller_a_trace_begins_here(predict, spans, header):
    """A header that tells nothing changes nothing."""
    assert predict(traceparent=header).status == 200
    span, _ = spans()
    assert span.parent is None


def test_what_the_caller_does_not_sample_costs_no_spans(predict, spans):
    """The flag of the caller's header decides."""
    predict(traceparent=PARENT[:-2] + "00")
    assert spans() == (None, {})


@pytest.mark.parametrize(
    ("body", "path", "status"),
    [
        (b"{", PREDICT, 400),
        (b'{"text": 1}', PREDICT, 422),
        (b'{"text": "a"}', "/v1/models/nothing/predict", 404),
    ],
)
def test_a_refused_call_is_a_span_without_stages(predict, spans, body, path, status):
    """Its fault is the caller's: the span is no error of the server's."""
    assert predict(body, path).status == status
    span, parts = spans()
    assert span.attributes["http.response.status_code"] == status
    assert span.status.is_unset
    assert not parts


def test_a_failed_run_is_an_error_of_ours(predict, spans, shared, monkeypatch):
    """With the status as the error's type, and what was decoded before."""

    def fail(*arguments, **options):
        raise ZeroDivisionError

    monkeypatch.setattr("reference_server.runtime.work.TaskWork.run", fail)
    assert predict().status == 500
    span, parts = spans()
    assert span.attributes["error.type"] == "500"
    assert span.status.status_code is trace.StatusCode.ERROR
    assert set(parts) == {"decode"}


def test_other_requests_have_no_span(shared, spans):
    """Nobody wants one for each health check."""
    assert shared.through_flask("GET", "/healthz").status == 200
    assert shared.through_flask("GET", "/v1/models", headers=shared.ada).status == 200
    assert spans() == (None, {})


@pytest.fixture
def listening(shared):
    """Serve the same application on a port of its own, and return its URL."""
    server = serve_wsgi("127.0.0.1", 0, shared.flask, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def client_spans(tracer_provider):
    """Return what returns the SDK's spans."""
    made = InMemorySpanExporter()
    tracer_provider.add_span_processor(SimpleSpanProcessor(made))
    return made.get_finished_spans


def test_client_and_server_share_one_trace(listening, shared, exporter, client_spans):
    """From the SDK's span over a real connection to the stages in the server."""
    token = shared.ada["authorization"].removeprefix("Bearer ")
    with Client(base_url=listening, api_key=token) as client:
        assert client.predict("words", text="good").label == "positive"
        with pytest.raises(errors.NotFoundError):
            client.predict("nothing", text="good")
    called = next(span for span in client_spans() if span.attributes["http.response.status_code"] == 200)
    served = [
        span for span in exporter.get_finished_spans() if span.context.trace_id == called.context.trace_id
    ]
    (span,) = [each for each in served if each.kind is trace.SpanKind.SERVER]
    assert span.parent.span_id == called.context.span_id
    assert span.attributes["maas.request_id"] == called.attributes["maas.request_id"]
    assert {each.name for each in served} == {span.name, "decode", "queue", "compute", "encode"}


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"OTEL_TRACES_EXPORTER": "pigeon"}, "no OpenTelemetry exporter of traces named 'pigeon'"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "it may be http/protobuf or grpc"),
    ],
)
def test_an_unknown_destination_is_refused_at_start(monkeypatch, variables, says):
    """Naming the variable or what is not installed."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=says):
        Settings(telemetry=True)


def test_missing_packages_are_named(monkeypatch):
    """With the command that installs them."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ValidationError, match=r"pip install 'maas-client\[telemetry\]'"):
        Settings(telemetry=True)


def test_a_server_that_does_not_trace_imports_nothing_of_it():
    """The packages are optional, and take time to import."""
    code = "import sys, reference_server.app; sys.exit('opentelemetry' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
