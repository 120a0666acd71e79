"""Predict: from a request's bytes to a model's answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import orjson

from reference_server.errors import InvalidRequest, Unprocessable
from reference_server.http import bodies
from reference_server.http.endpoints import Routes
from reference_server.http.exchange import Answer, Call

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reference_server.registry.versions import ServingTarget
    from reference_server.runtime.pool import LoadedModel

routes = Routes("predict")

JsonObject: TypeAlias = "dict[str, object]"
_HEADERS = {"content-type": "application/json", "cache-control": "no-store"}


@routes.route("POST", "/v1/models/<model>/predict", access="predict", inference=True)
def predict(call: Call, model: str, body: bytes) -> Answer:
    """Run the `default` version of a model on one instance, or on many under `instances`."""
    return _predict(call, model, None, body)


@routes.route("POST", "/v1/models/<model>/versions/<version>/predict", access="predict", inference=True)
def predict_version(call: Call, model: str, version: str, body: bytes) -> Answer:
    """Run one version, by its number, an alias or `latest`."""
    return _predict(call, model, version, body)


def _predict(call: Call, model: str, selector: str | None, body: bytes) -> Answer:
    services = call.services
    started = services.timer()
    instances, parameters, single = _read(body, call)
    target = services.targets(call.by, model, selector)
    loaded = services.load(target)
    batch = loaded.task.decode(instances, parameters, single=single)
    begun = services.timer()
    outputs = loaded.task.predict(batch, deadline=call.deadline)
    ended = services.timer()
    reply = {
        "id": services.new_prediction_id(),
        **_provenance(target, loaded),
        "predictions": loaded.task.encode(outputs),
        "usage": {"instances": len(instances)},
        "timing": {
            "queue_ms": _milliseconds(started - call.request.received),
            "compute_ms": _milliseconds(ended - begun),
        },
    }
    return Answer(200, _HEADERS, orjson.dumps(reply))


def _read(body: bytes, call: Call) -> tuple[Sequence[object], Mapping[str, object], bool]:
    value = bodies.json_value(body, call.request.headers)
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


def _provenance(target: ServingTarget, loaded: LoadedModel) -> JsonObject:
    return {
        "model": target.model,
        "version": target.version,
        "digest": target.digest,
        "device": loaded.runner.device,
    }


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)
