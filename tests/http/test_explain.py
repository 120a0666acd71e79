"""Why a model says what it says, over HTTP: of every task, through both doors, within limits, as a job."""

import base64
import io
import itertools
import json
import threading
from datetime import timedelta

import numpy as np
import pytest
from onnx import TensorProto, helper
from PIL import Image
from tokenizers import AddedToken, Tokenizer

from reference_server.explain import job as explain_job
from reference_server.housekeeping import Housekeeping
from reference_server.jobs import running
from reference_server.jobs.context import Services
from reference_server.registry import job_runs
from reference_server.registry.jobs import JobRow

WAYS = ["through_flask", "through_front"]
WORDS = "/v1/models/words/explain"
SOME = {"inputs": {"text": "A good day, but dull weather"}, "target": "positive"}
LONG = (
    " ".join(f"Sentence {number} says it is a good thing here." for number in range(20)) + " Awful, bad end!"
)


@pytest.fixture(scope="module")
def house(make_server, tmp_path_factory, text_package):
    """A server whose account `ada` has a model of each task, once `kinds` has published them."""
    made = make_server(tmp_path_factory.mktemp("house") / "data")
    made.services.has_job_processes = True
    made.ada = made.register("ada")
    assert made.publish(made.ada, "words", text_package).status == 201
    made.kinds = False
    yield made
    made.close()


@pytest.fixture
def kinds(house, package_writer, onnx_model, token_graph, tokenizer_json):
    """The server, with `masked`, `vectors`, `flowers`, `prices`, `bare`, `pictures` and `raw`."""
    if not house.kinds:
        for name, folder in packages(package_writer, onnx_model, token_graph, tokenizer_json).items():
            answer = house.publish(house.ada, name, folder)
            assert answer.status == 201, answer.body
        house.kinds = True
    return house


def packages(write, onnx_model, token_graph, tokenizer_json):
    """Return a package of each task by the model's name."""

    def linear(weights, shape=None):
        rows, columns = np.shape(weights)
        nodes = [
            helper.make_node("Flatten", ["x"], ["flat"]),
            helper.make_node("MatMul", ["flat", "w"], ["y"]),
        ]
        return onnx_model(
            nodes,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *(shape or [rows])])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", columns])],
            [helper.make_tensor("w", TensorProto.FLOAT, [rows, columns], np.ravel(weights).tolist())],
        )

    table = np.random.default_rng(0).standard_normal((15, 3)).astype(np.float32)
    ids = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    vectors = onnx_model(
        [helper.make_node("Gather", ["table", "input_ids"], ["y"])],
        ids,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "tokens", 3])],
        [helper.make_tensor("table", TensorProto.FLOAT, [15, 3], table.ravel())],
    )
    masked = token_graph()
    # A row more of the table, for the token that masks.
    (embeddings,) = [each for each in masked.graph.initializer if each.name == "table"]
    embeddings.CopyFrom(
        helper.make_tensor(
            "table", TensorProto.FLOAT, [15, 2], [*embeddings.float_data, *embeddings.float_data[:2]]
        )
    )
    tokenizer = Tokenizer.from_str(tokenizer_json)
    tokenizer.add_special_tokens([AddedToken("[MASK]")])
    softmax = {"activation": "softmax"}
    columns = [{"name": name} for name in "abc"]
    row = {"a": 1.0, "b": 2.0, "c": 3.0}
    rows = [{"a": float(a), "b": float(b), "c": 0.5} for a, b in itertools.product((0, 1), (0, 2))]
    found = {
        "masked": write(masked, tokenizer=tokenizer.to_str(), postprocessing=softmax),
        "vectors": write(
            vectors, task="embedding", labels=[], tokenizer=tokenizer_json, postprocessing={"pooling": "mean"}
        ),
        "flowers": write(
            linear([[1, 0], [0, 1], [0.5, -0.5]]),
            task="tabular-classification",
            labels=["wide", "high"],
            preprocessing={"columns": columns, "background": "background.json"},
            postprocessing=softmax,
            example=row,
        ),
        "prices": write(
            linear([[2], [3], [-1]]),
            task="tabular-regression",
            labels=[],
            preprocessing={"columns": columns, "background": "background.json"},
            example=row,
        ),
        "bare": write(
            linear([[2], [3], [-1]]),
            task="tabular-regression",
            labels=[],
            preprocessing={"columns": columns},
            example=row,
        ),
        "pictures": write(
            linear(np.repeat(np.eye(3), 16, axis=0) / 8, shape=[3, 4, 4]),
            task="image-classification",
            labels=["red", "green", "blue"],
            preprocessing={"image": {"width": 4, "height": 4}},
            postprocessing=softmax,
            example={"image": [[0, 0], [0, 0]]},
        ),
        "raw": write(linear([[1], [1]]), task="tensor", labels=[], example={"x": [1.0, 2.0]}),
    }
    background = {"rows": rows, "weights": [1, 1, 1, 3]}
    for name in ("flowers", "prices"):
        (found[name] / "background.json").write_text(json.dumps(background), encoding="utf-8")
    return found


