"""Traffic from the client's side: what is sent, what is read, what two versions make of a sample."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from maas_client import AsyncClient, errors
from maas_client.cli import main
from maas_client.testing import FakeMaas
from maas_client.types import Traffic

ROUTE = "/v1/models/{model}/traffic"
TRAFFIC = {"splits": [{"version": 1, "weight": 9, "share": 0.9}], "shadows": [2], "revision": 4}
SERVED = {
    "at": "2026-11-27T09:30:00Z",
    "versions": [{"version": 3, "share": 1.0, "digest": "sha256:" + "0" * 64}],
    "since": "2026-11-01T00:00:00Z",
    "kind": "promoted",
    "by": "ada",
    "note": "better",
}
COMPARISON = {
    "model": "mood",
    "a": 1,
    "b": 2,
    "since": 3,
    "served_a": {"version": 1, "calls": 10, "error_rate": {"value": 0, "low": 0, "high": 0.3, "count": 10}},
    "served_b": {"version": 2, "calls": 0},
    "shadow": {"calls": 5, "dropped": 1, "rows": 5, "measure": "label"},
    "caveats": ["too little"],
}


@pytest.fixture
def fake():
    made = FakeMaas()
    made.add_model("mood", labels=["sad", "glad"], answer="glad", versions=2)
    for method in ("GET", "PUT", "DELETE"):
        made.reply(f"{method} {ROUTE}", TRAFFIC)
    made.reply("GET /v1/models/{model}/served", SERVED)
    made.reply("GET /v1/models/{model}/comparison", COMPARISON)
    return made


@pytest.fixture
def mood(fake):
    with fake.client() as client:
        yield client.model("mood")


def test_a_split_is_sent_as_the_contract_has_it(mood, fake):
    """Weights by version, shadows, a note, the revision that was seen."""
    found = mood.traffic.split({1: 9, 2: 1}, shadows=[2], note="try", expected_revision=3)
    assert isinstance(found, Traffic)
    assert (found.splits[0].share, found.shadows, found.revision) == (0.9, [2], 4)
    sent = fake.calls[-1]
    assert sent.headers["If-Match"] == '"3"'
    assert sent.json == {
        "splits": [{"version": 1, "weight": 9.0}, {"version": 2, "weight": 1.0}],
        "shadows": [2],
        "note": "try",
    }


def test_shadows_promotion_and_withdrawal(mood, fake):
    """Each is one call."""
    mood.traffic.shadow(2, note="copies")
    assert (fake.calls[-1].json["splits"], fake.calls[-1].json["shadows"]) == ([], [2])
    mood.traffic.promote(2, note="good")
    assert (fake.calls[-1].json["splits"], fake.calls[-1].json["promote"]) == (
        [{"version": 2, "weight": 1.0}],
        True,
    )
    mood.traffic.withdraw(note="bad")
    assert (fake.calls[-1].method, fake.calls[-1].query) == ("DELETE", {"note": "bad"})
    assert mood.traffic.get().revision == 4


@pytest.mark.parametrize(
    "act",
    [
        lambda mood: mood.traffic.split({1: 0}),
        lambda mood: mood.traffic.split({}),
        lambda mood: mood.traffic.split({0: 1}),
        lambda mood: mood.traffic.shadow(),
        lambda mood: mood.served(at=datetime(2026, 1, 1)),  # noqa: DTZ001 - that is the mistake
        lambda mood: mood.served(at="2026-01-01T00:00:00"),
        lambda mood: mood.served(at="yesterday"),
        lambda mood: mood.served(at=1767225600),
        lambda mood: mood.comparison(0, 1),
        lambda mood: mood.compare(1, 2, []),
        lambda mood: mood.compare(1, 2, [{"text": "a"}], ["glad", "sad"]),
    ],
)
def test_mistakes_are_told_before_anything_is_sent(mood, fake, act):
    """As an ArgumentError that says what was expected."""
    with pytest.raises(errors.ArgumentError):
        act(mood)
    assert fake.calls == []


@pytest.mark.parametrize("at", ["2026-11-27T09:30:00Z", "2026-11-27T10:30:00+01:00", "20261127T093000Z"])
def test_a_time_may_be_text_with_its_zone(mood, fake, at):
    """As RFC 3339 and ISO 8601 write it."""
    mood.served(at=at)
    assert datetime.fromisoformat(fake.calls[-1].query["at"]) == datetime(2026, 11, 27, 9, 30, tzinfo=UTC)


def test_who_served_when(mood, fake):
    """The time goes in UTC."""
    found = mood.served(at=datetime(2026, 11, 27, 9, 30, tzinfo=UTC))
    assert (found.versions[0].version, found.by, found.kind) == (3, "ada", "promoted")
    assert fake.calls[-1].query == {"at": "2026-11-27T09:30:00Z"}


def test_a_live_comparison(mood, fake):
    """Versions and revision go into the query."""
    found = mood.comparison(1, 2, since=3)
    assert (found.shadow.calls, found.served_a.error_rate.high, found.caveats) == (5, 0.3, ["too little"])
    assert fake.calls[-1].query == {"a": "1", "b": "2", "since": "3"}


def test_a_sticky_id_goes_with_every_call_of_a_handle(fake):
    """And with no other."""
    with fake.client() as client:
        client.model("mood", sticky_id="user-7").predict(text="a")
        client.model("mood", sticky_id="user-7").predict_batch([{"text": "a"}], timeout=5)
        assert [call.headers["X-Sticky-Id"] for call in fake.calls] == ["user-7"] * 2
        client.model("mood").predict(text="a")
        assert "X-Sticky-Id" not in fake.calls[-1].headers


@pytest.mark.parametrize("sticky_id", ["", " a", "a\n", "ü", "x" * 201, 7])
def test_a_sticky_id_that_no_header_carries_is_refused(fake, sticky_id):
    """When the handle is made."""
    with fake.client() as client, pytest.raises(errors.ArgumentError, match="sticky_id"):
        client.model("mood", sticky_id=sticky_id)


class Versioned(FakeMaas):
    """Answers by the version that is asked for."""

    def __init__(self, answer):
        super().__init__()
        self.add_model("mood", labels=["sad", "glad"], answer=self.say, versions=2, task="any")
        self.answer = answer

    def say(self, row):
        return self.answer(int(self.calls[-1].parts["version"]), row)


def compare(answer, rows, targets=None):
    with Versioned(answer).client() as client:
        return client.model("mood").compare(1, 2, [{"text": str(row)} for row in range(rows)], targets)


def test_labels_are_compared_and_measured():
    """The second version is right more often, and the interval of the paired difference says so."""

    def answer(version, row):
        return "glad" if int(row["text"]) % 10 >= (3 if version == 1 else 1) else "sad"

    found = compare(answer, 200, ["glad"] * 200)
    assert (found.rows, found.measure, found.metric) == (200, "label", "accuracy")
    assert found.agreement.value == pytest.approx(0.8)
    assert (found.metric_a.value, found.metric_b.value) == (0.7, 0.9)
    assert found.metric_difference.value == pytest.approx(0.2)
    assert 0.1 < found.metric_difference.low < 0.2 < found.metric_difference.high < 0.3
    assert found.caveats == []


def test_values_are_compared_and_measured():
    """By their absolute error."""
    found = compare(lambda version, row: {"value": 10.0 + version}, 5, [10] * 5)
    assert (found.measure, found.metric, found.agreement.value) == ("value", "mean absolute error", 0)
    assert (found.metric_a.value, found.metric_difference.value) == (1, 1)
    assert found.caveats == ["5 rows; with fewer than 100 agreement says little"]


def test_vectors_and_other_outputs():
    """By direction, and by being equal; targets are of no use to them."""
    found = compare(lambda version, row: {"embedding": [float(version), 0.0]}, 3)
    assert (found.measure, found.agreement.value) == ("embedding", 1)
    assert compare(lambda version, row: {"y": [version], "z": 1}, 3).agreement.value == 0
    with pytest.raises(errors.ArgumentError, match="targets go with"):
        compare(lambda version, row: {"y": [1], "z": 1}, 3, [1, 2, 3])
    with pytest.raises(errors.ArgumentError, match="no number"):
        compare(lambda version, row: {"value": 1.0}, 1, ["one"])


def test_rows_that_one_version_refuses_are_counted():
    """The others are compared all the same."""

    def answer(version, row):
        if version == 2 and row["text"] in ("1", "3"):
            raise errors.UnprocessableError("no", code="wrong_value")
        return "glad"

    found = compare(answer, 6, ["glad"] * 6)
    assert (found.rows, found.failed_a, found.failed_b) == (4, 0, 2)
    assert found.metric_b.count == 4


def test_the_asynchronous_face_compares_too(fake, ask):
    """With the same result."""
    sample = [{"text": "a"}] * 3

    async def main(client):
        return await client.model("mood").compare(1, 2, sample, ["glad"] * 3)

    with fake.client() as client:
        wanted = client.model("mood").compare(1, 2, sample, ["glad"] * 3)
    client = fake.async_client()
    assert isinstance(client, AsyncClient)
    assert ask(client, main) == wanted


@pytest.fixture
def maas(fake):
    """Run a command against the fake."""

    def run(*command, text=None, code=0):
        with fake.installed():
            done = CliRunner().invoke(main, command, input=text)
        assert done.exit_code == code, done.output
        return done.output

    return run


def test_the_traffic_commands(maas, fake):
    """Show, split, promote, withdraw; and what cannot be read is told."""
    assert "version 1 0.9; copies to version 2 (revision 4)" in maas("traffic", "show", "mood")
    maas("traffic", "split", "mood", "1=95", "2=5", "--shadow", "2", "--note", "try")
    assert fake.calls[-1].json["splits"][1] == {"version": 2, "weight": 5.0}
    assert "serves alone" in maas("traffic", "promote", "mood", "2")
    assert json.loads(maas("traffic", "withdraw", "mood", "--json"))["revision"] == 4
    assert "write it as 4=10" in maas("traffic", "split", "mood", "two", code=2)


def test_the_served_command(maas, fake):
    """With an offset, and as JSON."""
    told = maas("served", "mood", "--at", "2026-11-27T10:30:00+01:00")
    assert "version 3 (1)" in told
    assert "ada (promoted)" in told
    assert fake.calls[-1].query == {"at": "2026-11-27T09:30:00Z"}
    assert json.loads(maas("served", "mood", "--json"))["note"] == "better"
    assert "is no time" in maas("served", "mood", "--at", "noon", code=2)


def test_the_compare_command(maas):
    """By live traffic, and on the lines of a file."""
    told = maas("compare", "mood", "1", "2")
    assert "5 compared, 1 dropped" in told
    assert "note: too little" in told
    lines = '{"text": "a", "right": "glad"}\n{"text": "b", "right": "sad"}\n'
    told = maas("compare", "mood", "1", "2", "--file", "-", "--target", "right", text=lines)
    assert "accuracy, version 2" in told
    assert (
        json.loads(maas("compare", "mood", "1", "2", "-f", "-", "--json", text='{"text": "a"}'))["rows"] == 1
    )
    assert "line 1 is not JSON" in maas("compare", "mood", "1", "2", "-f", "-", text="{", code=2)
    assert "line 1 is no object with 'right'" in maas(
        "compare", "mood", "1", "2", "-f", "-", "--target", "right", text='{"text": "a"}', code=2
    )


def test_versions_that_break_calls_are_taken_on_the_command_line_too(maas, fake):
    """When it is said to be meant, as with aliases; nothing is sent of it otherwise."""
    maas("traffic", "split", "mood", "1=95", "2=5")
    assert "force" not in fake.calls[-1].json
    maas("traffic", "split", "mood", "1=95", "2=5", "--force")
    assert fake.calls[-1].json["force"] is True
    maas("traffic", "promote", "mood", "2", "--force")
    assert fake.calls[-1].json["force"] is True
