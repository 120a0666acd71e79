"""Versions: immutable, numbered per model, found by number, by alias or as `latest`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from sqlalchemy import Integer, and_, bindparam, func, select
from sqlalchemy.orm import aliased

from maas_client.types import ALIAS_NAME, VERSION_NUMBER, Page, PageQuery, Version
from reference_server.errors import Conflict, Gone, NotFound, Unprocessable
from reference_server.registry import capture, names, performance, usage
from reference_server.registry.pages import Keyset
from reference_server.registry.tables import AccountRow, AliasRow, CaptureRow, ModelRow, VersionRow

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from sqlalchemy import ColumnElement, Row, Select
    from sqlalchemy.orm import InstrumentedAttribute, Session

    from reference_server.registry.capture import Capturing
    from reference_server.registry.database import Database
    from reference_server.registry.in_force import Route
    from reference_server.security.callers import Caller

LATEST = "latest"
_NO_VERSION = 0
DEFAULT = "default"
ACTIVE, DEPRECATED, RETIRED = "active", "deprecated", "retired"
_MOST_CHARACTERS_SHOWN = 100
_NEWEST_FIRST = Keyset("versions", (VersionRow.number,), descending=True)
_WITH_AUTHOR = select(VersionRow, AccountRow.name.label("author")).join(
    AccountRow, AccountRow.id == VersionRow.author_id
)
_Kind: TypeAlias = Literal["number", "alias", "latest"]
_Newest = aliased(VersionRow)
# What a prediction needs to know of a version.
_SERVED = (
    VersionRow.number,
    VersionRow.digest,
    VersionRow.artifact,
    VersionRow.data_key,
    VersionRow.batch_invariant,
    VersionRow.state,
    VersionRow.state_since,
    VersionRow.replacement,
    VersionRow.sunset,
    VersionRow.documentation,
)
_DEFAULT_NUMBER = (
    select(AliasRow.version)
    .where(AliasRow.model_id == ModelRow.id, AliasRow.name == DEFAULT)
    .correlate(ModelRow)
    .scalar_subquery()
)


def _meant(kind: _Kind, model_id: ColumnElement[str] | InstrumentedAttribute[str]) -> ColumnElement[Any]:
    """Return the number that the parameter `selector` means in a row's model."""
    if kind == "number":
        return bindparam("selector", type_=Integer)
    if kind == "alias":
        pointed = select(AliasRow.version).where(
            AliasRow.model_id == model_id, AliasRow.name == bindparam("selector")
        )
    else:
        pointed = select(func.max(_Newest.number)).where(
            _Newest.model_id == model_id, _Newest.state != RETIRED
        )
    return pointed.correlate(ModelRow, VersionRow).scalar_subquery()


def _numbers(kind: _Kind) -> Select[*tuple[Any, ...]]:
    return select(VersionRow.number).where(
        VersionRow.model_id == bindparam("model"), VersionRow.number == _meant(kind, VersionRow.model_id)
    )


