"""What a program can see of its calls: raw answers, spans, deprecation warnings."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import warnings

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from maas_client import Client, ModelDeprecationWarning, _deprecation, errors
from maas_client.testing import FakeMaas


@pytest.fixture
def fake():
    made = FakeMaas()
    made.add_model("mood", labels=["sad", "glad"], answer="glad")
    return made


@pytest.fixture
def client(fake, face):
    return fake.client() if face is Client else fake.async_client()


# --- raw answers ----------------------------------------------------------------------------------------


def test_the_answer_behind_a_result_can_be_read(client, ask):
    """Status, headers, body, request id: beside the typed result and not instead of it."""
    raw = client.with_raw_response()
    result = ask(raw, lambda client: client.predict("mood", text="a"))
    response = raw.last_response
    assert result.label == "glad"
    assert (response.status, response.request_id, response.attempts) == (200, "req_fake", 1)
    assert response.headers["content-type"] == "application/json"
    assert b'"glad"' in response.body
    assert 0 <= response.seconds < 10


def test_a_failed_calls_answer_is_kept_too(client, ask, fake):
    """With the number of attempts that it took."""
    fake.reply("POST /v1/models/{model}/predict", {"error": {"message": "full"}}, status=503)
    raw = client.with_options(max_retries=1).with_raw_response()
    fake.fail(errors.RateLimitError("wait", retry_after=0))
    with pytest.raises(errors.UnavailableError):
        ask(raw, lambda client: client.predict("mood", text="a"))
    assert (raw.last_response.status, raw.last_response.attempts) == (503, 2)


def test_other_clients_keep_no_answers(client, ask):
    """Neither the client that it was made from, nor one that made no call; the error says what to do."""
    raw = client.with_raw_response()
    ask(client, lambda client: client.predict("mood", text="a"))
    for each in (client, raw):
        with pytest.raises(errors.ArgumentError, match=r"client that with_raw_response\(\) returns"):
            _ = each.last_response


def test_a_raw_response_shows_no_body(client, ask, fake):
    """The body of a new key holds its secret."""
    raw = client.with_raw_response()
    ask(raw, lambda client: client.predict("mood", text="a"))
    assert "glad" not in repr(raw.last_response)
    assert "req_fake" not in repr(raw.last_response)


# --- spans ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exporter(tracer_provider):
    made = InMemorySpanExporter()
    tracer_provider.add_span_processor(SimpleSpanProcessor(made))
    return made


@pytest.fixture
def spans(exporter):
    exporter.clear()
    return exporter.get_finished_spans


def test_a_call_is_a_span(client, ask, spans):
    """Named by the path template, so that a thousand models make one name."""
    ask(client, lambda client: client.predict("mood", text="a secret text"))
    (span,) = spans()
    assert span.name == "POST /v1/models/{model}/predict"
    assert span.kind is trace.SpanKind.CLIENT
    assert dict(span.attributes) == {
        "http.request.method": "POST",
        "url.template": "/v1/models/{model}/predict",
        "server.address": "fake.maas",
        "server.port": 80,
        "http.response.status_code": 200,
        "maas.request_id": "req_fake",
    }


def test_retries_are_one_span_that_counts_them(client, ask, fake, spans):
    """One logical call, however many attempts."""
    fake.fail(errors.UnavailableError("full", retry_after=0), times=2)
    ask(client, lambda client: client.predict("mood", text="a"))
    (span,) = spans()
    assert span.attributes["http.request.resend_count"] == 2


def test_a_failure_is_seen_on_the_span(client, ask, fake, spans):
    """Its type, its status, and no more of the request than the error itself tells."""
    with pytest.raises(errors.UnprocessableError):
        ask(client, lambda client: client.predict("mood", txt="a"))
    (span,) = spans()
    assert span.attributes["error.type"] == "UnprocessableError"
    assert span.status.status_code is trace.StatusCode.ERROR
    assert [event.name for event in span.events] == ["exception"]


def test_the_trace_reaches_the_server(client, ask, fake, spans):
    """`traceparent` of the W3C's Trace Context, of the span that is under way."""
    with trace.get_tracer("test").start_as_current_span("outer") as outer:
        ask(client, lambda client: client.predict("mood", text="a"))
    _, trace_id, span_id, _ = fake.calls[-1].headers["traceparent"].split("-")
    assert int(trace_id, 16) == outer.get_span_context().trace_id
    assert int(span_id, 16) != outer.get_span_context().span_id


