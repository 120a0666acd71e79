from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto, helper

from maas_client._package import open_package
from reference_server.errors import DeadlineExceeded, Unprocessable
from reference_server.runtime.execution_providers import CPU
from reference_server.runtime.sessions import OnnxRunner
from reference_server.runtime.tasks import Outputs, build_task
from reference_server.runtime.tasks.class_scores import softmax


@pytest.fixture
def load():
    """Return a function from a package's folder to its task."""

    def load_task(folder):
        with open_package(folder) as package:
            return build_task(package, OnnxRunner(package.read("model.onnx"), provider=CPU))

    return load_task


@pytest.fixture
def texts(load, text_package):
    """Return the task of the graph that takes strings."""
    return load(text_package)


@pytest.fixture
def tokens(load, token_package):
    """Return the task of the graph that takes token ids."""
    return load(token_package)


@pytest.fixture(params=["text_package", "token_package"])
def task(load, request):
    """Return the task of each kind of graph in turn."""
    return load(request.getfixturevalue(request.param))


def _predict(task, texts, **parameters):
    return task.encode(task.predict(task.decode([{"text": text} for text in texts], parameters)))


def _labels(predictions):
    return [prediction["label"] for prediction in predictions]


def _refused(task, instances, parameters=None, *, single=False):
    with pytest.raises(Unprocessable) as caught:
        task.decode(instances, parameters or {}, single=single)
    return caught.value


def test_both_kinds_of_graph_classify(task):
    """Label, score and every label's score come back for each text, in order."""
    predictions = _predict(task, ["what a GREAT day", "an awful day", "good, good, bad"])
    assert _labels(predictions) == ["positive", "negative", "positive"]
    for prediction in predictions:
        assert list(prediction["scores"]) == ["negative", "positive"]
        assert prediction["score"] == prediction["scores"][prediction["label"]]
        assert sum(prediction["scores"].values()) == pytest.approx(1, abs=1e-6)


def test_the_signature_says_what_an_instance_is(task, tokens):
    """One text in, with the package's own bound; label, score and scores out."""
    (spec,) = task.signature.inputs
    assert (spec.name, spec.type) == ("text", "string")
    assert [output.name for output in task.signature.outputs] == ["label", "score", "scores"]
    assert tokens.signature.inputs[0].max_length == 1000


@pytest.mark.parametrize("text", ["", " ", "?!", "\0", "word\0good", "😀", "good" * 200])
def test_odd_texts_are_taken_alone_and_in_company(task, text):
    """Empty, blank, punctuation, NUL: each gives the same scores alone as between others."""
    (alone,) = _predict(task, [text])
    between = _predict(task, ["good", text, "a bad day"])[1]
    assert between["scores"] == pytest.approx(alone["scores"], abs=1e-6)


def test_nul_characters_reach_the_graph(texts):
    """What stands after a NUL is read as well."""
    assert _labels(_predict(texts, ["\0awful", "x\0good"])) == ["negative", "positive"]


def test_scores_are_the_shortest_float32_decimals(texts):
    """A score reads back as the very float32 that the graph returned, in its fewest digits."""
    (prediction,) = _predict(texts, ["good"])
    assert prediction["score"] == float(str(np.float32(prediction["score"])))
    assert isinstance(prediction["score"], float)


def test_equal_scores_name_the_first_label(texts):
    """A tie is decided by the labels' order."""
    assert _predict(texts, [""])[0]["label"] == "negative"


def test_top_k_keeps_the_best(texts):
    """`top_k` lists the best scores only, the best first; more than there are gives all."""
    assert list(_predict(texts, ["good"], top_k=1)[0]["scores"]) == ["positive"]
    assert list(_predict(texts, ["good"], top_k=9)[0]["scores"]) == ["positive", "negative"]


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "2", [1]])
def test_a_bad_top_k_is_refused(texts, value):
    """`top_k` is an integer of at least 1, and a boolean is none."""
    error = _refused(texts, [{"text": ""}], {"top_k": value}, single=True)
    assert (error.code, error.param) == ("invalid_parameter", "parameters.top_k")


def test_unknown_options_are_refused(texts):
    """A misspelt option is an error that lists the options there are."""
    error = _refused(texts, [{"text": ""}], {"topk": 1}, single=True)
    assert (error.code, error.param) == ("unknown_parameter", "parameters.topk")
    assert "top_k" in error.message


