"""The Open Inference Protocol's view of models: metadata, state, configuration, statistics, the repository.

The last three are Triton's extensions "model configuration", "statistics" and "model repository".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from maas_client.types import PageQuery
from reference_server.errors import InvalidRequest, Unavailable, Unprocessable
from reference_server.http import bodies
from reference_server.http import open_inference_replies as replies
from reference_server.http.endpoints import Routes
from reference_server.http.exchange import Answer, Call
from reference_server.registry import models, versions
from reference_server.runtime.batch_invariance import rows_first
from reference_server.runtime.pool import State, model_unloaded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from maas_client.types import TensorSpec, Version
    from reference_server.registry.versions import ServingTarget

routes = Routes("open-inference")

_MOST_LISTED = 1000
_JSON = {"content-type": "application/json", "cache-control": "no-store"}
# Triton's names of the datatypes that are not simply "TYPE_" and the protocol's.
_TYPES = {"BYTES": "TYPE_STRING"}


@routes.route("GET", "/v2/models/stats", access="models:read", answers={200: replies.ModelStatistics})
def all_statistics(call: Call) -> Answer:
    """Return what all workers counted for every model that the caller may see; times in nanoseconds."""
    return _statistics(call, versions.index(call.services.database, call.by))


@routes.route("GET", "/v2/models/<model>", access="models:read", answers={200: replies.ModelMetadata})
def model_metadata(call: Call, model: str) -> Answer:
    """Return the tensors of a model's `default` version, and its versions."""
    return _metadata(call, model, "default")


@routes.route(
    "GET", "/v2/models/<model>/versions/<version>", access="models:read", answers={200: replies.ModelMetadata}
)
def version_metadata(call: Call, model: str, version: str) -> Answer:
    """Return the tensors of one version, by its number, an alias or `latest`."""
    return _metadata(call, model, version)


@routes.route("GET", "/v2/models/<model>/ready", access="models:read", answers={200: replies.ModelReady})
def model_ready(call: Call, model: str) -> Answer:
    """Tell whether a model can be called: it is in memory, or its first call loads it."""
    return _ready(call, model, None)


@routes.route(
    "GET",
    "/v2/models/<model>/versions/<version>/ready",
    access="models:read",
    answers={200: replies.ModelReady},
)
def version_ready(call: Call, model: str, version: str) -> Answer:
    """Tell whether one version can be called."""
    return _ready(call, model, version)


@routes.route(
    "GET", "/v2/models/<model>/config", access="models:read", answers={200: replies.ModelConfiguration}
)
def model_config(call: Call, model: str) -> Answer:
    """Return how the `default` version is run, in Triton's form."""
    return _config(call, model, "default")


@routes.route(
    "GET",
    "/v2/models/<model>/versions/<version>/config",
    access="models:read",
    answers={200: replies.ModelConfiguration},
)
def version_config(call: Call, model: str, version: str) -> Answer:
    """Return how one version is run, in Triton's form."""
    return _config(call, model, version)


@routes.route("GET", "/v2/models/<model>/stats", access="models:read", answers={200: replies.ModelStatistics})
def model_statistics(call: Call, model: str) -> Answer:
    """Return what all workers counted for each version of a model; times in nanoseconds."""
    return _statistics(call, versions.index(call.services.database, call.by, model))


@routes.route(
    "GET",
    "/v2/models/<model>/versions/<version>/stats",
    access="models:read",
    answers={200: replies.ModelStatistics},
)
def version_statistics(call: Call, model: str, version: str) -> Answer:
    """Return what all workers counted for one version; times in nanoseconds."""
    return _statistics(call, [versions.serving_target(call.services.database, call.by, model, version)])


@routes.route(
    "POST",
    "/v2/repository/index",
    access="models:read",
    replayable=False,
    unaudited="it only reads",
    answers={200: replies.Index},
)
def index(call: Call, body: bytes) -> Answer:
    """List every version that the caller may see, with its state; with `{"ready": true}` the ready ones."""
    only_ready = _options(call, body).get("ready") is True
    entries = [_entry(call, target) for target in versions.index(call.services.database, call.by)]
    return _json([entry for entry in entries if entry["state"] == "READY" or not only_ready])


@routes.route(
    "POST",
    "/v2/repository/models/<model>/load",
    access="models:write",
    audit="model_loaded",
    answers={200: replies.Nothing},
)
def load(call: Call, model: str, body: bytes) -> Answer:
    """Load a model's `default` version into this worker's memory; other workers load it when it is called."""
    services = call.services
    if _options(call, body).get("parameters"):
        raise Unprocessable(
            "a model's configuration and files are those of its package; publish a version with "
            "POST /v1/models/{model}/versions",
            code="unsupported_parameter",
        )
    models.set_unloaded(services.database, call.by, model, unloaded=False)
    services.forget_targets()
    services.load(versions.serving_target(services.database, call.by, model, None))
    return _json({})


