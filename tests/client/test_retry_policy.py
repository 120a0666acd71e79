from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import requests
import responses
from hypothesis import given
from hypothesis import strategies as st

from maas_client import Client, errors
from maas_client._answers import retry_after
from maas_client._retry import may_repeat

PREDICT = "https://models.test/v1/models/m/predict"
KEYS = "https://models.test/v1/keys"
MODEL = "https://models.test/v1/models/m"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("error", "repeatable", "expected"),
    [
        (errors.NotSentError(), False, True),
        (errors.RateLimitError(), False, True),
        (errors.UnavailableError(), False, True),
        (errors.DroppedError(), False, False),
        (errors.DroppedError(), True, True),
        (errors.StatusError(status=408), True, True),
        (errors.ServerError(status=502), False, False),
        (errors.ServerError(status=502), True, True),
        (errors.GatewayTimeoutError(), True, True),
        (errors.ServerError(), True, False),
        (errors.BadRequestError(), True, False),
        (errors.DeadlineError(), True, False),
        (errors.UnavailableError(should_retry=False), True, False),
        (errors.ConflictError(should_retry=True), False, True),
        (ValueError(), True, False),
    ],
)
def test_what_may_be_repeated(error, repeatable, expected):
    """The table of the policy: never sent always, perhaps carried out only where that does no harm."""
    assert may_repeat(error, repeatable=repeatable) is expected


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "3"}, 3.0),
        ({"Retry-After": "0"}, 0.0),
        ({"retry-after-ms": "250", "Retry-After": "3"}, 0.25),
        ({"Retry-After": format_datetime(NOW + timedelta(seconds=9), usegmt=True)}, 9.0),
        ({"Retry-After": format_datetime(NOW - timedelta(seconds=9), usegmt=True)}, 0.0),
        (
            {
                "Retry-After": format_datetime(NOW + timedelta(days=1, seconds=4), usegmt=True),
                "Date": format_datetime(NOW + timedelta(days=1), usegmt=True),
            },
            4.0,
        ),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({"RateLimit": '"minute";r=0;t=7'}, 7.0),
        ({"RateLimit": '"minute";r=0;t=7, "day";r=0;t=900, "hour";r=5;t=3600'}, 900.0),
        ({"RateLimit": '"minute";r=03;t=7'}, None),
        ({"RateLimit": '"minute";r=12;t=7'}, None),
        ({"RateLimit": '"minute";r=0'}, None),
        ({"Retry-After": "2", "RateLimit": '"minute";r=0;t=7'}, 2.0),
    ],
)
def test_how_long_a_server_asks_to_wait(headers, seconds):
    """Seconds, milliseconds and dates are read; a date counts from the server's own clock."""
    assert retry_after(requests.structures.CaseInsensitiveDict(headers), now=NOW) == seconds


@given(
    st.dictionaries(
        st.sampled_from(["retry-after", "retry-after-ms", "date", "ratelimit"]), st.text(max_size=40)
    )
)
def test_no_header_breaks_the_reader(headers):
    """Whatever stands there, the wait is absent or a number from zero up."""
    seconds = retry_after(requests.structures.CaseInsensitiveDict(headers), now=NOW)
    assert seconds is None or 0 <= seconds < float("inf")


def test_a_busy_server_is_asked_again_when_it_said(server, client, sleeps, reply, positive):
    """503 with Retry-After, then an answer: one wait of exactly that long."""
    server.post(PREDICT, status=503, headers={"Retry-After": "2"})
    server.post(PREDICT, json=reply(positive))
    assert client.predict("m", text="x").label == "positive"
    assert sleeps == [2.0]


def test_waits_grow_with_full_jitter(server, client, sleeps, monkeypatch):
    """Without a word from the server, each wait is drawn from zero to a bound that doubles."""
    bounds = []
    monkeypatch.setattr(
        "maas_client._retry.random.uniform", lambda low, high: bounds.append((low, high)) or high
    )
    for _ in range(3):
        server.post(PREDICT, status=503)
    with pytest.raises(errors.UnavailableError):
        client.predict("m", text="x")
    assert bounds[:2] == [(0, 0.5), (0, 1.0)]
    assert sleeps == [0.5, 1.0]


