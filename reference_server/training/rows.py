"""The rows of a fine-tune, checked before anything runs: shapes, labels, and what would make metrics lie."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import orjson
from pydantic import ValidationError

from maas_client.errors import describe_validation
from maas_client.types import MAX_LABEL_CHARACTERS, Column, ErrorDetail
from reference_server.errors import Unprocessable
from reference_server.runtime.tasks.faults import MAX_FAULTS, json_type, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from maas_client.types import LabelledRows, LossName

TEXT = "text"
# As the features of one text have to be gathered in memory.
MOST_TEXT_CHARACTERS = 10_000
MOST_CLASSES = 1000
MOST_COLUMNS = 10_000
_LARGEST_SINGLE = float(np.finfo(np.float32).max)
# The largest whole number below which every whole number is a float64.
_LARGEST_WHOLE = 2**53
PARTS = ("train", "validation", "test")

Kind: TypeAlias = Literal["text", "columns"]
Row: TypeAlias = "Mapping[str, Any]"


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the rows: inputs as they came, and classes or numbers, `[rows]`."""

    inputs: Sequence[Row]
    targets: NDArray[Any]

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, rows: NDArray[np.int64]) -> Part:
        """Return some of the rows, in the given order."""
        return Part([self.inputs[row] for row in rows.tolist()], self.targets[rows])


@dataclass(frozen=True, slots=True)
class Data:
    """Checked rows.

    Args:
        kind: Whether inputs are texts or columns of numbers.
        names: Of the inputs, in their order.
        labels: What classes mean, in order; none of a regression.
        parts: `train`, and `validation` and `test` where they came as rows.
        sha256: Of all of them, in hexadecimal.
    """

    kind: Kind
    names: tuple[str, ...]
    labels: tuple[str, ...]
    parts: Mapping[str, Part]
    sha256: str

    @property
    def is_regression(self) -> bool:
        """Whether targets are numbers."""
        return not self.labels


def check_rows(given: Mapping[str, LabelledRows], *, loss: LossName, has_base: bool) -> Data:
    """Check the rows of a fine-tune.

    Args:
        given: By part; `train` is one of them.
        loss: Says whether targets are labels or numbers.
        has_base: Whether a base makes the features, which takes texts alone.

    Raises:
        Unprocessable: With every fault of a row, at most 100, in `details`.
    """
    for part, rows in given.items():
        if len(rows.inputs) != len(rows.targets):
            raise Unprocessable(
                f"{part} has {len(rows.inputs):,} inputs and {len(rows.targets):,} targets; there must be as "
                "many of one as of the other",
                code="wrong_rows",
                param=f"{part}.targets",
            )
    kind, names = _kind(given["train"].inputs[0], has_base=has_base, loss=loss)
    _raise_any(_input_faults(given, kind, names, has_base=has_base))
    labels = _labels(given, loss)
    parts = {part: Part(rows.inputs, _targets(rows, labels)) for part, rows in given.items()}
    _raise_any(_repeated(parts))
    return Data(kind, names, labels, parts, _digest(given))


def key_of(row: Row) -> str:
    """Return what rows have in common that tell the same: letters' case and spaces aside for a text."""
    text = row.get(TEXT)
    if isinstance(text, str):
        return " ".join(text.casefold().split())
    return orjson.dumps(row, option=orjson.OPT_SORT_KEYS).decode()


def _kind(row: Row, *, has_base: bool, loss: LossName) -> tuple[Kind, tuple[str, ...]]:
    is_text = isinstance(row.get(TEXT), str)
    if is_text and loss == "mse":
        raise Unprocessable(
            "models of texts predict labels here, so their loss is cross_entropy; mse goes with columns of "
            "numbers",
            code="wrong_loss",
            param="loss",
        )
    if is_text:
        return "text", (TEXT,)
    if has_base:
        raise Unprocessable(
            'train.inputs[0]: a base takes texts, {"text": "…"}; leave base out to train on columns',
            code="wrong_type",
            param="train.inputs[0]",
        )
    if not 1 <= len(row) <= MOST_COLUMNS:
        raise Unprocessable(
            f"train.inputs[0] has {len(row):,} columns; 1 to {MOST_COLUMNS:,} are taken, or one text by the "
            "name text",
            code="wrong_columns",
            param="train.inputs[0]",
        )
    for name in row:
        try:
            Column(name=name)
        except ValidationError as error:
            raise Unprocessable(
                f"the column {printable(name)!r} cannot be one: {describe_validation(error)}",
                code="bad_column",
                param="train.inputs[0]",
            ) from None
    return "columns", tuple(row)


def _input_faults(
    given: Mapping[str, LabelledRows], kind: Kind, names: tuple[str, ...], *, has_base: bool
) -> Iterator[ErrorDetail]:
    for part, rows in given.items():
        for number, row in enumerate(rows.inputs):
            place = f"{part}.inputs[{number}]"
            if row.keys() != set(names):
                expected = ", ".join(names[:20])
                yield _fault(
                    place, "wrong_columns", f"every row has the inputs {expected}, as the first one has"
                )
                continue
            for name in names:
                told = _wrong_text(row[name], has_base=has_base) if kind == "text" else _wrong(row[name])
                if told is not None:
                    yield _fault(f"{place}.{name}", *told)


