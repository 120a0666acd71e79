"""Aliases: names that point to a version, and remember every move. `latest` is computed and never moved."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, literal, select, union_all
from sqlalchemy.orm import aliased

from maas_client.types import ALIAS_NAME, Alias, AliasChange, Page, PageQuery
from reference_server.errors import Conflict, NotFound, PreconditionFailed, Unprocessable
from reference_server.registry import events, facts, names
from reference_server.registry.compatibility import check_target
from reference_server.registry.in_force import refuse_while_split
from reference_server.registry.pages import Keyset
from reference_server.registry.tables import AccountRow, AliasChangeRow, AliasRow, VersionRow
from reference_server.registry.versions import DEFAULT, LATEST, RETIRED, select_number

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Row
    from sqlalchemy.orm import Session

    from reference_server.registry.database import Database
    from reference_server.security.callers import Caller

_MOST_CHARACTERS_SHOWN = 100
_Newest = aliased(VersionRow)
_STORED = (
    select(
        AliasRow.name,
        AliasRow.version,
        AliasRow.revision,
        AliasRow.note,
        AccountRow.name.label("moved_by"),
        AliasRow.moved_at,
    )
    .join(AccountRow, AccountRow.id == AliasRow.moved_by)
    .where(AliasRow.model_id == bindparam("model"))
)
# Publishing a version is what moves `latest`, so the number counts its moves.
_COMPUTED = (
    select(
        literal(LATEST).label("name"),
        VersionRow.number.label("version"),
        VersionRow.number.label("revision"),
        VersionRow.notes.label("note"),
        AccountRow.name.label("moved_by"),
        VersionRow.created_at.label("moved_at"),
    )
    .join(AccountRow, AccountRow.id == VersionRow.author_id)
    .where(
        VersionRow.model_id == bindparam("model"),
        VersionRow.number
        == select(func.max(_Newest.number))
        .where(_Newest.model_id == bindparam("model"), _Newest.state != RETIRED)
        .scalar_subquery(),
    )
)
_Every = union_all(_STORED, _COMPUTED).subquery()
_BY_NAME = Keyset("aliases", (_Every.c.name,))
_NEWEST_FIRST = Keyset("alias changes", (AliasChangeRow.revision,), descending=True)
_CHANGES = select(AliasChangeRow, AccountRow.name.label("by")).join(
    AccountRow, AccountRow.id == AliasChangeRow.moved_by
)


@dataclass(frozen=True, slots=True)
class _Move:
    """A move that somebody asks for; see `move`."""

    caller: Caller
    model: str
    alias: str
    version: int
    note: str
    expected_revision: int | None
    force: bool


def list_aliases(db: Database, caller: Caller, model: str, query: PageQuery) -> Page[Alias]:
    """Return a page of a model's aliases by name, `latest` among them.

    Raises:
        NotFound: When the model is not there.
        InvalidRequest: With code `bad_cursor`.
    """
    with db.read() as session:
        statement = select(_Every).params(model=names.visible(session, caller, model).row.id)
        return _BY_NAME.page(session, statement, query, lambda rows: [_to_alias(row) for row in rows])


def get(db: Database, caller: Caller, model: str, alias: str) -> Alias:
    """Return one alias.

    Raises:
        NotFound: When the model or the alias is not there.
    """
    with db.read() as session:
        return _read(session, names.visible(session, caller, model).row.id, alias)


def move(
    db: Database,
    caller: Caller,
    model: str,
    alias: str,
    *,
    version: int,
    note: str,
    expected_revision: int | None,
    force: bool = False,
) -> Alias:
    """Point an alias to a version, making it if need be; a repeat of its last move changes nothing.

    Args:
        db: The store.
        caller: Who asks; a publisher of the model.
        model: The model's name.
        alias: The alias.
        version: The version it is to point to.
        note: Why.
        expected_revision: Move only if it still has this revision; None moves it in any case.
        force: Move `default` even if that breaks calls.

    Raises:
        NotFound: When the model or the version is not there.
        Forbidden: With code `not_owner` or `missing_role`.
        Unprocessable: When no alias can have that name, or it is `latest`, or, for a new one, it differs from
            `default` or `latest` in capital letters only.
        Conflict: With code `version_retired`; for `default` also with code `traffic_split_in_force`, or
            `breaking_signature` without `force`.
        PreconditionFailed: When somebody moved it since.
    """
    wanted = _Move(caller, model, alias, version, note, expected_revision, force)
    with db.write() as session:
        model_id, is_due = _checked(session, wanted)
        if is_due:
            record_move(session, model_id, alias, version=version, note=note, by=caller, at=db.clock())
            session.flush()
        return _read(session, model_id, alias)


def check_move(
    db: Database,
    caller: Caller,
    model: str,
    alias: str,
    *,
    version: int,
    note: str,
    expected_revision: int | None,
    force: bool,
) -> None:
    """Refuse what `move` would refuse, before anything is loaded for it.

    Raises:
        NotFound, Forbidden, Conflict, Unprocessable, PreconditionFailed: As `move`.
    """
    with db.read() as session:
        _checked(session, _Move(caller, model, alias, version, note, expected_revision, force))


def rollback(
    db: Database,
    caller: Caller,
    model: str,
    alias: str,
    *,
    note: str,
    expected_revision: int | None,
    force: bool = False,
) -> Alias:
    """Point an alias to the version it pointed to before; this is a move like any other, and remembered.

    Raises:
        NotFound: When the model or the alias is not there.
        Forbidden: With code `not_owner` or `missing_role`.
        Conflict: With code `no_earlier_version`, when it never pointed elsewhere or that version was deleted;
            otherwise as `move`.
        Unprocessable: When the alias is `latest`.
        PreconditionFailed: When somebody moved it since.
    """
    _check_movable(alias)
    with db.write() as session:
        model_id = names.allowed(session, caller, model, names.PUBLISHER).row.id
        row = _compare(session, model_id, alias, expected_revision)
        if row is None:
            raise _not_found(alias)
        earlier = _earlier_version(session, row, force=force)
        record_move(
            session,
            model_id,
            alias,
            version=earlier,
            note=note,
            by=caller,
            at=db.clock(),
            kind="alias_rolled_back",
        )
        session.flush()
        return _read(session, model_id, alias)


def earlier_version(
    db: Database, caller: Caller, model: str, alias: str, *, expected_revision: int | None, force: bool
) -> int:
    """Return the version to which `rollback` would point an alias.

    Raises:
        NotFound, Forbidden, Conflict, Unprocessable, PreconditionFailed: As `rollback`.
    """
    _check_movable(alias)
    with db.read() as session:
        row = _compare(
            session, names.allowed(session, caller, model, names.PUBLISHER).row.id, alias, expected_revision
        )
        if row is None:
            raise _not_found(alias)
        return _earlier_version(session, row, force=force)


def history(db: Database, caller: Caller, model: str, alias: str, query: PageQuery) -> Page[AliasChange]:
    """Return a page of an alias's moves, newest first; those of `latest` are the model's versions.

    Raises:
        NotFound: When the model or the alias is not there.
        InvalidRequest: With code `bad_cursor`.
    """
    with db.read() as session:
        model_id = names.visible(session, caller, model).row.id
        if alias == LATEST:
            raise NotFound(
                "`latest` is computed and keeps no history; GET /v1/models/{model}/versions tells it",
                code="alias_not_found",
                param="alias",
            )
        _read(session, model_id, alias)
        statement = _CHANGES.where(AliasChangeRow.model_id == model_id, AliasChangeRow.alias == alias)
        return _NEWEST_FIRST.page(
            session, statement, query, lambda rows: [_to_change(row.AliasChangeRow, row.by) for row in rows]
        )


def record_move(
    session: Session,
    model_id: str,
    alias: str,
    *,
    version: int,
    note: str,
    by: Caller,
    at: datetime,
    kind: str = "alias_moved",
) -> None:
    """Write where an alias points now and that it moved; the version exists, the caller may do it.

    Raises:
        Conflict: With code `traffic_split_in_force`, for `default` while others serve in its place.
    """
    if alias == DEFAULT:
        refuse_while_split(session, model_id)
    row = session.get(AliasRow, (model_id, alias))
    earlier = None if row is None else row.version
    if row is None:
        row = AliasRow(model_id=model_id, name=alias, revision=0)
        session.add(row)
    row.version, row.note, row.moved_by, row.moved_at = version, note, by.account_id, at
    row.revision += 1
    session.add(
        AliasChangeRow(
            model_id=model_id,
            alias=alias,
            revision=row.revision,
            from_version=earlier,
            to_version=version,
            note=note,
            moved_by=by.account_id,
            moved_at=at,
        )
    )
    events.record(
        session,
        model_id,
        kind,
        by=by,
        at=at,
        version=version,
        alias=alias,
        from_version=earlier,
        note=note,
    )
    if alias == DEFAULT:
        facts.refresh(session, model_id)


def read_changes(session: Session, model_id: str) -> list[AliasChange]:
    """Return every move of every alias of a model, newest first."""
    statement = _CHANGES.where(AliasChangeRow.model_id == model_id).order_by(
        AliasChangeRow.moved_at.desc(), AliasChangeRow.alias, AliasChangeRow.revision.desc()
    )
    return [_to_change(row.AliasChangeRow, row.by) for row in session.execute(statement)]


def _check_movable(alias: str) -> None:
    if alias == LATEST:
        raise Unprocessable(
            "`latest` is always the newest version and cannot be moved; move `default` or an alias of yours",
            code="alias_is_computed",
            param="alias",
        )
    if re.fullmatch(ALIAS_NAME, alias) is None:
        raise Unprocessable(
            f"{alias[:_MOST_CHARACTERS_SHOWN]!r} cannot be an alias: 1 to 64 ASCII letters, digits, dots, "
            "underscores and hyphens, a letter first",
            code="invalid_alias",
            param="alias",
        )


def _check_new(alias: str) -> None:
    """Refuse to make an alias that people would take for one which means something else."""
    meant = alias.lower()
    if meant in (DEFAULT, LATEST) and alias != meant:
        raise Unprocessable(
            f"an alias {alias!r} would be mistaken for `{meant}`, which it is not; write `{meant}`, or "
            "choose a name that differs in more than capital letters",
            code="confusing_alias",
            param="alias",
        )


def _checked(session: Session, wanted: _Move) -> tuple[str, bool]:
    """Refuse a move that cannot be; return the model's id, and whether the alias is elsewhere now."""
    _check_movable(wanted.alias)
    model_id = names.allowed(session, wanted.caller, wanted.model, names.PUBLISHER).row.id
    target = select_number(session, model_id, str(wanted.version))
    if _is_repeat(session, model_id, wanted):
        return model_id, False
    row = _compare(session, model_id, wanted.alias, wanted.expected_revision)
    if row is None:
        _check_new(wanted.alias)
    _check_target(session, model_id, wanted.alias, target, force=wanted.force)
    return model_id, row is None or (row.version, row.note) != (target, wanted.note)


