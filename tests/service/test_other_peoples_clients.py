"""`tritonclient` and `openai`, as their users call them, against a real server."""

from __future__ import annotations

import json

import ml_dtypes
import numpy as np
import openai
import pytest
import requests
import tritonclient.http as triton
from onnx import TensorProto, helper

KINDS = {
    "BOOL": (TensorProto.BOOL, np.bool_),
    "UINT8": (TensorProto.UINT8, np.uint8),
    "UINT16": (TensorProto.UINT16, np.uint16),
    "UINT32": (TensorProto.UINT32, np.uint32),
    "UINT64": (TensorProto.UINT64, np.uint64),
    "INT8": (TensorProto.INT8, np.int8),
    "INT16": (TensorProto.INT16, np.int16),
    "INT32": (TensorProto.INT32, np.int32),
    "INT64": (TensorProto.INT64, np.int64),
    "FP16": (TensorProto.FLOAT16, np.float16),
    "FP32": (TensorProto.FLOAT, np.float32),
    "FP64": (TensorProto.DOUBLE, np.float64),
    "BYTES": (TensorProto.STRING, np.object_),
}


def graph(onnx_model, kinds):
    """Return a graph that gives back what it gets, for each of some types."""
    tensors = [
        [helper.make_tensor_value_info(f"{side}_{kind}", kinds[kind], ["batch", 2]) for kind in kinds]
        for side in ("in", "out")
    ]
    nodes = [helper.make_node("Identity", [f"in_{kind}"], [f"out_{kind}"]) for kind in kinds]
    return onnx_model(nodes, *tensors)


def example(kinds):
    return {
        f"in_{kind}": ["a", "b"] if kind == "BYTES" else [True, False] if kind == "BOOL" else [1, 2]
        for kind in kinds
    }


@pytest.fixture
def echo(demo, package_writer, onnx_model):
    """Publish the model of all datatypes and return its name."""
    types = {kind: proto for kind, (proto, _) in KINDS.items()}
    package = package_writer(graph(onnx_model, types), task="tensor", labels=[], example=example(types))
    with demo.client(api_key=demo.ready["api_key"]) as client:
        client.models.publish(package, name="echo")
    return "echo"


@pytest.fixture
def client(demo):
    made = triton.InferenceServerClient(demo.ready["url"].removeprefix("http://"))
    yield made
    made.close()


@pytest.fixture
def headers(demo):
    return {"Authorization": f"Bearer {demo.ready['api_key']}"}


def values():
    """Return three rows of every datatype, with the extremes that binary tensors carry."""
    given = {}
    for kind, (_, dtype) in KINDS.items():
        if kind == "BYTES":
            rows = np.array([["", "é😀"], ["a\0b", "x"], ["long " * 1000, "y"]], object)
        elif kind == "BOOL":
            rows = np.array([[True, False], [False, False], [True, True]])
        elif np.issubdtype(dtype, np.integer):
            limits = np.iinfo(dtype)
            rows = np.array([[limits.min, limits.max], [0, 1], [2, 3]], dtype)
        else:
            limits = np.finfo(dtype)
            rows = np.array([[limits.min, limits.max], [0.1, -0.0], [limits.tiny, 1]], dtype)
        given[kind] = rows
    return given


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_tritonclient_carries_every_datatype(client, headers, echo, binary, compression):
    """What goes in comes out, to the last bit, in both forms, compressed and not."""
    given = values()
    if not binary:
        # Triton's client writes half-precision numbers binary only.
        del given["FP16"]
    inputs = []
    for kind in KINDS:
        rows = given.get(kind, np.zeros((3, 2), np.float16))
        tensor = triton.InferInput(f"in_{kind}", [3, 2], kind)
        tensor.set_data_from_numpy(rows, binary_data=binary or kind == "FP16")
        inputs.append(tensor)
    outputs = [triton.InferRequestedOutput(f"out_{kind}", binary_data=binary) for kind in given]
    result = client.infer(
        echo,
        inputs,
        outputs=outputs,
        headers=headers,
        request_compression_algorithm=compression,
        response_compression_algorithm=compression,
    )
    for kind, rows in given.items():
        answer = result.as_numpy(f"out_{kind}")
        if kind == "BYTES":
            answer = np.array(
                [[x.decode() if isinstance(x, bytes) else x for x in row] for row in answer], object
            )
        assert answer.dtype == rows.dtype
        np.testing.assert_array_equal(answer, rows)


