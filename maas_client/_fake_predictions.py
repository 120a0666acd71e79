"""Predictions of a `FakeMaas`: of instances, and of tensors by the Open Inference Protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maas_client._fake_calls import answered, as_json
from maas_client.errors import UnprocessableError
from maas_client.types import ErrorDetail

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from maas_client._fake_calls import RecordedCall
    from maas_client._fake_world import Handler, Inputs, Run, World
    from maas_client._operations._operation import Answer


def check(rows: Sequence[Inputs], inputs: tuple[str, ...], *, many: bool, field: str = "instances") -> None:
    """Refuse instances that lack an input or have another, as a server does.

    Raises:
        UnprocessableError: One does; of several, each fault is told by its row.
    """
    faults = [
        ErrorDetail(code=code, message=message, param=f"{field}[{index}].{name}" if many else name)
        for index, row in enumerate(rows)
        for code, message, name in _faults(row, inputs)
    ]
    if faults:
        raise UnprocessableError(
            faults[0].message, code="invalid_input", param=faults[0].param, errors=faults if many else ()
        )


def _predict(world: World, made: RecordedCall) -> Answer:
    model, number = world.asked(made)
    body = {name: value for name, value in made.json.items() if name != "parameters"}
    many = "instances" in body
    rows = body["instances"] if many else [body]
    check(rows, model.inputs, many=many)
    reply = {
        "id": f"pred_{len(world.calls)}",
        **model.told(number),
        "device": "cpu",
        "predictions": _predictions(model.run(number), rows, many=many),
        "usage": {"instances": len(rows)},
        "timing": {"queue_ms": 0.0, "compute_ms": 0.0},
    }
    # What a server tells those who call a version by its number.
    is_numbered = made.parts.get("version", "").isdigit()
    notices = {"X-Maas-Default-Version": str(model.default)} if is_numbered else {}
    return answered(200, as_json(reply), notices)


def _predictions(run: Run, rows: Sequence[Inputs], *, many: bool) -> list[Mapping[str, Any]]:
    predictions, faults = [], []
    for index, row in enumerate(rows):
        try:
            predictions.append(run(row))
        except UnprocessableError as error:
            if not many or error.code == "too_many_instances":
                raise
            param = f"instances[{index}]" + (f".{error.param}" if error.param else "")
            faults.append(ErrorDetail(code=error.code or "invalid_input", message=error.message, param=param))
    if faults:
        first = faults[0]
        raise UnprocessableError(first.message, code=first.code, param=first.param, errors=faults)
    return predictions


def _infer(world: World, made: RecordedCall) -> Answer:
    from maas_client import _open_inference as protocol
    from maas_client._tensors import tensor_of

    model = world.model(made.parts["model"])
    if model.infer is None:
        raise AssertionError(f"FakeMaas has no tensors for {made.parts['model']!r}; pass infer= to add_model")
    request = protocol.read_request(made.content, made.headers)
    outputs = model.infer({name: tensor.array for name, tensor in request.inputs.items()})
    reply = protocol.InferReply(
        [tensor_of(name, value) for name, value in outputs.items()],
        model_name=made.parts["model"],
        model_version=str(model.number(made.parts.get("version", "default"))),
    )
    message = protocol.write_reply(reply, request)
    return answered(200, message.body, message.headers)


def _faults(row: Inputs, inputs: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    for name in inputs:
        if name not in row:
            yield "missing_input", f"the input {name!r} is missing", name
    for name in row:
        if name not in inputs:
            yield "unknown_input", f"the model has no input {name!r}", name


ROUTES: Mapping[str, Handler] = {
    "POST /v1/models/{model}/predict": _predict,
    "POST /v1/models/{model}/versions/{version}/predict": _predict,
    "POST /v2/models/{model}/infer": _infer,
    "POST /v2/models/{model}/versions/{version}/infer": _infer,
}
