"""Limits and registration as people use them, on a real server with two workers."""

import json
import re
import time
from contextlib import suppress

import pytest

import maas_client

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def pair(tmp_path_factory, serving):
    """Two workers, and registration by invitation."""
    folder = tmp_path_factory.mktemp("pair")
    with serving(folder, "--workers", "2", "--registration", "invitation") as running:
        yield running


@pytest.fixture(scope="module")
def say(pair):
    """Run a command in ada's profile, as which she is registered and logged in."""

    def run(*command, text=None, code=0):
        done = pair.run(*command, text=text, MAAS_CONFIG_FILE=str(pair.folder / "ada.toml"))
        assert done.returncode == code, done.stdout + done.stderr
        return done

    who = ("--email", "ada@example.com", "--password-stdin")
    made = run("maas-server", "invitations", "create", "--expires", "2h", "--data-dir", pair.folder / "data")
    run("maas", "register", *who, "--accept-policy", "--invitation", made.stdout.strip(), text=PASSWORD)
    run("maas", "login", *who, text=PASSWORD)
    return run


def test_start_up_says_how_workers_share_the_limits(pair):
    """Whoever runs several learns that each has its part."""
    assert "rate limits are divided by the number of workers, 2" in pair.output()


def test_an_operator_makes_lists_and_revokes_invitations(pair, say):
    """A used one shows who used it, a revoked one is gone, a wrong duration is told so."""
    data = ("--data-dir", pair.folder / "data")
    invitations = ("maas-server", "invitations")
    made = json.loads(say(*invitations, "create", "--email", "Bob@example.com", "--json", *data).stdout)
    assert (made["email"], made["state"], made["secret"][:9]) == ("bob@example.com", "open", "maas_inv_")
    listed = say(*invitations, "list", *data).stdout
    assert made["prefix"] in listed
    assert all(re.search(r" \d\d:\d\d:\d\d UTC  inv_", line) for line in listed.splitlines())
    assert " used " in listed
    assert made["secret"] not in listed
    say(*invitations, "revoke", made["id"], *data)
    assert made["prefix"] not in say(*invitations, "list", *data).stdout
    assert "expected such as 30m" in say(*invitations, "create", "--expires", "soon", *data, code=2).stderr


def test_a_limited_key_is_made_and_listed(pair, say):
    """Every limit has an option, and a column."""
    command = ("maas", "keys", "create", "ci", "--model", "words-*", "--model", "bob~open")
    limits = ("--network", "127.0.0.0/8", "--requests-per-minute", "40", "--rows-per-day", "5000")
    secret = say(*command, *limits, "--expires", "2099-01-31").stdout.strip()
    with pair.client(api_key=secret) as client:
        assert list(client.models.list()) == []
    header, *rows = [line.split("\t") for line in say("maas", "keys", "list").stdout.splitlines()]
    (row,) = [dict(zip(header, row, strict=True)) for row in rows if row[1] == "ci"]
    assert (row["MODELS"], row["NETWORKS"]) == ("words-* bob~open", "127.0.0.0/8")
    assert (row["A MINUTE"], row["ROWS A DAY"], row["EXPIRES"]) == ("40", "5,000", "2099-01-31 00:00:00Z")
    wrong = say("maas", "keys", "create", "bad", "--network", "10.0.0.1/8", code=2)
    assert "host bits set" in wrong.stderr


def test_sessions_are_listed_and_ended_from_the_command_line(pair, say):
    """All that hold, without the one that asks; an ended one stops at once."""
    who = ("--email", "ada@example.com", "--password-stdin")
    say("maas", "sessions", "end", "--all", *who, text=PASSWORD)
    with pair.client() as client:
        client.login(email="ada@example.com", password=PASSWORD)
        (found,) = json.loads(say("maas", "sessions", "list", "--json", *who, text=PASSWORD).stdout)
        assert say("maas", "sessions", "end", found["id"], *who, text=PASSWORD).stdout == "Ended 1 session.\n"
        with pytest.raises(maas_client.AuthenticationError):
            ask_for_a_moment(client)
    assert say("maas", "sessions", "list", *who, text=PASSWORD).stdout == "ID\tBEGUN\tEXPIRES\n"
    assert "give the ids" in say("maas", "sessions", "end", *who, text=PASSWORD, code=2).stderr


def test_several_workers_together_allow_no_more_than_the_limit(pair, say):
    """Each connection meets another worker, and no worker allows more than its part."""
    secret = say("maas", "keys", "create", "few", "--requests-per-minute", "20").stdout.strip()
    answered = 0
    for _ in range(40):
        with pair.client(api_key=secret, max_retries=0) as client, suppress(maas_client.RateLimitError):
            list(client.models.list())
            answered += 1
    # In the seconds that this takes, some are given back.
    assert 10 <= answered <= 30


def test_a_url_that_is_none_of_redis_is_refused_before_anything_starts(launch, tmp_path):
    """The message names the setting."""
    process = launch("--rate-limit-url", "http://127.0.0.1:1")
    assert process.wait(60) == 2
    assert "rate_limit_url" in (tmp_path / "server" / "out.txt").read_text()


def ask_for_a_moment(client):
    """Ask until the worker that did not end the session has heard of it, which takes a second at most."""
    until = time.monotonic() + 3
    while time.monotonic() < until:
        client.account.get()
        time.sleep(0.05)
