"""Other people's clients and ours, on tensors, against a real server."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
import tritonclient.http as triton

import maas_client
from maas_client import errors

MODEL = "text_classification_model"


@pytest.fixture
def texts(demo):
    """Return the model's text input with three sentences, and the name of its scores."""
    with demo.client(api_key=demo.ready["api_key"]) as client:
        metadata = client.model(MODEL).metadata()
    return (
        metadata.inputs[0].name,
        np.array(["I love it.", "It is awful.", "Fine."], object),
        metadata.outputs,
    )


def expected(demo, sentences):
    with demo.client(api_key=demo.ready["api_key"]) as client:
        predictions = client.predict_batch(MODEL, [{"text": text} for text in sentences])
    return [list(prediction.scores.values()) for prediction in predictions]


def test_our_client_gets_by_tensors_what_it_gets_by_texts(demo, texts):
    """The same numbers through `/v2`, in binary form, as through `/v1`."""
    name, sentences, _ = texts
    with demo.client(api_key=demo.ready["api_key"]) as client:
        handle = client.model(MODEL)
        result = handle.infer({name: sentences})
        assert client._peer.takes_binary is True
        assert client.service.protocol() == "maas"
        assert handle.ready()
        assert MODEL in [entry.name for entry in client.models.index()]
        by_list = handle.infer({name: sentences.tolist()})
    scores = next(array for array in result.values() if array.dtype == np.float32 and array.ndim == 2)
    np.testing.assert_allclose(scores, expected(demo, sentences), rtol=1e-6)
    assert {key: value.tolist() for key, value in by_list.items()} == {
        key: value.tolist() for key, value in result.items()
    }


def test_the_asynchronous_face_does_the_same(demo, texts):
    """With a version, too."""
    name, sentences, _ = texts

    async def main():
        async with maas_client.AsyncClient(demo.ready["api_key"], demo.ready["url"], proxies={}) as client:
            return await client.model(MODEL).infer({name: sentences}, version=1)

    assert asyncio.run(main()).version == "1"


@pytest.mark.parametrize("binary", [True, False])
def test_tritonclient_works_with_a_bearer_key(demo, texts, binary):
    """Health, metadata, the index, infer in both forms, errors in our words."""
    name, sentences, outputs = texts
    headers = {"Authorization": f"Bearer {demo.ready['api_key']}"}
    client = triton.InferenceServerClient(demo.ready["url"].removeprefix("http://"))
    try:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready(MODEL, headers=headers)
        assert client.is_model_ready(MODEL, "1", headers=headers)
        assert client.get_server_metadata()["name"] == "maas"
        assert client.get_model_metadata(MODEL, headers=headers)["inputs"][0]["name"] == name
        index = client.get_model_repository_index(headers=headers)
        assert MODEL in [entry["name"] for entry in index]
        given = triton.InferInput(name, [len(sentences)], "BYTES")
        given.set_data_from_numpy(sentences, binary_data=binary)
        wanted = [triton.InferRequestedOutput(output.name, binary_data=binary) for output in outputs]
        result = client.infer(MODEL, [given], outputs=wanted, request_id="mine", headers=headers)
        assert result.get_response()["id"] == "mine"
        floats = [output.name for output in outputs if output.datatype == "FP32"]
        np.testing.assert_allclose(result.as_numpy(floats[-1]), expected(demo, sentences), rtol=1e-6)
        wrong = triton.InferInput("nothing", [1], "BYTES")
        wrong.set_data_from_numpy(sentences[:1])
        with pytest.raises(triton.InferenceServerException, match="no input 'nothing'"):
            client.infer(MODEL, [wrong], headers=headers)
    finally:
        client.close()


def test_no_key_no_tensors(demo, texts):
    """The protocol is no way around the key."""
    name, sentences, _ = texts
    client = maas_client.Client(base_url=demo.ready["url"], protocol="open-inference", proxies={})
    with client, pytest.raises(errors.AuthenticationError):
        client.model(MODEL).infer({name: sentences})