def ask(server, path, body, way="through_flask", *, headers=None, query=""):
    given = {"content-type": "application/json", **server.ada, **(headers or {})}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return getattr(server, way)("POST", path, headers=given, body=content, query=query)


def refusal(answer):
    error = answer.json["error"]
    return answer.status, error["code"], error["param"]


def values(found):
    return {each["feature"]: each["value"] for each in found["attributions"]}


def sums_hold(found):
    total = found["baseline"] + sum(each["value"] for each in found["attributions"])
    return total == pytest.approx(found["prediction"], abs=1e-9) and abs(found["additivity_gap"]) < 1e-9


@pytest.mark.parametrize("way", WAYS)
def test_the_words_of_a_text_are_explained(house, way):
    """Exactly where there are few; where they stand is told in characters."""
    found = ask(house, WORDS, SOME, way).json
    assert (found["model"], found["version"], found["device"]) == ("words", 1, "cpu")
    assert (found["target"], found["method"], found["unit"], found["masking"]) == (
        "positive",
        "exact",
        "words",
        "delete",
    )
    assert sums_hold(found)
    text = SOME["inputs"]["text"]
    for each in found["attributions"]:
        assert text[each["start"] : each["end"]] == each["feature"]
        assert each["standard_error"] is None
    found_values = values(found)
    assert found_values["good"] > 0.2
    assert found_values["dull"] == pytest.approx(-found_values["good"], abs=1e-9)
    assert found_values["day"] == pytest.approx(0, abs=1e-9)
    assert found["evaluations"] == 2**6
    trust = found["faithfulness"]
    assert trust["deletion"]["area"] < trust["deletion"]["random_area"]
    assert trust["comprehensiveness"] > trust["random_comprehensiveness"]


@pytest.mark.parametrize(
    ("model", "inputs", "more", "seen"),
    [
        ("words", {"text": "good and dull"}, {}, "words delete"),
        ("words", {"text": LONG}, {}, "words delete"),
        ("masked", {"text": "good and dull, bad"}, {}, "words mask-token"),
        ("vectors", {"text": "good dull"}, {"against": {"text": "good day"}}, "words delete"),
        ("flowers", {"a": 1, "b": 0.3, "c": 2}, {}, "columns background"),
        ("prices", {"a": 1, "b": 0.3, "c": 2}, {}, "columns background"),
        ("pictures", {"image": [[[9, 200, 30], [90, 20, 3]]] * 2}, {"budget": 1000}, "regions mean-color"),
    ],
)
def test_every_task_but_raw_tensors_is_explained(kinds, model, inputs, more, seen):
    """The prediction is what predict reports, and baseline and attributions make it."""
    answer = ask(kinds, f"/v1/models/{model}/explain", {"inputs": inputs, **more})
    assert answer.status == 200, answer.body
    found = answer.json
    assert f"{found['unit']} {found['masking']}" == seen
    assert sums_hold(found)
    assert found["evaluations"] <= more.get("budget", 256)
    (said,) = ask(kinds, f"/v1/models/{model}/predict", inputs).json["predictions"]
    if "label" in said:
        assert (found["target"], found["prediction"]) == (said["label"], said["score"])
    elif "value" in said:
        assert (found["target"], found["prediction"]) == ("value", said["value"])
    else:
        other = ask(kinds, f"/v1/models/{model}/predict", more["against"]).json["predictions"][0]
        one, two = np.array(said["embedding"]), np.array(other["embedding"])
        cosine = one @ two / np.linalg.norm(one) / np.linalg.norm(two)
        assert (found["target"], found["prediction"]) == ("similarity", pytest.approx(cosine, abs=1e-6))


