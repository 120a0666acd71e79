"""Fine-tunes of a `FakeMaas`: a job that is done at once, and the version that comes of it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from maas_client import _fake_training
from maas_client._fake_models import new_model, new_version
from maas_client.errors import UnprocessableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from maas_client._fake_calls import RecordedCall
    from maas_client._fake_features import Embed
    from maas_client._fake_training import Training
    from maas_client._fake_world import Handler, Inputs, World
    from maas_client.types import FineTuneOptions


def _fine_tune(world: World, made: RecordedCall) -> object:
    options, parts = _fake_training.from_call(made.query, made.json)
    rows = sum(len(part.inputs) for part in parts.values())
    base = None if options.base is None else _base(world, options.base, options.base_version)
    digest = f"sha256:{hashlib.sha256(made.content + made.path.encode()).hexdigest()}"
    training = _fake_training.Training(parts, options, None if base is None else base[1])
    number, is_new = _published(world, options, training, digest)
    result = {
        "model": options.name,
        "version": number,
        "digest": digest,
        "is_new": is_new,
        "base": base and base[0],
        "data_sha256": digest.removeprefix("sha256:"),
        **training.result(),
    }
    if result["evaluation"]:
        result["evaluation"] |= {name: result[name] for name in ("model", "version", "digest")}
    interim = {name: result[name] for name in ("curve", "warnings")}
    return world.done("fine-tune", result, total=rows, unit="row", interim=interim)


def _base(world: World, name: str, selector: str | None) -> tuple[dict[str, Any], Embed]:
    """Return what is told of a base, and what makes its vectors."""
    model = world.model(name)
    number = model.number(selector or "default")
    if model.description["task"] != "embedding":
        told = f"{name!r} has the task {model.description['task']}; a base's is embedding"
        raise UnprocessableError(told, code="base_not_embedding", param="base")
    run = model.run(number)

    def embed(inputs: Inputs) -> Sequence[float]:
        vector: Sequence[float] = run(inputs)["embedding"]
        return vector

    return {**model.told(number), "model": name}, embed


def _published(world: World, options: FineTuneOptions, training: Training, digest: str) -> tuple[int, bool]:
    """Put what was trained into the catalogue, unless it is there; return its number and which."""
    name, inputs = options.name.rpartition("~")[2], list(training.parts["train"].inputs[0])
    if name not in world.models:
        world.models[name] = new_model(
            name,
            answer=training.answer,
            infer=None,
            labels=training.labels,
            inputs=inputs,
            task=training.task,
            versions=0,
            variants={},
            described={"visibility": options.visibility or "private"},
        )
    model = world.models[name]
    for version in model.versions:
        if version["digest"] == digest:
            return version["version"], False
    made = new_version(name, len(model.versions) + 1, training.task, training.labels, inputs)
    told = {"digest": digest, "notes": options.notes, "origin": "trained"}
    number = model.published({**made, **told}, training.answer)
    if number == 1 or options.set_default:
        model.move_default(number)
    return number, True


ROUTES: Mapping[str, Handler] = {
    "POST /v1/fine-tunes": _fine_tune,
    "POST /v1/fine-tunes/large": _fine_tune,
}