def _wrong_text(value: object, *, has_base: bool) -> tuple[str, str] | None:
    if not isinstance(value, str):
        return "wrong_type", f"a string is expected, not {json_type(value)}"
    if not has_base and len(value) > MOST_TEXT_CHARACTERS:
        return (
            "input_too_long",
            f"it has {len(value):,} characters, at most {MOST_TEXT_CHARACTERS:,} are taken",
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        return "invalid_text", f"it holds a lone surrogate at character {error.start}"
    return None


def _wrong(value: object) -> tuple[str, str] | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return "wrong_type", f"a number is expected, not {json_type(value)}"
    # Python's whole numbers have no limit, and asking whether a huge one is finite fails.
    if (isinstance(value, int) and abs(value) > _LARGEST_WHOLE) or not math.isfinite(value):
        return "out_of_range", "a finite number is expected, and of whole ones 2⁵³ at most"
    if abs(value) > _LARGEST_SINGLE:
        return "out_of_range", f"a number of at most {_LARGEST_SINGLE:.2g} is expected: graphs take float32"
    return None


def _labels(given: Mapping[str, LabelledRows], loss: LossName) -> tuple[str, ...]:
    if loss == "mse":
        _raise_any(
            _fault(f"{part}.targets[{number}]", *told)
            for part, rows in given.items()
            for number, target in enumerate(rows.targets)
            if (told := _wrong(target)) is not None
        )
        return ()
    _raise_any(
        _fault(f"{part}.targets[{number}]", *told)
        for part, rows in given.items()
        for number, target in enumerate(rows.targets)
        if (told := _wrong_label(target)) is not None
    )
    labels = tuple(sorted({str(target) for target in given["train"].targets}))
    if len(labels) == 1:
        raise Unprocessable(
            f"all training rows have the label {printable(labels[0])!r}; there is nothing to tell apart: "
            "give rows of two labels at least",
            code="one_class",
            param="train.targets",
        )
    if len(labels) > MOST_CLASSES:
        raise Unprocessable(
            f"the training rows have {len(labels):,} labels, and at most {MOST_CLASSES:,} are taken; for "
            "numbers use the loss mse",
            code="too_many_classes",
            param="train.targets",
        )
    known = frozenset(labels)
    shown = ", ".join(map(printable, labels[:20]))
    _raise_any(
        _fault(
            f"{part}.targets[{number}]",
            "unknown_label",
            f"{printable(str(target))!r} is no label of the training rows, which have {shown}",
        )
        for part, rows in given.items()
        for number, target in enumerate(rows.targets)
        if target not in known
    )
    return labels


def _wrong_label(target: object) -> tuple[str, str] | None:
    if not isinstance(target, str):
        return "wrong_type", f"a label, a string, is expected, not {json_type(target)}"
    if not 1 <= len(target) <= MAX_LABEL_CHARACTERS or not target.isprintable():
        return "bad_label", f"a label has 1 to {MAX_LABEL_CHARACTERS} printable characters"
    return None


def _targets(rows: LabelledRows, labels: Sequence[str]) -> NDArray[Any]:
    if not labels:
        return np.array(rows.targets, np.float64)
    classes = {label: index for index, label in enumerate(labels)}
    return np.array([classes[str(target)] for target in rows.targets], np.int64)


def _repeated(parts: Mapping[str, Part]) -> Iterator[ErrorDetail]:
    """A row that was learnt from tells nothing when it is asked again."""
    seen: dict[str, str] = {}
    for part, rows in parts.items():
        own: dict[str, str] = {}
        for number, row in enumerate(rows.inputs):
            key, place = orjson.dumps(row, option=orjson.OPT_SORT_KEYS).decode(), f"{part}.inputs[{number}]"
            if (before := seen.get(key)) is not None:
                yield _fault(
                    place, "duplicate_row", f"it is {before} too, so what is measured on it says nothing new"
                )
            own.setdefault(key, place)
        seen.update(own)


def table_of(inputs: Iterable[Row], names: Sequence[str]) -> NDArray[np.float32]:
    """Return columns of numbers as `[rows, columns]`, as precise as the graph takes them."""
    return np.array([[row[name] for name in names] for row in inputs], np.float64).astype(np.float32)


def _digest(given: Mapping[str, LabelledRows]) -> str:
    digest = hashlib.sha256()
    for part in PARTS:
        if part in given:
            for row in zip(given[part].inputs, given[part].targets, strict=True):
                digest.update(orjson.dumps([part, *row], option=orjson.OPT_SORT_KEYS) + b"\n")
    return digest.hexdigest()


def _fault(place: str, code: str, message: str) -> ErrorDetail:
    return ErrorDetail(code=code, message=message, param=place)


def _raise_any(found: Iterable[ErrorDetail]) -> None:
    faults: list[ErrorDetail] = []
    for fault in found:
        faults.append(fault)
        if len(faults) >= MAX_FAULTS:
            break
    if not faults:
        return
    more = f" (and {len(faults) - 1} more, see errors)" if len(faults) > 1 else ""
    raise Unprocessable(
        f"{faults[0].param}: {faults[0].message}{more}; nothing was run",
        code=faults[0].code,
        param=faults[0].param,
        details=faults,
    )