def test_a_linear_models_columns_add_what_sets_them_apart_from_the_background(kinds):
    """Its Shapley values are its weights times the differences to the background's means."""
    found = ask(kinds, "/v1/models/prices/explain", {"inputs": {"a": 4, "b": 1, "c": 2}}).json
    # The weights of the four rows are 1, 1, 1 and 3.
    expected = {"a": 2 * (4 - 4 / 6), "b": 3 * (1 - 8 / 6), "c": -1 * (2 - 0.5)}
    assert values(found) == pytest.approx(expected, abs=1e-5)
    assert found["evaluations"] == 1 + 7 * 4
    few = ask(kinds, "/v1/models/prices/explain", {"inputs": {"a": 4, "b": 1, "c": 2}, "budget": 8}).json
    assert values(few) == pytest.approx(expected, abs=1e-5)
    assert (few["evaluations"], few["notes"][0][:23]) == (8, "Columns that are away h")


def test_a_pictures_regions_are_told_in_its_own_pixels(kinds):
    """Green in one corner makes it green, and nothing else does."""
    pixels = np.full((40, 80, 3), 60, np.uint8)
    pixels[30:, 60:, 1] = 255
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "PNG")
    image = base64.b64encode(target.getvalue()).decode()
    found = ask(kinds, "/v1/models/pictures/explain", {"inputs": {"image": image}, "budget": 600}).json
    assert found["target"] == "green"
    best = max(found["attributions"], key=lambda each: each["value"])
    assert (best["feature"], best["box"]) == ("row 4, column 4", [60, 30, 80, 40])


@pytest.mark.parametrize(
    ("model", "body", "expected"),
    [
        ("words", {"inputs": {"text": "good"}, "target": "neutral"}, (422, "unknown_target", "target")),
        ("words", {"inputs": {"text": "  ...  "}}, (422, "nothing_to_explain", "inputs.text")),
        ("words", {"inputs": {"text": 5}}, (422, "wrong_type", "inputs.text")),
        ("words", {"inputs": {"txet": "a"}}, (422, "invalid_input", "inputs.text")),
        ("words", {"inputs": {"text": "x" * 100_001}}, (422, "input_too_long", "inputs.text")),
        ("words", {"inputs": {"text": "a b c d e f"}, "budget": 4}, (422, "budget_too_small", "budget")),
        (
            "words",
            {"inputs": {"text": "a b c d e f g h"}, "method": "exact", "budget": 99},
            (422, "budget_too_small", "budget"),
        ),
        ("words", {**SOME, "parameters": {"no": 1}}, (422, "unknown_parameter", "parameters.no")),
        ("words", {**SOME, "against": {"text": "a"}}, (422, "unknown_field", "against")),
        ("words", {**SOME, "target": "x" * 201}, (422, "string_too_long", "target")),
        ("words", {**SOME, "budget": 10**9}, (422, "less_than_equal", "budget")),
        ("words", {**SOME, "budget": "many"}, (422, "int_type", "budget")),
        ("words", {**SOME, "seed": -1}, (422, "greater_than_equal", "seed")),
        ("words", {**SOME, "method": "magic"}, (422, "literal_error", "method")),
        ("words", {**SOME, "time_budget_ms": 0}, (422, "greater_than_equal", "time_budget_ms")),
        ("words", {"inputs": {}}, (422, "too_short", "inputs")),
        ("words", {**SOME, "typo": 1}, (422, "extra_forbidden", "typo")),
        ("vectors", {"inputs": {"text": "good"}}, (422, "missing_against", "against")),
        (
            "vectors",
            {"inputs": {"text": "good"}, "against": {"text": 1}},
            (422, "wrong_type", "against.text"),
        ),
        ("bare", {"inputs": {"a": 1, "b": 2, "c": 3}}, (422, "no_background", None)),
        ("prices", {"inputs": {"a": 1, "b": 2, "c": 3}, "target": "wide"}, (422, "unknown_target", "target")),
        ("raw", {"inputs": {"x": [1, 2]}}, (422, "task_not_explained", None)),
    ],
)
def test_what_cannot_be_explained_is_refused(kinds, model, body, expected):
    """By what is wrong with it, and what to do is said."""
    answer = ask(kinds, f"/v1/models/{model}/explain", body, "through_front")
    status, code, param = refusal(answer)
    assert (status, param) == (expected[0], expected[2])
    assert code in (expected[1], "invalid_field")


