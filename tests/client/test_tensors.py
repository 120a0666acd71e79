"""The codecs: every datatype, both ways on the wire, everything malformed; tritonclient is the oracle."""

from __future__ import annotations

import json
import math
import struct
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
import tritonclient.http as triton
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from maas_client import _open_inference as protocol
from maas_client._tensors import (
    DATATYPES,
    DTYPES,
    Tensor,
    TensorError,
    from_bytes,
    from_json,
    tensor_of,
    to_bytes,
    to_json,
)

SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


@st.composite
def tensors(draw, *, finite=False):
    """Draw a tensor of any datatype and shape."""
    datatype = draw(st.sampled_from(DATATYPES))
    shape = draw(SHAPES)
    if datatype == "BYTES":
        items = draw(
            st.lists(st.binary(max_size=5), min_size=math.prod(shape), max_size=math.prod(shape))
            if not finite
            else st.lists(st.text(max_size=5), min_size=math.prod(shape), max_size=math.prod(shape))
        )
        array = np.empty(len(items), dtype=object)
        array[:] = items
        return tensor_of("x", array.reshape(shape))
    if datatype == "BF16":
        bits = draw(arrays.arrays(np.uint16, shape))
        array = bits.view(ml_dtypes.bfloat16)
        if finite:
            array = np.where(np.isfinite(array.astype(np.float32)), array, ml_dtypes.bfloat16(1.5))
        return Tensor("x", datatype, array)
    options = {"allow_nan": not finite, "allow_infinity": not finite} if "FP" in datatype else None
    return Tensor("x", datatype, draw(arrays.arrays(DTYPES[datatype], shape, elements=options)))


def same(one, other):
    """Compare bit by bit, so that NaNs and signed zeros count."""
    assert (one.name, one.datatype, one.shape) == (other.name, other.datatype, other.shape)
    assert bytes(to_bytes(one)) == bytes(to_bytes(other))


@given(tensors())
def test_binary_form_carries_everything(tensor):
    """NaN, infinities and every bit of them included."""
    same(from_bytes("x", tensor.datatype, tensor.shape, bytes(to_bytes(tensor))), tensor)


@given(tensors(finite=True))
def test_json_carries_what_is_finite(tensor):
    """Through real JSON text, 64-bit integers and small halves included."""
    data = json.loads(json.dumps(to_json(tensor)))
    same(from_json("x", tensor.datatype, tensor.shape, data), tensor)


@given(tensors(), st.integers(-9, 9).filter(bool))
def test_another_length_is_refused(tensor, change):
    """One byte less or more is never read as something else."""
    data = bytes(to_bytes(tensor))
    wrong = data[:change] if change < 0 else data + bytes(change)
    if wrong == data:
        return
    with pytest.raises(TensorError, match="'x' "):
        from_bytes("x", tensor.datatype, tensor.shape, wrong)


@given(st.sampled_from(DATATYPES), SHAPES, st.binary(max_size=64))
def test_any_bytes_are_read_or_refused(datatype, shape, data):
    """Nothing but TensorError comes out of a hostile body."""
    try:
        tensor = from_bytes("x", datatype, list(shape), data)
    except TensorError:
        return
    assert tensor.shape == list(shape)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=8,
)


@given(
    st.one_of(st.sampled_from(DATATYPES), JSON_VALUES),
    st.one_of(st.lists(st.integers(0, 3)), JSON_VALUES),
    JSON_VALUES,
)
def test_any_json_is_read_or_refused(datatype, shape, data):
    """Whatever stands where datatype, shape and data should."""
    try:
        tensor = from_json("x", datatype, shape, data)
    except TensorError:
        return
    assert tensor.shape == list(shape)


@pytest.mark.parametrize("dtype", [*DTYPES.values()])
def test_arrays_are_sent_as_the_datatype_that_they_have(dtype):
    """In either byte order, contiguous or not."""
    array = np.arange(12).astype(dtype).reshape(3, 4)
    for given_array in (array, array.astype(dtype.newbyteorder(">"))):
        tensor = tensor_of("x", given_array[:, ::2])
        assert DTYPES[tensor.datatype] == dtype
        assert bytes(to_bytes(tensor)) == array[:, ::2].tobytes()


def test_a_contiguous_array_is_not_copied():
    """Sent as it lies in memory, and received as a view of the reply."""
    array = np.arange(6, dtype=np.float32)
    assert np.shares_memory(np.frombuffer(to_bytes(tensor_of("x", array)), np.uint8), array)
    body = array.tobytes()
    received = from_bytes("x", "FP32", [6], memoryview(body)).array
    assert np.shares_memory(received, np.frombuffer(body, np.uint8))
    assert not received.flags.writeable


