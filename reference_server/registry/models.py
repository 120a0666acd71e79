"""The catalogue: models, who sees them, and what their default version says about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, exists, func, select
from sqlalchemy.orm import aliased

from maas_client.types import Model, ModelQuery, Page, Visibility
from reference_server.errors import Conflict
from reference_server.registry import capture, facts, listing, names, performance, usage
from reference_server.registry.ids import new_id
from reference_server.registry.search import fold
from reference_server.registry.tables import AccountRow, AliasRow, CaptureRow, ModelRow, ShareRow, VersionRow
from reference_server.registry.versions import RETIRED

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy import Row, Select
    from sqlalchemy.orm import Session

    from maas_client.types import Performance
    from reference_server.registry.database import Database
    from reference_server.security.callers import Caller

_Any = aliased(VersionRow)
_LATEST = (
    select(func.max(_Any.number)).where(_Any.model_id == ModelRow.id, _Any.state != RETIRED).scalar_subquery()
)
_IS_SHARED = exists().where(ShareRow.model_id == ModelRow.id)
_CATALOGUE = (
    select(
        ModelRow.id,
        ModelRow.name,
        ModelRow.public_name,
        ModelRow.downloadable,
        ModelRow.created_at,
        ModelRow.updated_at,
        ModelRow.recent_calls,
        ModelRow.recent_rows,
        VersionRow.number,
        VersionRow.task,
        VersionRow.size,
        VersionRow.manifest,
        VersionRow.measured_metrics,
        VersionRow.signature,
        VersionRow.state,
        VersionRow.sunset,
        VersionRow.replacement,
        AccountRow.name.label("owner"),
        names.SHADOWED.label("shadowed"),
        names.ROLE.label("role"),
        _IS_SHARED.label("is_shared"),
        AliasRow.version.label("default"),
        _LATEST.label("latest"),
        *capture.COLUMNS,
    )
    .join(AccountRow, AccountRow.id == ModelRow.account_id)
    .outerjoin(CaptureRow, capture.OF_MODEL)
    .outerjoin(AliasRow, and_(AliasRow.model_id == ModelRow.id, AliasRow.name == "default"))
    .outerjoin(
        VersionRow,
        and_(
            VersionRow.model_id == ModelRow.id,
            VersionRow.number == func.coalesce(AliasRow.version, _LATEST),
        ),
    )
)
_BY_NAME = (ModelRow.folded_name, ModelRow.id)


def create(db: Database, caller: Caller, *, name: str, visibility: Visibility) -> Model:
    """Claim a name for a model that has no version yet.

    Raises:
        NotFound: When the caller's key is limited to other models.
        Conflict: With code `name_taken` (by another of the caller's) or `public_name_taken`.
        Unprocessable: When no model can have that name.
    """
    names.require_new_name(caller, name)
    with db.write() as session:
        check_free(session, caller, name, visibility)
        row = add(session, caller, name, visibility, now=db.clock())
        session.flush()
        return _read(session, caller, row.id)


def get(db: Database, caller: Caller, name: str) -> Model:
    """Return a model that the caller may see.

    Raises:
        NotFound: When there is none, or none that they may see.
    """
    with db.read() as session:
        return _read(session, caller, names.visible(session, caller, name).row.id)


def require_visible(db: Database, caller: Caller, name: str) -> None:
    """Refuse a name that means no model to a caller.

    Raises:
        NotFound: When there is none, or none that they may see.
    """
    with db.read() as session:
        names.visible(session, caller, name)


def list_models(db: Database, caller: Caller, query: ModelQuery) -> Page[Model]:
    """Return a page of the models that the caller may see.

    Raises:
        InvalidRequest: With code `bad_cursor`.
    """
    with db.read() as session:
        page = listing.ORDERS[query.sort].read(session, caller, query)
        statement = _CATALOGUE.where(ModelRow.id.in_(page.ids))
        found = to_models(session, session.execute(statement, {"caller": caller.account_id}))
        listed = [found[model_id] for model_id in page.ids if model_id in found]
    return Page(data=listed, has_more=page.next_cursor is not None, next_cursor=page.next_cursor)


def set_unloaded(db: Database, caller: Caller, name: str, *, unloaded: bool) -> None:
    """Keep a model out of memory in every worker, or let it be loaded again.

    Raises:
        NotFound: When there is none, or none that they may see.
        Forbidden: With code `not_owner` or `missing_role`.
    """
    with db.write() as session:
        names.allowed(session, caller, name, names.OWNER).row.unloaded = unloaded


def update(
    db: Database,
    caller: Caller,
    name: str,
    *,
    visibility: Visibility | None = None,
    downloadable: bool | None = None,
) -> Model:
    """Change who sees a model and who downloads it; what is None stays.

    Args:
        db: The store.
        caller: One of its owners.
        name: The model's name.
        visibility: `public` shows it to everyone and claims its public name; `private` gives that up and
            shows it only to those it is shared with.
        downloadable: Whether everybody who may use it may download its packages.

    Raises:
        NotFound: When there is none, or none that they may see.
        Forbidden: With code `not_owner` or `missing_role`.
        Conflict: With code `public_name_taken`.
    """
    with db.write() as session:
        row = names.allowed(session, caller, name, names.OWNER).row
        before = row.public_name, row.downloadable
        if downloadable is not None:
            row.downloadable = downloadable
        if visibility is not None:
            _show(session, row, visibility)
        if (row.public_name, row.downloadable) != before:
            row.updated_at = db.clock()
            session.flush()
        return _read(session, caller, row.id)


def check_free(session: Session, caller: Caller, name: str, visibility: Visibility) -> None:
    """Refuse a new model whose name is invalid or taken.

    Raises:
        Conflict: With code `name_taken` or `public_name_taken`.
        Unprocessable: With code `invalid_model_name`.
    """
    names.check_new_name(name)
    mine = select(ModelRow.id).where(ModelRow.account_id == caller.account_id, ModelRow.name == name)
    if session.scalar(mine) is not None:
        raise Conflict(
            f"you have a model {name!r} already; publish a new version of it, or choose another name",
            code="name_taken",
            param="name",
        )
    if visibility == "public":
        _check_public_name(session, name)


def add(session: Session, caller: Caller, name: str, visibility: Visibility, *, now: datetime) -> ModelRow:
    """Insert a model whose name has been checked."""
    row = ModelRow(
        id=new_id("mdl"),
        account_id=caller.account_id,
        name=name,
        public_name=name if visibility == "public" else None,
        versions_made=0,
        created_at=now,
        updated_at=now,
        folded_name=name.lower(),
        search=fold(name),
    )
    session.add(row)
    return row


def owned_models(session: Session, account_id: str) -> list[Model]:
    """Return every model of an account, by name."""
    statement = _CATALOGUE.where(names.MINE).params(caller=account_id).order_by(*_BY_NAME)
    return list(to_models(session, session.execute(statement)).values())


def to_models(session: Session, rows: Iterable[Row[*tuple[Any, ...]]]) -> dict[str, Model]:
    """Return the wire forms of catalogue rows by the models' ids, in the order of the rows."""
    listed = list(rows)
    numbers = {row.id: row.number for row in listed if row.number is not None}
    measured = performance.of_models(session, numbers)
    return {row.id: _to_model(row, measured.get(row.id, [])) for row in listed}


def _to_model(row: Row[*tuple[Any, ...]], measured: list[Performance]) -> Model:
    return Model(
        id=names.shortest(row.name, row.owner, shadowed=row.shadowed),
        created=int(row.created_at.timestamp()),
        owned_by=row.owner,
        name=row.name,
        visibility=_visibility(row),
        role=row.role,
        downloadable=row.downloadable,
        default_version=row.default,
        latest_version=row.latest,
        updated_at=row.updated_at,
        captured=capture.notice_of(row),
        performance=measured,
        usage=usage.total(row.recent_calls, row.recent_rows),
        **({} if row.number is None else _described(row)),
    )


def _visibility(row: Row[*tuple[Any, ...]]) -> str:
    if row.public_name is not None:
        return "public"
    return "shared" if row.is_shared else "private"


def _described(row: Row[*tuple[Any, ...]]) -> dict[str, Any]:
    fields = ("description", "intended_use", "limitations", "license", "tags", "labels", "example")
    manifest = {field: row.manifest[field] for field in fields}
    return {
        **manifest,
        "metrics": facts.metrics_of(row.manifest, row.measured_metrics),
        "task": row.task,
        "signature": row.signature,
        "explainable": facts.is_explainable(row.task, row.manifest),
        "size": row.size,
        "state": row.state,
        "sunset": row.sunset,
        "replacement": row.replacement,
    }


def _read(session: Session, caller: Caller, model_id: str) -> Model:
    statement: Select[*tuple[Any, ...]] = _CATALOGUE.where(ModelRow.id == model_id)
    rows = session.execute(statement, {"caller": caller.account_id})
    return to_models(session, rows)[model_id]


def _show(session: Session, row: ModelRow, visibility: Visibility) -> None:
    public_name = row.name if visibility == "public" else None
    if public_name is not None and public_name != row.public_name:
        _check_public_name(session, public_name)
    row.public_name = public_name


def _check_public_name(session: Session, name: str) -> None:
    if session.scalar(select(ModelRow.id).where(ModelRow.public_name == name)) is not None:
        raise Conflict(
            f"a public model is called {name!r} already; keep yours private or choose another name",
            code="public_name_taken",
            param="visibility",
        )
