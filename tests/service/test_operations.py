"""What operators see of a real server: metrics of all its workers, traces, models that change under load."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
import pytest
import requests
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families

OPERATOR = "operator@example.com"
PASSWORD = "correct horse battery"


def operators_key(running):
    """Return a key of a new operator's account."""
    made = running.run(
        "maas-server",
        *("accounts", "create", OPERATOR, "--operator", "--password-stdin"),
        *("--data-dir", running.folder / "data"),
        text=PASSWORD,
    )
    assert made.returncode == 0, made.stderr
    with running.client() as client:
        client.login(email=OPERATOR, password=PASSWORD)
        return key_of(client, "models:read")


def key_of(client, *scopes):
    return client.keys.create("test", scopes=list(scopes)).secret.get_secret_value()


def scrape(url, token):
    """Return the values of a scrape by name and labels, over a connection of its own."""
    reply = requests.get(f"{url}/metrics", headers={"Authorization": f"Bearer {token}"}, timeout=10)
    assert reply.status_code == 200
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
    }


def total(values, name, **labels):
    return sum(
        value for (each, *own), value in values.items() if each == name and set(labels.items()) <= set(own)
    )


def statistics(url, token):
    reply = requests.get(
        f"{url}/v2/models/words/stats", headers={"Authorization": f"Bearer {token}"}, timeout=10
    )
    return sum(each["inference_count"] for each in reply.json()["model_stats"])


def predict(url, token):
    """Predict over a connection of its own, which any worker may get."""
    reply = requests.post(
        f"{url}/v1/models/words/predict",
        headers={"Authorization": f"Bearer {token}"},
        json={"text": "good"},
        timeout=10,
    )
    assert reply.status_code == 200


def test_metrics_are_of_all_workers_even_dead_ones(serve, text_package):
    """Each scrape, whichever worker answers it, tells the sum; what a killed worker had counted stays."""
    with serve("--workers", "2") as running, running.account("ada") as client:
        client.models.publish(text_package, name="words")
        key, token = key_of(client, "predict", "models:read"), operators_key(running)
        for _ in range(20):
            predict(running.url, key)
        time.sleep(2.5)  # two rounds of what workers do once a second
        for _ in range(6):
            assert total(scrape(running.url, token), "maas_inference_rows_total") == 20
            assert statistics(running.url, key) == 20
        workers = {dict(labels).get("worker") for name, *labels in scrape(running.url, token)} - {None}
        assert workers == {"0", "1"}
        busiest = max(running.workers(), key=lambda process: sum(process.cpu_times()[:2]))
        busiest.kill()
        psutil.wait_procs([busiest], timeout=10)
        assert total(scrape_patiently(running.url, token), "maas_inference_rows_total") == 20


def scrape_patiently(url, token):
    """Scrape while a killed worker's socket may still be closing."""
    until = time.monotonic() + 20
    while True:
        try:
            return scrape(url, token)
        except requests.ConnectionError:
            assert time.monotonic() < until
            time.sleep(0.1)


class Collector(ThreadingHTTPServer):
    """Takes spans as an OpenTelemetry collector does: protobuf over HTTP."""

    def __init__(self):
        self.resources = []
        self.spans = []
        super().__init__(("127.0.0.1", 0), _Receive)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class _Receive(BaseHTTPRequestHandler):
    def do_POST(self):
        message = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
        for batch in message.resource_spans:
            self.server.resources.append({a.key: a.value.string_value for a in batch.resource.attributes})
            self.server.spans += [span for scope in batch.scope_spans for span in scope.spans]
        self.send_response(200 if self.path == "/v1/traces" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        """Say nothing."""


@pytest.fixture
def collector():
    server = Collector()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_traces_go_where_opentelemetrys_variables_say(serve, collector, text_package, tracer_provider):
    """The program, the SDK, the server and its stages share one trace, sent at the latest when it ends."""
    own = InMemorySpanExporter()
    tracer_provider.add_span_processor(SimpleSpanProcessor(own))
    variables = {
        "MAAS_SERVER_TELEMETRY": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
    }
    with serve(**variables) as running, running.account("ada") as client:
        client.models.publish(text_package, name="words")
        with trace.get_tracer("test").start_as_current_span("program"):
            client.predict("words", text="good")
        assert running.stop() == 0
    (called,) = [span for span in own.get_finished_spans() if span.name == "POST /v1/models/{model}/predict"]
    (served,) = [span for span in collector.spans if span.name == called.name]
    assert served.trace_id.hex() == f"{called.context.trace_id:032x}"
    assert served.parent_span_id.hex() == f"{called.context.span_id:016x}"
    inside = [span for span in collector.spans if span.parent_span_id == served.span_id]
    assert {span.name for span in inside} == {"decode", "queue", "compute", "encode"}
    assert collector.resources[0]["service.name"] == "maas-server"
    assert collector.resources[0]["deployment.environment.name"] == "test"


def test_telemetry_without_its_exporter_ends_at_start(launch, tmp_path):
    """With what to install."""
    process = launch(MAAS_SERVER_TELEMETRY="true", OTEL_TRACES_EXPORTER="pigeon")
    assert process.wait(30) != 0
    output = (tmp_path / "server" / "out.txt").read_text()
    assert "pigeon" in output
    assert "pip install" in output or "install the package" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_model_changes_under_load_and_nobody_notices(serve, text_package, token_package, workers):
    """Moved ahead and rolled back while requests run all the time: each is answered, without one repeat."""
    with serve("--workers", workers) as running, running.account("ada") as client:
        client.models.publish(text_package, name="words")
        client.models.publish(token_package, name="words")
        key = key_of(client, "predict")
        seen, failures, stop = [], [], threading.Event()

        def call():
            with running.client(api_key=key, max_retries=0) as own:
                while not stop.is_set():
                    try:
                        seen.append(own.predict("words", text="good").version)
                    except Exception as error:  # noqa: BLE001 - looked at below
                        failures.append(error)
                        return

        callers = [threading.Thread(target=call) for _ in range(4)]
        for caller in callers:
            caller.start()
        aliases = client.model("words").aliases
        changes = [
            lambda: None,
            lambda: aliases.move("default", version=2, force=True),
            lambda: aliases.rollback("default", force=True),
        ]
        try:
            for change, version in zip(changes, (1, 2, 1), strict=True):
                change()
                until = time.monotonic() + 20
                while len(seen) < 40 or set(seen[-40:]) != {version}:
                    assert not failures
                    assert time.monotonic() < until
                    time.sleep(0.01)
        finally:
            stop.set()
            for caller in callers:
                caller.join(20)
        assert not failures
        assert set(seen) == {1, 2}
