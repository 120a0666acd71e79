"""The rows on which advice is measured: instances, a data frame, or a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, TypeAlias

from maas_client import _frames, _labelled_files
from maas_client._operations import evaluate
from maas_client.errors import ArgumentError

if TYPE_CHECKING:
    from maas_client._labelled_files import Records
    from maas_client.types import TaskSignature

# Frames of pandas and polars are iterable too; what of these it is, is looked at.
Sample: TypeAlias = str | PathLike[str] | Iterable[object]


@dataclass(frozen=True, slots=True)
class Rows:
    """Instances, with the true label or value of each where those are known."""

    inputs: Sequence[Mapping[str, object]]
    targets: Sequence[object] | None


def read(
    sample: Sample | None,
    targets: Iterable[object] | None,
    label: str | None,
    signature: TaskSignature | None,
) -> Rows:
    """Return the rows.

    Args:
        sample: None for no rows.
        targets: The truth of each instance; of frames and files `label` names its column instead.
        label: Likewise.
        signature: What the model takes: it names plain values, and tells numbers from texts in a CSV file.

    Raises:
        ArgumentError: It cannot be read, columns are missing, or there are more or fewer targets than rows.
    """
    known: Sequence[object] | None = None if targets is None else list(targets)
    if sample is None:
        rows: Sequence[Mapping[str, object]] = []
    elif isinstance(sample, str | PathLike):
        rows, known = _of_records(_labelled_files.read(sample), known, label, signature)
    elif _frames.is_frame(sample):
        rows, known = _of_records(_labelled_files.of_frame(sample), known, label, signature)
    elif isinstance(sample, Mapping):
        raise ArgumentError("sample is one instance; pass a list of them, [{'text': '…'}]")
    else:
        rows = evaluate.named(list(sample), signature)
    if known is not None and len(known) != len(rows):
        raise ArgumentError(f"there are {len(known):,} targets for {len(rows):,} rows of the sample")
    return Rows(rows, known)


def _of_records(
    found: Records, targets: Sequence[object] | None, label: str | None, signature: TaskSignature | None
) -> tuple[list[Mapping[str, object]], Sequence[object] | None]:
    if label is not None and label not in found.names:
        raise ArgumentError(f"the sample has no column {label!r}, its columns are {', '.join(found.names)}")
    wanted = [spec.name for spec in signature.inputs] if signature else []
    if missing := [name for name in wanted if name not in found.names]:
        raise ArgumentError(
            f"the sample has no column {missing[0]!r}, which the model takes; its columns are "
            f"{', '.join(found.names)}"
        )
    texts = {spec.name for spec in signature.inputs if spec.type == "string"} if signature else set()
    rows = [
        {name: _cell(row, name, place, is_text=not found.are_texts or name in texts) for name in wanted}
        for row, place in zip(found.rows, found.places, strict=True)
    ]
    if label is None:
        return list(rows), targets
    # What is true of a regression is a number, which a CSV file holds as a text.
    outputs = signature.outputs if signature else []
    is_text = not found.are_texts or all(spec.name != "value" for spec in outputs)
    return list(rows), [
        _cell(row, label, place, is_text=is_text) for row, place in zip(found.rows, found.places, strict=True)
    ]


def _cell(row: Mapping[str, object], name: str, place: str, *, is_text: bool) -> object:
    value = row.get(name)
    if is_text or not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        told = f"{place}: {name!r} is {value[:40]!r}, expected a number; nothing was sent"
        raise ArgumentError(told) from None
