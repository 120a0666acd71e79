"""Pages of a listing by keyset: a cursor holds the last item's sort key, so inserts never shift a page."""

from __future__ import annotations

import base64
import binascii
import json
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

from sqlalchemy import literal, tuple_

from maas_client.types import Page
from reference_server.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import ColumnElement, Row, Select
    from sqlalchemy.orm import InstrumentedAttribute, Session

    from maas_client.types import PageQuery

    # What a column holds is known to SQLAlchemy only when the statement runs.
    Column = ColumnElement[Any] | InstrumentedAttribute[Any]

Item = TypeVar("Item")
_LARGEST_INTEGER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Keyset:
    """The order of a listing.

    Args:
        name: What the cursor is good for; one of another listing or order is refused.
        columns: What the listing is sorted by; together they tell any two rows apart.
        descending: Whether the largest comes first.
    """

    name: str
    columns: tuple[Column, ...]
    descending: bool = False

    def page(
        self,
        session: Session,
        statement: Select[*tuple[Any, ...]],
        query: PageQuery,
        build: Callable[[list[Row[*tuple[Any, ...]]]], list[Item]],
    ) -> Page[Item]:
        """Run a statement for one page.

        Args:
            session: Where to run it.
            statement: A select without order or limit.
            query: Cursor and limit, as the caller sent them.
            build: Makes the items from the page's rows.

        Raises:
            InvalidRequest: With code `bad_cursor`, for one that this listing did not give.
        """
        if query.cursor is not None:
            position = read_cursor(query.cursor, self.name, self.columns)
            statement = statement.where(self._after(position))
        order = [column.desc() if self.descending else column.asc() for column in self.columns]
        statement = statement.add_columns(*self.columns).order_by(*order).limit(query.limit + 1)
        rows = list(session.execute(statement))
        more = len(rows) > query.limit
        rows = rows[: query.limit]
        cursor = write_cursor(self.name, rows[-1][-len(self.columns) :]) if more else None
        return Page(data=build(rows), has_more=more, next_cursor=cursor)

    def _after(self, position: Sequence[object]) -> ColumnElement[bool]:
        pairs = zip(position, self.columns, strict=True)
        last = tuple_(*(literal(value, column.type) for value, column in pairs))
        here = tuple_(*self.columns)
        return here < last if self.descending else here > last


def read_cursor(
    cursor: str, name: str, columns: Sequence[Column], *, may_lack_first: bool = False
) -> list[object]:
    """Return the sort key of the item that a cursor comes after.

    Args:
        cursor: As the caller sent it.
        name: The listing that must have given it.
        columns: What the listing is sorted by.
        may_lack_first: Whether the first value may be None.

    Raises:
        InvalidRequest: With code `bad_cursor`.
    """
    found, *values = _decode(cursor)
    if found != name or len(values) != len(columns):
        raise _bad_cursor()
    return [
        None if value is None and may_lack_first and index == 0 else _revive(value, column)
        for index, (value, column) in enumerate(zip(values, columns, strict=True))
    ]


def write_cursor(name: str, values: Sequence[object]) -> str:
    """Return the cursor of what comes after an item with this sort key."""
    plain = [value.isoformat() if isinstance(value, date) else value for value in values]
    text = json.dumps([name, *plain], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(cursor: str) -> list[object]:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        parts = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        raise _bad_cursor() from None
    if not isinstance(parts, list) or not parts:
        raise _bad_cursor()
    return parts


def _revive(value: object, column: Column) -> object:
    """Accept only what the column can hold: the database would fail on the rest."""
    kind = column.type.python_type
    if kind is datetime and isinstance(value, str):
        return _revive_time(value)
    if kind is str and isinstance(value, str) and value.isprintable():
        return value
    if kind is date and isinstance(value, str):
        return _revive_date(value)
    if kind is int and type(value) is int and abs(value) <= _LARGEST_INTEGER:
        return value
    if kind is float and _is_number(value) and abs(value) <= sys.float_info.max:
        return float(value)
    raise _bad_cursor()


def _revive_time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _bad_cursor() from None


def _is_number(value: object) -> TypeGuard[float]:
    return type(value) in (int, float)


def _revive_date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise _bad_cursor() from None


def _bad_cursor() -> InvalidRequest:
    return InvalidRequest(
        "this cursor belongs to no page of this listing; send `next_cursor` as it was given, "
        "with the same filters and sort, or none for the first page",
        code="bad_cursor",
        param="cursor",
    )