def _targets(kind: _Kind, condition: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    version = and_(VersionRow.model_id == ModelRow.id, VersionRow.number == _meant(kind, ModelRow.id))
    return (
        select(
            ModelRow.id.label("model_id"),
            ModelRow.name,
            ModelRow.versions_made,
            ModelRow.unloaded,
            AccountRow.name.label("owner"),
            names.SHADOWED.label("shadowed"),
            _DEFAULT_NUMBER.label("default"),
            *_SERVED,
            *capture.COLUMNS,
        )
        .join(AccountRow, AccountRow.id == ModelRow.account_id)
        .outerjoin(CaptureRow, capture.OF_MODEL)
        .outerjoin(VersionRow, version)
        .where(condition)
        .order_by(names.BARE_ORDER)
        .limit(1)
    )


_INDEX = (
    select(
        ModelRow.id.label("model_id"),
        ModelRow.name,
        ModelRow.unloaded,
        AccountRow.name.label("owner"),
        names.SHADOWED.label("shadowed"),
        *_SERVED,
        *capture.COLUMNS,
    )
    .join(AccountRow, AccountRow.id == ModelRow.account_id)
    .outerjoin(CaptureRow, capture.OF_MODEL)
    .join(VersionRow, VersionRow.model_id == ModelRow.id)
    .where(names.VISIBLE)
    .order_by(ModelRow.name, ModelRow.id, VersionRow.number.desc())
    .limit(10_000)
)

# Built once: building a statement costs more than running it.
_KINDS: tuple[_Kind, ...] = ("number", "alias", "latest")
_NUMBERS = {kind: _numbers(kind) for kind in _KINDS}
_BARE_TARGETS = {kind: _targets(kind, names.BARE) for kind in _KINDS}
_EXACT_TARGETS = {kind: _targets(kind, names.EXACT) for kind in _KINDS}


@dataclass(frozen=True, slots=True)
class Deprecation:
    """What the owner of a deprecated version tells its callers.

    Args:
        since: When it was deprecated.
        sunset: When it is to be retired.
        replacement: The number of a version of the same model, or the name of another.
        documentation: The address of a page.
    """

    since: datetime
    sunset: datetime | None
    replacement: str | None
    documentation: str | None


@dataclass(frozen=True, slots=True)
class ServingTarget:
    """What a prediction runs.

    Args:
        model: The shortest name by which the caller reaches the model.
        version: The version's number.
        digest: Its content digest.
        artifact: The name of its package in the artifact store.
        exact: The name by which everybody reaches the model, `account~name`.
        batch_invariant: What was measured at publish; None in versions of before it was.
        unloaded: Whether the owner wants the model out of memory.
        retired: Whether it is not run any more.
        deprecation: What is told with each answer of a deprecated one.
        default: Where it was asked for by number: the version that `default` points to.
        notices: Headers that each answer has beside its own; whoever keeps the target writes them once.
        model_id: The model's own id.
        data_key: The id of the key that seals its package; None where an older server stored it in clear.
        route: What serves a call that names no version instead, where a split or a shadow is in force.
        capture: How its calls are captured, where they are.
    """

    model: str
    version: int
    digest: str
    artifact: str
    exact: str
    batch_invariant: bool | None
    unloaded: bool = False
    retired: bool = False
    deprecation: Deprecation | None = None
    default: int | None = None
    notices: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), compare=False)
    model_id: str = ""
    data_key: str | None = None
    route: Route | None = None
    capture: Capturing | None = None


def get(db: Database, caller: Caller, model: str, selector: str) -> Version:
    """Return one version, by number, alias or `latest`.

    Raises:
        NotFound: When the model or the version is not there.
    """
    with db.read() as session:
        found = names.visible(session, caller, model)
        return read(session, found, select_number(session, found.row.id, selector))


def list_versions(db: Database, caller: Caller, model: str, query: PageQuery) -> Page[Version]:
    """Return a page of a model's versions, newest first.

    Raises:
        NotFound: When the model is not there.
        InvalidRequest: With code `bad_cursor`.
    """
    with db.read() as session:
        found = names.visible(session, caller, model)
        statement = _WITH_AUTHOR.where(VersionRow.model_id == found.row.id)
        return _NEWEST_FIRST.page(
            session, statement, query, lambda rows: to_versions(session, found.row.id, found.reached_as, rows)
        )


def serving_target(db: Database, caller: Caller, model: str, selector: str | None) -> ServingTarget:
    """Return what a prediction is to run, in one query.

    Args:
        db: The store.
        caller: Who asks.
        model: The model's name.
        selector: A number, an alias or `latest`; None is the alias `default`.

    Raises:
        NotFound: When the model or the version is not there.
        Conflict: With code `no_version`, when the model has no version yet.
        Gone: With code `version_retired`.
    """
    with db.read() as session:
        return find_target(session, caller, model, selector)


def find_target(session: Session, caller: Caller, model: str, selector: str | None) -> ServingTarget:
    """Return what `serving_target` does, in a session that is open already."""
    reference = names.parse(model)
    selector = selector or DEFAULT
    kind, value = _selected(selector)
    statement = (_BARE_TARGETS if reference.account is None else _EXACT_TARGETS)[kind]
    row = session.execute(statement, {**reference.parameters(caller), "selector": value}).first()
    if row is None or not _is_permitted(caller, row):
        raise names.model_not_found(model)
    if row.versions_made == 0:
        raise Conflict(
            f"the model {model!r} has no version yet; its owner must publish one", code="no_version"
        )
    if row.number is None:
        raise version_not_found(selector)
    if row.state == RETIRED:
        raise _retired(row, _successor(session, caller, row))
    return _target(session, caller, row, default=row.default if kind == "number" else None)


