"""What of a call is captured: its inputs, its parameters and its predictions, as JSON; pure functions.

Predictions and embeddings have one form, that of `predict`, so that inputs can be sent there again. Tensors
of the Open Inference Protocol stay in its own: those in JSON as they were written, binary ones as the base64
of their bytes, so that they are exact and no larger than they need be.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from maas_client._open_inference import JSON_LENGTH
from reference_server.http import bodies
from reference_server.runtime.tasks.image_inputs import IMAGE, MEDIA_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from reference_server.http.capturing import Taken

_JSON_LENGTH = JSON_LENGTH.lower()
# What this server has written is as large as the model made it.
_MOST_REPLY_BYTES = 2**31
_BINARY_SIZE = "binary_data_size"
# What of a request's parameters tells the reply's form alone.
_OF_THE_FORM = ("binary_data_output",)


def content_of(taken: Taken, *, most_bytes: int) -> tuple[str, bytes]:
    """Return what was called, and the content of a call's record.

    Args:
        taken: The call, which was answered with status 200.
        most_bytes: What a body may have, uncompressed.
    """
    route, read = _READERS[taken.tag]
    return route, orjson.dumps(read(taken, most_bytes), option=orjson.OPT_SERIALIZE_NUMPY)


def _predict(taken: Taken, _most_bytes: int) -> dict[str, Any]:
    predictions = orjson.loads(taken.reply)["predictions"]
    if taken.headers.get("content-type", "") in MEDIA_TYPES:
        image = base64.b64encode(taken.body).decode()
        return {"inputs": [{IMAGE: image}], "predictions": predictions}
    request = orjson.loads(taken.body)
    parameters = request.pop("parameters", {})
    inputs = request.get("instances", [request])
    return {"inputs": inputs, "parameters": parameters, "predictions": predictions}


def _embed(taken: Taken, _most_bytes: int) -> dict[str, Any]:
    request, reply = orjson.loads(taken.body), orjson.loads(taken.reply)
    texts = request["input"] if isinstance(request["input"], list) else [request["input"]]
    predictions = [{"embedding": _numbers(each["embedding"])} for each in reply["data"]]
    return {"inputs": [{"text": text} for text in texts], "predictions": predictions}


def _numbers(embedding: object) -> object:
    if not isinstance(embedding, str):
        return embedding
    return np.frombuffer(base64.b64decode(embedding), "<f4")


def _infer(taken: Taken, most_bytes: int) -> dict[str, Any]:
    request, tensors = _message("inputs", taken.body, taken.headers, most_bytes)
    inputs = [_tensor(each, tensors) for each in request["inputs"]]
    reply, tensors = _message("outputs", taken.reply, taken.reply_headers, _MOST_REPLY_BYTES)
    given = request.get("parameters") or {}
    return {
        "inputs": inputs,
        "parameters": {name: value for name, value in given.items() if name not in _OF_THE_FORM},
        "predictions": [_tensor(each, tensors) for each in reply["outputs"]],
    }


def _message(
    part: str, body: bytes | bytearray, headers: Mapping[str, str], most_bytes: int
) -> tuple[Any, Iterator[bytes]]:
    """Return a message's JSON and, in their order, its binary tensors."""
    content = bodies.uncompressed(bytes(body), headers, max_bytes=most_bytes)
    length = headers.get(_JSON_LENGTH)
    end = len(content) if length is None else int(length)
    message = orjson.loads(content[:end])
    return message, _binary(message[part], content, end)


def _binary(tensors: list[dict[str, Any]], content: bytes, start: int) -> Iterator[bytes]:
    for tensor in tensors:
        if (size := _size(tensor)) is not None:
            yield content[start : start + size]
            start += size


def _tensor(tensor: Mapping[str, Any], binary: Iterator[bytes]) -> dict[str, Any]:
    told = {name: tensor[name] for name in ("name", "datatype", "shape")}
    if _size(tensor) is None:
        return {**told, "data": tensor["data"]}
    return {**told, "base64": base64.b64encode(next(binary)).decode()}


def _size(tensor: Mapping[str, Any]) -> int | None:
    size: int | None = (tensor.get("parameters") or {}).get(_BINARY_SIZE)
    return size


_READERS: dict[str, tuple[str, Callable[[Taken, int], dict[str, Any]]]] = {
    "predict": ("predict", _predict),
    "embeddings": ("embeddings", _embed),
    "open-inference": ("infer", _infer),
}
# The nouns whose calls are captured.
CAPTURED = frozenset(_READERS)
