"""The Open Inference Protocol, version 2: tensors in, tensors out, for clients such as `tritonclient`."""

from __future__ import annotations

from importlib.metadata import version as version_of
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from maas_client import _open_inference as protocol
from maas_client._tensors import Tensor, TensorError, tensor_of
from reference_server.errors import InvalidRequest, NotFound, Unavailable, Unprocessable
from reference_server.http import bodies
from reference_server.http import open_inference_replies as replies
from reference_server.http.endpoints import Routes
from reference_server.http.exchange import Answer, Call
from reference_server.http.inference import Pending, Times
from reference_server.http.notices import with_notices
from reference_server.runtime.work import TensorWork

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maas_client.types import TensorSpec
    from reference_server.runtime.pool import LoadedModel
    from reference_server.runtime.runner import Runner

routes = Routes("open-inference")

_EXTENSIONS = ("binary_tensor_data", "model_configuration", "model_repository", "statistics")
_JSON = {"content-type": "application/json", "cache-control": "no-store"}


@routes.route("GET", "/v2", access="open", answers={200: replies.ServerMetadata})
def server_metadata(call: Call) -> Answer:
    """Return the server's name, version and extensions."""
    return _json({"name": "maas", "version": version_of("maas-client"), "extensions": _EXTENSIONS})


@routes.route("GET", "/v2/health/live", access="open", instant=True, answers={200: replies.Live})
def live(call: Call) -> Answer:
    """Tell that the server runs."""
    return _json({"live": True})


@routes.route(
    "GET",
    "/v2/health/ready",
    access="open",
    instant=True,
    answers={200: replies.Ready},
    others={503: "It is about to stop, or all its lanes hang."},
)
def ready(call: Call) -> Answer:
    """Tell whether the server takes new work."""
    if call.services.draining.is_set():
        raise Unavailable("the server is about to stop", retry_after=1)
    if call.services.lanes.are_all_overdue:
        raise Unavailable("no run of a model ends; the server is about to be replaced", retry_after=1)
    return _json({"ready": True})


@routes.route(
    "POST",
    "/v2/models/<model>/infer",
    access="predict",
    inference=True,
    answers={200: replies.InferReply},
)
def infer(call: Call, model: str, body: bytes) -> Pending:
    """Run the `default` version of a model on tensors, JSON or binary."""
    return _infer(call, model, None, body)


@routes.route(
    "POST",
    "/v2/models/<model>/versions/<version>/infer",
    access="predict",
    inference=True,
    answers={200: replies.InferReply},
)
def infer_version(call: Call, model: str, version: str, body: bytes) -> Pending:
    """Run one version on tensors, by its number, an alias or `latest`."""
    return _infer(call, model, version, body)


def _json(content: object) -> Answer:
    return Answer(200, _JSON, orjson.dumps(content))


def _infer(call: Call, model: str, selector: str | None, body: bytes) -> Pending:
    services = call.services
    began = services.timer()
    content = bodies.uncompressed(body, call.request.headers, max_bytes=services.settings.max_body_bytes)
    try:
        request = protocol.read_request(content, call.request.headers, loads=orjson.loads)
    except TensorError as error:
        raise InvalidRequest(str(error), code="invalid_tensor") from error
    target, loaded = services.serve(call, model, selector)
    call.capture = target.capture
    runner = loaded.runner
    wanted = _wanted(request, [spec.name for spec in runner.tensors.outputs])

    def work(other: LoadedModel) -> TensorWork:
        specs = {spec.name: spec for spec in other.runner.tensors.inputs}
        return TensorWork(other.runner, _feeds(request.inputs, specs), tuple(wanted))

    def encode(results: Mapping[str, Any], _times: Times) -> Answer:
        reply = protocol.InferReply(
            [_output(name, results[name], runner) for name in wanted],
            model_name=model,
            model_version=str(target.version),
            parameters={"device": runner.device},
        )
        try:
            message = protocol.write_reply(reply, request, dumps=orjson.dumps)
        except TensorError as error:
            raise Unprocessable(
                f"{error}: ask for it with the parameter binary_data_output", code="non_finite_output"
            ) from error
        answer = _compressed(message, call.request.headers)
        answer.headers = with_notices(answer.headers, target)
        return answer

    key = (target.exact, target.version, runner.device)
    return Pending(key, loaded, work(loaded), encode, began, services.timer(), work)


def _feeds(inputs: Mapping[str, Tensor], specs: Mapping[str, TensorSpec]) -> dict[str, Any]:
    """Return what the graph is fed with.

    Raises:
        Unprocessable: An input is missing, unknown, or of another datatype or shape than the graph's.
    """
    if unknown := next((name for name in inputs if name not in specs), None):
        raise Unprocessable(
            f"the model has no input {unknown!r:.100}, it has {', '.join(specs)}", code="unknown_input"
        )
    if missing := next((name for name in specs if name not in inputs), None):
        raise Unprocessable(f"the input {missing!r} is missing", code="missing_input", param=missing)
    return {name: _fed(tensor, specs[name]) for name, tensor in inputs.items()}


def _fed(tensor: Tensor, spec: TensorSpec) -> Any:  # noqa: ANN401 - an array, as ONNX Runtime takes it
    fits = len(tensor.shape) == len(spec.shape) and all(
        expected in (-1, given) for expected, given in zip(spec.shape, tensor.shape, strict=True)
    )
    if tensor.datatype != spec.datatype or not fits:
        raise Unprocessable(
            f"the input {spec.name!r} is {tensor.datatype} of shape {tensor.shape}, the model takes "
            f"{spec.datatype} of shape {spec.shape}, -1 being any size",
            code="wrong_type" if fits else "wrong_shape",
            param=spec.name,
        )
    return _texts(tensor) if tensor.datatype == "BYTES" else tensor.array


def _texts(tensor: Tensor) -> Any:  # noqa: ANN401 - an object array of texts
    try:
        texts = [item.decode() for item in tensor.array.ravel().tolist()]
    except UnicodeDecodeError as error:
        raise Unprocessable(
            f"the input {tensor.name!r} holds bytes that are no UTF-8", code="invalid_text", param=tensor.name
        ) from error
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    return array.reshape(tensor.array.shape)


def _wanted(request: protocol.InferRequest, names: list[str]) -> list[str]:
    for name in request.outputs or ():
        if name not in names:
            raise NotFound(
                f"the model has no output {name!r:.100}, it has {', '.join(names)}", code="no_output"
            )
    return [*request.outputs] if request.outputs else names


def _output(name: str, array: Any, runner: Runner) -> Tensor:  # noqa: ANN401 - as ONNX Runtime returns it
    tensor = tensor_of(name, array)
    # What numpy lacks comes back wider; the signature knows what it is.
    kind = next(spec.datatype for spec in runner.tensors.outputs if spec.name == name)
    return tensor if tensor.datatype == kind else Tensor(name, kind, tensor.array)


def _compressed(message: protocol.Message, asked: Mapping[str, str]) -> Answer:
    """Return a reply as gzip or deflate where the caller prefers that, as Triton's clients may."""
    headers = {**_lowered(message.headers), "cache-control": "no-store"}
    encoding = bodies.preferred_encoding(asked)
    if encoding is None:
        return Answer(200, headers, message.body)
    body = bodies.compressed(message.body, encoding)
    return Answer(200, {**headers, "content-encoding": encoding, "vary": "accept-encoding"}, body)


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