def index(db: Database, caller: Caller, model: str | None = None) -> list[ServingTarget]:
    """Return every version that the caller may see, of one model or of all, newest first; at most 10,000.

    Raises:
        NotFound: When there is no such model.
    """
    statement = _permitted_index(caller)
    with db.read() as session:
        if model is not None:
            statement = statement.where(ModelRow.id == names.visible(session, caller, model).row.id)
        rows = session.execute(statement, {"caller": caller.account_id}).all()
        return [_target(session, caller, row) for row in rows]


def find_targets(
    session: Session, caller: Caller, model_id: str, numbers: Iterable[int]
) -> dict[int, ServingTarget]:
    """Return what runs each of some versions of a model that the caller may see, by number."""
    statement = _INDEX.where(ModelRow.id == model_id, VersionRow.number.in_(sorted(numbers)))
    rows = session.execute(statement, {"caller": caller.account_id}).all()
    return {row.number: _target(session, caller, row) for row in rows}


def _permitted_index(caller: Caller) -> Select[*tuple[Any, ...]]:
    condition = names.permitted(caller)
    return _INDEX if condition is None else _INDEX.where(condition)


def _is_permitted(caller: Caller, row: Row[*tuple[Any, ...]]) -> bool:
    reached_as = names.shortest(row.name, row.owner, shadowed=row.shadowed)
    return caller.limits.permits_model(reached_as, row.owner, row.name)


def _target(
    session: Session, caller: Caller, row: Row[*tuple[Any, ...]], *, default: int | None = None
) -> ServingTarget:
    return ServingTarget(
        model=names.shortest(row.name, row.owner, shadowed=row.shadowed),
        version=row.number,
        digest=row.digest,
        artifact=row.artifact,
        exact=f"{row.owner}~{row.name}",
        batch_invariant=row.batch_invariant,
        unloaded=row.unloaded,
        retired=row.state == RETIRED,
        deprecation=_deprecation(session, caller, row),
        default=default,
        model_id=row.model_id,
        data_key=row.data_key,
        capture=capture.capturing(row, row.number),
    )


def _deprecation(session: Session, caller: Caller, row: Row[*tuple[Any, ...]]) -> Deprecation | None:
    if row.state != DEPRECATED:
        return None
    successor = _successor(session, caller, row)
    return Deprecation(row.state_since, row.sunset, successor, row.documentation)


def _successor(session: Session, caller: Caller, row: Row[*tuple[Any, ...]]) -> str | None:
    """Return what a caller is to use instead of a version, as far as it still runs.

    One that was retired since has a replacement of its own, mostly; one that was deleted leads nowhere.
    """
    replacement, passed = row.replacement, {str(row.number)}
    while replacement is not None and replacement.isdecimal():
        if replacement in passed:
            return None
        passed.add(replacement)
        of = (VersionRow.model_id == row.model_id, VersionRow.number == int(replacement))
        found = session.execute(select(VersionRow.state, VersionRow.replacement).where(*of)).first()
        if found is None or found.state != RETIRED:
            return None if found is None else replacement
        replacement = found.replacement
    is_there = replacement is not None and names.find(session, caller, replacement) is not None
    return replacement if is_there else None


def select_number(session: Session, model_id: str, selector: str) -> int:
    """Return the number of the version that a selector means; it exists.

    Raises:
        NotFound: When it means none.
    """
    number = find_number(session, model_id, selector)
    if number is None:
        raise version_not_found(selector)
    return number


def find_number(session: Session, model_id: str, selector: str) -> int | None:
    """Return the number of the version that a selector means, or None when it means none."""
    kind, value = _selected(selector)
    number: int | None = session.scalar(_NUMBERS[kind], {"selector": value, "model": model_id})
    return number


def find_exactly(session: Session, model_id: str, selector: str) -> VersionRow:
    """Return the version of a number, to be changed; an alias could mean another one by now.

    Raises:
        Unprocessable: With code `version_number_needed`, when the selector is no number.
        NotFound: When there is no such version.
    """
    kind, value = _selected(selector)
    if kind != "number":
        raise Unprocessable(
            f"{selector[:_MOST_CHARACTERS_SHOWN]!r} may mean another version by now; name the one to "
            "change by its number",
            code="version_number_needed",
            param="version",
        )
    row = session.get(VersionRow, (model_id, value))
    if row is None:
        raise version_not_found(selector)
    return row


