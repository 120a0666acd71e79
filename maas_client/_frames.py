"""Data frames of pandas and polars as instances, and outcomes as data frames; neither is imported before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from maas_client.errors import ArgumentError

if TYPE_CHECKING:
    from maas_client.predictions import Outcome
    from maas_client.types import TaskSignature

Frame = TypeVar("Frame")

_LIBRARIES = ("pandas", "polars")
# Columns of our own, after the outputs.
_OWN = ("version", "error")


@dataclass(frozen=True, slots=True)
class Table(Generic[Frame]):
    """A data frame of either library.

    Args:
        frame: The frame.
        library: Whose it is: `pandas` or `polars`.
    """

    frame: Frame
    library: str

    def columns_for(self, signature: TaskSignature | None) -> dict[str, str]:
        """Return the columns that have the names of a model's inputs.

        Raises:
            ArgumentError: One is missing.
        """
        names = [spec.name for spec in signature.inputs] if signature else []
        return self._checked({name: name for name in names})

    def instances(self, columns: Mapping[str, str]) -> Iterator[dict[str, object]]:
        """Iterate over the rows as instances; `columns` tells which column feeds which input."""
        data: Any = self.frame
        series = [self._holes_as_none(data[column]) for column in self._checked(columns).values()]
        return (dict(zip(columns, row, strict=True)) for row in zip(*series, strict=True))

    def with_outcomes(self, outcomes: Sequence[Outcome]) -> Frame:
        """Return what came of the rows as a frame of the same library."""
        rows = [_flat(outcome) for outcome in outcomes]
        names = [*dict.fromkeys(name for row in rows for name in row if name not in _OWN), *_OWN]
        data = {name: [row.get(name) for row in rows] for name in names}
        library: Any = import_module(self.library)
        given: Any = self.frame
        options = {"index": given.index} if self.library == "pandas" else {"strict": False}
        made: Frame = library.DataFrame(data, **options)
        return made

    def _holes_as_none(self, series: Any) -> Any:  # noqa: ANN401 - a series of either library
        # pandas fills holes with NaN, which no JSON carries; null is what they are.
        return series.astype(object).where(series.notna(), None) if self.library == "pandas" else series

    def _checked(self, columns: Mapping[str, str]) -> dict[str, str]:
        frame: Any = self.frame
        there = [str(column) for column in frame.columns]
        if missing := [(name, column) for name, column in columns.items() if column not in there]:
            name, column = missing[0]
            raise ArgumentError(
                f"the frame has no column {column!r} for the input {name!r}, its columns are "
                f"{', '.join(there)[:300]}; say which to use with columns={{{name!r}: '…'}}"
            )
        if not columns:
            raise ArgumentError(
                "the model names no inputs; say which columns to use with columns={'input': 'column'}"
            )
        return dict(columns)


def table(frame: Frame) -> Table[Frame]:
    """Return a data frame as a table.

    Raises:
        ArgumentError: It is no `pandas.DataFrame` and no `polars.DataFrame`.
    """
    kind = type(frame)
    library = kind.__module__.partition(".")[0]
    if library not in _LIBRARIES or kind.__name__ != "DataFrame":
        raise ArgumentError(
            f"the frame is a {kind.__module__}.{kind.__qualname__}, expected a pandas or polars DataFrame"
            f"{'; collect() it first' if kind.__name__ == 'LazyFrame' else ''}"
        )
    return Table(frame, library)


def of_rows(rows: Sequence[Mapping[str, object]], *, what: str) -> Any:  # noqa: ANN401 - a frame of either library
    """Return rows as a data frame of pandas, or of polars where pandas is not installed.

    Args:
        rows: The cells of each row by column; a column that a row lacks is empty there.
        what: Who asks, for the message of the error.

    Raises:
        ModuleNotFoundError: Neither is installed.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    data = {name: [row.get(name) for row in rows] for name in names}
    for library in _LIBRARIES:
        try:
            made: Any = import_module(library)
        except ModuleNotFoundError as error:
            if error.name != library:
                raise
        else:
            return made.DataFrame(data, **({} if library == "pandas" else {"strict": False}))
    raise ModuleNotFoundError(f"{what} needs pandas or polars: pip install pandas", name="pandas")


def is_frame(thing: object) -> bool:
    """Tell whether something is a data frame of either library, a lazy one too."""
    kind = type(thing)
    return kind.__module__.partition(".")[0] in _LIBRARIES and kind.__name__ in ("DataFrame", "LazyFrame")


def _flat(outcome: Outcome) -> dict[str, object]:
    if outcome.prediction is None:
        return {"error": str(outcome.error)}
    flat: dict[str, object] = {"version": outcome.prediction.version}
    for name, value in outcome.prediction.outputs.items():
        if isinstance(value, Mapping):
            flat.update((f"{name}.{key}", each) for key, each in value.items())
        else:
            flat[name] = value
    return flat