def test_an_unknown_target_is_told_which_there_are(house):
    """So that nobody needs to look them up."""
    answer = ask(house, WORDS, {**SOME, "target": "neutral"})
    assert "'negative', 'positive'" in answer.json["error"]["message"]


@pytest.mark.parametrize(
    "body",
    [
        SOME,
        {"inputs": {"text": LONG}, "seed": 3},
        {"inputs": {"text": "nul \0 good\0bad"}},
        {**SOME, "faithfulness": False, "method": "fast"},
        {**SOME, "target": "no"},
    ],
)
def test_the_same_seed_gives_the_same_bytes_through_both_doors(house, monkeypatch, body):
    """Under one source of ids: nothing else is left to chance."""
    monkeypatch.setattr(house.services, "random", lambda: "same")
    answers = [ask(house, WORDS, body, way) for way in (*WAYS, *WAYS)]
    assert len({(each.status, each.body) for each in answers}) == 1


def test_words_beyond_the_window_are_told_of_and_have_no_values(
    kinds, package_writer, token_graph, tokenizer_json
):
    """A tokenizer cuts a text at its limit: what is behind it changes nothing, the words before it add up."""
    package = package_writer(
        token_graph(),
        tokenizer=tokenizer_json,
        preprocessing={"max_tokens": 6},
        postprocessing={"activation": "softmax"},
    )
    assert kinds.publish(kinds.ada, "short", package).status == 201
    said = {}
    for text in ("a good dull day", "a good dull day, bad bad bad bad bad"):
        found = ask(kinds, "/v1/models/short/explain", {"inputs": {"text": text}, "target": "positive"}).json
        assert sums_hold(found)
        assert [each["feature"] for each in found["attributions"]] == ["a", "good", "dull", "day"]
        said[text] = (values(found), found["prediction"], found["notes"])
    (whole, cut) = said.values()
    assert whole[:2] == cut[:2]
    assert whole[2] == []
    assert cut[2][0].startswith("The model sees the first 4 of the text's 9 words. The other 5 are beyond")
    # As many as are explained by sentences.
    found = ask(kinds, "/v1/models/short/explain", {"inputs": {"text": "good " * 300}}).json
    assert "first 4 of the text's 300 words" in found["notes"][0]
    assert len(found["attributions"]) == 4


def test_another_seed_gives_another_sample(house):
    """Of a text too long for exact values."""
    one, two = (ask(house, WORDS, {"inputs": {"text": LONG}, "seed": seed}).json for seed in (1, 2))
    assert one["attributions"] != two["attributions"]


def test_a_version_is_explained_by_its_number_and_alias(house):
    """As it is predicted with."""
    for selector in ("1", "default", "latest"):
        assert ask(house, f"/v1/models/words/versions/{selector}/explain", SOME).json["version"] == 1
    assert ask(house, "/v1/models/words/versions/9/explain", SOME).status == 404


def test_what_is_hostile_costs_no_more_than_the_budget(house):
    """A hundred thousand words, a hundred thousand characters of one, none of a script: all are bounded."""
    for text in ("a " * 20_000, "a" * 100_000, "我" * 2_000, "\0" * 1000 + "good", "." * 50_000 + "good"):
        answer = ask(house, WORDS, {"inputs": {"text": text}, "budget": 32}, "through_front")
        assert answer.status == 200, answer.body
        assert answer.json["evaluations"] <= 32
        assert len(answer.json["attributions"]) <= 256
        assert len(answer.body) < 200_000


def test_a_time_budget_chooses_the_evaluations(house):
    """Within the budget, and states them; what is less than a method takes is told."""
    for text in (" ".join(f"w{number}" for number in range(40)), LONG):
        body = {"inputs": {"text": text}, "budget": 100_000, "time_budget_ms": 60}
        found = ask(house, WORDS, body).json
        assert found["evaluations"] < 100_000
    short = {"inputs": {"text": "a b c d e f g h i"}, "time_budget_ms": 1, "method": "kernel"}
    assert "too short" in ask(house, WORDS, short).json["notes"][0]


