from __future__ import annotations

import math
import pickle
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest

from maas_client import Client, Explanation, Explanations, errors, testing
from maas_client.explanations import AttributionDifference, ExplanationsCompared
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
    "unit": "words",
    "masking": "delete",
    "faithfulness": {
        "deletion": {
            "fractions": [0.0, 0.5, 1.0],
            "scores": [0.7, 0.1, 0.5],
            "area": 0.35,
            "random_area": 0.6,
        },
        "insertion": {
            "fractions": [0.0, 0.5, 1.0],
            "scores": [0.5, 0.9, 0.7],
            "area": 0.75,
            "random_area": 0.6,
        },
        "comprehensiveness": 0.61,
        "sufficiency": 0.0001,
        "random_comprehensiveness": 0.12,
        "random_sufficiency": 0.4,
    },
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
            time_budget=1.5,
            against={"text": "b"},
            faithfulness=False,
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
        "time_budget_ms": 1500.0,
        "against": {"text": "b"},
        "faithfulness": False,
        "parameters": {"top_k": 1},
    }


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "magic"}, "method: Input should be 'auto', 'exact', 'kernel' or 'fast'"),
        ({"budget": 1}, "budget: Input should be greater than or equal to 2"),
        ({"seed": -1}, "seed: Input should be greater than or equal to 0"),
        ({"time_budget": 0}, "time_budget is 0, expected seconds from 0.001 to 3600"),
        ({"time_budget": float("nan")}, "time_budget is nan"),
        ({"against": {"parameters": 1}}, "against: 'parameters' cannot be an input's name"),
        ({"against": "b", "more": 1}, "against is a text and the instance has 2 inputs"),
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


def test_an_explanation_is_a_frame(client, ask, monkeypatch):
    """A row for each feature, of pandas, or of polars where that is missing; with neither it says so."""
    explanation = ask(client, lambda client: client.explain("mood", text=TEXT))
    frame = explanation.to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == ["feature", "input", "value", "standard_error", "start", "end"]
    assert frame.to_dict("records")[0] == REPLY["attributions"][0]
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert explanation.to_frame().rows() == [tuple(each.values()) for each in REPLY["attributions"]]
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ModuleNotFoundError, match="to_frame needs pandas or polars: pip install pandas"):
        explanation.to_frame()


def test_regions_have_the_corners_of_their_boxes(fake):
    """In pixels."""
    regions = [{"feature": "r", "input": "image", "value": 1.0, "box": [1, 2, 3, 4]}]
    fake.reply("POST /v1/models/{model}/explain", {**REPLY, "attributions": regions})
    (row,) = fake.client().explain("mood", image="aGk=").to_frame().to_dict("records")
    assert [row[side] for side in ("left", "top", "right", "bottom")] == [1, 2, 3, 4]


def test_an_explanation_prints_as_a_table(client, ask):
    """The heaviest first, then how they add up and how far to trust them."""
    lines = str(ask(client, lambda client: client.explain("mood", text=TEXT))).splitlines()
    assert [line.split() for line in lines[:2]] == [
        ["+0.4", "±0.02", "lovely"],
        ["\N{MINUS SIGN}0.2", "±0.01", "dull"],
    ]
    assert lines[2] == "glad: 0.7 = baseline 0.5 +0.2 by the words"
    assert lines[3].startswith("Without its most important words the score falls by 0.61, without as many ")
    assert lines[3].endswith(" random ones it falls by 0.12.")
    assert lines[4] == "With those alone it stays the same, with as many random ones it falls by 0.4."
    assert lines[-1] == "mood version 2 on cpu, kernel, masked by delete, 128 evaluations, seed 7"


@pytest.mark.parametrize(("spread", "doubts"), [(None, False), (0.1, False), (0.3, True)])
def test_what_chance_does_as_well_is_not_to_be_relied_on(fake, spread, doubts):
    """By two standard deviations of random orders."""
    measured = {**REPLY["faithfulness"], "random_comprehensiveness_spread": spread}
    fake.reply("POST /v1/models/{model}/explain", {**REPLY, "faithfulness": measured})
    told = str(fake.client().explain("mood", text=TEXT))
    assert ("not clearly more than chance" in told) is doubts


def test_a_gap_is_told_and_rounding_is_not(fake):
    """Leave-one-out does not add up."""
    for gap, told in ((0.36, ", gap +0.36"), (1e-9, " by the words\n")):
        fake.reply("POST /v1/models/{model}/explain", {**REPLY, "additivity_gap": gap})
        assert told in str(fake.client().explain("mood", text=TEXT))


@pytest.fixture
def real(face):
    """A fake that really explains: what is glad is one word that another takes back."""
    made = FakeMaas()
    made.add_model("mood", labels=["sad", "glad"], answer=_mood, versions=2)
    made.add_model("price", task="tabular-regression", inputs=["rooms", "area"], answer=_price)
    made.client_of_face = lambda: made.client() if face is Client else made.async_client()
    return made


def _mood(inputs):
    words = inputs["text"].split()
    return "glad" if "lovely" in words and "dull" not in words else "sad"


