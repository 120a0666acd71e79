"""Every way to call predict wrongly has its own answer, the same through Flask and through the front."""

import json

import pytest

JSON = {"content-type": "application/json"}
PATH = "/v1/models/words/predict"


@pytest.fixture(params=["flask", "front"])
def predict(request, shared):
    send = shared.through_flask if request.param == "flask" else shared.through_front

    def call(body, *, path=PATH, headers=None):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return send("POST", path, headers={**JSON, **shared.ada, **(headers or {})}, body=raw)

    return call


def failure(answer):
    error = answer.json["error"]
    assert error["request_id"] == answer.headers["x-request-id"]
    return answer.status, error["code"], error["param"]


def test_one_instance_gives_one_prediction(predict):
    """The reply has the documented parts and tells what made it."""
    answer = predict({"text": "a good and bright day"})
    assert answer.status == 200
    reply = answer.json
    assert set(reply) == {"id", "model", "version", "digest", "device", "predictions", "usage", "timing"}
    assert (reply["model"], reply["version"], reply["device"]) == ("words", 1, "cpu")
    assert reply["usage"] == {"instances": 1}
    (prediction,) = reply["predictions"]
    assert prediction["label"] == "positive"
    assert prediction["score"] == prediction["scores"]["positive"]


def test_many_instances_keep_their_order(predict):
    """Predictions come in the order of the instances."""
    texts = ["good", "bad", "great fun", "", "dull"]
    answer = predict({"instances": [{"text": text} for text in texts]})
    labels = [prediction["label"] for prediction in answer.json["predictions"]]
    assert [labels[i] for i in (0, 1, 2, 4)] == ["positive", "negative", "positive", "negative"]
    assert answer.json["usage"] == {"instances": 5}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", (400, "empty_body", None)),
        (b"   ", (400, "empty_body", None)),
        (b"text=good", (400, "invalid_json", None)),
        (b'{"text": NaN}', (400, "invalid_json", None)),
        (b'{"text": Infinity}', (400, "invalid_json", None)),
        (b'{"text": "\xff"}', (400, "invalid_json", None)),
        (b"[" * 100_000, (400, "invalid_json", None)),
        (b'["good"]', (400, "invalid_json", None)),
        (b'"good"', (400, "invalid_json", None)),
        ({}, (422, "missing_input", "text")),
        ({"txt": "good"}, (422, None, None)),
        ({"text": 5}, (422, "wrong_type", "text")),
        ({"text": None}, (422, "wrong_type", "text")),
        ({"text": ["good"]}, (422, "wrong_type", "text")),
        ({"text": "good", "parameters": 5}, (422, "wrong_type", "parameters")),
        ({"text": "good", "parameters": {"temperature": 1}}, (422, None, "parameters.temperature")),
        ({"instances": []}, (422, "wrong_type", "instances")),
        ({"instances": {"text": "good"}}, (422, "wrong_type", "instances")),
        ({"instances": [{"text": "good"}], "text": "good"}, (422, "unknown_field", None)),
        ({"instances": [{"text": "good"}, {"text": 7}]}, (422, "wrong_type", "instances[1].text")),
        ({"text": "long " * 25_000}, (422, "input_too_long", "text")),
        ({"text": "long " * 50_000}, (413, "body_too_large", None)),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_bad_body_gets_its_own_answer(predict, body, expected):
    """Status, code and the input at fault tell one mistake from another."""
    status, code, param = failure(predict(body))
    assert (status, code if expected[1] else None, param if expected[2] else None) == expected


def test_every_bad_row_is_listed_and_nothing_runs(predict):
    """All faults come at once, each with its row."""
    rows = [{"text": "good"}, {"text": 1}, {}, {"text": "bad"}, {"text": "x", "extra": 1}]
    answer = predict({"instances": rows})
    assert answer.status == 422
    errors = answer.json["error"]["errors"]
    assert [error["param"] for error in errors][:2] == ["instances[1].text", "instances[2].text"]
    assert len(errors) == 3


def test_no_more_than_a_hundred_faults_are_listed(predict):
    """A batch of nothing but faults gets an answer of bounded size."""
    answer = predict({"instances": [{"text": 1}] * 500})
    assert len(answer.json["error"]["errors"]) == 100


def test_an_unknown_model_version_and_alias_are_404(predict):
    """What is not there is not found, each by name."""
    assert predict({"text": "x"}, path="/v1/models/nothing/predict").status == 404
    assert predict({"text": "x"}, path="/v1/models/words/versions/2/predict").status == 404
    assert predict({"text": "x"}, path="/v1/models/words/versions/stable/predict").status == 404


@pytest.mark.parametrize("name", ["..", "a b", "%2e%2e", "ada~", "~words", "a~b~c", "wörds", "stats", "-x"])
def test_a_name_that_no_model_can_have_is_not_found(predict, name):
    """Odd names reach neither the database nor the file system."""
    assert predict({"text": "x"}, path=f"/v1/models/{name}/predict").status == 404


def test_a_form_is_not_json(predict):
    """What says that it is something else is not guessed at."""
    answer = predict(b"text=good", headers={"content-type": "application/x-www-form-urlencoded"})
    assert failure(answer) == (415, "unsupported_media_type", "Content-Type")


def test_a_compressed_body_is_refused(predict):
    """A small body cannot become a large one."""
    assert predict(b"\x1f\x8b", headers={"content-encoding": "gzip"}).status == 415


@pytest.mark.parametrize("header", ["0", "-5", "abc", "1.5", "", "٣"])
def test_a_bad_time_budget_is_named(predict, header):
    """The deadline header is a positive number of milliseconds or an error."""
    answer = predict({"text": "good"}, headers={"x-request-timeout-ms": header})
    assert failure(answer) == (400, "invalid_header", "X-Request-Timeout-Ms")


def test_version_and_alias_choose_what_runs(predict):
    """A number, `default` and `latest` all lead to the only version."""
    for selector in ("1", "default", "latest"):
        answer = predict({"text": "good"}, path=f"/v1/models/words/versions/{selector}/predict")
        assert (answer.status, answer.json["version"]) == (200, 1)


def test_a_model_without_versions_says_so(predict, shared):
    """An empty model is found but cannot run yet."""
    shared.post("/v1/models", {"name": "empty"}, headers=shared.ada)
    answer = predict({"text": "x"}, path="/v1/models/empty/predict")
    assert answer.status in (404, 409)
    assert "version" in answer.json["error"]["message"]
