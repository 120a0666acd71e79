"""Logging in: what guesses meet, and what nobody learns from it."""

import statistics
import threading
import time

import pytest

from reference_server.registry import accounts
from reference_server.security import passwords
from reference_server.security.passwords import Passwords

PASSWORD = "correct horse battery"
WRONG = "correct horse batterz"


@pytest.fixture(scope="module")
def door(tmp_path_factory, make_server):
    """A server with the accounts `ada` and `eve`, who is disabled, behind a proxy that is trusted."""
    made = make_server(tmp_path_factory.mktemp("door") / "data", trusted_proxies=["127.0.0.1"])
    for name in ("ada", "eve"):
        made.register(name)
    eve = accounts.find(made.services.database, "eve")
    accounts.set_disabled(made.services.database, eve.id, disabled=True)
    # Hashes take long where much runs beside them; delays are counted while time stands still.
    made.services.limits.delays._failures._clock = lambda: 1000.0
    yield made
    made.close()


_addresses = (f"2001:db8::{number:x}" for number in range(1, 10_000))


def log_in(door, email, password, address=None):
    """Try from an address that nobody used before, unless one is given."""
    return door.post(
        "/v1/sessions",
        {"email": email, "password": password},
        headers={"x-forwarded-for": address or next(_addresses)},
    )


def said(answer):
    """Return what an answer tells, without the request's id."""
    headers = {name: value for name, value in answer.headers.items() if name != "x-request-id"}
    return answer.status, headers, {**answer.json["error"], "request_id": None}


def test_a_wrong_password_an_unknown_address_and_a_disabled_account_answer_alike(door):
    """Status, headers and every word."""
    wrong = log_in(door, "ada@example.com", WRONG)
    assert wrong.status == 401
    assert said(log_in(door, "nobody@example.com", WRONG)) == said(wrong)
    assert said(log_in(door, "eve@example.com", PASSWORD)) == said(wrong)


def test_guesses_are_slowed_down_alike_with_and_without_an_account(door):
    """Delays tell nobody whether there is an account."""
    answers = {}
    for email in ("eve@example.com", "somebody@example.com"):
        door.services.limits.delays._failures._tries.clear()
        tries = [log_in(door, email, WRONG) for _ in range(6)]
        answers[email] = [answer.status for answer in tries]
        assert tries[5].json["error"]["code"] == "log_in_delayed"
        assert tries[5].headers["retry-after"] == "1"
    assert answers["eve@example.com"] == answers["somebody@example.com"] == [401] * 5 + [429]


def test_spelling_an_address_otherwise_gives_no_more_guesses(door):
    """Capitals and spaces mean the same account, and the same count."""
    spellings = ("who@example.com", "WHO@example.com", " who@Example.com ", "Who@example.com")
    assert log_in(door, "whO@example.com", WRONG).status == 401
    assert [log_in(door, spelling, WRONG).status for spelling in spellings] == [401] * 4
    assert log_in(door, "whO@example.com", WRONG).status == 429


def test_the_right_password_waits_too_and_is_let_in_then(door):
    """Otherwise the delay would tell which guess was right."""
    home = "198.51.100.1"
    assert log_in(door, "ada@example.com", PASSWORD, home).status == 201
    for _ in range(5):
        log_in(door, "ada@example.com", WRONG)
    assert log_in(door, "ada@example.com", PASSWORD).status == 429
    # Where the owner logged in before, strangers' guesses do not matter.
    assert log_in(door, "ada@example.com", PASSWORD, home).status == 201


def test_a_full_house_answers_when_to_come_back_and_counts_no_failure(door, monkeypatch):
    """Nobody has to wait longer because others were many."""
    monkeypatch.setattr(passwords, "_WAIT_SECONDS", 0.01)
    lanes = door.services.passwords._lanes
    email = "patient@example.com"
    with lanes, lanes:
        for _ in range(7):
            answer = log_in(door, email, WRONG, "198.51.100.77")
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert log_in(door, email, WRONG, "198.51.100.77").status == 401


def test_one_address_cannot_keep_others_from_logging_in(door, monkeypatch):
    """However many it sends at once, it has half of the places, and everybody else the other half."""
    hasher = door.services.passwords
    entered, leave = threading.Semaphore(0), threading.Event()
    original = hasher._hasher.verify

    def slow(stored, password):
        entered.release()
        leave.wait(20)
        return original(stored, password)

    monkeypatch.setattr(hasher, "_hasher", type("Slow", (), {"verify": staticmethod(slow)})())
    monkeypatch.setattr(hasher, "_nobody", "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g")
    statuses = []

    def attack(number):
        statuses.append(log_in(door, f"a{number}@example.com", WRONG, "192.0.2.1").status)

    threads = [threading.Thread(target=attack, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(2):
        assert entered.acquire(timeout=10)
    door.wait_for(lambda: len(statuses) == 5)
    other = threading.Thread(target=lambda: statuses.append(log_in(door, "b@example.com", WRONG).status))
    other.start()
    time.sleep(0.05)
    leave.set()
    for thread in (*threads, other):
        thread.join(20)
    assert statuses[:5] == [503] * 5
    assert sorted(statuses[5:]) == [401] * 4


@pytest.mark.long
@pytest.mark.timeout(600)
def test_times_tell_nobody_who_has_an_account(door, monkeypatch):
    """Medians of 50 tries each, taken in turns, differ by at most a tenth."""
    monkeypatch.setattr(door.services, "passwords", Passwords())
    door.register("grace")
    took = {"grace@example.com": [], "stranger@example.com": []}
    for _ in range(52):
        for email, seconds in took.items():
            door.services.limits.delays._failures._tries.clear()
            began = time.perf_counter()
            assert log_in(door, email, WRONG).status == 401
            seconds.append(time.perf_counter() - began)
    known, unknown = (statistics.median(seconds[2:]) for seconds in took.values())
    assert abs(known - unknown) <= 0.1 * max(known, unknown)


def test_the_first_stranger_waits_no_longer_than_others(monkeypatch):
    """What a stranger's password is held against takes no hash to make."""
    hasher = passwords.Passwords()
    hashed = []
    monkeypatch.setattr(type(hasher._hasher), "hash", lambda *_, **__: hashed.append(1))
    assert not hasher.verify(None, WRONG)
    assert hashed == []
    assert hasher._nobody.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
