"""Calls of the Open Inference Protocol, to our server and to those of others."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from maas_client._operations import _names
from maas_client._operations._contract import reader
from maas_client._operations._operation import Operation, fill, nothing, unexpected
from maas_client.errors import ArgumentError, InvalidReplyError, MaasError, describe_validation
from maas_client.predictions import InferResult
from maas_client.types import ModelMetadata, RepositoryEntry, ServerMetadata

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from maas_client._operations._operation import Answer

_MODEL = "/v2/models/{model}"
_VERSION = "/v2/models/{model}/versions/{version}"
# What peers answer to a body that they cannot read; MLServer's is a defect of its own.
_MISREAD = frozenset({400, 415, 422, 500})
_entries = TypeAdapter(list[RepositoryEntry])


def server_metadata() -> Operation[ServerMetadata]:
    """Ask what the server is."""
    return Operation(
        method="GET", template="/v2", path="/v2", read=reader(ServerMetadata), credential="optional"
    )


def health(what: str) -> Operation[None]:
    """Ask whether the server is `live` or `ready`."""
    path = f"/v2/health/{what}"
    return Operation(method="GET", template=path, path=path, read=nothing, credential="optional")


def model_metadata(model: str, *, version: int | str | None) -> Operation[ModelMetadata]:
    """Ask for a model's tensors."""
    template, path = _path(model, version)
    return Operation(
        method="GET", template=template, path=path, read=reader(ModelMetadata), credential="optional"
    )


def model_ready(model: str, *, version: int | str | None) -> Operation[None]:
    """Ask whether a model can be called."""
    template, path = _path(model, version, "/ready")
    return Operation(method="GET", template=template, path=path, read=nothing, credential="optional")


def index() -> Operation[list[RepositoryEntry]]:
    """Ask for the models in the server's repository."""
    path = "/v2/repository/index"
    return Operation(
        method="POST", template=path, path=path, body=b"{}", read=_read_index, credential="optional"
    )


def model_list() -> Operation[list[RepositoryEntry]]:
    """Ask KServe for its models."""
    path = "/v2/models"
    return Operation(method="GET", template=path, path=path, read=_read_index, credential="optional")


def infer(
    model: str,
    inputs: Mapping[str, object],
    *,
    version: int | str | None,
    outputs: Sequence[str] | None,
    parameters: Mapping[str, object] | None,
    binary: bool,
    metadata: ModelMetadata | None,
    is_trial: bool = False,
) -> Operation[InferResult]:
    """Run a model on tensors.

    Args:
        model: The model's name.
        inputs: Arrays by name; nested lists where `metadata` tells their datatypes.
        version: A version, or the server's own choice.
        outputs: Which outputs to return; all of them by default.
        parameters: Those of the whole request.
        binary: Whether tensors go and come in binary form.
        metadata: What the model takes, for inputs that are no arrays.
        is_trial: Whether the peer may fail on it, having no binary tensors.
    """
    from maas_client import _open_inference, _tensors

    datatypes = {spec.name: spec.datatype for spec in (metadata.inputs or ())} if metadata else {}
    try:
        request = _open_inference.InferRequest(
            inputs={
                name: _tensors.tensor_of(name, value, datatypes.get(name)) for name, value in inputs.items()
            },
            outputs={key: {} for key in outputs} if outputs is not None else None,
            parameters=dict(parameters or {}),
            # KServe fails without one.
            id=uuid.uuid4().hex,
        )
        message = _open_inference.write_request(request, binary=binary)
    except _tensors.TensorError as error:
        raise ArgumentError(str(error)) from None

    def read(answer: Answer) -> InferResult:
        try:
            return InferResult(_open_inference.read_reply(answer.body, answer.headers))
        except _tensors.TensorError as error:
            raise unexpected(str(error), answer) from None

    template, path = _path(model, version, "/infer")
    headers = dict(message.headers)
    if is_trial:
        # FastAPI's servers close after a failure without a word, and the next request would be lost.
        headers["Connection"] = "close"
    return Operation(
        method="POST",
        template=template,
        path=path,
        body=message.body,
        content_type=headers.pop("Content-Type"),
        headers=headers,
        read=read,
        credential="optional",
    )


def needs_metadata(inputs: Mapping[str, object]) -> bool:
    """Tell whether an input is no array, so that the model has to tell its datatype."""
    if not inputs:
        raise ArgumentError("inputs is empty; pass the model's tensors by name, such as {'x': array}")
    return not all(hasattr(value, "dtype") for value in inputs.values())


def may_lack_binary(error: MaasError) -> bool:
    """Tell whether a refusal may mean that the peer takes no binary tensors, rather than not this caller."""
    return isinstance(error, InvalidReplyError) or error.status in _MISREAD


def _path(model: str, version: int | str | None, end: str = "") -> tuple[str, str]:
    template = (_MODEL if version is None else _VERSION) + end
    selector = "" if version is None else _names.selector(version)
    return template, fill(template, model=_names.model(model), version=selector)


def _read_index(answer: Answer) -> list[RepositoryEntry]:
    try:
        found: Any = json.loads(answer.body)
    except ValueError as error:
        raise unexpected(f"the index is not JSON: {error}", answer) from None
    # Triton sends a list, others an object around it.
    listed = found.get("models", found) if isinstance(found, dict) else found
    if isinstance(listed, list):
        listed = [{"name": entry} if isinstance(entry, str) else entry for entry in listed]
    try:
        return _entries.validate_python(listed)
    except ValidationError as error:
        raise unexpected(describe_validation(error), answer) from None