def digests_in_use(db: Database, digests: Collection[str]) -> set[str]:
    """Return those of some contents that a version still serves."""
    statement = select(VersionRow.digest).where(VersionRow.digest.in_(digests), VersionRow.state != RETIRED)
    with db.read() as session:
        return set(session.scalars(statement))


def read(session: Session, found: names.Found, number: int) -> Version:
    """Return the wire form of a version that exists."""
    statement = _WITH_AUTHOR.where(VersionRow.model_id == found.row.id, VersionRow.number == number)
    return to_versions(session, found.row.id, found.reached_as, session.execute(statement))[0]


def read_all(session: Session, model_id: str, reached_as: str) -> list[Version]:
    """Return the wire forms of every version of a model, newest first."""
    statement = _WITH_AUTHOR.where(VersionRow.model_id == model_id).order_by(VersionRow.number.desc())
    return to_versions(session, model_id, reached_as, session.execute(statement))


def to_versions(
    session: Session, model_id: str, reached_as: str, rows: Iterable[Row[*tuple[Any, ...]]]
) -> list[Version]:
    """Return the wire forms of versions, with the aliases that point to each."""
    aliases = _aliases_by_version(session, model_id)
    measured = performance.of_versions(session, model_id)
    used = usage.of_versions(session, model_id)
    return [
        Version(
            model=reached_as,
            version=row.VersionRow.number,
            digest=row.VersionRow.digest,
            task=row.VersionRow.task,
            size=row.VersionRow.size,
            notes=row.VersionRow.notes,
            author=row.author,
            created_at=row.VersionRow.created_at,
            aliases=aliases.get(row.VersionRow.number, []),
            manifest=row.VersionRow.manifest,
            measured_metrics=row.VersionRow.measured_metrics or [],
            signature=row.VersionRow.signature,
            tensors=row.VersionRow.tensors,
            batch_invariant=row.VersionRow.batch_invariant,
            origin=row.VersionRow.origin,
            parent=row.VersionRow.parent,
            lineage=row.VersionRow.lineage,
            withheld=bool(row.VersionRow.withheld_by),
            state=row.VersionRow.state,
            state_since=row.VersionRow.state_since,
            reason=row.VersionRow.reason,
            replacement=row.VersionRow.replacement,
            sunset=row.VersionRow.sunset,
            documentation=row.VersionRow.documentation,
            performance=measured.get(row.VersionRow.number, []),
            usage=used.get(row.VersionRow.number, usage.total(0, 0)),
        )
        for row in rows
    ]


def version_not_found(selector: str) -> NotFound:
    """Make the answer for a selector that means no version."""
    return NotFound(
        f"the model has no version {selector[:_MOST_CHARACTERS_SHOWN]!r}; give a number, an alias or "
        "`latest`; GET /v1/models/{model}/versions lists them",
        code="version_not_found",
        param="version",
    )


def _retired(row: Row[*tuple[Any, ...]], successor: str | None) -> Gone:
    name = f"version {row.number} of {row.name!r}"
    instead = f"; use {replacement_in_words(successor)}" if successor else ""
    return Gone(
        f"{name} was retired on {row.state_since:%Y-%m-%d}{instead}",
        code="version_retired",
        param="version",
        replacement=successor,
    )


def replacement_in_words(replacement: str) -> str:
    """Return what a replacement means: a version of the same model, or a model."""
    return f"version {replacement}" if replacement.isdecimal() else f"the model {replacement!r}"


def _selected(selector: str) -> tuple[_Kind, int | str]:
    if re.fullmatch(VERSION_NUMBER, selector):
        return "number", int(selector)
    if selector == LATEST:
        return "latest", selector
    if re.fullmatch(ALIAS_NAME, selector):
        return "alias", selector
    # Not an error yet: whether the model is there is told first.
    return "number", _NO_VERSION


def _aliases_by_version(session: Session, model_id: str) -> dict[int, list[str]]:
    aliases: dict[int, list[str]] = {}
    stored = (
        select(AliasRow.version, AliasRow.name).where(AliasRow.model_id == model_id).order_by(AliasRow.name)
    )
    for version, name in session.execute(stored):
        aliases.setdefault(version, []).append(name)
    newest = find_number(session, model_id, LATEST)
    if newest is not None:
        aliases.setdefault(newest, []).append(LATEST)
    return aliases
