"""The order of the catalogue: pages that are read from ranges of indexes, whatever they are sorted by.

Who may see a model is an OR, one's own or public, which a database answers by sorting everything. So each
side is a range of an index of its own, read as far as the page goes, and only what was read is merged. In an
order by something that models may lack, those that lack it are further ranges, after all others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, select, union_all

from reference_server.registry import names
from reference_server.registry.pages import beyond, read_cursor, write_cursor
from reference_server.registry.search import fold, has_all_words
from reference_server.registry.tables import AccountRow, ModelRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Row, Select
    from sqlalchemy.orm import InstrumentedAttribute, Session

    from maas_client.types import ModelQuery
    from reference_server.security.callers import Caller

_OWNER_IS_CALLER = "me"
_PUBLIC = ModelRow.public_name.is_not(None)
_OTHERS = and_(_PUBLIC, ModelRow.account_id != bindparam("caller"))
_OF_OWNER = and_(_PUBLIC, ModelRow.account_id == bindparam("owner"))


@dataclass(frozen=True, slots=True)
class Slice:
    """One page of the catalogue.

    Args:
        ids: The models' ids, in order.
        next_cursor: Where the next page begins; None after the last.
    """

    ids: list[str]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Order:
    """What the catalogue is sorted by; models of equal keys are told apart by their ids.

    Args:
        name: What the cursor is good for.
        key: An indexed column; where it is null, the model comes last in both directions.
        descending: Whether the largest comes first.
    """

    name: str
    key: InstrumentedAttribute[Any]
    descending: bool

    def read(self, session: Session, caller: Caller, query: ModelQuery) -> Slice:
        """Return the page that a query means.

        Raises:
            InvalidRequest: With code `bad_cursor`.
        """
        after = self._position(query.cursor)
        audiences, parameters = _audiences(session, caller, query.owner)
        rows: list[Row[*tuple[Any, ...]]] = []
        for lacking in self._stretches(after):
            wanted = query.limit + 1 - len(rows)
            if wanted and audiences:
                ranges = [self._range(each, query, lacking=lacking, after=after) for each in audiences]
                rows += session.execute(self._merged(ranges, wanted, lacking=lacking), parameters)
        more = len(rows) > query.limit
        rows = rows[: query.limit]
        cursor = write_cursor(self.name, (rows[-1].key, rows[-1].id)) if more else None
        return Slice([row.id for row in rows], cursor)

    @property
    def _columns(self) -> tuple[InstrumentedAttribute[Any], InstrumentedAttribute[str]]:
        return self.key, ModelRow.id

    @property
    def _may_lack(self) -> bool:
        return bool(self.key.expression.nullable)

    def _position(self, cursor: str | None) -> list[object] | None:
        if cursor is None:
            return None
        return read_cursor(cursor, self.name, self._columns, may_lack_first=self._may_lack)

    def _stretches(self, after: Sequence[object] | None) -> list[bool]:
        """Return whether the models of each stretch that is still to come lack the key."""
        if not self._may_lack:
            return [False]
        return [True] if after is not None and after[0] is None else [False, True]

    def _range(
        self,
        audience: ColumnElement[bool],
        query: ModelQuery,
        *,
        lacking: bool,
        after: Sequence[object] | None,
    ) -> Select[*tuple[Any, ...]]:
        statement = select(self.key.label("key"), ModelRow.id.label("id")).where(audience, *_filters(query))
        if self._may_lack:
            statement = statement.where(self.key.is_(None) if lacking else self.key.is_not(None))
        sorted_by = self._columns[1:] if lacking else self._columns
        if after is not None and (after[0] is None) == lacking:
            position = after[-len(sorted_by) :]
            statement = statement.where(beyond(sorted_by, position, descending=self.descending))
        return statement.order_by(*self._directed(sorted_by))

    def _merged(
        self, ranges: Sequence[Select[*tuple[Any, ...]]], limit: int, *, lacking: bool
    ) -> Select[*tuple[Any, ...]]:
        if len(ranges) == 1:
            return ranges[0].limit(limit)
        each = union_all(*(select(one.limit(limit).subquery()) for one in ranges)).subquery()
        sorted_by = [each.c.id] if lacking else [each.c.key, each.c.id]
        return select(each).order_by(*self._directed(sorted_by)).limit(limit)

    def _directed(self, columns: Sequence[Any]) -> list[ColumnElement[Any]]:
        return [column.desc() if self.descending else column.asc() for column in columns]


_KEYS: dict[str, InstrumentedAttribute[Any]] = {
    "name": ModelRow.folded_name,
    "created": ModelRow.created_at,
    "updated": ModelRow.updated_at,
    "accuracy": ModelRow.accuracy,
    "latency": ModelRow.latency_ms,
    "size": ModelRow.size,
    "usage": ModelRow.recent_calls,
}
ORDERS = {
    f"{sign}{name}": Order(f"models by {sign}{name}", key, descending=sign == "-")
    for name, key in _KEYS.items()
    for sign in ("", "-")
}


def _audiences(
    session: Session, caller: Caller, owner: str | None
) -> tuple[list[ColumnElement[bool]], dict[str, str]]:
    """Return whose models are listed, each a range of an index, and the parameters of these conditions."""
    mine = {"caller": caller.account_id}
    if owner is None:
        return [names.MINE, _OTHERS], mine
    if owner in (_OWNER_IS_CALLER, caller.account_name):
        return [names.MINE], mine
    found = session.scalar(select(AccountRow.id).where(AccountRow.name == owner))
    return ([], {}) if found is None else ([_OF_OWNER], {"owner": found})


def _filters(query: ModelQuery) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if query.task is not None:
        conditions.append(ModelRow.task == query.task)
    if query.license is not None:
        conditions.append(ModelRow.license == fold(query.license))
    if query.max_latency_ms is not None:
        conditions.append(ModelRow.latency_ms <= query.max_latency_ms)
    if query.min_accuracy is not None:
        conditions.append(ModelRow.accuracy >= query.min_accuracy)
    if query.max_size_bytes is not None:
        conditions.append(ModelRow.size <= query.max_size_bytes)
    conditions += [ModelRow.tags.contains(f"\n{fold(tag)}\n", autoescape=True) for tag in query.tag]
    return conditions + has_all_words(query.q or "")
