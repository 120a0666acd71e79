from __future__ import annotations

import pickle
import re

import pytest

from maas_client import Client, Explanation, errors
from maas_client.testing import FakeMaas

TEXT = "A dull <b>plot</b>, but lovely music"
REPLY = {
    "id": "expl_1",
    "model": "mood",
    "version": 2,
    "digest": f"sha256:{'0' * 64}",
    "device": "cpu",
    "target": "glad",
    "method": "kernel",
    "seed": 7,
    "prediction": 0.7,
    "baseline": 0.5,
    "attributions": [
        {"feature": "dull", "input": "text", "value": -0.2, "standard_error": 0.01, "start": 2, "end": 6},
        {"feature": "lovely", "input": "text", "value": 0.4, "standard_error": 0.02, "start": 24, "end": 30},
    ],
    "additivity_gap": 0.0,
    "evaluations": 128,
}


@pytest.fixture
def fake():
    made = FakeMaas()
    made.add_model("mood", labels=["sad", "glad"], answer="glad")
    for route in ("", "/versions/{version}"):
        made.reply(f"POST /v1/models/{{model}}{route}/explain", REPLY)
    return made


@pytest.fixture
def client(fake, face):
    return fake.client() if face is Client else fake.async_client()


def test_an_explanation_tells_what_each_word_adds(client, ask):
    """Typed, with the instance that it explains, and ranked by weight."""
    explanation = ask(client, lambda client: client.explain("mood", text=TEXT, target="glad"))
    assert isinstance(explanation, Explanation)
    assert [each.feature for each in explanation.ranked()] == ["lovely", "dull"]
    word = explanation.ranked()[0]
    assert explanation.inputs["text"][word.start : word.end] == "lovely"
    total = explanation.baseline + sum(each.value for each in explanation.attributions)
    assert total == pytest.approx(explanation.prediction + explanation.additivity_gap)


def test_what_is_asked_is_what_was_said(client, ask, fake):
    """Every option goes into the body, the version into the path."""
    ask(
        client,
        lambda client: client.explain(
            "mood",
            inputs={"text": "a"},
            target="sad",
            method="exact",
            budget=64,
            seed=3,
            version="stable",
            parameters={"top_k": 1},
        ),
    )
    assert fake.calls[-1].path == "/v1/models/mood/versions/stable/explain"
    assert fake.calls[-1].json == {
        "inputs": {"text": "a"},
        "target": "sad",
        "method": "exact",
        "budget": 64,
        "seed": 3,
        "faithfulness": True,
        "parameters": {"top_k": 1},
    }


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "magic"}, "method: Input should be 'auto', 'exact', 'kernel' or 'fast'"),
        ({"budget": 1}, "budget: Input should be greater than or equal to 2"),
        ({"seed": -1}, "seed: Input should be greater than or equal to 0"),
    ],
)
def test_a_mistaken_option_is_told_before_anything_is_sent(client, ask, fake, options, said):
    """With the values that there are."""
    with pytest.raises(errors.ArgumentError, match=said):
        ask(client, lambda client: client.explain("mood", text="a", **options))
    assert fake.calls == []


def test_an_explanation_survives_pickling(client, ask):
    """With its instance."""
    explanation = ask(client, lambda client: client.explain("mood", text=TEXT))
    again = pickle.loads(pickle.dumps(explanation))
    assert again == explanation
    assert again.inputs == {"text": TEXT}


def test_words_are_coloured_and_nothing_is_markup(client, ask):
    """The text's own tags are shown as text; blue speaks for the target, red against it."""
    html = ask(client, lambda client: client.explain("mood", text=TEXT))._repr_html_()
    assert "&lt;b&gt;plot&lt;/b&gt;" in html
    assert "<b>plot" not in html
    assert 'background:rgba(60,130,230,0.55);border-radius:.2em">lovely</span>' in html
    assert 'background:rgba(220,60,50,0.28);border-radius:.2em">dull</span>' in html
    assert "glad: 0.7 = baseline 0.5 +0.2 by the features" in html
    assert "speaks for glad" in html


@pytest.mark.parametrize(
    "spans", [[(0, 5), (3, 8)], [(-1, 4), (2, 6)], [(5, 2)], [(0, 10_000)], [(None, None)], [(4, 4)]]
)
def test_spans_that_make_no_sense_lose_no_text(fake, spans):
    """Whatever a server says about offsets, the text is shown whole and once."""
    attributions = [
        {"feature": "x", "input": "text", "value": 0.1, "start": start, "end": end} for start, end in spans
    ]
    more = {"feature": "y", "input": "text", "value": 0.0, "start": 0, "end": 0}
    fake.reply("POST /v1/models/{model}/explain", {**REPLY, "attributions": [*attributions, more]})
    html = fake.client().explain("mood", text="plain words")._repr_html_()

    assert "plain words" in re.sub(r"<[^>]*>", "", html)


def test_an_explanation_without_features_is_shown_too(fake):
    """An empty text has nothing that could add anything."""
    fake.reply("POST /v1/models/{model}/explain", {**REPLY, "attributions": []})
    assert "baseline 0.5" in fake.client().explain("mood", text="")._repr_html_()


def test_a_table_is_explained_by_its_columns(fake):
    """No text to colour, only weights."""
    rows = [{"feature": "rooms", "input": "rooms", "value": 1000.0}]
    fake.reply("POST /v1/models/{model}/explain", {**REPLY, "attributions": rows, "target": "value"})
    html = fake.client().explain("mood", inputs={"rooms": 3, "area": 70.5})._repr_html_()
    assert "rooms" in html
    assert "+1000.0000" in html
