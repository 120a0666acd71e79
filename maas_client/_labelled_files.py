"""Files of labelled rows, by the end of their names: CSV, TSV, JSON lines, parquet."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from maas_client import _frames
from maas_client.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from os import PathLike

_READERS = ("pandas", "polars")
_CSV = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = (".jsonl", ".ndjson")
_PARQUET = ".parquet"


@dataclass(frozen=True, slots=True)
class Records:
    """Rows with cells by column.

    Args:
        names: The columns, in their order.
        rows: The cells of each row by column; one that a row lacks is absent.
        places: How a person finds each row, such as `line 17 of reviews.csv`.
        are_texts: Whether all cells are texts, numbers among them, as in a CSV file.
    """

    names: Sequence[str]
    rows: Sequence[Mapping[str, object]]
    places: Sequence[str]
    are_texts: bool = False


def read(path: str | PathLike[str]) -> Records:
    """Read a file.

    Raises:
        ArgumentError: It is not there, is of another kind, or a line of it cannot be read.
        ModuleNotFoundError: It is parquet, and nothing that reads that is installed.
    """
    file = Path(path)
    kind = file.suffix.lower()
    if kind in _CSV:
        return _text_of(file, lambda: _csv(file, _CSV[kind]))
    if kind in _JSON_LINES:
        return _text_of(file, lambda: _json_lines(file))
    if kind == _PARQUET:
        return of_frame(_parquet(file), f" of {file.name}")
    known = ", ".join((*_CSV, *_JSON_LINES, _PARQUET))
    raise ArgumentError(f"{file.name!r} has none of the endings {known}; rename it, or read it yourself")


def of_csv(content: bytes, name: str) -> Records:
    """Read what a CSV file holds, or what was copied from a spreadsheet: then tabs stand between the cells.

    Args:
        content: With a head, in UTF-8.
        name: How rows are named: `line 17 of NAME`.

    Raises:
        ArgumentError: It is no UTF-8, or a line of it cannot be read.
    """
    try:
        # A byte order mark, as spreadsheets write it, is no part of the first column's name.
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ArgumentError(f"{name} is not UTF-8: byte {error.start} is not; save it as UTF-8") from error
    delimiter = "\t" if "\t" in text.partition("\n")[0] else ","
    return _csv_of(io.StringIO(text, newline=""), name, delimiter)


def of_frame(frame: object, of: str = "") -> Records:
    """Return the rows of a data frame; `of` ends how a row is named.

    Raises:
        ArgumentError: It is lazy.
    """
    table = _frames.table(frame)
    data: Any = frame
    names = {str(name): str(name) for name in data.columns}
    if not names:
        raise ArgumentError("the frame has no columns; give texts or numbers, and a label for each row")
    rows = list(table.instances(names))
    return Records(list(names), rows, [f"row {number}{of}" for number in range(len(rows))])


def _text_of(file: Path, read_it: Callable[[], Records]) -> Records:
    try:
        return read_it()
    except OSError as error:
        raise ArgumentError(f"{str(file)!r} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ArgumentError(
            f"{file.name!r} is not UTF-8: byte {error.start} of a piece is not; save it as UTF-8"
        ) from error


def _csv(file: Path, delimiter: str) -> Records:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        return _csv_of(lines, file.name, delimiter)


def _csv_of(lines: IO[str], of: str, delimiter: str) -> Records:
    reader = csv.DictReader(lines, delimiter=delimiter, restkey="", strict=True)
    names = _head(reader, of)
    rows: list[Mapping[str, object]] = []
    places = []
    try:
        for row in reader:
            place = f"line {reader.line_num} of {of}"
            if "" in row and "" not in names:
                raise ArgumentError(
                    f"{place} has {len(names) + len(row[''])} cells and the head has {len(names)}; put "
                    "texts with commas in double quotes"
                )
            rows.append({name: cell for name, cell in row.items() if cell is not None})
            places.append(place)
    except csv.Error as error:
        raise ArgumentError(f"line {reader.reader.line_num} of {of} is no CSV: {error}") from error
    return Records(names, rows, places, are_texts=True)


def _head(reader: csv.DictReader[str], of: str) -> list[str]:
    try:
        names = list(reader.fieldnames or ())
    except csv.Error as error:
        raise ArgumentError(f"the head of {of} is no CSV: {error}") from error
    if not names:
        raise ArgumentError(f"{of!r} is empty; its first line is to name the columns")
    if twice := sorted(name for name in set(names) if names.count(name) > 1):
        raise ArgumentError(f"the head of {of} names the column {twice[0]!r} twice; keep one")
    return names


def _json_lines(file: Path) -> Records:
    rows, places = [], []
    with file.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                places.append(f"line {number} of {file.name}")
                rows.append(_json_row(line, places[-1]))
    return Records(list(_names_of(rows)), rows, places)


def _json_row(line: str, place: str) -> dict[str, object]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ArgumentError(f"{place} is no JSON: {error}") from error
    if not isinstance(row, dict):
        raise ArgumentError(f'{place} is no JSON object, such as {{"text": "…", "label": "…"}}')
    return row


def _names_of(rows: Sequence[Mapping[str, object]]) -> Iterator[str]:
    yield from dict.fromkeys(name for row in rows for name in row)


def _parquet(file: Path) -> object:
    if not file.is_file():
        raise ArgumentError(f"{str(file)!r} cannot be read: there is no such file")
    for library in _READERS:
        try:
            return import_module(library).read_parquet(file)
        except ImportError:
            # It is not there, or pandas lacks pyarrow, without which it reads no parquet.
            continue
        except Exception as error:  # each library has errors of its own for a damaged file
            raise ArgumentError(f"{file.name!r} cannot be read as parquet: {error}") from error
    raise ModuleNotFoundError(
        "reading parquet needs polars, or pandas with pyarrow: pip install polars", name="polars"
    )