def _trio(inputs):
    return "glad" if {"lovely", "w5", "bright"} <= set(inputs["text"].split()) else "sad"


def _price(inputs):
    return {"value": 100.0 * inputs["rooms"] + 2.0 * inputs["area"] + 1.0 * inputs["rooms"] * inputs["area"]}


def many(ask, fake, act):
    """Make a job with a client of the fake's face, and return it with its result."""
    client = fake.client_of_face()
    if isinstance(client, Client):
        job = ask(client, act)
        return job, job.wait()

    async def both(client):
        job = await act(client)
        return job, await job.wait()

    return ask(client, both)


ROWS = [{"text": "a lovely day"}, {"text": "a dull day"}]


@pytest.mark.parametrize(
    "inputs",
    [
        lambda: ROWS,
        lambda: iter(ROWS),
        lambda: [row["text"] for row in ROWS],
        lambda: np.array([row["text"] for row in ROWS]),
        lambda: pd.DataFrame(ROWS),
        lambda: pl.DataFrame(ROWS),
    ],
    ids=["dicts", "iterator", "texts", "array", "pandas", "polars"],
)
def test_many_are_explained_by_a_job(real, ask, inputs):
    """Whatever they come as, each explanation has its instance, and there is what counts over all."""
    job, found = many(
        ask, real, lambda client: client.explain_many("mood", inputs(), target="glad", version=1)
    )
    assert isinstance(found, Explanations)
    assert (len(found), found.model, found.version) == (2, "mood", 1)
    assert [each.inputs for each in found] == ROWS
    assert found[0].ranked()[0].feature == "lovely"
    first = found.importance[0]
    assert (first.feature, first.rows, first.mean_absolute) == ("lovely", 1, pytest.approx(0.8))
    sent = next(call for call in real.calls if call.template.endswith("/explanations"))
    assert sent.query == {"rows": "2", "version": "1"}
    assert sent.json["inputs"] == ROWS
    assert "Idempotency-Key" in sent.headers
    assert job.kind == "explain"


def test_a_frame_may_have_other_names(real, ask):
    """`columns` tells which feeds which input."""
    frame = pd.DataFrame({"review": ["a lovely day"]})
    ask_for = lambda client: client.explain_many("mood", frame, columns={"text": "review"})  # noqa: E731
    _, found = many(ask, real, ask_for)
    assert found[0].inputs == {"text": "a lovely day"}


@pytest.mark.parametrize(
    ("inputs", "options", "said"),
    [
        ([], {}, "inputs has 0 instances, expected 1 to 10,000"),
        ([{"text": "a"}] * 10_001, {}, "inputs has 10,001 instances"),
        ("a text", {}, "inputs is a str; pass a list"),
        ({"text": "a"}, {}, "inputs is a dict; pass a list"),
        ([{"text": "a"}, {}], {}, r"inputs\[1\] must name its inputs"),
        ([{"text": "a"}], {"columns": {"text": "a"}}, "columns= is for a data frame"),
        (pd.DataFrame({"b": ["a"]}), {}, "the frame has no column 'text'"),
    ],
)
def test_inputs_that_cannot_be_are_told_before_anything_is_explained(real, ask, inputs, options, said):
    """With what was expected."""
    with pytest.raises(errors.ArgumentError, match=said):
        ask(real.client_of_face(), lambda client: client.explain_many("mood", inputs, **options))
    assert not [call for call in real.calls if call.method == "POST"]


def test_a_job_found_by_its_id_has_no_instances_until_they_are_given(real):
    """The server does not keep them."""
    client = real.client()
    job = client.explain_many("mood", ROWS)
    found = client.jobs.get(job.id).result
    assert isinstance(found, Explanations)
    assert [each.inputs for each in found] == [{}, {}]
    assert found.of(ROWS) == job.result
    assert pickle.loads(pickle.dumps(found.of(ROWS))) == job.result


def test_importance_and_many_are_frames(real):
    """With the ends of the interval, and the row that each attribution is of."""
    found = real.client().explain_many("mood", ROWS).result
    assert list(found.importance.to_frame().columns) == [
        "feature", "input", "mean_absolute", "low", "high", "mean", "rows",
    ]  # fmt: skip
    frame = found.to_frame()
    assert frame["row"].tolist() == [0, 0, 0, 1, 1, 1]
    assert set(frame.columns) >= {"target", "feature", "value", "start"}
    assert str(found.importance).splitlines()[0].split()[:2] == ["FEATURE", "INPUT"]