def test_who_does_not_trace_does_not_pay():
    """Without OpenTelemetry in the program, none of it is imported."""
    code = (
        "import sys\nfrom maas_client.testing import FakeMaas\n"
        "fake = FakeMaas(); fake.add_model('m', answer={'y': 1}); fake.client().predict('m', text='a')\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- deprecation ----------------------------------------------------------------------------------------

HEADERS = {
    "Deprecation": "@1767225600",
    "Sunset": "Tue, 30 Jun 2026 00:00:00 GMT",
    "Link": '</docs>; rel="deprecation", </v1/models/mood/versions/3>; rel="successor-version"',
}


@pytest.mark.parametrize(
    ("path", "headers", "said"),
    [
        (
            "/v1/models/mood/versions/2/predict",
            HEADERS,
            (
                "version '2' of the model 'mood' is deprecated since 2026-01-01 and ends on 2026-06-30; "
                "use version '3' of the model 'mood' instead"
            ),
        ),
        ("/v1/models/mood/predict?x=1", {"Deprecation": "true"}, "the model 'mood' is deprecated"),
        (
            "/v1/models/a~b/predict",
            {"Deprecation": "@4102444800"},
            "the model 'a~b' is deprecated from 2100-01-01 on",
        ),
        ("/v1/keys", {"Sunset": "soon"}, "/v1/keys is deprecated and ends on soon"),
        (
            "/v1/embeddings",
            HEADERS | {"X-Maas-Model": "mood", "X-Maas-Version": "2"},
            (
                "version '2' of the model 'mood' is deprecated since 2026-01-01 and ends on 2026-06-30; "
                "use version '3' of the model 'mood' instead"
            ),
        ),
        (
            "/v1/models/m/predict",
            {"Deprecation": "@0", "Link": '<https://x.test/new>; rel="successor-version"'},
            "the model 'm' is deprecated since 1970-01-01; use https://x.test/new instead",
        ),
        ("/v1/models/m/predict", {"Link": '<x>; rel="successor-version"'}, None),
        ("/v1/models/m/predict", {"Deprecation": "@99999999999999999999"}, "the model 'm' is deprecated"),
    ],
)
def test_what_the_headers_say(path, headers, said):
    """RFC 9745, RFC 8594 and RFC 5829, and what servers send that have not read them."""
    assert _deprecation.notice_of(path, headers) == said


def test_the_caller_is_warned_once_where_the_call_stands(client, ask, fake, monkeypatch):
    """A loop over a deprecated model makes one line and not a thousand, and it points to the loop."""
    monkeypatch.setattr(_deprecation, "_told", set())
    fake.reply("GET /v1/models/{model}", fake.client().models.get("mood"), headers=HEADERS)

    def three_times(client):
        if isinstance(client, Client):
            return [client.models.get("mood") for _ in range(3)]
        return three_awaited(client)

    async def three_awaited(client):
        return [await client.models.get("mood") for _ in range(3)]

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ask(client, three_times)
    assert [warning.category for warning in caught] == [ModelDeprecationWarning]
    assert caught[0].filename == __file__
    assert "since 2026-01-01" in str(caught[0].message)


def test_a_warning_made_an_error_is_the_callers_choice(fake, monkeypatch):
    """As for every warning: `-W error` makes it an exception."""
    monkeypatch.setattr(_deprecation, "_told", set())
    fake.reply("GET /v1/models/{model}", fake.client().models.get("mood"), headers=HEADERS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ModelDeprecationWarning):
            fake.client().models.get("mood")


def test_large_work_warns_once_too(fake, monkeypatch):
    """Its calls run in threads, whose stacks have nobody to point to."""
    monkeypatch.setattr(_deprecation, "_told", set())
    answer = fake.client().with_raw_response()
    answer.predict_batch("mood", [{"text": "a"}])
    body = json.loads(answer.last_response.body)
    fake.reply("POST /v1/models/{model}/predict", body, headers=HEADERS)
    with pytest.warns(ModelDeprecationWarning, match="the model 'mood'"):
        list(fake.client().predict_many("mood", [{"text": "a"}]))


# --- logging in -----------------------------------------------------------------------------------------


@pytest.fixture
def person(monkeypatch):
    """Sit at a terminal, and keep what is asked."""
    asked = []

    class Terminal:
        def isatty(self):
            return True

    def answers(reply):
        return lambda prompt: (asked.append(prompt), reply)[1]

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("builtins.input", answers("ada@example.com "))
    monkeypatch.setattr("maas_client._prompt.getpass", answers("correct horse"))
    return asked


def test_login_asks_for_what_was_left_out(client, ask, fake, person):
    """The password by getpass, which does not show it."""
    fake.reply("POST /v1/sessions", {"error": {"message": "wrong"}}, status=401)
    with pytest.raises(errors.AuthenticationError):
        ask(client, lambda client: client.login())
    assert person == ["E-mail: ", "Password: "]
    assert fake.calls[-1].json == {"email": "ada@example.com", "password": "correct horse"}


def test_login_asks_for_the_password_alone(client, ask, fake, person):
    """An address that was given is not asked for."""
    fake.reply("POST /v1/sessions", {"error": {"message": "wrong"}}, status=401)
    with pytest.raises(errors.AuthenticationError):
        ask(client, lambda client: client.login("bob@example.com"))
    assert person == ["Password: "]
    assert fake.calls[-1].json["email"] == "bob@example.com"


def test_login_without_anybody_to_ask_says_so(client, ask, fake, monkeypatch):
    """A program without a terminal does not hang."""
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(errors.ArgumentError, match="nobody to ask"):
        ask(client, lambda client: client.login("bob@example.com"))
    assert fake.calls == []


def test_a_kernel_without_input_says_so(client, ask, monkeypatch, person):
    """A notebook that is run by a machine has nobody to ask either."""

    def refuse(_):
        raise NotImplementedError

    monkeypatch.setattr("builtins.input", refuse)
    with pytest.raises(errors.ArgumentError, match="nobody to ask"):
        ask(client, lambda client: client.login())


def test_asynchronous_calls_warn_where_they_are_awaited(fake, monkeypatch):
    """The stack of coroutines leads to the caller's own line."""
    monkeypatch.setattr(_deprecation, "_told", set())
    fake.reply("GET /v1/models/{model}", fake.client().models.get("mood"), headers=HEADERS)

    async def main():
        async with fake.async_client() as client:
            await client.model("mood").get()

    with pytest.warns(ModelDeprecationWarning) as caught:
        asyncio.run(main())
    assert caught[0].filename == __file__
