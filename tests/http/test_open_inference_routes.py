"""The Open Inference Protocol on our server: through Flask and through the front, by its own rules."""

from __future__ import annotations

import json

import numpy as np
import pytest

from maas_client import _open_inference as protocol
from maas_client._tensors import tensor_of

MODEL = "/v2/models/words"


@pytest.fixture(params=["flask", "front"])
def send(request, shared):
    way = shared.through_flask if request.param == "flask" else shared.through_front

    def call(method, path, body=b"", **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return way(method, path, headers={**shared.ada, **named}, body=body)

    return call


@pytest.fixture
def tensors(send):
    """Return the names of the model's one input and its outputs."""
    metadata = send("GET", MODEL).json
    return metadata["inputs"][0], metadata["outputs"]


def texts(name, *values):
    return {name: tensor_of(name, np.array(values, object))}


def test_the_server_tells_what_it_is(send):
    """Open to anyone, with the extension that tells of binary tensors."""
    metadata = send("GET", "/v2").json
    assert metadata["name"] == "maas"
    assert "binary_tensor_data" in metadata["extensions"]
    assert send("GET", "/v2/health/live").status == 200
    assert send("GET", "/v2/health/ready").status == 200


def test_a_model_tells_its_tensors_and_versions(send, tensors):
    """By default and by version; -1 where a dimension varies."""
    given, outputs = tensors
    assert given["datatype"] == "BYTES"
    assert given["shape"] == [-1]
    assert outputs
    assert send("GET", f"{MODEL}/versions/1").json["versions"] == ["1"]
    assert send("GET", f"{MODEL}/ready").status == 200
    assert send("GET", f"{MODEL}/versions/1/ready").json["ready"] is True


def test_a_reply_tells_what_ran_it(send, tensors):
    """`device` among the parameters, in both forms."""
    name = tensors[0]["name"]
    for binary in (False, True):
        message = protocol.write_request(protocol.InferRequest(texts(name, "good")), binary=binary)
        answer = send("POST", f"{MODEL}/infer", message.body, **message.headers)
        assert protocol.read_reply(answer.body, answer.headers).parameters == {"device": "cpu"}


def test_the_index_lists_what_the_caller_sees(send):
    """With an empty body or an empty object, which is what clients send."""
    for body in (b"", b"{}"):
        entries = send("POST", "/v2/repository/index", body).json
        (entry,) = [each for each in entries if each["name"] == "words"]
        assert (entry["version"], entry["state"]) == ("1", "READY")


@pytest.mark.parametrize("binary", [True, False])
def test_tensors_in_tensors_out(send, tensors, binary):
    """The same answer as JSON and binary, without any Content-Type, with the id repeated."""
    given, outputs = tensors
    request = protocol.InferRequest(texts(given["name"], "good", "bad"), id="7")
    message = protocol.write_request(request, binary=binary)
    headers = {name: value for name, value in message.headers.items() if name != "Content-Type"}
    answer = send("POST", f"{MODEL}/infer", message.body, **headers)
    reply = protocol.read_reply(answer.body, answer.headers)
    assert (reply.id, reply.model_name, reply.model_version) == ("7", "words", "1")
    scores = {tensor.name: tensor.array for tensor in reply.outputs}[outputs[0]["name"]]
    assert scores.shape[0] == 2


def test_an_output_is_chosen_and_its_form_too(send, tensors):
    """`binary_data` of one output overrides that of the request."""
    given, outputs = tensors
    body = {
        "inputs": [{"name": given["name"], "datatype": "BYTES", "shape": [1], "data": ["good"]}],
        "outputs": [{"name": outputs[-1]["name"], "parameters": {"binary_data": False}}],
        "parameters": {"binary_data_output": True},
    }
    answer = send("POST", f"{MODEL}/infer", json.dumps(body).encode())
    (output,) = answer.json["outputs"]
    assert output["name"] == outputs[-1]["name"]
    assert "data" in output
    assert "id" not in answer.json


def described(**changes):
    tensor = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["good"]}
    return json.dumps({"inputs": [{**tensor, **changes}]}).encode()


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "said"),
    [
        (f"{MODEL}/infer", b"", {}, 400, "not JSON"),
        (f"{MODEL}/infer", b"[" * 100_000, {}, 400, "not JSON"),
        (f"{MODEL}/infer", b"{}", {"Inference_Header_Content_Length": "-1"}, 400, "Content-Length is '-1'"),
        (f"{MODEL}/infer", described(shape=[2**40, 2**40]), {}, 400, "2^60"),
        (f"{MODEL}/infer", described(shape=[2]), {}, 400, "1 elements"),
        (f"{MODEL}/infer", described(name="nothing"), {}, 422, "no input 'nothing'"),
        (f"{MODEL}/infer", described(datatype="INT64", data=[1]), {}, 422, "is INT64 of shape [1]"),
        (f"{MODEL}/infer", described(shape=[1, 1]), {}, 422, "takes BYTES of shape [-1]"),
        (f"{MODEL}/infer", described(), {"Content_Encoding": "br"}, 415, "Content-Encoding is br"),
        (f"{MODEL}/infer", described(), {"Content_Encoding": "gzip"}, 400, "no gzip"),
        ("/v2/models/nothing/infer", described(), {}, 404, "nothing"),
        (f"{MODEL}/versions/99/infer", described(), {}, 404, "99"),
        ("/v2/nothing", b"", {}, 404, "no route"),
    ],
)
def test_failures_are_texts(send, tensors, path, body, headers, status, said):  # noqa: PLR0917 - a table
    """Clients of the protocol read `error` as a string."""
    body = body.replace(b'"text"', json.dumps(tensors[0]["name"]).encode())
    answer = send("POST", path, body, **headers)
    assert answer.status == status
    assert said in answer.json["error"]


def test_tensors_need_a_credential(shared):
    """As everything but health and the server's own description."""
    answer = shared.through_flask("GET", MODEL, headers={}, body=b"")
    assert answer.status == 401
    assert isinstance(answer.json["error"], str)