def test_bfloat16_goes_through(demo, package_writer, onnx_model):
    """The one datatype that numpy lacks, by our own client."""
    kinds = {"BF16": TensorProto.BFLOAT16}
    package = package_writer(
        graph(onnx_model, kinds), task="tensor", labels=[], example={"in_BF16": [1.5, 2.0]}
    )
    given = np.array([[1.5, -3.0], [0.1, 2e38]], ml_dtypes.bfloat16)
    with demo.client(api_key=demo.ready["api_key"]) as client:
        client.models.publish(package, name="bfloat")
        result = client.model("bfloat").infer({"in_BF16": given})
        assert client.predict("bfloat", in_BF16=[1.5, 2]).outputs == {"out_BF16": [1.5, 2.0]}
    np.testing.assert_array_equal(result["out_BF16"].astype(np.float32), given.astype(np.float32))


def test_tritonclient_reads_the_configuration_and_statistics(client, headers, echo):
    """In Triton's own form; statistics grow with each call."""
    config = client.get_model_config(echo, headers=headers)
    assert (config["name"], config["max_batch_size"], config["platform"]) == (echo, 0, "onnxruntime_onnx")
    assert {"name": "in_BYTES", "data_type": "TYPE_STRING", "dims": [-1, 2]} in config["input"]
    assert client.get_model_config(echo, "1", headers=headers)["input"] == config["input"]

    def count():
        entries = client.get_inference_statistics(echo, headers=headers)["model_stats"]
        return sum(entry["inference_count"] for entry in entries), entries

    with_headers = {"headers": headers}
    inputs = []
    for kind, rows in values().items():
        tensor = triton.InferInput(f"in_{kind}", [3, 2], kind)
        tensor.set_data_from_numpy(rows)
        inputs.append(tensor)
    before, _ = count()
    client.infer(echo, inputs, **with_headers)
    after, entries = count()
    assert after == before + 3
    (entry,) = [each for each in entries if each["version"] == "1"]
    success = entry["inference_stats"]["success"]
    assert success["count"] == entry["execution_count"] >= 1
    assert success["ns"] > entry["inference_stats"]["compute_infer"]["ns"] > 0
    assert entry["batch_stats"][-1]["batch_size"] == 3
    everything = client.get_inference_statistics(headers=headers)["model_stats"]
    assert entry["name"] in [each["name"] for each in everything]


def test_tritonclient_infers_asynchronously(demo, headers, echo):
    """Several calls under way on a client's own connections, each with its own answer."""
    made = triton.InferenceServerClient(demo.ready["url"].removeprefix("http://"), concurrency=4)
    given = values()
    calls = []
    for row in range(12):
        inputs = []
        for kind in KINDS:
            tensor = triton.InferInput(f"in_{kind}", [1, 2], kind)
            rows = np.full((1, 2), row, np.int32) if kind == "INT32" else given[kind][:1]
            inputs.append(tensor.set_data_from_numpy(rows))
        wanted = [triton.InferRequestedOutput("out_INT32")]
        calls.append(made.async_infer(echo, inputs, outputs=wanted, request_id=str(row), headers=headers))
    for row, call in enumerate(calls):
        result = call.get_result()
        assert result.get_response()["id"] == str(row)
        assert result.as_numpy("out_INT32").tolist() == [[row, row]]
    made.close()


@pytest.mark.parametrize(
    "ask",
    [
        lambda client, headers: client.get_trace_settings(headers=headers),
        lambda client, headers: client.get_log_settings(headers=headers),
        lambda client, headers: client.get_system_shared_memory_status(headers=headers),
        lambda client, headers: client.get_cuda_shared_memory_status(headers=headers),
    ],
)
def test_tritonclient_is_told_what_there_is_not(client, headers, ask):
    """Extensions that the server's metadata do not name answer 404, as text."""
    with pytest.raises(triton.InferenceServerException, match="there is no route"):
        ask(client, headers)


def test_tritonclient_unloads_and_loads(client, headers, echo):
    """Unloaded models say so, are not called, and come back."""
    client.unload_model(echo, headers=headers)
    assert not client.is_model_ready(echo, headers=headers)
    states = {entry["name"]: entry for entry in client.get_model_repository_index(headers=headers)}
    assert (states[echo]["state"], states[echo]["reason"]) == ("UNAVAILABLE", "unloaded")
    tensor = triton.InferInput("in_FP32", [1, 2], "FP32")
    tensor.set_data_from_numpy(np.zeros((1, 2), np.float32))
    with pytest.raises(triton.InferenceServerException, match="is unloaded"):
        client.infer(echo, [tensor], headers=headers)
    with pytest.raises(triton.InferenceServerException, match="its package"):
        client.load_model(echo, config=json.dumps({"max_batch_size": 8}), headers=headers)
    client.load_model(echo, headers=headers)
    assert client.is_model_ready(echo, headers=headers)