def _check_target(session: Session, model_id: str, alias: str, version: int, *, force: bool) -> None:
    # A split is told of first: nothing that `force` could mean moves `default` then.
    row = session.get(AliasRow, (model_id, alias))
    if alias == DEFAULT and row is not None and row.version != version:
        refuse_while_split(session, model_id)
    check_target(session, model_id, alias, version, force=force)


def _compare(session: Session, model_id: str, alias: str, expected_revision: int | None) -> AliasRow | None:
    row = session.get(AliasRow, (model_id, alias))
    revision = 0 if row is None else row.revision
    if expected_revision not in (None, revision):
        raise PreconditionFailed(
            f"the alias {alias!r} is at revision {revision}, not {expected_revision}: somebody moved it; "
            "read it again and decide anew",
            code="revision_mismatch",
            current=None if row is None else _read(session, model_id, alias),
            etag=None if row is None else f'"{revision}"',
        )
    return row


def _is_repeat(session: Session, model_id: str, wanted: _Move) -> bool:
    """Tell whether the last move is this very one, whose reply its caller may have lost."""
    row = session.get(AliasRow, (model_id, wanted.alias))
    if row is None or row.revision - 1 != wanted.expected_revision:
        return False
    last = (row.version, row.note, row.moved_by)
    return last == (wanted.version, wanted.note, wanted.caller.account_id)


