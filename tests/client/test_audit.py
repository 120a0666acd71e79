"""`client.audit` and `maas audit`: what is asked for and how it is shown."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
import responses
from click.testing import CliRunner

from maas_client import Client, errors
from maas_client.cli import main

URL = "http://maas.test"
ENTRY = {
    "id": "aud_1",
    "at": "2030-01-01T12:00:00Z",
    "act": "alias_moved",
    "outcome": "succeeded",
    "account": "acc_1",
    "actor": "acc_1",
    "credential": "key_1",
    "subject": "mdl_1",
    "version": 3,
    "status": 200,
    "address": "192.0.2.1",
    "model": "words",
    "alias": "live",
    "hash": "0" * 64,
    "a_later_field": 1,
}


@pytest.fixture
def audit_page():
    """Answer one page, and then another."""
    with responses.RequestsMock() as mock:
        first = {"object": "list", "data": [ENTRY], "has_more": True, "next_cursor": "next"}
        mock.get(f"{URL}/v1/audit", json=first)
        mock.get(f"{URL}/v1/audit", json={**first, "has_more": False, "next_cursor": None})
        yield mock


def test_filters_are_sent_and_pages_followed(audit_page) -> None:
    """Moments with their offset."""
    with Client("maas_key_x", base_url=URL) as client:
        since = datetime(2030, 1, 1, tzinfo=UTC)
        found = list(client.audit.list(act="alias_moved", outcome="succeeded", since=since, page_size=1))
    assert [(each.act, each.version, each.at) for each in found] == [
        ("alias_moved", 3, datetime(2030, 1, 1, 12, tzinfo=UTC))
    ] * 2
    asked = [call.request.params for call in audit_page.calls]
    assert asked[0] == {
        "act": "alias_moved",
        "outcome": "succeeded",
        "since": "2030-01-01T00:00:00Z",
        "limit": "1",
    }
    assert asked[1] == {**asked[0], "cursor": "next"}


def test_what_is_no_filter_is_refused_before_it_is_sent() -> None:
    """And named."""
    with Client("maas_key_x", base_url=URL) as client:
        for wrong in ({"act": "nothing"}, {"outcome": "maybe"}, {"since": datetime(2030, 1, 1)}):  # noqa: DTZ001 - the fault
            with pytest.raises(errors.ArgumentError, match=next(iter(wrong))):
                client.audit.list(**wrong)


def test_the_command_shows_a_line_each_or_json(audit_page) -> None:
    """With what, on what, by what and from where."""
    environment = {"MAAS_API_KEY": "maas_key_x", "MAAS_BASE_URL": URL}
    shown = CliRunner().invoke(main, ["audit", "--limit", "1"], env=environment)
    assert shown.exit_code == 0, shown.output
    for part in (
        "2030-01-01 12:00:00",
        "alias_moved",
        "succeeded (200)",
        "words v3 live",
        "key_1",
        "192.0.2.1",
    ):
        assert part in shown.output
    plain = CliRunner().invoke(
        main, ["audit", "--limit", "1", "--json", "--act", "alias_moved"], env=environment
    )
    assert json.loads(plain.output)[0]["id"] == "aud_1"
