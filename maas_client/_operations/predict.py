"""Calls that run a model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from maas_client._operations import _names
from maas_client._operations._contract import reader
from maas_client._operations._operation import Answer, Operation, Result, fill, unexpected
from maas_client.errors import ArgumentError
from maas_client.predictions import Prediction, Predictions
from maas_client.types import RESERVED_INPUT_NAMES, PredictReply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_PREDICT = "/v1/models/{model}/predict"
_PREDICT_VERSION = "/v1/models/{model}/versions/{version}/predict"
_read_reply = reader(PredictReply)


def predict(
    model: str,
    inputs: Mapping[str, object],
    *,
    version: int | str | None,
    parameters: Mapping[str, object] | None,
) -> Operation[Prediction]:
    """Run a model on one instance."""
    payload = dict(_instance(inputs, "the input"))
    if parameters:
        payload["parameters"] = dict(parameters)
    return _operation(model, version, as_json(payload, "the input"), _read_one)


def predict_batch(
    model: str,
    instances: Iterable[Mapping[str, object]],
    *,
    version: int | str | None,
    parameters: Mapping[str, object] | None,
) -> Operation[Predictions]:
    """Run a model on several instances at once."""
    rows = [instance_json(row, what=f"instances[{index}]") for index, row in enumerate(instances)]
    if not rows:
        raise ArgumentError("instances is empty; pass at least one, such as [{'text': '…'}]")
    return predict_rows(model, rows, version=version, parameters=parameters)


def predict_rows(
    model: str,
    rows: Sequence[bytes],
    *,
    version: int | str | None,
    parameters: Mapping[str, object] | None,
) -> Operation[Predictions]:
    """Run a model on several instances that are JSON already."""
    options = as_json({"parameters": dict(parameters)}, "parameters")[1:-1] if parameters else b""
    body = b'{"instances":[' + b",".join(rows) + b"]" + (b"," + options if options else b"") + b"}"

    def read(answer: Answer) -> Predictions:
        return Predictions.from_reply(_counted(answer, len(rows)))

    return _operation(model, version, body, read)


def instance_json(row: object, *, what: str) -> bytes:
    """Return one instance as JSON.

    Raises:
        ArgumentError: It names no inputs, or cannot be written as JSON; the message begins with `what`.
    """
    return as_json(_instance(row, what), what)


def merged(inputs: Mapping[str, object] | None, values: Mapping[str, object]) -> dict[str, object]:
    """Return the inputs given as a mapping and those given as keywords, together."""
    if inputs is None:
        return dict(values)
    if twice := sorted(inputs.keys() & values.keys()):
        raise ArgumentError(f"{twice[0]!r} is given twice, in inputs= and as a keyword; keep one")
    return {**inputs, **values}


def _operation(
    model: str,
    version: int | str | None,
    body: bytes,
    read: Callable[[Answer], Result],
) -> Operation[Result]:
    template = _PREDICT if version is None else _PREDICT_VERSION
    selector = "" if version is None else _names.selector(version)
    path = fill(template, model=_names.model(model), version=selector)
    return Operation(method="POST", template=template, path=path, body=body, read=read)


def _instance(row: object, what: str) -> Mapping[str, object]:
    from collections.abc import Mapping

    if not isinstance(row, Mapping) or not row:
        raise ArgumentError(f"{what} must name its inputs, such as {{'text': '…'}}, and is {row!r:.100}")
    for name in row:
        if not isinstance(name, str) or name in RESERVED_INPUT_NAMES:
            raise ArgumentError(f"{what}: {name!r:.100} cannot be an input's name")
    return row


def as_json(payload: object, what: str) -> bytes:
    """Return arguments as JSON, arrays and scalars of numpy, pandas and polars among them.

    Raises:
        ArgumentError: They cannot be written so; the message begins with `what`.
    """
    try:
        return json.dumps(
            payload, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_as_list
        ).encode()
    except UnicodeEncodeError:
        raise ArgumentError(
            f"{what} holds a text with half of a surrogate pair, which UTF-8 cannot carry"
        ) from None
    except (TypeError, ValueError, RecursionError) as error:
        raise ArgumentError(f"{what} cannot be written as JSON: {error}") from None


def _as_list(value: object) -> object:
    # Arrays and scalars of numpy, pandas and polars have one of these; none of them is imported for it.
    for name in ("tolist", "to_list"):
        if convert := getattr(value, name, None):
            return convert()
    raise TypeError(f"{type(value).__name__} is no JSON type; pass texts, numbers, lists or dicts")


def _read_one(answer: Answer) -> Prediction:
    return Predictions.from_reply(_counted(answer, 1))[0]


def _counted(answer: Answer, expected: int) -> PredictReply:
    reply = _read_reply(answer)
    if len(reply.predictions) != expected:
        raise unexpected(f"{len(reply.predictions)} predictions for {expected} instances", answer)
    return reply
