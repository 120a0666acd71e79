from __future__ import annotations

from html.parser import HTMLParser

import pytest

from maas_client.differences import GraphDifference, GraphFacts, VersionDiff
from maas_client.predictions import Predictions
from maas_client.testing import FakeMaas
from maas_client.types import KeyCreated, PredictReply

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>&\"'"
VOID = {"br"}


class Checker(HTMLParser):
    """Collects the text; refuses what a page must not hold."""

    def __init__(self):
        super().__init__()
        self.open, self.text = [], []

    def handle_starttag(self, tag, attrs):
        assert tag in {"div", "b", "table", "tr", "td", "th", "span", "br"}
        assert {name for name, _ in attrs} <= {"style"}
        assert not any("url" in value or "expression" in value for _, value in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def shown(thing):
    """Return the text that a notebook shows, after a check of the markup."""
    checker = Checker()
    checker.feed(thing._repr_html_())
    checker.close()
    assert checker.open == []
    return " ".join(checker.text)


def predictions(*rows):
    return Predictions.from_reply(
        PredictReply(
            id="pred_1",
            model="m",
            version=3,
            digest="sha256:0",
            device="cpu",
            predictions=list(rows),
            usage={"instances": len(rows)},
            timing={"queue_ms": 0.1, "compute_ms": 2.345},
        )
    )


def test_a_classification_is_a_bar_for_each_label():
    """The best first, and below it what made it."""
    row = {"label": "glad", "score": 0.75, "scores": {"sad": 0.25, "glad": 0.75}}
    text = shown(predictions(row)[0])
    assert text.index("glad") < text.index("0.750") < text.index("sad") < text.index("0.250")
    assert "m version 3 on cpu, 2.35 ms" in text or "m version 3 on cpu, 2.34 ms" in text


def test_many_predictions_are_a_table_that_ends():
    """A row each, fifty at most, and how many more there are."""
    text = shown(predictions(*({"value": index + 0.5} for index in range(1234))))
    assert "49.5" in text
    assert "50.5" not in text
    assert "and 1,184 more" in text


@pytest.mark.parametrize(
    "row",
    [
        {"label": HOSTILE, "score": 1.0, "scores": {HOSTILE: 1.0}},
        {HOSTILE: HOSTILE},
        {"list": [HOSTILE, {"a": HOSTILE}], "none": None},
        {"label": "x", "score": float("nan"), "scores": {"x": float("nan"), "y": 1e300}},
    ],
)
def test_what_a_model_returns_cannot_become_markup(row):
    """Labels and outputs are escaped, whatever they hold."""
    made = predictions(row)
    for html in (made._repr_html_(), made[0]._repr_html_()):
        assert "<script" not in html
        assert "<img" not in html
    shown(made)
    shown(made[0])


def test_models_and_versions_show_their_fields():
    """Name, task and labels of a model; notes and digest of a version."""
    fake = FakeMaas()
    fake.add_model("mood", labels=["sad", HOSTILE], answer="sad", description=HOSTILE)
    client = fake.client()
    model = shown(client.models.get("mood"))
    assert "text-classification" in model
    assert "sad, <script>" in model  # as text
    assert "Version 1 of a fake." in shown(client.model("mood").versions.get(1))


def test_a_new_key_does_not_show_its_secret():
    """It is taken with `key.secret.get_secret_value()`, and not left in a notebook's output."""
    key = KeyCreated(
        id="key_1",
        name="k",
        prefix="maas_key_ab",
        last4="wxyz",
        scopes=["predict"],
        created_at="2026-01-01T00:00:00Z",
        secret="maas_key_abcdefghijklmnopqrstuvwxyz",
    )
    assert "maas_key_abc" not in key._repr_html_()
    assert "**********" in shown(key)


@pytest.mark.parametrize("graph", [True, False])
def test_a_comparison_is_a_table_for_each_part(graph):
    """Escaped whatever stands in manifests and predictions; parts without a difference are left out."""
    facts = GraphFacts(
        operators={"Add": 2, HOSTILE: 1}, opsets={"ai.onnx": 17}, parameters=1234, size=2_500_000
    )
    other = GraphFacts(operators={"Add": 3}, opsets={"ai.onnx": 18}, parameters=99, size=12)
    diff = VersionDiff(
        model=HOSTILE,
        before=3,
        after=4,
        same_content=False,
        manifest=[{"field": HOSTILE, "before": {"a": HOSTILE}, "after": [HOSTILE, None]}],
        signature=[
            {"kind": "label_added", "where": "task", "name": HOSTILE, "breaking": False},
            {"kind": "input_removed", "where": "task", "name": "x", "breaking": True},
        ],
        metrics=[{"name": "accuracy", "dataset": HOSTILE, "before": 0.5, "after": 0.75}],
        graph=GraphDifference(before=facts, after=other) if graph else None,
        graph_missing=None if graph else HOSTILE,
        predictions=[
            {"example_of": 3, "inputs": {"x": 0.123456789}, "before": {"y": 1.0}, "after_error": HOSTILE}
        ],
    )
    text = shown(diff)
    assert "<script" not in diff._repr_html_()
    lines = str(diff).splitlines()
    assert lines[1] == "breaking: 1 difference that calls may notice"
    start = lines.index("metrics")
    assert lines[start + 1].split() == ["metric", "measured", "on", "version", "3", "version", "4", "change"]
    assert lines[start + 2].split()[-3:] == ["0.5", "0.75", "+0.25"]
    assert lines[start + 1].index("version 3") == lines[start + 2].index("0.5")
    assert "breaking: 1 difference that calls may notice" in text
    assert text.index("input removed") < text.index("label added")
    assert "+0.25" in text
    assert '{"x": 0.1235}' in text
    assert ("2.5 MB" in text and "12 bytes" in text) is graph
    assert ("not compared" in text) is not graph


def test_versions_that_are_the_same_say_so():
    """In one line and without empty tables."""
    diff = VersionDiff(model="m", before=1, after=2, same_content=True)
    assert str(diff) == "m: version 1 → version 2\nthe same content"
    assert "the same content" in shown(diff)
    assert "<table" not in diff._repr_html_()


def test_a_model_is_a_card_with_an_example_to_paste():
    """Its figures with their units, and programs as they are, without becoming markup."""
    fake = FakeMaas()
    measured = {
        "device": "cpu",
        "calls": 3,
        "rows": 4,
        "p50_ms": 0.25,
        "p95_ms": 1.5,
        "rows_per_second": 90.0,
    }
    moments = {"since": "2030-01-01T00:00:00Z", "updated_at": "2030-01-01T00:00:00Z"}
    fake.add_model(
        "mood",
        size=1_270_000,
        metrics=[{"name": "accuracy", "value": 0.875, "dataset": "d", "rows": 9}],
        performance=[{**measured, **moments}],
        usage={"calls": 12_345, "rows": 67_890, "days": 30},
        snippets={"python": f"print({HOSTILE!r})", "curl": "curl -d '{}'"},
    )
    client = fake.client()
    card = shown(client.models.get("mood"))
    for text in ("1.27 MB", "0.25", "12,345 calls, 67,890 rows in 30 days", "<script>", "curl -d '{}'"):
        assert text in card
    listed = shown(client.models.list())
    for text in ("accuracy", "0.875", "0.25 ms", "1.27 MB", "12345"):
        assert text in listed
