"""Explanations of a `FakeMaas`: in a call, or by a job, which is done at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maas_client._fake_predictions import check
from maas_client._fake_shapley import Explainer, importance

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maas_client._fake_calls import RecordedCall
    from maas_client._fake_world import Handler, Inputs, World


def _explain(world: World, made: RecordedCall) -> object:
    return _explanation(world, made, made.json["inputs"], made.parts.get("version", "default"))


def _explain_many(world: World, made: RecordedCall) -> object:
    version = made.query.get("version", "default")
    told = [_explanation(world, made, row, version) for row in made.json["inputs"]]
    result = {
        **{name: told[0][name] for name in ("model", "version", "digest", "device")},
        "rows": len(told),
        "explanations": told,
        "importance": importance(told),
        "evaluations": sum(each["evaluations"] for each in told),
    }
    return world.done("explain", result, total=len(told), unit="row")


def _explanation(world: World, made: RecordedCall, inputs: Inputs, version: str) -> dict[str, Any]:
    model = world.model(made.parts["model"])
    number = model.number(version)
    check([inputs], model.inputs, many=False)
    explain = Explainer(model.run(number), made.json)
    return {
        "id": f"expl_{len(world.calls)}",
        **model.told(number),
        "device": "cpu",
        **explain(inputs),
    }


ROUTES: Mapping[str, Handler] = {
    "POST /v1/models/{model}/explain": _explain,
    "POST /v1/models/{model}/versions/{version}/explain": _explain,
    "POST /v1/models/{model}/explanations": _explain_many,
}
