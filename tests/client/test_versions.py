"""What the SDK and the command show of versions: their history with the traffic's, and what was measured."""

from __future__ import annotations

from click.testing import CliRunner

from maas_client.cli import main
from maas_client.testing import FakeMaas

AT = "2030-01-01T00:00:00Z"
ACCURACY = {"name": "accuracy", "value": 0.9, "dataset": "mine", "split": "test", "rows": 10}


def event(seq, kind, version=None, **details):
    return {"seq": seq, "kind": kind, "at": AT, "by": "ada", "version": version, "details": details}


def test_the_history_tells_of_the_traffic_in_words():
    """Who got which weight, and which versions got copies; not how JSON writes it."""
    halves = [{"version": 1, "weight": 95.0}, {"version": 2, "weight": 5.0}]
    events = [
        event(4, "alias_moved", 2, alias="default", from_version=1, note="good"),
        event(3, "promoted", 2, revision=2, splits=[], shadows=[], note="good"),
        event(2, "traffic_changed", revision=1, splits=halves, shadows=[3], note="try"),
        event(1, "published", 1, digest="sha256:0", origin="uploaded", parent=None, notes=""),
    ]
    fake = FakeMaas()
    fake.add_model("mood", answer="positive")
    fake.reply("GET /v1/models/{model}/history", {"data": events, "has_more": False, "next_cursor": None})
    with fake.installed():
        done = CliRunner().invoke(main, ["history", "mood"])
    assert done.exit_code == 0, done.output
    assert "revision 1, splits 1 at weight 95 and 2 at weight 5, shadows 3, note try" in done.output
    assert "version 2: revision 2, note good" in done.output
    assert "default → version 2: good" in done.output


def test_what_was_measured_after_the_publish_is_compared():
    """Beside what the packages say."""
    fake = FakeMaas()
    fake.add_model("mood", answer="positive", versions=2)
    client = fake.client()
    version = client.model("mood").versions.get(1).model_dump(mode="json")
    fake.reply("GET /v1/models/{model}/versions/{version}", {**version, "measured_metrics": [ACCURACY]})
    found = client.model("mood").versions.diff(1, 2, graph=False, predictions=False)
    assert [(each.name, each.before, each.after) for each in found.metrics] == [("accuracy", 0.9, 0.9)]
