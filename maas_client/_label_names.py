"""Labels as a model calls them and as a sample does: which match, which may be meant, what differs."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from maas_client.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from maas_client.types import Model

_MOST_SHOWN = 5


def problem(labels: Sequence[str], targets: Iterable[str], label_map: Mapping[str, str]) -> str | None:
    """Return why a model's labels cannot be held against a sample's, or None when they can.

    Args:
        labels: What the model calls them.
        targets: What is right for each row.
        label_map: What labels of a model are called in the sample.
    """
    wanted = set(targets)
    missing = sorted(wanted - {label_map.get(label, label) for label in labels})
    if not missing:
        return None
    # One that matches already would no longer do so if it were called otherwise.
    free = [label for label in labels if label_map.get(label, label) not in wanted]
    told = f"it has no label {listed(missing)}, its labels are {listed(labels)}"
    meant = _meant(missing, free)
    return f"{told}; if that is what they mean, pass label_map={meant!r}" if meant else told


def check_map(label_map: Mapping[str, str], models: Collection[Model]) -> None:
    """Refuse a map that names a label which no model has.

    Raises:
        ArgumentError: Naming what the labels are.
    """
    labels = {label for model in models for label in model.labels}
    unknown = sorted(set(label_map) - labels)
    # What labels a model has that states none shows when it answers.
    if unknown and models and all(model.labels for model in models):
        raise ArgumentError(
            f"label_map names {listed(unknown)}, which is no label of any candidate; they have "
            f"{listed(labels)}; write it as {{what a model says: what your sample says}}"
        )


def listed(names: Collection[str]) -> str:
    """Return names for a message, the first few of many."""
    shown = sorted(names)[:_MOST_SHOWN]
    return ", ".join(map(repr, shown)) + (", …" if len(names) > len(shown) else "")


def _meant(missing: Sequence[str], free: Sequence[str]) -> dict[str, str]:
    """Return which free label of a model is written much like each missing one, if any is."""
    left = {label.casefold(): label for label in free}
    meant: dict[str, str] = {}
    for target in missing:
        for folded in get_close_matches(target.casefold(), left, n=1):
            meant[left.pop(folded)] = target
    return meant