def _earlier_version(session: Session, row: AliasRow, *, force: bool) -> int:
    earlier = session.scalar(
        select(AliasChangeRow.from_version)
        .where(
            AliasChangeRow.model_id == row.model_id,
            AliasChangeRow.alias == row.name,
            AliasChangeRow.from_version != row.version,
        )
        .order_by(AliasChangeRow.revision.desc())
        .limit(1)
    )
    if earlier is None:
        raise Conflict(
            f"the alias {row.name!r} never pointed to another version than {row.version}; there is nothing "
            "to go back to",
            code="no_earlier_version",
        )
    if session.get(VersionRow, (row.model_id, earlier)) is None:
        raise Conflict(
            f"version {earlier}, to which the alias {row.name!r} pointed before, was deleted; move the "
            "alias to another",
            code="no_earlier_version",
        )
    _check_target(session, row.model_id, row.name, earlier, force=force)
    return earlier


def _read(session: Session, model_id: str, alias: str) -> Alias:
    statement = select(_Every).where(_Every.c.name == alias)
    row = session.execute(statement, {"model": model_id}).first()
    if row is None:
        raise _not_found(alias)
    return _to_alias(row)


def _not_found(alias: str) -> NotFound:
    return NotFound(
        f"the model has no alias {alias[:_MOST_CHARACTERS_SHOWN]!r}; "
        "GET /v1/models/{model}/aliases lists those it has",
        code="alias_not_found",
        param="alias",
    )


def _to_alias(row: Row[*tuple[Any, ...]]) -> Alias:
    return Alias(
        name=row.name,
        version=row.version,
        revision=row.revision,
        note=row.note,
        moved_by=row.moved_by,
        moved_at=row.moved_at,
    )


def _to_change(row: AliasChangeRow, by: str) -> AliasChange:
    return AliasChange(
        alias=row.alias,
        from_version=row.from_version,
        to_version=row.to_version,
        revision=row.revision,
        note=row.note,
        moved_by=by,
        moved_at=row.moved_at,
    )
