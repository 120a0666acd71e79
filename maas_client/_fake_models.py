"""Models, versions and aliases of a `FakeMaas`, by its own routes and the Open Inference Protocol's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maas_client import _fake_catalogue
from maas_client._fake_calls import page
from maas_client._fake_world import NOW, FakeModel
from maas_client.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from maas_client._fake_calls import RecordedCall
    from maas_client._fake_world import AnswerFunction, Handler, InferFunction, Outputs, World


def new_model(
    name: str,
    *,
    answer: AnswerFunction,
    infer: InferFunction | None,
    labels: Sequence[str],
    inputs: Sequence[str],
    task: str,
    versions: int,
    variants: Mapping[str, AnswerFunction],
    described: Mapping[str, object],
) -> FakeModel:
    """Return a model; `FakeMaas.add_model` describes it."""
    return FakeModel(
        description={
            "id": name,
            "created": int(NOW.timestamp()),
            "owned_by": "fake",
            "name": name,
            "visibility": "public",
            "task": task,
            "labels": list(labels),
            "signature": _signature(inputs),
            "default_version": versions,
            "latest_version": versions,
            "updated_at": NOW.isoformat(),
            **described,
        },
        answer=answer,
        infer=infer,
        inputs=tuple(inputs),
        versions=[new_version(name, number, task, labels, inputs) for number in range(1, versions + 1)],
        default=versions,
        variants=variants,
    )


def new_version(
    name: str, number: int, task: str, labels: Sequence[str], inputs: Sequence[str]
) -> dict[str, Any]:
    """Return a version as listings tell it."""
    return {
        "model": name,
        "version": number,
        "digest": f"sha256:{number:064x}",
        "task": task,
        "size": 0,
        "notes": f"Version {number} of a fake.",
        "author": "fake",
        "created_at": NOW.isoformat(),
        "manifest": {
            "task": task,
            "description": "A fake.",
            "license": "none",
            "labels": list(labels),
            "example": dict.fromkeys(inputs, ""),
        },
        "signature": _signature(inputs),
        "tensors": {"inputs": [], "outputs": []},
    }


def function_of(answer: AnswerFunction | Outputs) -> AnswerFunction:
    """Return a function that gives the answer, which may be one already."""
    if callable(answer):
        return answer
    outputs = answer
    return lambda _: outputs


def _list_models(world: World, made: RecordedCall) -> object:
    return page(_fake_catalogue.listed((model.description for model in world.models.values()), made.query))


def _get_model(world: World, made: RecordedCall) -> object:
    return world.model(made.parts["model"]).description


def _list_versions(world: World, made: RecordedCall) -> object:
    return page(reversed(world.model(made.parts["model"]).versions))


def _get_version(world: World, made: RecordedCall) -> object:
    model, number = world.asked(made)
    return model.versions[number - 1]


def _list_aliases(world: World, made: RecordedCall) -> object:
    return page([_alias(world.model(made.parts["model"]))])


def _get_alias(world: World, made: RecordedCall) -> object:
    model = world.model(made.parts["model"])
    if made.parts["alias"] != "default":
        raise NotFoundError(f"the model has no alias {made.parts['alias']!r}", code="alias_not_found")
    return _alias(model)


def _move_alias(world: World, made: RecordedCall) -> object:
    model = world.model(made.parts["model"])
    number = model.number(str(made.json["version"]))
    if made.parts["alias"] == "default":
        model.move_default(number)
    return {**_alias(model), "name": made.parts["alias"], "version": number, "note": made.json["note"]}


def _index(world: World, _: RecordedCall) -> object:
    return [
        {"name": name, "version": str(number + 1), "state": "READY", "reason": ""}
        for name, model in world.models.items()
        for number in range(len(model.versions))
    ]


def _metadata(world: World, made: RecordedCall) -> object:
    model, _ = world.asked(made)
    versions = [str(number + 1) for number in range(len(model.versions))]
    return {"name": made.parts["model"], "versions": versions, "platform": "fake"}


def _server(_world: World, _made: RecordedCall) -> object:
    return {"name": "fake", "version": "1", "extensions": ["binary_tensor_data"]}


def _alive(_world: World, _made: RecordedCall) -> object:
    return {}


def _alias(model: FakeModel) -> dict[str, object]:
    return {"name": "default", "version": model.default, "revision": 1, "moved_at": NOW.isoformat()}


def _signature(inputs: Sequence[str]) -> dict[str, Any]:
    return {"inputs": [{"name": each, "type": "string"} for each in inputs], "outputs": []}


ROUTES: Mapping[str, Handler] = {
    "GET /v1/models": _list_models,
    "GET /v1/models/{model}": _get_model,
    "GET /v1/models/{model}/versions": _list_versions,
    "GET /v1/models/{model}/versions/{version}": _get_version,
    "GET /v1/models/{model}/aliases": _list_aliases,
    "GET /v1/models/{model}/aliases/{alias}": _get_alias,
    "PUT /v1/models/{model}/aliases/{alias}": _move_alias,
    "GET /v2": _server,
    "GET /v2/health/live": _alive,
    "GET /v2/health/ready": _alive,
    "POST /v2/repository/index": _index,
    "GET /v2/models/{model}": _metadata,
    "GET /v2/models/{model}/versions/{version}": _metadata,
    "GET /v2/models/{model}/ready": _metadata,
    "GET /v2/models/{model}/versions/{version}/ready": _metadata,
}
