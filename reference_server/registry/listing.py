"""The order of the catalogue: pages that are read from ranges of indexes, whatever they are sorted by.

Who may see a model is an OR, one's own or public, which a database answers by sorting everything. So each
side is a range of an index of its own, read as far as the page goes, and only what was read is merged. In an
order by something that models may lack, those that lack it are further ranges, after all others. What is
shared with the caller, where anything is, is a third side: few models, found by their ids and sorted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from sqlalchemy import String, and_, bindparam, or_, select, tuple_, union_all

from reference_server.registry import names
from reference_server.registry.pages import read_cursor, write_cursor
from reference_server.registry.search import ESCAPE, containing, fold
from reference_server.registry.tables import AccountRow, ModelRow, ShareRow
from reference_server.security.limits import models_expression

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import BindParameter, ColumnElement, Row, Select
    from sqlalchemy.orm import InstrumentedAttribute, Session

    from maas_client.types import ModelQuery
    from reference_server.security.callers import Caller

Whose: TypeAlias = Literal["everybody", "everybody and sharers", "caller", "owner", "sharers", "one sharer"]
Conditions: TypeAlias = tuple[str, ...]

_OWNER_IS_CALLER = "me"
_MOST_STATEMENTS = 500
_PUBLIC = ModelRow.public_name.is_not(None)
_OWNERS = ModelRow.account_id == bindparam("owner")
_SHARED_ALONE = and_(ModelRow.public_name.is_(None), names.SHARED)
_EVERYBODY = [names.MINE, and_(_PUBLIC, ModelRow.account_id != bindparam("caller"))]
# Each is a range of an index, but for what is shared with the caller.
_AUDIENCES: dict[Whose, list[ColumnElement[bool]]] = {
    "everybody": _EVERYBODY,
    "everybody and sharers": [*_EVERYBODY, _SHARED_ALONE],
    "caller": [names.MINE],
    "owner": [and_(_OWNERS, or_(_PUBLIC, names.ROLE.is_not(None)))],
    "sharers": [names.SHARED],
    "one sharer": [and_(_OWNERS, names.SHARED)],
}
_CONDITIONS: dict[str, Callable[[BindParameter[Any]], ColumnElement[bool]]] = {
    "task": lambda value: ModelRow.task == value,
    "license": lambda value: ModelRow.license == value,
    "max_latency_ms": lambda value: ModelRow.latency_ms <= value,
    "min_accuracy": lambda value: ModelRow.accuracy >= value,
    "max_size_bytes": lambda value: ModelRow.size <= value,
    "models": names.permitted_by,
    "tag": lambda value: ModelRow.tags.like(value, escape=ESCAPE),
    "word": lambda value: ModelRow.search.like(value, escape=ESCAPE),
}


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
        whose, owner = _whose(session, caller, query)
        conditions, values = _filters(query, caller)
        values |= {"caller": caller.account_id, "owner": owner}
        rows: list[Row[*tuple[Any, ...]]] = []
        for lacking in self._stretches(after):
            resumed = after is not None and (after[0] is None) == lacking
            wanted = query.limit + 1 - len(rows)
            if wanted and not (whose in ("owner", "one sharer") and owner is None):
                place = dict(zip(("after_key", "after_id"), after, strict=True)) if after and resumed else {}
                statement = _statement(self, whose, conditions, lacking, resumed)
                rows += session.execute(statement, {**values, **place, "limit": wanted})
        more = len(rows) > query.limit
        rows = rows[: query.limit]
        cursor = write_cursor(self.name, (rows[-1].key, rows[-1].id)) if more else None
        return Slice([row.id for row in rows], cursor)

    @property
    def may_lack(self) -> bool:
        """Whether there may be models without the key."""
        return bool(self.key.expression.nullable)

    def range(
        self, audience: ColumnElement[bool], conditions: Conditions, *, lacking: bool, resumed: bool
    ) -> Select[*tuple[Any, ...]]:
        """Return the select of one audience's models, in order, from the parameters' place on."""
        statement = select(self.key.label("key"), ModelRow.id.label("id")).where(audience)
        if self.may_lack:
            statement = statement.where(self.key.is_(None) if lacking else self.key.is_not(None))
        for index, condition in enumerate(conditions):
            statement = statement.where(_CONDITIONS[condition](bindparam(f"{condition}_{index}")))
        if resumed:
            statement = statement.where(self._beyond(lacking=lacking))
        columns = [ModelRow.id] if lacking else [self.key, ModelRow.id]
        return statement.order_by(*self.directed(columns)).limit(bindparam("limit"))

    def directed(self, columns: Sequence[Any]) -> list[ColumnElement[Any]]:
        """Return columns with the direction of this order."""
        return [column.desc() if self.descending else column.asc() for column in columns]

    def _beyond(self, *, lacking: bool) -> ColumnElement[bool]:
        here: ColumnElement[Any] = ModelRow.id.expression
        last: ColumnElement[Any] = bindparam("after_id", type_=String)
        if not lacking:
            here = tuple_(self.key, ModelRow.id)
            last = tuple_(bindparam("after_key", type_=self.key.type), last)
        return here < last if self.descending else here > last

    def _position(self, cursor: str | None) -> list[object] | None:
        if cursor is None:
            return None
        return read_cursor(cursor, self.name, (self.key, ModelRow.id), may_lack_first=self.may_lack)

    def _stretches(self, after: Sequence[object] | None) -> list[bool]:
        """Return whether the models of each stretch that is still to come lack the key."""
        if not self.may_lack:
            return [False]
        return [True] if after is not None and after[0] is None else [False, True]


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


@lru_cache(_MOST_STATEMENTS)
def _statement(
    order: Order,
    whose: Whose,
    conditions: Conditions,
    lacking: bool,  # noqa: FBT001 - `lru_cache` tells calls by keyword from others
    resumed: bool,  # noqa: FBT001 - likewise
) -> Select[*tuple[Any, ...]]:
    """Return a page's statement; building it takes longer than running it."""
    ranges = [
        order.range(audience, conditions, lacking=lacking, resumed=resumed) for audience in _AUDIENCES[whose]
    ]
    if len(ranges) == 1:
        return ranges[0]
    each = union_all(*(select(one.subquery()) for one in ranges)).subquery()
    columns = [each.c.id] if lacking else [each.c.key, each.c.id]
    return select(each).order_by(*order.directed(columns)).limit(bindparam("limit"))


