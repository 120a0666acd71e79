"""The filters and the order of a catalogue in memory, as `FakeMaas` lists it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maas_client.types import Model

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# The filters by a figure, and what they look at.
_LIMITS = {"max_latency_ms": "latency", "min_accuracy": "accuracy", "max_size_bytes": "size"}


def listed(descriptions: Iterable[Mapping[str, Any]], query: Mapping[str, str]) -> list[Model]:
    """Return the models that a query of `GET /v1/models` finds, in its order."""
    models = [Model.model_validate(each) for each in descriptions]
    found = [model for model in models if _is_meant(model, query)]
    sort = query.get("sort", "name")
    having = [model for model in found if _figure(model, sort) is not None]
    having.sort(key=lambda model: _figure(model, sort), reverse=sort.startswith("-"))
    return having + [model for model in found if _figure(model, sort) is None]


def _is_meant(model: Model, query: Mapping[str, str]) -> bool:
    text = "\n".join((model.name, model.description, *model.tags)).casefold()
    tags = {tag for tag in query.get("tag", "").split(",") if tag}
    licence = (model.license or "").casefold()
    return (
        query.get("task") in (None, model.task)
        and query.get("owner") in (None, "me", model.owned_by)
        and query.get("license", licence).casefold() == licence
        and all(word in text for word in query.get("q", "").casefold().split())
        and tags <= set(model.tags)
        and all(_keeps(model, limit, float(query[limit])) for limit in _LIMITS if limit in query)
    )


def _keeps(model: Model, limit: str, given: float) -> bool:
    figure = _figure(model, _LIMITS[limit])
    if figure is None:
        return False
    return bool(figure >= given if limit.startswith("min") else figure <= given)


def _figure(model: Model, sort: str) -> Any:  # noqa: ANN401 - what is sorted by: a text, a time or a number
    figures: dict[str, Any] = {
        "name": model.name.lower(),
        "created": model.created,
        "updated": model.updated_at,
        "accuracy": next((each.value for each in model.metrics if each.name.lower() == "accuracy"), None),
        "latency": min((each.p50_ms for each in model.performance if each.p50_ms is not None), default=None),
        "size": model.size,
        "usage": model.usage.calls if model.usage else 0,
    }
    return figures[sort.removeprefix("-")]
