"""What a look at a package shows: each finding where it is, and none where it is not."""

import io
import json

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from maas_client._package import open_package, pack
from reference_server.advice.findings import look
from reference_server.errors import Unprocessable

MANIFEST = """
task = "{task}"
description = "d"
license = "MIT"
labels = ["a", "b"]
example = {{x = 1.0}}
[postprocessing]
{output}
[preprocessing]
{before}
"""


def graph(*, opset=17, batch="n", kind=np.float32, given=False, outputs=("y",)):
    weights = np.arange(64).reshape(4, 16).astype(kind)
    floats = TensorProto.DOUBLE if kind == np.float64 else TensorProto.FLOAT
    inputs = [helper.make_tensor_value_info("x", floats, [batch, 4])]
    if given:
        inputs.append(helper.make_tensor_value_info("w", floats, [4, 16]))
    nodes = [helper.make_node("MatMul", ["x", "w"], [name]) for name in outputs]
    made = helper.make_graph(
        nodes,
        "g",
        inputs,
        [helper.make_tensor_value_info(name, floats, None) for name in outputs],
        [numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(
        made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8
    ).SerializeToString()


def found(content, *, task="tabular-classification", output="", before="", names=True, **files):
    manifest = MANIFEST.format(task=task, output=output, before=before)
    package = pack({"maas.toml": manifest.encode(), "model.onnx": content, **files})
    with open_package(io.BytesIO(package)) as opened:
        opset, ir_version, findings = look(opened, names=names)
    assert ir_version == 8
    return opset, {each.code: each for each in findings}


def test_a_good_graph_has_no_findings():
    """Nothing is said where there is nothing to say."""
    assert found(graph()) == (17, {})


@pytest.mark.parametrize(
    ("options", "code", "where"),
    [
        ({"opset": 12}, "old_opset", ["opset 12"]),
        ({"kind": np.float64}, "double_weights", ["w"]),
        ({"batch": 4}, "fixed_batch", ["x"]),
        ({"given": True}, "initializers_as_inputs", ["w"]),
    ],
)
def test_each_finding_names_its_place_and_what_to_do(options, code, where):
    """And nothing else is found beside it."""
    _, findings = found(graph(**options))
    assert findings.keys() == {code}
    assert (findings[code].where, findings[code].count) == (where, 1)
    assert findings[code].why
    assert findings[code].remedy


def test_outputs_are_unused_only_where_a_task_reads_one():
    """The task `tensor` returns them all."""
    two = graph(outputs=("y", "z"))
    assert found(two, output='output = "y"')[1]["unused_output"].where == ["z"]
    assert found(two, task="tensor", output='output = "y"')[1] == {}


@pytest.mark.parametrize(("truncation", "codes"), [(None, {"tokenizer_without_truncation"}), ({}, set())])
def test_a_tokenizer_that_cuts_nothing_is_found(truncation, codes):
    """Only max_tokens bounds what a text costs then."""
    _, findings = found(
        graph(),
        before='tokenizer = "tokenizer.json"\nmax_tokens = 99',
        **{"tokenizer.json": json.dumps({"truncation": truncation}).encode()},
    )
    assert findings.keys() == codes
    assert all("99" in each.why for each in findings.values())


def test_names_are_left_out_on_request():
    """How many there are is told all the same."""
    _, findings = found(graph(batch=4, given=True), names=False)
    assert {(each.count, *each.where) for each in findings.values()} == {(1,)}


def test_a_graph_that_is_too_large_for_a_call_is_refused():
    """The job of an advice looks at it."""
    package = pack(
        {
            "maas.toml": MANIFEST.format(task="tensor", output="", before="").encode(),
            "model.onnx": graph(),
        }
    )
    with open_package(io.BytesIO(package)) as opened, pytest.raises(Unprocessable) as caught:
        look(opened, names=True, most_bytes=10)
    assert caught.value.code == "too_large"