@pytest.mark.parametrize(
    ("instance", "code", "param", "words"),
    [
        ({}, "missing_input", "text", "a string is expected"),
        ({"text": "a", "txt": 1}, "unknown_input", "txt", "takes text (string)"),
        ({"text": None}, "wrong_type", "text", "not null"),
        ({"text": 7}, "wrong_type", "text", "not an integer"),
        ({"text": True}, "wrong_type", "text", "not a boolean"),
        ({"text": ["a"]}, "wrong_type", "text", "not a list"),
        ({"text": {}}, "wrong_type", "text", "not an object"),
        ({"text": "a" * 1001}, "input_too_long", "text", "1,001 characters, at most 1,000"),
        ({"text": "ab\ud800"}, "invalid_text", "text", "U+D800 at character 2"),
    ],
)
def test_every_fault_has_its_own_answer(tokens, instance, code, param, words):
    """Code, input and words tell what was expected and what came."""
    error = _refused(tokens, [instance], single=True)
    assert (error.code, error.param, error.details) == (code, param, ())
    assert words in error.message
    row = _refused(tokens, [{"text": "fine"}, instance])
    assert row.param == f"instances[1].{param}"
    assert [detail.code for detail in row.details] == [code]


def test_an_instance_must_be_an_object(texts):
    """A bare string is told how an instance looks."""
    error = _refused(texts, ["good"])
    assert (error.code, error.param) == ("wrong_type", "instances[0]")
    assert '{"text": "…"}' in error.message


def test_every_bad_row_is_listed(texts):
    """All faults come at once, each with its row; nothing is run."""
    error = _refused(texts, [{"text": 1}, {"text": "a"}, {}, {"txt": "a"}])
    assert error.code == "invalid_input"
    assert [(detail.param, detail.code) for detail in error.details] == [
        ("instances[0].text", "wrong_type"),
        ("instances[2].text", "missing_input"),
        ("instances[3].text", "missing_input"),
        ("instances[3].txt", "unknown_input"),
    ]
    assert error.message.startswith("4 faults, the first in instances[0].text")


def test_at_most_a_hundred_faults_are_listed(texts):
    """A call with thousands of bad rows or names gets a bounded answer."""
    assert len(_refused(texts, [{"text": 1}] * 5000).details) == 100
    crowded = _refused(texts, [{f"k{index}": 1 for index in range(5000)}])
    assert len(crowded.details) == 100
    assert crowded.message.startswith("at least 100 faults")


def test_a_callers_own_names_cannot_spoil_the_answer(texts):
    """A long or broken name in the request comes back bounded and as valid UTF-8."""
    error = _refused(texts, [{"text": "", "\ud800" * 5000: 1}], single=True)
    assert len(error.param.encode()) < 200
    assert len(error.message.encode()) < 300


def test_a_call_without_instances_is_refused(texts):
    """There must be something to predict."""
    assert _refused(texts, []).param == "instances"


def test_a_large_mixed_batch_keeps_its_order(task):
    """Bucketing by length runs the rows in another order and returns them in the caller's."""
    rows = [("good " if index % 3 else "bad ") * (1 + index * 7 % 40) for index in range(700)]
    expected = ["positive" if index % 3 else "negative" for index in range(700)]
    assert _labels(_predict(task, rows)) == expected


def test_padding_never_changes_a_result(tokens):
    """A short text scores the same beside a long one as alone."""
    (alone,) = _predict(tokens, ["good"])
    assert _predict(tokens, ["good", "bad " * 14])[0]["scores"] == pytest.approx(alone["scores"], abs=1e-6)


def test_long_texts_are_truncated(tokens):
    """Words beyond `max_tokens` (16 with the two brackets) have no effect."""
    (cut, whole) = _predict(tokens, ["good " * 14 + "bad " * 50, "good " * 14])
    assert cut == whole


def test_a_passed_deadline_ends_the_work(task):
    """Nothing is computed for a caller who has stopped waiting."""
    batch = task.decode([{"text": "good"}] * 1000, {})
    with pytest.raises(DeadlineExceeded):
        task.predict(batch, deadline=time.monotonic())


def test_the_deadline_is_seen_between_chunks(texts, monkeypatch):
    """A long batch stops at the chunk in which its time runs out."""
    runs = []
    run = texts._runner.run
    monkeypatch.setattr(
        texts._runner, "run", lambda *given, **named: (runs.append(1), run(*given, **named))[1]
    )
    batch = texts.decode([{"text": "good " * 2000}] * 4000, {})
    with pytest.raises(DeadlineExceeded):
        texts.predict(batch, deadline=time.monotonic() + 0.05)
    assert len(runs) < 40


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_outputs_are_not_encoded(texts, value):
    """JSON has no NaN and no infinity: a 422 that names the instance."""
    scores = np.array([[0.5, 0.5], [value, 0.5]], np.float32)
    with pytest.raises(Unprocessable, match="instance 1") as caught:
        texts.encode(Outputs({"scores": scores}, {}))
    assert caught.value.code == "non_finite_output"


