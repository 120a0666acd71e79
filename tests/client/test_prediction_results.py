from __future__ import annotations

import copy
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas_client import ClassificationPrediction, Prediction, Predictions, errors
from maas_client.types import PredictReply

PREDICT = "https://models.test/v1/models/m/predict"


def sent(server):
    return json.loads(server.calls[-1].request.body)


def test_a_classification_is_typed_and_knows_its_call(server, client, reply, positive):
    """Label, score and scores are attributes, and so is everything about the call."""
    server.post(PREDICT, json=reply(positive))
    result = client.predict("m", text="good")
    assert isinstance(result, ClassificationPrediction)
    assert (result.label, result.score, result.scores["negative"]) == ("positive", 0.75, 0.25)
    assert (result.model, result.version, result.device, result.id) == ("m", 3, "cpu", "pred_1")
    assert (result.digest, result.usage.instances, result.timing.compute_ms) == ("sha256:" + "0" * 64, 1, 2.3)
    assert sent(server) == {"text": "good"}


def test_other_shapes_are_typed_generically(server, client, reply):
    """Unknown outputs are attributes; one that clashes with the call's data is an item."""
    server.post(PREDICT, json=reply({"value": 1.5, "version": "of the output"}))
    result = client.predict("m", x=1)
    assert type(result) is Prediction
    assert result.value == 1.5
    assert (result.version, result["version"]) == (3, "of the output")
    assert result.outputs == {"value": 1.5, "version": "of the output"}
    with pytest.raises(AttributeError):
        _ = result.nothing


def test_the_same_names_with_other_types_are_generic(server, client, reply):
    """A task that means something else by `scores` is not broken by ours."""
    server.post(PREDICT, json=reply({"label": "a", "score": 1, "scores": [0.1, 0.9]}))
    result = client.predict("m", x=1)
    assert type(result) is Prediction
    assert result.scores == [0.1, 0.9]


def test_a_batch_is_a_sequence_with_the_call_data(server, client, reply, positive):
    """Its items are in the order of the instances, each knowing its call."""
    server.post(PREDICT, json=reply(positive, {"value": 2}))
    results = client.predict_batch("m", iter([{"text": "a"}, {"text": "b"}]), parameters={"k": 1})
    assert sent(server) == {"instances": [{"text": "a"}, {"text": "b"}], "parameters": {"k": 1}}
    assert [type(result) for result in results] == [ClassificationPrediction, Prediction]
    assert (len(results), results.version, results[-1].value, len(results[:1])) == (2, 3, 2, 1)
    assert repr(results) == "Predictions(2 of m version 3)"


def test_results_survive_pickle_and_copy(reply, positive):
    """With everything about their call."""
    results = Predictions.from_reply(PredictReply.model_validate(reply(positive)))
    for again in (pickle.loads(pickle.dumps(results)), copy.deepcopy(results)):
        assert again == results
        assert again[0].call == results.call
    assert hash(results) == hash(copy.copy(results))


def test_a_version_or_alias_is_part_of_the_path(server, client, reply, positive):
    """Number or alias, both name the version."""
    for version in (2, "default"):
        server.post(f"https://models.test/v1/models/m/versions/{version}/predict", json=reply(positive))
        client.model("m").predict(text="x", version=version)


def test_inputs_that_clash_go_in_the_mapping(server, client, reply, positive):
    """Every name but the two reserved ones can be an input."""
    server.post(PREDICT, json=reply(positive))
    client.predict("m", inputs={"version": 1, "timeout": 2}, name="n")
    assert sent(server) == {"version": 1, "timeout": 2, "name": "n"}


class Array:
    """Something like a numpy array."""

    def tolist(self):
        return [[1, 2], [3, 4]]


def test_arrays_are_written_as_lists(server, client, reply, positive):
    """Arrays and scalars of the numeric libraries need no conversion by the caller."""
    server.post(PREDICT, json=reply(positive))
    client.predict("m", x=Array())
    assert sent(server) == {"x": [[1, 2], [3, 4]]}


circular: list[object] = []
circular.append(circular)


@pytest.mark.parametrize(
    ("inputs", "fault"),
    [
        ({}, "must name its inputs"),
        ({"instances": []}, "cannot be an input's name"),
        ({"parameters": {}}, "cannot be an input's name"),
        ({"x": float("nan")}, "JSON"),
        ({"x": float("inf")}, "JSON"),
        ({"x": object()}, "object is no JSON type"),
        ({"x": "\ud800"}, "surrogate"),
        ({"x": circular}, "JSON"),
        ({1: "x"}, "cannot be an input's name"),
        ("text", "must name its inputs"),
    ],
)
def test_inputs_that_cannot_be_sent(server, client, inputs, fault):
    """Each mistake is told before anything is sent, one instance or many."""
    with pytest.raises(errors.ArgumentError, match=fault):
        client.model("m").predict_batch([inputs])
    if isinstance(inputs, dict):
        with pytest.raises(errors.ArgumentError, match=fault):
            client.predict("m", inputs=inputs)


def test_an_input_given_twice(client):
    """Neither of the two is dropped in silence."""
    with pytest.raises(errors.ArgumentError, match="'text' is given twice"):
        client.predict("m", inputs={"text": "a"}, text="b")


def test_an_empty_batch(client):
    """Nothing to predict is a mistake, not a call."""
    with pytest.raises(errors.ArgumentError, match="instances is empty"):
        client.predict_batch("m", [])


def test_a_wrong_number_of_predictions(server, client, reply, positive):
    """A server that loses a row is found out."""
    server.post(PREDICT, json=reply(positive))
    with pytest.raises(errors.InvalidReplyError, match="1 predictions for 2 instances"):
        client.predict_batch("m", [{"text": "a"}, {"text": "b"}])


def test_every_bad_row_is_listed(server, client):
    """A batch that breaks the signature names each bad row."""
    faults = [{"code": "wrong_type", "message": "m", "param": f"instances[{row}].text"} for row in (1, 17)]
    server.post(
        PREDICT, status=422, json={"error": {"type": "t", "code": "c", "message": "m", "errors": faults}}
    )
    with pytest.raises(errors.UnprocessableError) as caught:
        client.predict_batch("m", [{"text": 1}])
    assert [fault.param for fault in caught.value.errors] == ["instances[1].text", "instances[17].text"]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(min_size=1), json_values, min_size=1, max_size=4))
def test_any_outputs_come_back_as_they_were(outputs):
    """Whatever a task returns, `outputs` gives it back."""
    reply = {
        "id": "p",
        "model": "m",
        "version": 1,
        "digest": "d",
        "device": "cpu",
        "predictions": [outputs],
        "usage": {"instances": 1},
        "timing": {"queue_ms": 0, "compute_ms": 0},
    }
    prediction = Predictions.from_reply(PredictReply.model_validate(reply))[0]
    assert prediction.outputs == outputs