def test_two_versions_side_by_side(client, ask, fake, monkeypatch):
    """With the target and the seed of the first, what differs most first, and how alike they are."""
    words = [
        {"feature": name, "input": "text", "value": value, "start": start, "end": start + 1}
        for name, value, start in (("a", 0.5, 0), ("b", 0.1, 2), ("c", -0.3, 4), ("a", 0.2, 6))
    ]
    replies = iter([words, [{**words[0], "value": -0.5, "standard_error": 0.1}, *words[1:3]]])
    seen = []

    def answer(made):
        seen.append(made.json.get("target"))
        return {**REPLY, "version": len(seen), "attributions": next(replies)}

    fake.add_model("mood", answer="glad", labels=["sad", "glad"])
    fake._replies.clear()
    route = "POST /v1/models/{model}/versions/{version}/explain"
    monkeypatch.setattr(testing, "_ROUTES", {**testing._ROUTES, route: lambda _, made: answer(made)})
    found = ask(client, lambda client: client.model("mood").compare_explanations(1, "next", text="a b c a"))
    assert isinstance(found, ExplanationsCompared)
    assert seen == [None, "glad"]
    assert [call.parts["version"] for call in fake.calls] == ["1", "next"]
    assert [each.version for each in found] == [1, 2]
    first, second, *_ = found.differences
    assert (first.feature, first.difference, first.standard_error) == ("a", -1.0, 0.1)
    assert (second.feature, second.b, second.difference) == ("a", None, -0.2)
    assert found.rank_correlation == pytest.approx(-0.5)
    frame = found.to_frame()
    assert list(frame.columns) == ["feature", "input", "a", "b", "difference", "standard_error"]
    assert math.isnan(frame["b"][1])


def test_the_error_of_a_difference_is_that_of_both():
    """Independent errors add up by their squares; an exact value has none."""
    made = [
        Explanation.model_validate(
            {**REPLY, "attributions": [{**REPLY["attributions"][0], "standard_error": each}]}
        )
        for each in (0.3, 0.4, None)
    ]
    ones = [each.attributions[0] for each in made]
    assert AttributionDifference("f", "i", ones[0], ones[1]).standard_error == pytest.approx(0.5)
    assert AttributionDifference("f", "i", ones[0], ones[2]).standard_error == pytest.approx(0.3)
    assert AttributionDifference("f", "i", ones[2], None).standard_error is None


def test_the_fake_explains_what_it_predicts(real):
    """Exact values add up and share what two words only do together; columns have closed forms."""
    client = real.client()
    why = client.explain("mood", text="a lovely dull day", target="glad")
    assert (why.method, why.additivity_gap) == ("exact", pytest.approx(0.0, abs=1e-12))
    assert {each.feature: round(each.value, 6) for each in why.attributions} == {
        "a": 0.0, "lovely": 0.4, "dull": -0.4, "day": 0.0,
    }  # fmt: skip
    price = client.explain("price", rooms=3, area=50)
    assert [each.value for each in price.attributions] == pytest.approx([375.0, 175.0])
    assert (price.target, price.baseline, price.prediction) == ("value", 0.0, 550.0)


def test_the_fake_samples_where_exact_values_cost_too_much(real):
    """Within its budget, with standard errors, and the same again for the same seed."""
    real.add_model("trio", labels=["sad", "glad"], answer=_trio)
    text = "lovely " + " ".join(f"w{index}" for index in range(11)) + " bright"
    client = real.client()
    one, same, other = (client.explain("trio", text=text, target="glad", seed=seed) for seed in (1, 1, 2))
    assert one.attributions == same.attributions != other.attributions
    assert one.additivity_gap == pytest.approx(0.0, abs=1e-9)
    by_name = {each.feature: each for each in one.attributions}
    assert by_name["w3"].value == pytest.approx(0.0, abs=1e-12)
    # Three words that only count together share what they add.
    for name in ("lovely", "w5", "bright"):
        assert 0 < abs(by_name[name].value - 0.8 / 3) < 4 * by_name[name].standard_error


def test_the_fake_measures_how_faithful_it_is(real):
    """What is taken away first is what counts."""
    why = real.client().explain("mood", text="a lovely day in the park", target="glad")
    assert why.faithfulness.deletion.scores[:2] == pytest.approx([0.9, 0.1])
    assert why.faithfulness.deletion.area < why.faithfulness.deletion.random_area
    assert why.faithfulness.insertion.area > why.faithfulness.insertion.random_area
    assert real.client().explain("mood", text="a", faithfulness=False).faithfulness is None


def test_the_fake_explains_a_similarity(real):
    """Of two embeddings."""

    def embed(inputs):
        return {"embedding": [float("cat" in inputs["text"]), float("dog" in inputs["text"]), 0.1]}

    real.add_model("words", task="embedding", answer=embed)
    client = real.client()
    why = client.explain("words", text="my cat", against="a cat")
    assert (why.target, why.prediction) == ("similarity", pytest.approx(1.0))
    assert why.ranked()[0].feature == "cat"
    with pytest.raises(errors.UnprocessableError, match="pass `against`"):
        client.explain("words", text="my cat")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"target": "angry"}, "unknown_target"),
        ({"method": "exact", "budget": 8}, "budget_too_small"),
        ({"version": 9}, "version_not_found"),
    ],
)
def test_the_fake_refuses_what_a_server_refuses(real, options, code):
    """Before anything is made up."""
    with pytest.raises(errors.StatusError) as failure:
        real.client().explain("mood", text="a lovely dull day", **options)
    assert failure.value.code == code
