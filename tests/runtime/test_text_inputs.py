from __future__ import annotations

import json

import numpy as np
import pytest
from onnx import TensorProto, helper

from maas_client._package import open_package
from reference_server.errors import Unprocessable
from reference_server.runtime.execution_providers import CPU
from reference_server.runtime.sessions import OnnxRunner
from reference_server.runtime.tasks.text_inputs import text_input


@pytest.fixture
def feed():
    """Return a function from a package's folder to what feeds its graph."""

    def feed_from(folder):
        with open_package(folder) as package:
            return text_input(package, OnnxRunner(package.read("model.onnx"), provider=CPU))

    return feed_from


def _refusal(feed, folder):
    with pytest.raises(Unprocessable) as caught:
        feed(folder)
    assert caught.value.code == "model_rejected"
    return caught.value.message


def test_token_ids_are_bracketed_padded_and_masked(feed, token_package):
    """Ids, mask and padding are what the tokenizer and the attention mask demand."""
    ((rows, tensors),) = feed(token_package).chunks(["good bad", "good"], deadline=None)
    assert rows == [1, 0]
    assert tensors["input_ids"].tolist() == [[2, 4, 3, 0], [2, 4, 9, 3]]
    assert tensors["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert {tensor.dtype for tensor in tensors.values()} == {np.dtype(np.int64)}


def test_one_long_text_does_not_pad_the_short_ones(feed, token_package):
    """Ten thousand short texts and a long one stay within the budget of each run."""
    texts = ["good"] * 10_000 + ["bad " * 100]
    sizes = [tensors["input_ids"].shape for _, tensors in feed(token_package).chunks(texts, deadline=None)]
    assert max(width for rows, width in sizes if rows == 128) == 3
    assert sum(rows for rows, _ in sizes) == len(texts)


def test_a_fixed_sequence_length_is_padded_to(feed, package_writer, token_graph, tokenizer_json):
    """A graph exported at one length gets that length, and longer texts are cut to it."""
    model = token_graph()
    for value in model.graph.input:
        value.type.tensor_type.shape.dim[1].dim_value = 6
    folder = package_writer(model, tokenizer=tokenizer_json)
    ((_, tensors),) = feed(folder).chunks(["good", "bad " * 50], deadline=None)
    assert tensors["input_ids"].shape == (2, 6)
    assert tensors["attention_mask"].sum(axis=1).tolist() == [3, 6]


def test_narrow_ids_and_type_ids_are_fed(feed, package_writer, token_graph, tokenizer_json):
    """INT32 inputs and the optional `token_type_ids` are served as the graph declares them."""
    model = token_graph()
    model.graph.input.append(
        helper.make_tensor_value_info("token_type_ids", TensorProto.INT32, ["batch", "sequence"])
    )
    folder = package_writer(model, tokenizer=tokenizer_json)
    ((_, tensors),) = feed(folder).chunks(["good"], deadline=None)
    assert tensors["token_type_ids"].tolist() == [[0, 0, 0]]
    assert tensors["token_type_ids"].dtype == np.int32


def test_a_tokenizer_without_brackets_still_gives_a_token(feed, package_writer, token_graph, tokenizer_json):
    """An empty text becomes one masked padding token, never an empty axis."""
    bare = json.dumps({**json.loads(tokenizer_json), "post_processor": None})
    folder = package_writer(token_graph(), tokenizer=bare)
    ((_, tensors),) = feed(folder).chunks([""], deadline=None)
    assert tensors["attention_mask"].tolist() == [[0]]


def test_token_graphs_need_a_tokenizer(feed, package_writer, token_graph):
    """Without tokenizer.json nothing makes the ids."""
    assert "tokenizer.json named by preprocessing.tokenizer" in _refusal(feed, package_writer(token_graph()))


def test_string_graphs_need_no_tokenizer(feed, package_writer, text_graph, tokenizer_json):
    """Two tokenisers in one package are a mistake."""
    assert "remove tokenizer.json" in _refusal(feed, package_writer(text_graph(), tokenizer=tokenizer_json))


def test_a_damaged_tokenizer_is_refused(feed, package_writer, token_graph):
    """The tokenizer's own complaint comes along."""
    assert "tokenizer.json cannot be read" in _refusal(feed, package_writer(token_graph(), tokenizer="{}"))


@pytest.mark.parametrize(
    "value",
    [
        helper.make_tensor_value_info("pixels", TensorProto.INT64, ["b", "s"]),
        helper.make_tensor_value_info("token_type_ids", TensorProto.FLOAT, ["b", "s"]),
        helper.make_tensor_value_info("token_type_ids", TensorProto.INT64, ["b"]),
    ],
)
def test_inputs_that_nothing_fills_are_refused(feed, package_writer, token_graph, tokenizer_json, value):
    """An input of another name, type or rank than the three is named with what it is."""
    model = token_graph()
    model.graph.input.append(value)
    assert f"'{value.name}'" in _refusal(feed, package_writer(model, tokenizer=tokenizer_json))


@pytest.mark.parametrize("shape", [(2,), ("batch", 3), ("batch", 1, 1)])
def test_string_shapes_that_hold_no_text_per_row_are_refused(feed, package_writer, text_graph, shape):
    """Only [batch] and [batch, 1] have one text per row."""
    _refusal(feed, package_writer(text_graph(input_shape=shape)))