def test_a_wait_beyond_the_deadline_is_raised_at_once(server, client, sleeps):
    """The caller learns how long to wait, instead of waiting in vain."""
    server.post(PREDICT, status=429, headers={"Retry-After": "90"})
    with pytest.raises(errors.RateLimitError) as caught:
        client.predict("m", text="x", timeout=5)
    assert caught.value.retry_after == 90
    assert sleeps == []


def test_no_retries_means_one_attempt(server, client):
    """`max_retries=0` sends once; a second request would find no answer here."""
    server.post(PREDICT, status=503)
    with pytest.raises(errors.UnavailableError):
        client.with_options(max_retries=0).predict("m", text="x")
    assert len(server.calls) == 1


def test_the_number_of_attempts_is_bounded(server, client, sleeps):
    """Two retries are three attempts."""
    server.post(PREDICT, status=503)
    with pytest.raises(errors.UnavailableError):
        client.with_options(max_retries=2).predict("m", text="x")
    assert len(server.calls) == 3
    assert len(sleeps) == 2


def test_one_idempotency_key_for_all_attempts(server, client, sleeps):
    """A POST that makes something carries the same key each time, and another call another one."""
    created = {
        "id": "key_1",
        "name": "n",
        "prefix": "p",
        "last4": "abcd",
        "scopes": [],
        "created_at": "2026-01-01T00:00:00Z",
        "secret": "maas_key_x",
    }
    server.post(KEYS, status=502)
    server.post(KEYS, json=created, status=201)
    client.keys.create("n")
    server.post(KEYS, json=created, status=201)
    client.keys.create("n")
    first, second, other = (call.request.headers["Idempotency-Key"] for call in server.calls)
    assert first == second != other


def test_inference_needs_no_idempotency_key(server, client, sleeps, reply, positive):
    """Predicting changes nothing, so it can be repeated without one."""
    server.post(PREDICT, status=502)
    server.post(PREDICT, json=reply(positive))
    client.predict("m", text="x")
    assert all("Idempotency-Key" not in call.request.headers for call in server.calls)


def test_a_change_that_may_have_happened_is_not_repeated(server, client):
    """A new password is not sent twice: the second time the old one no longer holds."""
    server.patch("https://models.test/v1/account", body=requests.ConnectionError("reset"))
    with pytest.raises(errors.DroppedError):
        client.account.change_password(current_password="old password", new_password="new password")
    assert len(server.calls) == 1


def test_the_hook_sees_each_decision(server, sleeps):
    """One decision to repeat, with its wait, and one to give up."""
    seen = []
    client = Client("k" * 10, "https://models.test", max_retries=1, on_retry=seen.append)
    server.post(PREDICT, status=503, headers={"Retry-After": "1"})
    with pytest.raises(errors.UnavailableError):
        client.predict("m", text="x")
    assert [(decision.attempt, decision.wait) for decision in seen] == [(1, 1.0), (2, None)]
    assert seen[0].operation == "POST /v1/models/{model}/predict"
    assert isinstance(seen[0].error, errors.UnavailableError)


def test_each_attempt_tells_what_is_left(server, client, sleeps, monkeypatch):
    """`X-Request-Timeout-Ms` shrinks from attempt to attempt; without a limit it is not sent."""
    now = [100.0]
    monkeypatch.setattr("maas_client._calls.monotonic", lambda: now[0])
    monkeypatch.setattr("maas_client._retry.monotonic", lambda: now[0])

    def answer(_):
        now[0] += 1.5
        return 503, {}, ""

    server.add_callback(responses.GET, MODEL, answer)
    with pytest.raises(errors.UnavailableError):
        client.with_options(timeout=10).model("m").get()
    left = [call.request.headers["X-Request-Timeout-Ms"] for call in server.calls]
    assert left == ["10000", "8500", "7000"]
    with pytest.raises(errors.UnavailableError):
        client.with_options(timeout=None, max_retries=0).model("m").get()
    assert "X-Request-Timeout-Ms" not in server.calls[-1].request.headers


def test_the_precedence_of_timeouts(server, client, reply, positive):
    """Call before with_options before client before the operation's own."""
    server.post(PREDICT, json=reply(positive))
    slow = client.with_options(timeout=30)
    client.predict("m", text="x")
    slow.predict("m", text="x")
    slow.predict("m", text="x", timeout=5)
    sent = [round(int(call.request.headers["X-Request-Timeout-Ms"]), -3) for call in server.calls]
    assert sent == [60_000, 30_000, 5_000]
