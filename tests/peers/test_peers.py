"""The SDK's Open Inference surface against real MLServer, KServe and Triton processes."""

from __future__ import annotations

import asyncio
import math

import numpy as np
import pytest

from maas_client import AsyncClient, Client, errors
from maas_client._tensors import DTYPES

ONES = np.ones((1, 2), np.float32)


@pytest.fixture
def name(peer):
    return peer[0]


@pytest.fixture(params=["sync", "async"])
def ask(request, peer):
    """Return a function that makes a call with a new client of either face."""
    options = {"base_url": peer[1], "protocol": "open-inference", "proxies": {}}

    def make(act):
        if request.param == "sync":
            with Client(**options) as client:
                return act(client)
        return asyncio.run(awaited(act))

    async def awaited(act):
        async with AsyncClient(**options) as client:
            return await act(client)

    return make


def test_the_server_tells_what_it_is(ask, name):
    """Its name and version; `protocol` finds out by itself."""
    assert ask(lambda client: client.service.metadata()).name == name
    assert ask(lambda client: client.service.protocol()) == "open-inference"
    assert ask(lambda client: client.service.live()) is True
    assert ask(lambda client: client.service.ready()) is True


def test_models_are_listed_and_described(ask):
    """The index, the tensors of a model, whether it is ready; one that is not there."""
    assert "doubler" in {entry.name for entry in ask(lambda client: client.models.index())}
    metadata = ask(lambda client: client.model("doubler").metadata())
    (tensor,) = metadata.inputs
    assert (tensor.name, tensor.datatype, tensor.shape) == ("x", "FP32", [-1, 2])
    assert ask(lambda client: client.model("doubler").ready()) is True
    assert ask(lambda client: client.model("nothing").ready()) is False
    with pytest.raises(errors.NotFoundError):
        ask(lambda client: client.model("nothing").metadata())


def test_arrays_come_back_doubled(ask, name):
    """In binary form or as JSON, whichever the peer has."""
    result = ask(lambda client: client.model("doubler").infer({"x": ONES * 1.5}))
    assert result["x_twice"].tolist() == [[3.0, 3.0]]
    assert result["x_twice"].dtype == np.float32
    assert result.model == "doubler"


def test_lists_are_sent_as_the_model_takes_them(ask):
    """Python's floats become FP32, which Triton insists on."""
    result = ask(lambda client: client.model("doubler").infer({"x": [[1, 2.5]]}))
    assert (result["x_twice"].tolist(), result.datatypes) == ([[2.0, 5.0]], {"x_twice": "FP32"})


def test_an_output_can_be_chosen(ask):
    """By name."""
    result = ask(lambda client: client.model("doubler").infer({"x": ONES}, outputs=["x_twice"]))
    assert list(result) == ["x_twice"]


def test_what_is_not_finite_survives_or_is_refused(ask, name):
    """Binary tensors carry it; where there are none, nothing else is sent in its place."""
    x = np.array([[math.nan, math.inf]], np.float32)
    if name == "mlserver":
        with pytest.raises(errors.ArgumentError, match="binary tensors can"):
            ask(lambda client: client.model("doubler").infer({"x": x}))
    else:
        result = ask(lambda client: client.model("doubler").infer({"x": x}))
        np.testing.assert_array_equal(result["x_twice"], x)


@pytest.mark.parametrize("datatype", [*DTYPES, "BYTES"])
def test_every_datatype_comes_back(ask, name, datatype):
    """Of the model for that datatype with Triton, of any with the others."""
    model = f"doubler_{datatype}" if name == "triton" else "doubler"
    if datatype == "BYTES":
        if name == "kserve":
            pytest.skip("numpy adds no bytes, and this model is no more than that")
        x = np.array([["a", "ü"]], object)
        expected = [[b"aa", "üü".encode()]]
    else:
        x = np.array([[1, 0]]).astype(DTYPES[datatype])
        expected = [[1, 0]] if datatype == "BOOL" else [[2, 0]]
    result = ask(lambda client: client.model(model).infer({"x": x}))
    assert result["x_twice"].tolist() == expected
    assert result.datatypes == {"x_twice": datatype}


def test_a_refusal_is_typed_and_in_the_servers_words(ask, name):
    """Another datatype with Triton; an absent model everywhere."""
    with pytest.raises(errors.NotFoundError, match="nothing"):
        ask(lambda client: client.model("nothing").infer({"x": ONES}))
    if name == "triton":
        with pytest.raises(errors.BadRequestError, match="data-type is 'FP64'"):
            ask(lambda client: client.model("doubler").infer({"x": ONES.astype(np.float64)}))


def test_what_others_lack_is_refused_before_it_is_sent(ask):
    """With what to use instead."""
    with pytest.raises(errors.ArgumentError, match=r"use client\.model\(name\)\.infer"):
        ask(lambda client: client.predict("doubler", text="a"))
