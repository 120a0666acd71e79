"""Predict: from a request's bytes to a model's answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import orjson

from reference_server.errors import InvalidRequest, Unprocessable
from reference_server.http import bodies
from reference_server.http.endpoints import Routes
from reference_server.http.exchange import Answer, Call, Cold
from reference_server.http.inference import Pending, Times
from reference_server.http.notices import with_notices
from reference_server.runtime.tasks.image_inputs import IMAGE, MEDIA_TYPES
from reference_server.runtime.tasks.outputs import check_finite
from reference_server.runtime.work import TaskWork

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reference_server.runtime.pool import LoadedModel
    from reference_server.runtime.tasks import Outputs

routes = Routes("predict")

JsonObject: TypeAlias = "dict[str, object]"
_HEADERS = {"content-type": "application/json", "cache-control": "no-store"}


@routes.route("POST", "/v1/models/<model>/predict", access="predict", inference=True)
def predict(call: Call, model: str, body: bytes) -> Pending:
    """Run the `default` version of a model on one instance, or on many under `instances`."""
    return _predict(call, model, None, body)


@routes.route("POST", "/v1/models/<model>/versions/<version>/predict", access="predict", inference=True)
def predict_version(call: Call, model: str, version: str, body: bytes) -> Pending:
    """Run one version, by its number, an alias or `latest`."""
    return _predict(call, model, version, body)


def _predict(call: Call, model: str, selector: str | None, body: bytes) -> Pending:
    services = call.services
    began = services.timer()
    instances, parameters, single = _read(body, call)
    target, loaded = services.serve(call, model, selector)
    call.capture = target.capture
    if call.may_wait == "nothing" and len(body) > loaded.quickly_decoded_bytes:
        raise Cold

    def work(other: LoadedModel) -> TaskWork:
        return TaskWork(other.task, other.task.decode(instances, parameters, single=single))

    device = loaded.runner.device

    def encode(outputs: Outputs, times: Times) -> Answer:
        reply = {
            "id": services.new_prediction_id(),
            "model": target.model,
            "version": target.version,
            "digest": target.digest,
            "device": device,
            "predictions": loaded.task.encode(outputs),
            "usage": {"instances": len(instances)},
            "timing": {
                "queue_ms": _milliseconds(began - call.request.received + times.queue),
                "compute_ms": _milliseconds(times.compute),
            },
        }
        content = orjson.dumps(reply, option=orjson.OPT_SERIALIZE_NUMPY)
        # orjson writes what JSON cannot carry as null, which is found faster in the text than in the numbers.
        if b"null" in content:
            for tensor in outputs.tensors.values():
                check_finite(tensor)
        return Answer(200, with_notices(_HEADERS, target), content)

    key = (target.exact, target.version, device)
    return Pending(key, loaded, work(loaded), encode, began, services.timer(), work)


def _read(body: bytes, call: Call) -> tuple[Sequence[object], Mapping[str, object], bool]:
    headers = call.request.headers
    if headers.get("content-type", "") in MEDIA_TYPES:
        bodies.require_identity(headers)
        return [{IMAGE: body}], {}, True
    value = bodies.json_value(body, headers)
    if not isinstance(value, dict):
        raise InvalidRequest(
            "the body must be a JSON object: the model's inputs by name, or `instances`", code="invalid_json"
        )
    parameters = value.pop("parameters", {})
    if not isinstance(parameters, dict):
        raise Unprocessable("parameters must be an object", code="wrong_type", param="parameters")
    if "instances" not in value:
        return [value], parameters, True
    instances = value.pop("instances")
    _check_instances(instances, value, call.services.settings.max_instances)
    return instances, parameters, False


def _check_instances(instances: object, beside: JsonObject, most: int) -> None:
    if beside:
        names = ", ".join(sorted(repr(name) for name in beside)[:5])
        raise Unprocessable(
            f"beside `instances` there may only be `parameters`, not {names[:200]}; put inputs into the "
            "instances",
            code="unknown_field",
        )
    if not isinstance(instances, list) or not instances:
        raise Unprocessable(
            "instances must be a list with at least one object", code="wrong_type", param="instances"
        )
    if len(instances) > most:
        raise Unprocessable(
            f"there are {len(instances):,} instances, a call takes at most {most:,}; send them in parts",
            code="too_many_instances",
            param="instances",
        )


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)
