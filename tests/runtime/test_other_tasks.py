"""Embedding, images, tables and raw tensors: from a call's values to a reply's."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from onnx import TensorProto, helper
from PIL import Image

from maas_client._package import open_package
from reference_server.errors import Unprocessable
from reference_server.runtime.batch_invariance import Recorder, is_invariant
from reference_server.runtime.execution_providers import CPU
from reference_server.runtime.sessions import OnnxRunner
from reference_server.runtime.tasks import build_task


def load(folder):
    with open_package(folder) as package:
        return build_task(package, OnnxRunner(package.read("model.onnx"), provider=CPU))


def predict(task, *instances, **parameters):
    return task.encode(task.predict(task.decode(list(instances), parameters)))


def refused(task, *instances):
    with pytest.raises(Unprocessable) as caught:
        task.decode(list(instances), {})
    return caught.value


@pytest.fixture
def linear(onnx_model):
    """Return a graph `y = x W` over rows of floats."""

    def make(weights, *, shape=None):
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

    return make


def test_a_table_is_classified(package_writer, linear):
    """Columns go into the graph in the manifest's order, whatever the order of the call."""
    columns = [{"name": "width", "unit": "cm"}, {"name": "height"}]
    folder = package_writer(
        linear([[1, 0], [0, 1]]),
        task="tabular-classification",
        labels=["wide", "high"],
        preprocessing={"columns": columns},
        postprocessing={"activation": "softmax"},
        example={"width": 1.0, "height": 2.0},
    )
    task = load(folder)
    first, second = predict(task, {"height": 1, "width": 3}, {"width": 0.5, "height": 4})
    assert (first["label"], second["label"]) == ("wide", "high")
    assert task.signature.inputs[0].unit == "cm"
    fault = refused(task, {"width": 1}, {"width": "1", "height": None})
    assert {(each.param, each.code) for each in fault.details} == {
        ("instances[0].height", "missing_input"),
        ("instances[1].width", "wrong_type"),
        ("instances[1].height", "wrong_type"),
    }


def test_a_table_gives_a_number(package_writer, linear):
    """Regression returns `value`."""
    folder = package_writer(
        linear([[2], [3]]),
        task="tabular-regression",
        labels=[],
        preprocessing={"columns": [{"name": "a"}, {"name": "b"}]},
        postprocessing={"unit": "EUR"},
        example={"a": 1.0, "b": 2.0},
    )
    (row,) = predict(load(folder), {"a": 1, "b": 10})
    assert row["value"] == 32


PIXELS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], np.uint8)


def encoded(pixels, kind="PNG"):
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, kind)
    return target.getvalue()


@pytest.fixture
def colours(package_writer, linear):
    """Return a task that tells which channel of a picture of 2 by 2 is strongest."""
    weights = np.repeat(np.eye(3), 4, axis=0)
    folder = package_writer(
        linear(weights, shape=[3, 2, 2]),
        task="image-classification",
        labels=["red", "green", "blue"],
        preprocessing={"image": {"width": 2, "height": 2}},
        postprocessing={"activation": "softmax"},
        example={"image": [[0, 0], [0, 0]]},
    )
    return load(folder)


def test_a_picture_comes_as_file_base64_or_pixels(colours):
    """All three are the same picture."""
    green = np.zeros((2, 2, 3), np.uint8)
    green[:, :, 1] = 200
    png = base64.b64encode(encoded(green)).decode()
    answers = predict(
        colours,
        {"image": png},
        {"image": f"data:image/png;base64,{png}"},
        {"image": green.tolist()},
        {"image": encoded(green)},
    )
    assert all(answer == answers[0] for answer in answers)
    assert answers[0]["label"] == "green"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("%%%", "invalid_image"),
        (base64.b64encode(b"GIF89a").decode(), "invalid_image"),
        (base64.b64encode(encoded(PIXELS)[:-30]).decode(), "invalid_image"),
        ([[1, 2], [3]], "wrong_shape"),
        ([[300, 0], [0, 0]], "out_of_range"),
        (7, "wrong_type"),
    ],
)
def test_what_is_no_picture_is_refused(colours, value, code):
    """By name of what is wrong with it."""
    assert refused(colours, {"image": value}).code == code