def test_nested_lists_become_what_the_model_takes():
    """Python's floats are FP32 where the model says so."""
    tensor = tensor_of("x", [[1, 2.5]], "FP32")
    assert (tensor.datatype, tensor.array.dtype, tensor.shape) == ("FP32", np.float32, [1, 2])
    assert tensor_of("x", [[True, False]], "BOOL").array.tolist() == [[True, False]]
    assert tensor_of("x", [["a", b"\xff"]], "BYTES").array.tolist() == [[b"a", b"\xff"]]
    assert tensor_of("x", [1.0039], "BF16").array.astype(np.float32).tolist() == [1.0]


@pytest.mark.parametrize(
    ("value", "datatype", "said"),
    [
        ([[1, 2], [3]], "FP32", "cannot be an array"),
        ([1, 2, 300], "UINT8", "holds 300, UINT8 takes 0 to 255"),
        ([-1], "UINT64", "holds -1, UINT64 takes 0 to"),
        ([2**70], "INT64", "holds object where the model takes INT64"),
        ([1.5], "INT32", "holds float64 where the model takes INT32"),
        (["a"], "FP32", "where the model takes FP32"),
        ([1e300], "FP32", "beyond the range of FP32"),
        ([70000], "FP16", "beyond the range of FP16"),
        ([1], "BOOLEAN", "expected one of BOOL"),
        ([True], "INT8", "holds bool True, which is no INT8"),
        ([5], "BYTES", "BYTES takes texts and bytes"),
        ([None], "FP32", "where the model takes FP32"),
        (np.array([1j]), None, "dtype complex128, which the protocol does not know"),
        (np.array(["2026-01-01"], "datetime64[D]"), None, "which the protocol does not know"),
        (np.array([{"a": 1}]), None, "holds dict"),
        (np.ma.masked_invalid([1.0, np.nan]), None, "masked array"),
        (np.array(["\ud800"], object), None, "half of a surrogate pair"),
    ],
)
def test_what_cannot_be_a_tensor_is_told(value, datatype, said):
    """With the name, what was found and what was expected."""
    with pytest.raises(TensorError, match=said) as caught:
        tensor_of("x", value, datatype)
    assert "'x' " in str(caught.value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64", "BF16"])
def test_json_refuses_what_is_not_finite(value, datatype):
    """JSON has no NaN; the message points to the way that does."""
    dtype = ml_dtypes.bfloat16 if datatype == "BF16" else DTYPES[datatype]
    tensor = tensor_of("x", np.array([1, value], dtype))
    with pytest.raises(TensorError, match=r"'x' holds NaN or an infinity.*binary tensors can"):
        to_json(tensor)
    assert bytes(to_bytes(from_bytes("x", datatype, [2], to_bytes(tensor)))) == bytes(to_bytes(tensor))


def test_json_refuses_bytes_that_are_no_text():
    """They would come out as something else."""
    with pytest.raises(TensorError, match=r"no UTF-8.*binary tensors can"):
        to_json(tensor_of("x", np.array([b"\xff"], object)))


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ([-1], "whole numbers from 0 up"),
        ([2**62, 4], r"fewer than 2\^60 elements"),
        ([0, 2**62, 4], r"fewer than 2\^60 elements"),
        # Two bytes each are more than numpy counts, though there are none.
        ([0, 2**62], r"fewer than 2\^60 elements"),
        ([1] * 65, "at most 64 dimensions"),
        ([1.0], "whole numbers"),
        ([True], "whole numbers"),
        (["1"], "whole numbers"),
        ("1", "no list as its shape"),
        (None, "no list as its shape, but null"),
    ],
)
def test_shapes_that_make_no_sense_are_refused(shape, said):
    """Before anything is allocated for them."""
    with pytest.raises(TensorError, match=said):
        from_bytes("x", "FP32", shape, b"")


def test_bfloat16_rounds_to_the_nearest_even():
    """As IEEE 754 does, and as ml_dtypes, for every half of a step; a NaN stays one."""
    bits = np.arange(0, 2**32, 2**15 - 1, dtype=np.uint64).astype(np.uint32)
    floats = bits.view(np.float32)
    with np.errstate(invalid="ignore"):
        expected = floats.astype(ml_dtypes.bfloat16)
    finite = ~np.isnan(floats)
    ours = np.frombuffer(to_bytes(Tensor("x", "BF16", floats)), np.uint16)
    assert (ours[finite] == expected.view(np.uint16)[finite]).all()
    assert np.isnan(ours.view(ml_dtypes.bfloat16)[~finite].astype(np.float32)).all()


