"""What differs between two manifests, field by field, and between the metrics in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maas_client.differences import FieldDifference, MetricDifference

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from maas_client.types import Manifest, Metric

# These have parts of their own in a comparison.
_ELSEWHERE = {"labels", "metrics"}


def changed_fields(before: Manifest, after: Manifest) -> list[FieldDifference]:
    """Return the fields that have another value, in the manifest's order."""
    old = dict(_flat(before.model_dump(mode="json", exclude=_ELSEWHERE)))
    new = dict(_flat(after.model_dump(mode="json", exclude=_ELSEWHERE)))
    return [
        FieldDifference(field=name, before=old.get(name), after=new.get(name))
        for name in dict.fromkeys([*old, *new])
        if old.get(name) != new.get(name)
    ]


def changed_metrics(before: Iterable[Metric], after: Iterable[Metric]) -> list[MetricDifference]:
    """Return every metric of both, those that were measured on the same side by side."""
    old, new = _by_subject(before), _by_subject(after)
    return [
        MetricDifference(
            name=name,
            dataset=dataset,
            split=split,
            before=old.get((name, dataset, split)),
            after=new.get((name, dataset, split)),
        )
        for name, dataset, split in dict.fromkeys([*old, *new])
    ]


def _by_subject(metrics: Iterable[Metric]) -> dict[tuple[str, str, str], float]:
    return {(metric.name, metric.dataset, metric.split): metric.value for metric in metrics}


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