def _whose(session: Session, caller: Caller, query: ModelQuery) -> tuple[Whose, str | None]:
    """Return whose models are listed, and the id of an owner who is asked for if there is one."""
    if query.owner is None:
        if query.shared:
            return "sharers", None
        received = select(ShareRow.model_id).where(ShareRow.account_id == caller.account_id).limit(1)
        return "everybody" if session.scalar(received) is None else "everybody and sharers", None
    if query.owner in (_OWNER_IS_CALLER, caller.account_name):
        # What is one's own is not shared with one.
        return ("one sharer", None) if query.shared else ("caller", None)
    owner = session.scalar(select(AccountRow.id).where(AccountRow.name == query.owner))
    return "one sharer" if query.shared else "owner", owner


def _filters(query: ModelQuery, caller: Caller) -> tuple[Conditions, dict[str, Any]]:
    """Return the names of a query's conditions, and the values of their parameters."""
    given: list[tuple[str, Any]] = [
        ("task", query.task),
        ("license", None if query.license is None else fold(query.license)),
        ("max_latency_ms", query.max_latency_ms),
        ("min_accuracy", query.min_accuracy),
        ("max_size_bytes", query.max_size_bytes),
        ("models", None if caller.limits.models is None else models_expression(caller.limits.models)),
        *(("tag", containing(f"\n{fold(tag)}\n")) for tag in query.tag),
        *(("word", containing(word)) for word in fold(query.q or "").split()),
    ]
    meant = [(name, value) for name, value in given if value is not None]
    values = {f"{name}_{index}": value for index, (name, value) in enumerate(meant)}
    return tuple(name for name, _ in meant), values