class Count:
    """Counts the rows that go through the lanes."""

    def __init__(self, monkeypatch, lanes):
        self.rows = self.runs = self.most = 0
        run = lanes.run

        def counting(model, work, deadline):
            self.rows += work.rows
            self.most = max(self.most, work.rows)
            self.runs += 1
            return run(model, work, deadline)

        monkeypatch.setattr(lanes, "run", counting)


ENDLESS = {"inputs": {"text": " ".join(f"w{number}" for number in range(40))}, "budget": 100_000}


@pytest.mark.parametrize("way", WAYS)
def test_at_the_deadline_the_work_stops(house, monkeypatch, way):
    """The caller hears 504, and what was left is not computed."""
    count = Count(monkeypatch, house.services.lanes)
    answer = ask(house, WORDS, ENDLESS, way, headers={"x-request-timeout-ms": "60"})
    assert answer.status == 504
    house.wait_for(lambda: house.services.explainers.busy == 0)
    assert 0 < count.rows < 20_000


def test_when_the_client_goes_the_work_stops(house, monkeypatch):
    """Nobody would read it."""
    count = Count(monkeypatch, house.services.lanes)
    body = json.dumps(ENDLESS).encode()
    with house.connect() as client:
        house.send(client, "POST", WORDS, {"content-type": "application/json", **house.ada}, body)
        house.wait_for(lambda: count.runs > 2)
    house.wait_for(lambda: house.services.explainers.busy == 0)
    assert count.rows < 20_000


def test_predictions_come_in_between(house, monkeypatch):
    """The runs of an explanation are short, and each waits for its turn like any other call."""
    count = Count(monkeypatch, house.services.lanes)
    body = json.dumps(ENDLESS).encode()
    with house.connect() as client:
        house.send(client, "POST", WORDS, {"content-type": "application/json", **house.ada}, body)
        house.wait_for(lambda: count.runs > 2)
        many = {"instances": [{"text": "good " * 50}] * 300}
        for _ in range(3):
            assert ask(house, "/v1/models/words/predict", many, "through_front").status == 200
        assert house.services.explainers.busy == 1
    assert count.most <= 64


def test_too_many_explanations_are_refused(house, monkeypatch):
    """As too many predictions are, with when to come again."""
    explainers, lanes = house.services.explainers, house.services.lanes
    release, run = threading.Event(), lanes.run

    def held(*arguments):
        release.wait(10)
        return run(*arguments)

    monkeypatch.setattr(lanes, "run", held)
    monkeypatch.setattr(explainers, "_most_seconds", 0.0)
    explainers._paces.ran(house.services.pool.find(digest(house)), 1, 1.0)
    # Two at a time, and the third waits; a fourth would wait for too long.
    started = [threading.Thread(target=ask, args=(house, WORDS, SOME)) for _ in range(3)]
    try:
        for number, thread in enumerate(started, start=1):
            thread.start()
            house.wait_for(lambda number=number: explainers.busy + explainers.waiting == number)
            house.wait_for(lambda number=number: explainers.busy == min(number, 2))
        answer = ask(house, WORDS, SOME, "through_front")
        assert refusal(answer)[:2] == (503, "queue_full")
        assert int(answer.headers["retry-after"]) >= 1
    finally:
        release.set()
        for thread in started:
            thread.join()


def digest(house):
    return house.through_flask("GET", "/v1/models/words/versions/1", headers=house.ada).json["digest"]


def store_counts(house):
    """Store what was counted, as happens every second."""
    housekeeping = Housekeeping(house.services)
    housekeeping.start()
    housekeeping.stop()


def get(house, path, headers=None):
    return house.through_flask("GET", path, headers=headers or house.ada).json


def used_rows(house):
    store_counts(house)
    return sum(each["rows"] for each in get(house, "/v1/usage")["data"])


def predicted_rows(house):
    return sum(each["rows"] for each in get(house, "/v1/models/words/versions/1")["performance"])


@pytest.mark.parametrize("way", WAYS)
def test_evaluations_are_usage_and_no_measure_of_speed(house, way):
    """Each is a row; the catalogue's figures of the version stay as they are."""
    before, predicted = used_rows(house), predicted_rows(house)
    found = ask(house, WORDS, SOME, way).json
    assert used_rows(house) - before == found["evaluations"] == 64
    assert predicted_rows(house) == predicted


