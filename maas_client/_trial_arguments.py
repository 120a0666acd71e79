"""What may be asked of a recommendation, checked before anything is called."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from maas_client.errors import ArgumentError


def rows(values: object, name: str) -> list[Any]:
    """Return a series as a list; a text or a mapping is one thing and no series."""
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise ArgumentError(f"{name} is {_shown(values)}; pass a list, with one for each row")
    return [*values]


def names(candidates: object) -> list[str] | None:
    """Return the names of candidates, each once; a single text is no list of names."""
    if candidates is None:
        return None
    if isinstance(candidates, str) or not isinstance(candidates, Iterable):
        raise ArgumentError(
            f"candidates is {_shown(candidates)}; pass a list of models' names, such as "
            f"candidates=[{candidates if isinstance(candidates, str) else 'name'!r:.100}]"
        )
    return [*dict.fromkeys(candidates)]


def milliseconds(value: object) -> float | None:
    """Return a limit in milliseconds when it is a number above 0."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ArgumentError(f"max_latency_ms is {_shown(value)}; pass milliseconds above 0, or None for any")
    return value


def label_map(given: object) -> dict[str, str]:
    """Return a map from a model's labels to a sample's when it is one of texts."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ArgumentError(f"label_map is {_shown(given)}; pass a dict, such as {{'POS': 'positive'}}")
    for theirs, yours in given.items():
        if not isinstance(theirs, str) or not isinstance(yours, str):
            raise ArgumentError(f"label_map has {theirs!r:.100}: {yours!r:.100}; both must be texts")
    return dict(given)


def _shown(value: object) -> str:
    return f"{value!r:.100}"