def test_strangers_cannot_unload(demo, client, echo):
    """Only its owner takes a model out of memory; others do not even learn that it is there."""
    stranger = {"Authorization": f"Bearer {demo.ready['admin_key']}"}
    with pytest.raises(triton.InferenceServerException, match="no model"):
        client.unload_model(echo, headers=stranger)


@pytest.fixture
def openai_client(demo):
    with openai.OpenAI(
        api_key=demo.ready["api_key"], base_url=f"{demo.ready['url']}/v1", max_retries=0
    ) as made:
        yield made


@pytest.fixture
def embedder(demo, embedding_package):
    """Publish a small embedding model."""
    with demo.client(api_key=demo.ready["api_key"]) as client:
        client.models.publish(embedding_package, name="embedder")
    return "embedder"


def test_openai_lists_models(openai_client, embedder):
    """With what that client needs of each."""
    found = {model.id: model for model in openai_client.models.list()}
    assert found[embedder].object == "model"
    assert found[embedder].owned_by == "demo"
    assert openai_client.models.retrieve(embedder).id == embedder


@pytest.mark.parametrize("form", ["float", "base64", None])
def test_openai_embeds(demo, openai_client, embedder, form):
    """The numbers that a prediction gives, as floats and as base64, which the client asks for by itself."""
    options = {} if form is None else {"encoding_format": form}
    texts = ["good great", "bad", "a good great day"]
    raw = openai_client.embeddings.with_raw_response.create(model=embedder, input=texts, **options)
    assert raw.headers["x-maas-device"] == "cpu"
    reply = raw.parse()
    assert [each.index for each in reply.data] == [0, 1, 2]
    assert reply.usage.prompt_tokens == 4 + 3 + 6
    vectors = [each.embedding for each in reply.data]
    if form == "base64":
        import base64

        vectors = [np.frombuffer(base64.b64decode(vector), "<f4") for vector in vectors]
    with demo.client(api_key=demo.ready["api_key"]) as client:
        expected = [
            each.embedding for each in client.predict_batch(embedder, [{"text": text} for text in texts])
        ]
    np.testing.assert_allclose(vectors, expected, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)


def test_openai_reads_our_errors(openai_client, embedder):
    """Each as the exception that its users expect, with our code."""
    with pytest.raises(openai.NotFoundError) as missing:
        openai_client.embeddings.create(model="nothing", input="x")
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.UnprocessableEntityError) as wrong:
        openai_client.embeddings.create(model="text_classification_model", input="x")
    assert wrong.value.code == "wrong_task"
    with pytest.raises(openai.UnprocessableEntityError, match="dimensions"):
        openai_client.embeddings.create(model=embedder, input="x", dimensions=7)
    with pytest.raises(openai.AuthenticationError):
        openai_client.with_options(api_key="nope").embeddings.create(model=embedder, input="x")


def test_prometheus_reads_the_metrics(demo, headers, echo):
    """Operators alone; every family parses, and inference is counted by model, version and device."""
    from prometheus_client.parser import text_string_to_metric_families

    url = f"{demo.ready['url']}/metrics"
    with demo.client(api_key=demo.ready["api_key"]) as client:
        client.predict("text_classification_model", text="Good.")
    assert requests.get(url, headers=headers, timeout=10).status_code == 403
    reply = requests.get(url, headers={"Authorization": f"Bearer {demo.ready['admin_key']}"}, timeout=10)
    families = {family.name: family for family in text_string_to_metric_families(reply.text)}
    rows = {tuple(sample.labels.values()): sample.value for sample in families["maas_inference_rows"].samples}
    counted = [value for labels, value in rows.items() if "demo~text_classification_model" in labels]
    assert sum(counted) >= 1
    stages = {sample.labels["stage"] for sample in families["maas_inference_duration_seconds"].samples}
    assert stages == {"queue", "decode", "compute", "encode"}
    assert families["maas_models_loaded"].samples[0].value >= 1
    assert "process_resident_memory_bytes" in families