def test_bfloat16_without_its_package_is_float32():
    """Which holds every BF16 exactly."""
    code = (
        "import sys; sys.modules['ml_dtypes'] = None\n"
        "from maas_client._tensors import from_bytes, to_bytes\n"
        "tensor = from_bytes('x', 'BF16', [3], bytes.fromhex('803f c07f 8000'))\n"
        "assert tensor.array.dtype == 'float32' and tensor.array[0] == 1.0, tensor\n"
        "assert bytes(to_bytes(tensor)).hex() == '803fc07f8000'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_numpy_is_named():
    """With what to install."""
    code = "import sys; sys.modules['numpy'] = None; import maas_client._tensors"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'maas-client[tensors]'" in done.stderr


# --- messages -------------------------------------------------------------------------------------------


@given(st.lists(tensors(), min_size=1, max_size=4), st.booleans())
def test_requests_and_replies_survive_the_wire(drawn, some_binary):
    """Several tensors in one body, each output in the form that was asked for."""
    named = {f"t{index}": Tensor(f"t{index}", t.datatype, t.array) for index, t in enumerate(drawn)}
    message = protocol.write_request(protocol.InferRequest(named, id="7", parameters={"a": 1}), binary=True)
    request = protocol.read_request(message.body, message.headers)
    assert (request.id, request.parameters["a"]) == ("7", 1)
    for name, tensor in named.items():
        same(request.inputs[name], tensor)
    reply = protocol.write_reply(protocol.InferReply([*named.values()], model_name="m"), request)
    read = protocol.read_reply(reply.body, reply.headers)
    assert (read.id, read.model_name, read.model_version) == ("7", "m", None)
    for tensor in read.outputs:
        same(tensor, named[tensor.name])


def test_an_outputs_own_wish_goes_before_the_requests():
    """`binary_data` of one output overrides `binary_data_output` of all."""
    body = json.dumps(
        {
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}],
            "outputs": [{"name": "y"}, {"name": "z", "parameters": {"binary_data": False}}],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    request = protocol.read_request(body, {})
    assert (request.wants_binary("y"), request.wants_binary("z")) == (True, False)
    outputs = [tensor_of("z", np.float32([2])), tensor_of("y", np.float32([3]))]
    message = protocol.write_reply(protocol.InferReply(outputs), request)
    head = json.loads(message.body[: int(message.headers[protocol.JSON_LENGTH])])
    assert head["outputs"][0]["data"] == [2.0]
    assert head["outputs"][1]["parameters"] == {"binary_data_size": 4}
    assert message.body.endswith(struct.pack("<f", 3))
    assert "id" not in head


def infer_body(**changes):
    tensor = {"name": "x", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}}
    return json.dumps({"inputs": [{**tensor, **changes}]}).encode()


@pytest.mark.parametrize(
    ("head", "length", "tail", "said"),
    [
        (infer_body(), "-1", b"abcd", "Inference-Header-Content-Length is '-1'"),
        (infer_body(), "+5", b"abcd", "Inference-Header-Content-Length"),
        (infer_body(), "1e2", b"abcd", "Inference-Header-Content-Length"),
        (infer_body(), "٣", b"abcd", "Inference-Header-Content-Length"),
        (infer_body(), str(10**30), b"abcd", "Inference-Header-Content-Length"),
        (infer_body(), "9999", b"abcd", "at most the .* of the body"),
        (infer_body(), None, b"", "binary_data_size 4, and 0 bytes are left"),
        (infer_body(), "", b"abcde", "Inference-Header-Content-Length is ''"),
        (infer_body(parameters={"binary_data_size": -4}), ..., b"abcd", "binary_data_size -4"),
        (infer_body(parameters={"binary_data_size": "4"}), ..., b"abcd", "binary_data_size '4'"),
        (infer_body(parameters={"binary_data_size": True}), ..., b"abcd", "binary_data_size True"),
        (infer_body(parameters=[]), ..., b"", "parameters is no object"),
        (infer_body(), ..., b"abcdefgh", "4 bytes after its last tensor"),
        (infer_body(shape=[2]), ..., b"abcd", "FP32 of shape .2. takes 8"),
        (infer_body(shape=[2**40, 2**40]), ..., b"abcd", r"2\^60"),
        (infer_body(datatype="FLOAT"), ..., b"abcd", "expected one of BOOL"),
        (infer_body(datatype=None), ..., b"abcd", "datatype None"),
        (infer_body(name=5), ..., b"abcd", r"inputs\[0\] is no object with a name"),
        (b"{}", ..., b"", "inputs is no list"),
        (b'{"inputs": []}', ..., b"", "inputs is empty"),
        (b"[]", ..., b"", "no object"),
        (b"{", ..., b"", "not JSON"),
        (b"\xff", ..., b"", "not JSON"),
        (b"[" * 100_000, ..., b"", "not JSON"),
        (b'{"inputs": 5, "id": []}', ..., b"", "inputs is no list"),
    ],
)
def test_malformed_requests_are_refused_with_what_is_wrong(head, length, tail, said):
    """Lengths above all: they decide what is read as what."""
    headers = {}
    if length is not None:
        headers[protocol.JSON_LENGTH] = str(len(head)) if length is ... else length
    with pytest.raises(TensorError, match=said):
        protocol.read_request(head + tail, headers)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"outputs": [{"name": "y"}, {"name": "y"}]}, "outputs has 'y' twice"),
        ({"outputs": ["y"]}, r"outputs\[0\] is no object with a name"),
        ({"outputs": {}}, "outputs is no list"),
        ({"parameters": 5}, "parameters is no object"),
        ({"id": {}}, "id is no text"),
    ],
)
def test_malformed_wishes_are_refused(content, said):
    """Outputs asked for twice, or by something that is no name."""
    inputs = [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}]
    with pytest.raises(TensorError, match=said):
        protocol.read_request(json.dumps({"inputs": inputs, **content}).encode(), {})


