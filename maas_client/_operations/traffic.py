"""Calls about a model's traffic: splits, shadows, comparisons, and who served when."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from maas_client._operations import _names
from maas_client._operations._contract import build, encode, reader
from maas_client._operations._operation import Operation, fill
from maas_client.errors import ArgumentError
from maas_client.types import (
    Comparison,
    ComparisonQuery,
    Served,
    ServedQuery,
    Traffic,
    TrafficUpdate,
    TrafficWithdrawal,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_TRAFFIC = "/v1/models/{model}/traffic"
_SERVED = "/v1/models/{model}/served"
_COMPARISON = "/v1/models/{model}/comparison"


def get(model: str) -> Operation[Traffic]:
    """Ask who serves the calls that name no version."""
    path = fill(_TRAFFIC, model=_names.model(model))
    return Operation(method="GET", template=_TRAFFIC, path=path, read=reader(Traffic))


def change(
    model: str,
    splits: Mapping[int, float],
    *,
    shadows: Iterable[int],
    note: str,
    expected_revision: int | None,
    force: bool = False,
) -> Operation[Traffic]:
    """Put a split and shadows in force. With an expected revision it is not repeatable."""
    chosen = [{"version": version, "weight": weight} for version, weight in splits.items()]
    update = build(TrafficUpdate, splits=chosen, shadows=list(shadows), note=note, force=force or None)
    return _put(model, update, expected_revision)


def promote(
    model: str, version: int, *, note: str, expected_revision: int | None, force: bool
) -> Operation[Traffic]:
    """Move `default` to a version and end the split."""
    chosen = [{"version": version, "weight": 1}]
    update = build(TrafficUpdate, splits=chosen, note=note, promote=True, force=force or None)
    return _put(model, update, expected_revision)


def withdraw(model: str, *, note: str, expected_revision: int | None) -> Operation[Traffic]:
    """End the split and the shadows."""
    return Operation(
        method="DELETE",
        template=_TRAFFIC,
        path=fill(_TRAFFIC, build(TrafficWithdrawal, note=note), model=_names.model(model)),
        headers=_if_match(expected_revision),
        read=reader(Traffic),
        repeatable=expected_revision is None,
    )


def served(model: str, at: datetime | str | None) -> Operation[Served]:
    """Ask which versions served at a time."""
    moment = None if at is None else _moment(at)
    path = fill(_SERVED, build(ServedQuery, at=moment), model=_names.model(model))
    return Operation(method="GET", template=_SERVED, path=path, read=reader(Served))


def comparison(model: str, a: int, b: int, *, since: int) -> Operation[Comparison]:
    """Ask how two versions compare by live traffic."""
    path = fill(_COMPARISON, build(ComparisonQuery, a=a, b=b, since=since), model=_names.model(model))
    return Operation(method="GET", template=_COMPARISON, path=path, read=reader(Comparison))


def _moment(at: object) -> datetime:
    """Return a time with its zone, from a datetime or from text as RFC 3339 and ISO 8601 have it."""
    moment = at
    if isinstance(at, str):
        try:
            moment = datetime.fromisoformat(at)
        except ValueError:
            raise ArgumentError(
                f"at={at!r:.100} is no time; write it as '2026-11-27T09:30:00Z', or pass a datetime"
            ) from None
    if not isinstance(moment, datetime):
        raise ArgumentError(f"at={at!r:.100} is no time; pass an aware datetime, or text with its zone")
    if moment.utcoffset() is None:
        raise ArgumentError(
            f"at={at!r:.100} has no time zone; pass an aware datetime, such as datetime.now(UTC), or text "
            "that ends in Z or an offset"
        )
    return moment


def _put(model: str, update: TrafficUpdate, expected_revision: int | None) -> Operation[Traffic]:
    return Operation(
        method="PUT",
        template=_TRAFFIC,
        path=fill(_TRAFFIC, model=_names.model(model)),
        body=encode(update),
        headers=_if_match(expected_revision),
        read=reader(Traffic),
        repeatable=expected_revision is None,
    )


def _if_match(revision: int | None) -> dict[str, str]:
    return {} if revision is None else {"If-Match": f'"{revision}"'}