def test_explanations_are_counted_in_the_metrics(house):
    """How many, what they ran, how long they took."""

    def read():
        text = house.services.metrics.exposition("")[0].decode()
        lines = [line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("maas_explanation")]
        return {name.split("{")[0]: float(value) for name, value in lines if 'model="ada~words"' in name}

    ask(house, WORDS, SOME)
    before = read()
    ask(house, WORDS, SOME)
    after = read()
    assert after["maas_explanations_total"] - before["maas_explanations_total"] == 1
    assert after["maas_explanation_evaluations_total"] - before["maas_explanation_evaluations_total"] == 64
    assert after["maas_explanation_duration_seconds_sum"] > before["maas_explanation_duration_seconds_sum"]


def limited(house, **limits):
    made = house.post("/v1/keys", {"name": "k", "scopes": ["predict", "jobs"], **limits}, headers=house.ada)
    return {"authorization": f"Bearer {made.json['secret']}"}


@pytest.mark.parametrize("way", WAYS)
def test_evaluations_count_by_what_a_key_may_have_in_a_day(house, way):
    """At most the budget is taken, and what was not needed is given back."""
    key = limited(house, rows_per_day=600)
    quick = {**ENDLESS, "budget": 256, "method": "fast", "faithfulness": False}
    first = ask(house, WORDS, quick, way, headers=key)
    assert first.json["evaluations"] == 42
    assert int(first.headers["x-ratelimit-remaining"]) == 600 - 42
    second = ask(house, WORDS, {**SOME}, way, headers=key)
    assert int(second.headers["x-ratelimit-remaining"]) == 600 - 42 - 64
    refused = ask(house, WORDS, {**ENDLESS, "budget": 500}, way, headers=key)
    assert refusal(refused)[:2] == (429, "quota_spent")
    # Nobody pays for what failed.
    assert ask(house, WORDS, {**SOME, "target": "no"}, way, headers=key).status == 422
    last = ask(house, WORDS, SOME, way, headers=key)
    assert int(last.headers["x-ratelimit-remaining"]) == 600 - 42 - 2 * 64


def test_a_split_leads_to_the_version_that_predicts(house, package_writer, text_graph):
    """And an explanation is no traffic of its own."""
    assert house.publish(house.ada, "parted", package_writer(text_graph())).status == 201
    assert house.publish(house.ada, "parted", package_writer(text_graph(), example="other")).status == 201
    split = {"splits": [{"version": 1, "weight": 1}, {"version": 2, "weight": 1}]}
    answer = house.through_flask(
        "PUT",
        "/v1/models/parted/traffic",
        headers={"content-type": "application/json", **house.ada},
        body=json.dumps(split).encode(),
    )
    assert answer.status == 200, answer.body
    seen = set()
    for number in range(8):
        caller = {"x-sticky-id": f"caller-{number}"}
        said = ask(house, "/v1/models/parted/predict", {"text": "good"}, headers=caller).json
        found = ask(house, "/v1/models/parted/explain", SOME, headers=caller).json
        assert found["version"] == said["version"]
        seen.add(said["version"])
    assert seen == {1, 2}


MANY = "/v1/models/words/explanations"
ROWS = {
    "inputs": [{"text": "a Good day"}, {"text": "bad day"}, {"text": "good, good"}],
    "target": "positive",
    "seed": 7,
}


@pytest.fixture(autouse=True)
def _no_jobs_left(house):
    yield
    with house.services.database.write() as session:
        session.query(JobRow).delete()


def run_next(house, stopping=lambda: False):
    """Do what a job process does once."""
    services = house.services
    own = Services(services.settings, services.database, services.artifacts, services.pool)
    claim = job_runs.claim(services.database, "test", lease=timedelta(seconds=10))
    running.run(claim, own, stopping=stopping)