@routes.route(
    "POST",
    "/v2/repository/models/<model>/unload",
    access="models:write",
    audit="model_unloaded",
    answers={200: replies.Nothing},
)
def unload(call: Call, model: str, body: bytes) -> Answer:
    """Take a model out of memory and keep it out, in every worker within a second; runs under way finish."""
    services = call.services
    _options(call, body)
    models.set_unloaded(services.database, call.by, model, unloaded=True)
    services.forget_targets()
    for target in versions.index(services.database, call.by, model):
        services.pool.drop(target.digest)
    return _json({})


def _json(content: object) -> Answer:
    return Answer(200, _JSON, orjson.dumps(content))


def _options(call: Call, body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    value = bodies.json_value(body, {**call.request.headers, "content-type": "application/json"})
    if not isinstance(value, dict):
        raise InvalidRequest("the body must be a JSON object or empty", code="invalid_json")
    return value


def _metadata(call: Call, model: str, selector: str) -> Answer:
    database = call.services.database
    found = versions.get(database, call.by, model, selector)
    listed = versions.list_versions(database, call.by, model, PageQuery(limit=_MOST_LISTED))
    return _json(
        {
            "name": model,
            "versions": [str(each.version) for each in listed.data],
            "platform": "onnx_onnxv1",
            "inputs": [spec.model_dump() for spec in found.tensors.inputs],
            "outputs": [spec.model_dump() for spec in found.tensors.outputs],
        }
    )


def _ready(call: Call, model: str, selector: str | None) -> Answer:
    target = call.services.targets(call.by, model, selector)
    if target.unloaded:
        raise model_unloaded()
    state, reason = call.services.pool.state(target.digest)
    if state == State.FAILED:
        raise Unavailable(reason, code="model_unavailable")
    return _json({"name": model, "version": str(target.version), "ready": True})


def _entry(call: Call, target: ServingTarget) -> dict[str, str]:
    state, reason = call.services.pool.state(target.digest)
    shown = {State.LOADING: "LOADING", State.FAILED: "UNAVAILABLE"}.get(state, "READY")
    if target.retired or target.unloaded:
        shown, reason = "UNAVAILABLE", "retired" if target.retired else "unloaded"
    elif state == State.UNLOADED:
        reason = "loaded with its first call"
    return {"name": target.model, "version": str(target.version), "state": shown, "reason": reason}


def _config(call: Call, model: str, selector: str) -> Answer:
    services = call.services
    found = versions.get(services.database, call.by, model, selector)
    target = versions.serving_target(services.database, call.by, model, selector)
    serving = services.serving_options(target, found.manifest)
    shared = serving.batching and found.batch_invariant is not False and rows_first(found.tensors)
    config: dict[str, Any] = {
        "name": model,
        "platform": "onnxruntime_onnx",
        "backend": "onnxruntime",
        "version_policy": {"specific": {"versions": [found.version]}},
        "max_batch_size": serving.max_batch_rows if shared else 0,
        "input": [_tensor(spec, by_rows=shared) for spec in found.tensors.inputs],
        "output": [_tensor(spec, by_rows=shared) for spec in found.tensors.outputs],
        "instance_group": [{"name": model, "kind": _kind(found, services), "count": serving.lanes or 1}],
    }
    if shared:
        config["dynamic_batching"] = {"max_queue_delay_microseconds": round(serving.max_wait_ms * 1000)}
    return _json(config)


def _kind(found: Version, services: Any) -> str:  # noqa: ANN401 - the app's own parts
    provider = found.manifest.serving.provider or services.settings.provider
    return {"cpu": "KIND_CPU", "cuda": "KIND_GPU"}.get(provider, "KIND_AUTO")


def _tensor(spec: TensorSpec, *, by_rows: bool) -> dict[str, Any]:
    """Return a tensor in Triton's form, whose `dims` leave out the axis of rows where rows are batched."""
    kind = _TYPES.get(spec.datatype, f"TYPE_{spec.datatype}")
    return {"name": spec.name, "data_type": kind, "dims": spec.shape[1:] if by_rows else spec.shape}


def _statistics(call: Call, targets: Iterable[ServingTarget]) -> Answer:
    wanted = {(target.exact, target.version): target.model for target in targets}
    counted = call.services.metrics.statistics()
    return _json(
        {
            "model_stats": [
                statistics.in_triton_form(wanted[model, version], version)
                for (model, version, _device), statistics in sorted(counted.items())
                if (model, version) in wanted
            ]
        }
    )
