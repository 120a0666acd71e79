"""Labelled rows as people have them, pairs, frames or files, made into those of the contract and checked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

from maas_client import _frames, _labelled_files
from maas_client._labelled_files import Records
from maas_client.errors import ArgumentError
from maas_client.types import MAX_LABEL_CHARACTERS, LabelledRows

if TYPE_CHECKING:
    from maas_client.types import LossName

TEXT = "text"
_PAIR = 2
_SHOWN = 3
_MOST_NAMED = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """Which columns of a table are what, and what the labels are.

    Args:
        text: The column of texts.
        label: The column of what is true.
        columns: The columns of numbers.
        loss: `mse` for numbers in the place of labels.
    """

    text: str | None = None
    label: str = "label"
    columns: Sequence[str] | None = None
    loss: LossName = "cross_entropy"


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows as the contract has them, `inputs[i]` with `targets[i]`."""

    inputs: list[dict[str, object]]
    targets: list[object]

    def __len__(self) -> int:
        return len(self.inputs)


def read(source: object, meaning: Meaning, *, part: str) -> Rows:
    """Return the rows of whatever holds them.

    Args:
        source: Pairs of an input and a label, a data frame, the path of a file, what was read of one, or
            `LabelledRows`.
        meaning: What its columns are.
        part: Its name in errors: `train`, `validation` or `test`.

    Raises:
        ArgumentError: A row cannot be learnt from; it is named.
    """
    rows, places = _rows(source, meaning, part)
    if not rows.inputs:
        raise ArgumentError(f"{part} has no rows; give pairs such as [('A lovely day.', 'positive'), …]")
    # What is wrong with several rows is mostly wrong with them all: some are shown, and how many more.
    faults = [
        f"{place}: {fault}"
        for place, row, target in zip(places, rows.inputs, rows.targets, strict=True)
        if (fault := _fault(row, rows.inputs[0], target, meaning.loss)) is not None
    ]
    if faults:
        more = f"; and {len(faults) - _SHOWN:,} rows more" if len(faults) > _SHOWN else ""
        raise ArgumentError(f"{part} {'; '.join(faults[:_SHOWN])}{more}; nothing was sent")
    return rows


def check_parts(parts: Mapping[str, Rows], loss: LossName) -> None:
    """Refuse labels that cannot be told apart, or that the training rows do not have.

    Raises:
        ArgumentError: Naming the part and the label.
    """
    if loss == "mse":
        return
    known = {str(target) for target in parts["train"].targets}
    if len(known) == 1:
        raise ArgumentError(
            f"all rows of train have the label {known.pop()!r}; give rows of two labels at least"
        )
    for part, rows in parts.items():
        for number, target in enumerate(rows.targets):
            if target not in known:
                shown = ", ".join(sorted(known))[:_MOST_NAMED]
                raise ArgumentError(
                    f"{part} row {number}: the label {target!r} is none of those of train, which are {shown}"
                )


def _rows(source: object, meaning: Meaning, part: str) -> tuple[Rows, Sequence[str]]:
    if isinstance(source, LabelledRows):
        return _of_contract(source, part)
    if isinstance(source, Records):
        return _of_records(source, meaning, part)
    if _frames.is_frame(source):
        return _of_records(_labelled_files.of_frame(source), meaning, part)
    if isinstance(source, str | PathLike):
        return _of_records(_labelled_files.read(source), meaning, part)
    if not isinstance(source, Iterable) or isinstance(source, Mapping | bytes):
        raise ArgumentError(
            f"{part} is a {type(source).__name__}; pass pairs, [('A lovely day.', 'positive'), …], a data "
            "frame, or the path of a CSV, JSON lines or parquet file"
        )
    return _of_pairs(source, meaning, part)


def _of_contract(given: LabelledRows, part: str) -> tuple[Rows, Sequence[str]]:
    if len(given.inputs) != len(given.targets):
        raise ArgumentError(
            f"{part} has {len(given.inputs):,} inputs and {len(given.targets):,} targets; give as many"
        )
    rows = Rows([dict(row) for row in given.inputs], list(given.targets))
    return rows, _numbered(len(rows))


def _of_pairs(source: Iterable[object], meaning: Meaning, part: str) -> tuple[Rows, Sequence[str]]:
    inputs: list[dict[str, object]] = []
    targets: list[object] = []
    for number, pair in enumerate(source):
        if isinstance(pair, str | Mapping) or not isinstance(pair, Sequence) or len(pair) != _PAIR:
            raise ArgumentError(
                f"{part} row {number} is no pair of an input and a label, such as ('A lovely day.', "
                f"'positive'), but a {type(pair).__name__}"
            )
        given, target = pair
        inputs.append(
            {str(name): _plain(value) for name, value in given.items()}
            if isinstance(given, Mapping)
            else {TEXT: given}
        )
        targets.append(_target(target, meaning.loss))
    return Rows(inputs, targets), _numbered(len(inputs))