@pytest.mark.parametrize("way", WAYS)
def test_a_job_explains_many_and_says_what_counts(house, way):
    """Each as a call does, then the mean over those that have a word; counted as usage."""
    answer = ask(house, MANY, ROWS, way, query="rows=3")
    assert (answer.status, answer.json["kind"], answer.json["progress"]["total"]) == (202, "explain", 3)
    before = used_rows(house)
    run_next(house)
    job = get(house, answer.headers["location"])
    assert (job["state"], job["progress"]["done"]) == ("succeeded", 3), job
    result = job["result"]
    for inputs, found in zip(ROWS["inputs"], result["explanations"], strict=True):
        alone = ask(house, WORDS, {**ROWS, "inputs": inputs}).json
        assert {**found, "id": ""} == {**alone, "id": ""}
    store_counts(house)
    evaluations = sum(each["evaluations"] for each in result["explanations"])
    assert result["evaluations"] == evaluations
    assert used_rows(house) - before == 2 * evaluations
    good, bad, *_ = result["importance"]
    assert [(each["feature"], each["input"], each["rows"]) for each in (good, bad)] == [
        ("good", "text", 2),
        ("bad", "text", 1),
    ]
    assert good["interval"][0] <= good["mean_absolute"] <= good["interval"][1]
    assert (bad["interval"], bad["mean"] < 0) == (None, True)


@pytest.mark.parametrize(
    ("body", "query", "expected"),
    [
        (b"", "rows=1", (400, "empty_body", None)),
        (b"{", "rows=1", (400, "invalid_json", None)),
        ({**ROWS}, "rows=2", (422, "wrong_rows", None)),
        ({**ROWS, "inputs": []}, "rows=1", (422, "invalid_field", "inputs")),
        ({**ROWS, "typo": 1}, "rows=3", (422, "unknown_field", "typo")),
        ({**ROWS}, "", (400, "invalid_field", "rows")),
        ({**ROWS}, "rows=10001", (400, "invalid_field", "rows")),
        ({**ROWS}, "rows=3&version=9", (404, "version_not_found", "version")),
        (
            {"inputs": [{"text": "a"}] * 200, "budget": 100_000},
            "rows=200",
            (422, "too_many_evaluations", "budget"),
        ),
    ],
)
def test_what_cannot_become_a_job_is_refused_at_once(house, body, query, expected):
    """By what is wrong with it, and nothing is queued."""
    answer = ask(house, MANY, body, "through_front", query=query)
    assert answer.status == expected[0], answer.body
    assert answer.json["error"]["code"] in (expected[1], "invalid_field")
    assert get(house, "/v1/jobs")["data"] == []


def test_a_job_tells_which_instance_cannot_be_explained(house):
    """As its error, by its number."""
    rows = {"inputs": [{"text": "good"}, {"text": "..."}]}
    location = ask(house, MANY, rows, query="rows=2").headers["location"]
    run_next(house)
    job = get(house, location)
    assert (job["state"], job["error"]["code"]) == ("failed", "nothing_to_explain")
    assert "inputs[1]" in job["error"]["message"]


def test_a_job_takes_the_most_that_it_may_evaluate_from_a_day(house):
    """Rows times budget; and it needs the scope of jobs."""
    key = limited(house, rows_per_day=1000)
    answer = ask(house, MANY, ROWS, headers=key, query="rows=3")
    assert int(answer.headers["x-ratelimit-remaining"]) == 1000 - 3 * 256
    assert refusal(ask(house, MANY, ROWS, headers=key, query="rows=3"))[:2] == (429, "quota_spent")
    made = house.post("/v1/keys", {"name": "k", "scopes": ["predict"]}, headers=house.ada).json
    only = {"authorization": f"Bearer {made['secret']}"}
    assert refusal(ask(house, MANY, ROWS, headers=only, query="rows=3"))[:2] == (403, "missing_scope")


def left(house, key):
    """Return the rows that a key has left today, once what was given back is known; it takes one of them."""
    store_counts(house)
    answer = ask(house, "/v1/models/words/predict", {"text": "a"}, headers=key)
    return int(answer.headers["x-ratelimit-remaining"]) + 1