def test_an_input_twice_is_refused():
    """Of two tensors of one name neither is the right one."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}
    with pytest.raises(TensorError, match="inputs has 'x' twice"):
        protocol.read_request(json.dumps({"inputs": [tensor, tensor]}).encode(), {})


def test_deep_nesting_is_data_like_any_other():
    """As deep as JSON is read at all, without a stack of our own."""
    data = [1.0]
    for _ in range(500):
        data = [data]
    assert from_json("x", "FP32", [1], data).array.tolist() == [1.0]


@given(st.binary(max_size=80), st.one_of(st.none(), st.text(max_size=4), st.integers(-5, 99).map(str)))
def test_no_body_does_anything_but_be_read_or_refused(body, length):
    """Neither as a request nor as a reply."""
    headers = {} if length is None else {protocol.JSON_LENGTH: length}
    for read in (protocol.read_request, protocol.read_reply):
        with pytest.raises(TensorError):
            read(body, headers)


# --- tritonclient as the oracle -------------------------------------------------------------------------


def oracle_input(tensor, *, binary):
    made = triton.InferInput(tensor.name, tensor.shape, tensor.datatype)
    made.set_data_from_numpy(tensor.array, binary_data=binary)
    return made


@given(st.lists(tensors(), min_size=1, max_size=3))
def test_a_tritonclients_binary_request_is_read(drawn):
    """Byte by byte what another's client sends, and what ours sends is the same bytes."""
    named = [Tensor(f"t{index}", t.datatype, t.array) for index, t in enumerate(drawn)]
    body, length = triton.InferenceServerClient.generate_request_body(
        [oracle_input(tensor, binary=True) for tensor in named]
    )
    request = protocol.read_request(body, {protocol.JSON_LENGTH: str(length)} if length else {})
    assert request.wants_binary("anything")
    for tensor in named:
        same(request.inputs[tensor.name], tensor)
    ours = protocol.write_request(protocol.InferRequest({t.name: t for t in named}), binary=True)
    assert ours.body[int(ours.headers[protocol.JSON_LENGTH]) :] == body[length:]


@given(st.lists(tensors(), min_size=1, max_size=3), st.booleans())
def test_a_tritonclient_reads_our_reply(drawn, binary):
    """Names, shapes, datatypes and elements arrive."""
    named = [Tensor(f"t{index}", t.datatype, t.array) for index, t in enumerate(drawn)]
    request = protocol.InferRequest({}, parameters={"binary_data_output": True})
    message = protocol.write_reply(protocol.InferReply(named, model_name="m"), request)
    length = message.headers.get(protocol.JSON_LENGTH)
    result = triton.InferenceServerClient.parse_response_body(
        message.body, header_length=int(length) if length else None
    )
    for tensor in named:
        array = result.as_numpy(tensor.name)
        assert list(array.shape) == tensor.shape
        expected = tensor.array
        if tensor.datatype == "BYTES":
            assert array.tolist() == expected.tolist()
        else:
            assert array.tobytes() == np.ascontiguousarray(expected).tobytes()