def _of_records(found: Records, meaning: Meaning, part: str) -> tuple[Rows, Sequence[str]]:
    text, columns = _chosen(found.names, meaning, part)
    inputs = [
        {TEXT: row.get(text)}
        if text is not None
        else {name: _number(row.get(name)) if found.are_texts else _plain(row.get(name)) for name in columns}
        for row in found.rows
    ]
    read_target = _number if found.are_texts and meaning.loss == "mse" else _plain
    targets = [_target(read_target(row.get(meaning.label)), meaning.loss) for row in found.rows]
    return Rows(inputs, targets), found.places


def _chosen(names: Sequence[str], meaning: Meaning, part: str) -> tuple[str | None, Sequence[str]]:
    """Return the column of texts, or those of numbers."""
    if meaning.text is not None and meaning.columns is not None:
        raise ArgumentError("text names a column of texts and columns those of numbers; give one of the two")
    _require(names, (meaning.label,), "label", part)
    if meaning.columns is not None:
        if isinstance(meaning.columns, str) or not meaning.columns:
            raise ArgumentError("columns takes the names of the columns of numbers: columns=['a', 'b']")
        _require(names, meaning.columns, "columns", part)
        return None, meaning.columns
    if meaning.text is not None:
        _require(names, (meaning.text,), "text", part)
        return meaning.text, ()
    others = [name for name in names if name != meaning.label]
    if not others:
        raise ArgumentError(f"{part} has the column {meaning.label!r} alone; there is nothing to learn from")
    return (TEXT, ()) if TEXT in others else (None, others)


def _require(names: Sequence[str], wanted: Iterable[str], option: str, part: str) -> None:
    for name in wanted:
        if name not in names:
            there = ", ".join(names)[:_MOST_NAMED]
            raise ArgumentError(
                f"{part} has no column {name!r}, its columns are {there}; say which it is with {option}="
            )


def _fault(
    row: Mapping[str, object], first: Mapping[str, object], target: object, loss: LossName
) -> str | None:
    """Return what is wrong with a row, or None."""
    if row.keys() != first.keys():
        return f"it has the inputs {', '.join(row)}, and the first row has {', '.join(first)}"
    if isinstance(first.get(TEXT), str) or list(first) == [TEXT]:
        return _text_fault(row[TEXT]) or _target_fault(target, loss)
    for name, value in row.items():
        if (fault := _number_fault(value)) is not None:
            return f"the column {name!r} {fault}"
    return _target_fault(target, loss)


def _text_fault(text: object) -> str | None:
    if not isinstance(text, str):
        return f"the text is {_shown(text)}, expected a string"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"the text holds half of a surrogate pair at character {error.start}"
    return None


def _number_fault(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"is {_shown(value)}, expected a number"
    return None if math.isfinite(value) else f"is {value}, expected a finite number"


def _target_fault(target: object, loss: LossName) -> str | None:
    if loss == "mse":
        fault = _number_fault(target)
        return fault and f"the label {fault}, as the loss is mse"
    if not isinstance(target, str) or not target:
        told = "; numbers go with loss='mse'" if isinstance(target, float) else ""
        return f"the label is {_shown(target)}, expected a string{told}"
    if not 1 <= len(target) <= MAX_LABEL_CHARACTERS or not target.isprintable():
        return f"the label {target[:50]!r} is none: 1 to {MAX_LABEL_CHARACTERS} printable characters are"
    return None


def _shown(value: object) -> str:
    if value is None or value == "":
        return "missing"
    return f"{str(value)[:50]!r}, a {type(value).__name__}"


def _target(value: object, loss: LossName) -> object:
    """Return what is true as the contract has it: of labels that are whole numbers or booleans, the text."""
    plain = _plain(value)
    is_text = loss != "mse" and isinstance(plain, int)
    return str(plain) if is_text else plain


def _number(cell: object) -> object:
    """Return the number that a text says; whatever says none stays as it is, to be named."""
    try:
        return float(cell) if isinstance(cell, str) else cell
    except ValueError:
        return cell


def _plain(value: Any) -> object:  # noqa: ANN401 - a cell of any library
    """Return a scalar of numpy as one of Python."""
    is_foreign = not isinstance(value, str | int | float | None) and hasattr(value, "item")
    return value.item() if is_foreign else value


def _numbered(count: int) -> Sequence[str]:
    return [f"row {number}" for number in range(count)]