@pytest.mark.parametrize("end", ["succeeded", "failed", "cancelled before it began", "cancelled"])
def test_what_a_job_did_not_evaluate_is_given_back_when_it_ends(house, monkeypatch, end):
    """However it ends: of rows times budget it keeps what it has really run."""
    key = limited(house, rows_per_day=10_000)
    rows = {"inputs": [{"text": "a good day"}, {"text": "..." if end == "failed" else "bad day"}]}
    location = ask(house, MANY, rows, headers=key, query="rows=2").headers["location"]
    assert left(house, key) == 10_000 - 2 * 256
    if end == "cancelled":
        explain = explain_job._explain

        def stop(context, loaded, row, inputs, options):
            explained = explain(context, loaded, row, inputs, options)
            house.through_flask("POST", f"{location}/cancel", headers=house.ada)
            monkeypatch.setattr(context, "verdict", lambda: "cancel")
            return explained

        monkeypatch.setattr(explain_job, "_explain", stop)
    if end == "cancelled before it began":
        assert house.through_flask("POST", f"{location}/cancel", headers=house.ada).status == 200
    else:
        run_next(house)
    assert get(house, location)["state"] == end.split()[0]
    spent = {"succeeded": 2**3 + 2**2, "failed": 2**3, "cancelled": 2**3}.get(end, 0)
    # The call that looked before took one.
    assert left(house, key) == 10_000 - 1 - spent


def test_workers_count_what_a_job_explained(house):
    """Once, as explanations of their own, whichever worker hears of it first."""
    store_counts(house)
    key = ("ada~words", 1, "cpu")
    before = house.services.metrics.model(key)
    seen = (before.explanations.count, before.explanation_rows)
    location = ask(house, MANY, ROWS, query="rows=3").headers["location"]
    run_next(house)
    evaluations = get(house, location)["result"]["evaluations"]
    for _ in range(2):
        store_counts(house)
        house.services.metrics.publish()
        after = house.services.metrics.model(key)
        assert (after.explanations.count, after.explanation_rows) == (seen[0] + 3, seen[1] + evaluations)


def test_what_a_job_is_to_explain_lies_sealed(house):
    """Instances and what they are compared with."""
    secret = "quite-secret-words"
    rows = {"inputs": [{"text": secret}], "target": "positive"}
    location = ask(house, MANY, rows, query="rows=1").headers["location"]
    folder = house.services.settings.data_dir
    assert not any(secret.encode() in each.read_bytes() for each in folder.rglob("*") if each.is_file())
    run_next(house)
    assert get(house, location)["state"] == "succeeded"


def test_a_job_goes_on_from_its_checkpoint(house, monkeypatch):
    """What was explained before a stop is not explained again."""
    location = ask(house, MANY, ROWS, query="rows=3").headers["location"]
    explained = []
    explain = explain_job._explain

    def noting(context, loaded, row, inputs, options):
        explained.append(row)
        return explain(context, loaded, row, inputs, options)

    monkeypatch.setattr(explain_job, "_explain", noting)
    monkeypatch.setattr("reference_server.jobs.context._SAVE_SECONDS", 0.0)
    run_next(house, stopping=lambda: len(explained) > 1)
    assert (get(house, location)["state"], explained) == ("queued", [0, 1])
    run_next(house)
    assert (get(house, location)["state"], explained) == ("succeeded", [0, 1, 1, 2])
    assert get(house, location)["result"]["rows"] == 3


def test_a_job_that_is_cancelled_stops_within_an_instance(house, monkeypatch):
    """Between two runs of the model."""
    location = ask(house, MANY, {**ENDLESS, "inputs": [ENDLESS["inputs"]]}, query="rows=1").headers[
        "location"
    ]
    runs, heard, ask_store = [], threading.Event(), job_runs.verdict

    def hearing(database, claim):
        said = ask_store(database, claim)
        if said == "cancel":
            heard.set()
        return said

    def cancelling(self, batch):
        runs.append(len(batch))
        if len(runs) == 3:
            assert house.through_flask("POST", f"{location}/cancel", headers=house.ada).status == 200
            # Until then any number of rows is run, the more the quicker the machine is.
            assert heard.wait(timeout=20)
        return predict(self, batch)

    monkeypatch.setattr(job_runs, "verdict", hearing)

    loaded = house.services.pool.find(digest(house))
    if loaded is None:
        ask(house, WORDS, SOME)
        loaded = house.services.pool.find(digest(house))
    predict = type(loaded.task).predict
    monkeypatch.setattr(type(loaded.task), "predict", lambda self, batch, **_: cancelling(self, batch))
    run_next(house)
    assert get(house, location)["state"] == "cancelled"
    assert sum(runs) < 1_000