def test_a_decompression_bomb_is_refused_by_its_header(colours):
    """20 KB that stand for 100 million pixels are never decoded."""
    bomb = encoded(np.zeros((10_000, 10_000), np.uint8))
    assert len(bomb) < 200_000
    assert refused(colours, {"image": base64.b64encode(bomb).decode()}).code == "image_too_large"


def test_raw_tensors_keep_their_rows(package_writer, linear):
    """One row in each instance; wrong shapes and types are named."""
    task = load(package_writer(linear([[1], [1]]), task="tensor", labels=[], example={"x": [1.0, 2.0]}))
    assert [row["y"].tolist() for row in predict(task, {"x": [1, 2]}, {"x": [3, 4.5]})] == [[3], [7.5]]
    assert refused(task, {"x": [1, 2, 3]}).code == "wrong_shape"
    assert refused(task, {"x": [1, True]}).code == "wrong_type"
    assert refused(task, {"x": [1, 1e39]}).code == "wrong_type"
    assert task.decode([{"x": [1, 2]}], {}).shape == ((2,),)


def test_embeddings_are_pooled_under_the_mask(package_writer, onnx_model, tokenizer_json):
    """The mean is that of a text's own tokens, whatever company pads it."""
    table = np.random.default_rng(0).standard_normal((14, 3)).astype(np.float32)
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["y"])]
    ids = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    out = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "tokens", 3])]
    graph = onnx_model(
        nodes, ids, out, [helper.make_tensor("table", TensorProto.FLOAT, [14, 3], table.ravel())]
    )
    options = {"labels": [], "tokenizer": tokenizer_json, "task": "embedding"}
    task = load(package_writer(graph, postprocessing={"pooling": "mean"}, **options))
    short, _ = predict(task, {"text": "good"}, {"text": "good bad awful dull"})
    np.testing.assert_allclose(short["embedding"], table[[2, 4, 3]].mean(axis=0), rtol=1e-6)
    first = load(package_writer(graph, postprocessing={"pooling": "cls", "normalize": True}, **options))
    (vector,) = predict(first, {"text": "bad"})
    np.testing.assert_allclose(vector["embedding"], table[2] / np.linalg.norm(table[2]), rtol=1e-6)
    with pytest.raises(Unprocessable, match="pooling"):
        load(package_writer(graph, **options))


def test_fields_without_a_use_are_refused(package_writer, linear):
    """What would do nothing is an error, not a surprise."""
    folder = package_writer(
        linear([[1]]),
        task="tensor",
        labels=[],
        example={"x": [1.0]},
        postprocessing={"activation": "softmax"},
    )
    with pytest.raises(Unprocessable, match="does nothing for the task") as caught:
        load(folder)
    assert caught.value.param == "postprocessing.activation"


def test_a_trial_finds_rows_that_depend_on_their_company(onnx_model, linear):
    """A graph that subtracts the batch's mean is found out though no operator gives it away."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["x", "m"], ["y"]),
    ]
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2])] for name in "xy"]
    rows = {"x": np.array([[1.0, 2.0]], np.float32)}
    for graph, invariant in ((onnx_model(nodes, *ends), False), (linear([[1], [2]]), True)):
        runner = Recorder(OnnxRunner(graph.SerializeToString(), provider=CPU))
        assert is_invariant(runner, rows) is invariant


def test_a_trial_compares_texts(onnx_model):
    """One string for each row is a result like any other."""
    named = [
        helper.make_node("ArgMax", ["x"], ["best"], axis=1, keepdims=0),
        helper.make_node("Gather", ["names", "best"], ["label"]),
    ]
    graph = onnx_model(
        named,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("label", TensorProto.STRING, ["batch"])],
        [helper.make_tensor("names", TensorProto.STRING, [2], [b"left", b"right"])],
    )
    runner = Recorder(OnnxRunner(graph.SerializeToString(), provider=CPU))
    assert is_invariant(runner, {"x": np.array([[1.0, 2.0]], np.float32)})
