"""The Open Inference Protocol, version 2, over HTTP: requests and replies as pure functions, both directions.

Written after the protocol's "Inference Protocol - Version 2" and its binary tensor data extension: a body is
either JSON, or JSON followed by the raw tensors in the order of their descriptions, with the length of the
JSON in `Inference-Header-Content-Length`. The SDK writes requests and reads replies, a server does the rest.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from maas_client._tensors import Tensor, TensorError, from_bytes, from_json, to_bytes, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

JSON_LENGTH: Final = "Inference-Header-Content-Length"
_BINARY_SIZE = "binary_data_size"


@dataclass(frozen=True, slots=True)
class Message:
    """A body and the headers that describe it."""

    body: bytes = field(repr=False)
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class InferRequest:
    """What a client asks for.

    Args:
        inputs: The input tensors by name.
        outputs: Which outputs are wanted, and each one's own parameters; None for all of them.
        parameters: Those of the whole request.
        id: What the reply is to repeat; None when none was given.
    """

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Mapping[str, Any]] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    id: str | None = None

    def wants_binary(self, output: str) -> bool:
        """Whether an output goes as a binary tensor: its own `binary_data`, else `binary_data_output`."""
        own = (self.outputs or {}).get(output, {}).get("binary_data")
        return bool(self.parameters.get("binary_data_output", False) if own is None else own)


@dataclass(frozen=True, slots=True)
class InferReply:
    """What a server answers.

    Args:
        outputs: The output tensors, in their order.
        model_name: The model that answered.
        model_version: Its version, where the server tells.
        id: The request's own, where it had one.
        parameters: Whatever else the server tells.
    """

    outputs: Sequence[Tensor]
    model_name: str | None = None
    model_version: str | None = None
    id: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


def write_request(request: InferRequest, *, binary: bool) -> Message:
    """Return a request on its way, with its tensors binary or in its JSON.

    Raises:
        TensorError: A tensor cannot go that way.
    """
    described, raw = _described(request.inputs.values(), lambda _: binary)
    content: dict[str, Any] = {"inputs": described}
    if request.id is not None:
        content["id"] = request.id
    parameters = {**request.parameters, **({"binary_data_output": True} if binary else {})}
    if parameters:
        content["parameters"] = parameters
    if request.outputs is not None:
        form = {"binary_data": True} if binary else {}
        content["outputs"] = [_wanted(name, {**form, **own}) for name, own in request.outputs.items()]
    return _message(content, raw, _dumps)


def read_request(
    body: bytes, headers: Mapping[str, str], *, loads: Callable[[bytes], Any] | None = None
) -> InferRequest:
    """Read a request.

    Args:
        body: All of it.
        headers: Those of the request.
        loads: Reads JSON, as a faster library may; it refuses NaN, and nesting that it cannot bear.

    Raises:
        TensorError: It is malformed; the message names what.
    """
    content, raw = _split(body, headers, loads or _loads)
    inputs = _read_tensors(content.get("inputs"), raw, "inputs")
    if not inputs:
        raise TensorError("inputs is empty; a request has at least one")
    return InferRequest(
        inputs=_by_name(inputs, "inputs"),
        outputs=_read_wanted(content.get("outputs")),
        parameters=_object(content.get("parameters"), "parameters"),
        id=_optional_text(content.get("id"), "id"),
    )


def write_reply(
    reply: InferReply, request: InferRequest, *, dumps: Callable[[object], bytes] | None = None
) -> Message:
    """Return the reply to a request, each output in the form that it asked for.

    Args:
        reply: What to write.
        request: What it answers.
        dumps: Writes JSON, as a faster library may.

    Raises:
        TensorError: An output cannot go in that form.
    """
    described, raw = _described(reply.outputs, request.wants_binary)
    content: dict[str, Any] = {"model_name": reply.model_name, "model_version": reply.model_version}
    content = {name: value for name, value in content.items() if value is not None}
    if request.id is not None:
        content["id"] = request.id
    if reply.parameters:
        content["parameters"] = dict(reply.parameters)
    return _message({**content, "outputs": described}, raw, dumps or _dumps)


def read_reply(body: bytes, headers: Mapping[str, str]) -> InferReply:
    """Read a reply.

    Raises:
        TensorError: It is malformed; the message names what.
    """
    content, raw = _split(body, headers, _loads)
    outputs = _read_tensors(content.get("outputs"), raw, "outputs")
    _by_name(outputs, "outputs")
    return InferReply(
        outputs=outputs,
        model_name=_optional_text(content.get("model_name"), "model_name"),
        model_version=_optional_text(content.get("model_version"), "model_version"),
        id=_optional_text(content.get("id"), "id"),
        parameters=_object(content.get("parameters"), "parameters"),
    )


def _described(
    tensors: Iterable[Tensor],
    is_binary: Callable[[str], bool],
) -> tuple[list[dict[str, Any]], list[bytes | memoryview]]:
    described, raw = [], []
    for tensor in tensors:
        entry: dict[str, Any] = {
            "name": tensor.name,
            "shape": tensor.shape,
            "datatype": tensor.datatype,
        }
        if is_binary(tensor.name):
            data = to_bytes(tensor)
            entry["parameters"] = {_BINARY_SIZE: len(data)}
            raw.append(data)
        else:
            entry["data"] = to_json(tensor)
        described.append(entry)
    return described, raw


def _message(
    content: Mapping[str, Any],
    raw: Sequence[bytes | memoryview],
    dumps: Callable[[object], bytes],
) -> Message:
    try:
        head = dumps(content)
    except (TypeError, ValueError) as error:
        raise TensorError(f"the parameters cannot be written as JSON: {error}") from error
    if not raw:
        return Message(head, {"Content-Type": "application/json"})
    return Message(
        b"".join([head, *raw]), {"Content-Type": "application/octet-stream", JSON_LENGTH: str(len(head))}
    )


def _loads(text: bytes) -> Any:  # noqa: ANN401 - any JSON value
    return json.loads(text, parse_constant=_no_constant)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON; binary tensors carry it")


def _dumps(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _split(
    body: bytes, headers: Mapping[str, str], loads: Callable[[bytes], Any]
) -> tuple[dict[str, Any], memoryview]:
    given = headers.get(JSON_LENGTH, headers.get(JSON_LENGTH.lower()))
    length = len(body) if given is None else _length(given, len(body))
    try:
        content = loads(body[:length])
    except (ValueError, RecursionError) as error:
        raise TensorError(f"the message is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise TensorError("the message is JSON, but no object")
    return content, memoryview(body)[length:]


def _length(text: str, most: int) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) < len(str(2**63)) and int(text) <= most):
        raise TensorError(
            f"{JSON_LENGTH} is {text!r:.40}, expected the bytes of the JSON, at most the {most:,} of the body"
        )
    return int(text)


def _read_tensors(entries: object, raw: memoryview, where: str) -> list[Tensor]:
    if not isinstance(entries, list):
        raise TensorError(f"{where} is no list of tensors")
    tensors, at = [], 0
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or not isinstance(name := entry.get("name"), str):
            raise TensorError(f"{where}[{number}] is no object with a name")
        size = _object(entry.get("parameters"), f"{where}[{number}].parameters").get(_BINARY_SIZE)
        if size is None:
            tensors.append(from_json(name, entry.get("datatype"), entry.get("shape"), entry.get("data")))
            continue
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(raw) - at:
            raise TensorError(
                f"{name!r} has the {_BINARY_SIZE} {size!r:.40}, and {len(raw) - at:,} bytes are left"
            )
        tensors.append(from_bytes(name, entry.get("datatype"), entry.get("shape"), raw[at : at + size]))
        at += size
    if at != len(raw):
        raise TensorError(f"the body has {len(raw) - at:,} bytes after its last tensor")
    return tensors


def _by_name(tensors: Sequence[Tensor], where: str) -> dict[str, Tensor]:
    named = {tensor.name: tensor for tensor in tensors}
    if len(named) != len(tensors):
        twice = next(t.name for i, t in enumerate(tensors) if any(t.name == o.name for o in tensors[:i]))
        raise TensorError(f"{where} has {twice!r} twice")
    return named


def _wanted(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, **({"parameters": dict(parameters)} if parameters else {})}


def _read_wanted(entries: object) -> dict[str, Mapping[str, Any]] | None:
    if entries is None:
        return None
    if not isinstance(entries, list):
        raise TensorError("outputs is no list")
    wanted: dict[str, Mapping[str, Any]] = {}
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or not isinstance(name := entry.get("name"), str):
            raise TensorError(f"outputs[{number}] is no object with a name")
        if name in wanted:
            raise TensorError(f"outputs has {name!r} twice")
        wanted[name] = _object(entry.get("parameters"), f"outputs[{number}].parameters")
    return wanted or None


def _object(value: object, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise TensorError(f"{where} is no object")
    return value


def _optional_text(value: object, where: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    # Some peers send versions as numbers.
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise TensorError(f"{where} is no text")