def test_a_graph_that_returns_infinity_is_a_typed_422(package_writer, load, onnx_model):
    """The whole way: logits that overflow give `non_finite_output`."""
    nodes = [
        helper.make_node(
            "LabelEncoder",
            ["text"],
            ["n"],
            domain="ai.onnx.ml",
            keys_strings=["boom"],
            values_floats=[np.inf],
            default_float=0.0,
        ),
        helper.make_node("Reshape", ["n", "column"], ["c"]),
        helper.make_node("Concat", ["c", "c"], ["scores"], axis=1),
    ]
    model = onnx_model(
        nodes,
        [helper.make_tensor_value_info("text", TensorProto.STRING, ["n"])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor("column", TensorProto.INT64, [2], [-1, 1])],
    )
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    task = load(package_writer(model, postprocessing={"activation": "softmax"}))
    assert _predict(task, ["calm"])[0]["score"] == 0.5
    with pytest.raises(Unprocessable) as caught:
        _predict(task, ["calm", "boom"])
    assert caught.value.code == "non_finite_output"


@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 5), st.integers(1, 5)),
        elements=st.floats(-(2.0**120), 2.0**120, width=32),
    )
)
def test_softmax_is_stable(logits):
    """Whatever the finite logits, rows are probabilities, and order is kept."""
    scores = softmax(logits)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
    assert np.allclose(scores.sum(axis=1), 1, atol=1e-5)
    rows = np.arange(len(logits))
    assert (scores[rows, logits.argmax(axis=1)] == scores.max(axis=1)).all()


def test_masked_labels_get_no_score():
    """A logit of minus infinity is a label that the graph rules out."""
    assert softmax(np.array([[-np.inf, 3.0]], np.float32)).tolist() == [[0.0, 1.0]]


def test_a_column_of_strings_is_fed_too(package_writer, load, text_graph):
    """A graph with the input [batch, 1] works like one with [batch]."""
    task = load(package_writer(text_graph(input_shape=("batch", 1))))
    assert _labels(_predict(task, ["good", "bad"])) == ["positive", "negative"]


def test_a_batch_fixed_at_one_is_run_row_by_row(package_writer, load, text_graph):
    """An export without a dynamic batch still serves many instances."""
    task = load(package_writer(text_graph(input_shape=(1,))))
    assert _labels(_predict(task, ["good", "bad", "fun"])) == ["positive", "negative", "positive"]


def test_rows_of_a_batch_variant_graph_run_alone(package_writer, load, onnx_model):
    """With dynamic quantisation each text gets the scores that it gets alone."""
    nodes = [
        helper.make_node(
            "LabelEncoder",
            ["text"],
            ["n"],
            domain="ai.onnx.ml",
            keys_strings=["small", "large"],
            values_floats=[0.11, 90.0],
            default_float=0.0,
        ),
        helper.make_node("Reshape", ["n", "column"], ["c"]),
        helper.make_node("DynamicQuantizeLinear", ["c"], ["q", "scale", "zero"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        helper.make_node("Concat", ["d", "d"], ["scores"], axis=1),
    ]
    model = onnx_model(
        nodes,
        [helper.make_tensor_value_info("text", TensorProto.STRING, ["n"])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor("column", TensorProto.INT64, [2], [-1, 1])],
    )
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    task = load(package_writer(model))
    (alone,) = _predict(task, ["small"])
    assert alone["score"] == pytest.approx(0.11, abs=1e-6)
    assert _predict(task, ["small", "large"])[0] == alone


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"labels": []}, "needs labels"),
        ({"labels": ["a", "b", "c"]}, "with 3 labels"),
        ({"postprocessing": {"output": "nothing"}}, "must name an output of the graph: scores"),
    ],
)
def test_manifest_and_graph_must_fit(package_writer, load, text_graph, options, words):
    """What cannot be right is told when the package is loaded, with both sides named."""
    with pytest.raises(Unprocessable, match=words) as caught:
        load(package_writer(text_graph(), **options))
    assert caught.value.code == "model_rejected"


def test_a_width_that_only_a_run_tells_is_checked(package_writer, load, text_graph):
    """An output without a declared shape is held against the labels when it comes."""
    model = text_graph()
    del model.graph.output[0].type.tensor_type.shape.dim[1]
    model.graph.node[-1].CopyFrom(helper.make_node("NonZero", ["logits"], ["found"]))
    model.graph.node.append(helper.make_node("Cast", ["found"], ["scores"], to=TensorProto.FLOAT))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, None]))
    with pytest.raises(Unprocessable, match="with 2 labels it must be"):
        _predict(load(package_writer(model)), ["good good"] * 3)


def test_an_unknown_task_is_refused(package_writer, load, text_graph):
    """The message lists the tasks that there are."""
    with pytest.raises(Unprocessable, match="text-classification") as caught:
        load(package_writer(text_graph(), task="fortune-telling"))
    assert caught.value.code == "unknown_task"
