"""What a model's name means to a caller, and what they may do with it (`docs/architecture.md`, "Access").

A bare name is the caller's own model, else the one that was shared with them and has it, else the public one
of that name; `account~name` is always exact. What the caller may not see is answered like what is not there;
so is what a key's limits leave out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from sqlalchemy import and_, bindparam, case, exists, func, literal, not_, or_, select
from sqlalchemy.orm import aliased

from maas_client.types import ACCOUNT_NAME, MODEL_NAME, RESERVED_MODEL_NAMES, SHARE_ROLES, ShareRole
from reference_server.errors import Forbidden, NotFound, Unprocessable
from reference_server.registry.tables import AccountRow, ModelRow, ShareRow
from reference_server.security.limits import models_expression

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from reference_server.security.callers import Caller

_REFERENCE = re.compile(rf"(?:(?P<account>{ACCOUNT_NAME})~)?(?P<name>{MODEL_NAME})")
_MOST_CHARACTERS_SHOWN = 200

PUBLISHER: ShareRole = "publisher"
OWNER: ShareRole = "owner"
# None is everybody's with a public model: they see it and call it.
Role: TypeAlias = ShareRole | None
_RANKS: dict[Role, int] = {None: 0, **{role: rank for rank, role in enumerate(SHARE_ROLES, 1)}}

# Conditions over `ModelRow` joined with its owner; they take the parameters `caller`, `account` and `name`.
MINE: ColumnElement[bool] = ModelRow.account_id == bindparam("caller")
_Mine = aliased(ShareRow)
_SHARED_ROLE = (
    select(_Mine.role)
    .where(_Mine.account_id == bindparam("caller"), _Mine.model_id == ModelRow.id)
    .correlate(ModelRow)
    .scalar_subquery()
)
ROLE = case((MINE, literal(OWNER)), else_=_SHARED_ROLE)
SHARED: ColumnElement[bool] = ModelRow.id.in_(
    select(ShareRow.model_id).where(ShareRow.account_id == bindparam("caller"))
)
VISIBLE = or_(MINE, ModelRow.public_name.is_not(None), SHARED)


def _holder_of(name: ColumnElement[str]) -> ColumnElement[str]:
    """Return the id of the model shared with the caller that has a bare name."""
    held = aliased(ShareRow)
    holder: ColumnElement[str] = (
        select(held.model_id)
        .where(held.account_id == bindparam("caller"), held.bare_name == name)
        .correlate(ModelRow)
        .scalar_subquery()
    )
    return holder


_HOLDER = _holder_of(bindparam("name"))
BARE = or_(
    and_(MINE, ModelRow.name == bindparam("name")),
    ModelRow.id == _HOLDER,
    ModelRow.public_name == bindparam("name"),
)
# A bare name can fit three rows, one of each kind.
BARE_ORDER = case((MINE, 0), (ModelRow.id == _HOLDER, 1), else_=2)
EXACT = and_(AccountRow.name == bindparam("account"), ModelRow.name == bindparam("name"), VISIBLE)
_Own, _Owner = aliased(ModelRow), aliased(AccountRow)
_OTHER_OF_MINE = exists().where(
    _Own.account_id == bindparam("caller"), _Own.name == ModelRow.name, _Own.id != ModelRow.id
)
_MEANT_TO_OTHERS = case((ModelRow.public_name.is_not(None), ModelRow.id), else_=literal(""))
# Whether the bare name means another model, or none.
SHADOWED: ColumnElement[bool] = case(
    (MINE, literal(value=False)),
    (_OTHER_OF_MINE, literal(value=True)),
    else_=func.coalesce(_holder_of(ModelRow.name.expression), _MEANT_TO_OTHERS) != ModelRow.id,
)


@dataclass(frozen=True, slots=True)
class Reference:
    """A model's name as a caller wrote it; `account` is None in a bare one."""

    account: str | None
    name: str

    def parameters(self, caller: Caller) -> dict[str, str | None]:
        """The values of the condition's parameters."""
        return {"caller": caller.account_id, "account": self.account, "name": self.name}


@dataclass(frozen=True, slots=True)
class Found:
    """A model that the caller may see.

    Args:
        row: Its row.
        reached_as: The shortest name by which the caller reaches it.
        role: What the caller is to it: `owner` of what is their account's own, else what it was shared as;
            None where everybody sees it and it was not shared with them.
    """

    row: ModelRow
    reached_as: str
    role: Role

    def allows(self, role: Role) -> bool:
        """Tell whether the caller may do what a role may."""
        return _RANKS[self.role] >= _RANKS[role]


_SELECT = select(ModelRow, AccountRow.name, SHADOWED, ROLE).join(
    AccountRow, AccountRow.id == ModelRow.account_id
)
_FIND_BARE = _SELECT.where(BARE).order_by(BARE_ORDER).limit(1)
_FIND_EXACT = _SELECT.where(EXACT)


def exact_name(session: Session, model: ModelRow) -> str:
    """Return the name by which everybody reaches a model, `account~name`."""
    owner = session.get_one(AccountRow, model.account_id)
    return f"{owner.name}~{model.name}"


def parse(text: str) -> Reference:
    """Read a name as it stands in a path.

    Raises:
        NotFound: For one that no model can have.
    """
    form = _REFERENCE.fullmatch(text)
    if form is None:
        raise model_not_found(text)
    return Reference(form["account"], form["name"])


def find(session: Session, caller: Caller, text: str) -> Found | None:
    """Return the model that a name means to a caller, or None when they see none."""
    reference = parse(text)
    statement = _FIND_BARE if reference.account is None else _FIND_EXACT
    row = session.execute(statement, reference.parameters(caller)).first()
    if row is None:
        return None
    model, owner, shadowed, role = row
    reached_as = shortest(model.name, owner, shadowed=shadowed)
    if not caller.limits.permits_model(reached_as, owner, model.name):
        return None
    return Found(model, reached_as, role)


def visible(session: Session, caller: Caller, text: str) -> Found:
    """Return the model that a name means to a caller.

    Raises:
        NotFound: When there is none, or none that they may see.
    """
    found = find(session, caller, text)
    if found is None:
        raise model_not_found(text)
    return found


def allowed(session: Session, caller: Caller, text: str, role: ShareRole) -> Found:
    """Return the model that a name means to a caller who may do with it what a role may.

    Raises:
        NotFound: When there is none, or none that they may see.
        Forbidden: With code `not_owner`, when it was not shared with them, or `missing_role`, when it was but
            not as that.
    """
    found = visible(session, caller, text)
    if not found.allows(role):
        raise role_needed(text, found.role, role)
    return found


def permitted(caller: Caller) -> ColumnElement[bool] | None:
    """Return the condition over `ModelRow` that a key's limits add, or None where they add none.

    It takes the parameter `caller`.
    """
    if caller.limits.models is None:
        return None
    return permitted_by(literal(models_expression(caller.limits.models)))


def permitted_by(expression: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the same condition for an expression of `models_expression`, such as a parameter."""
    exact = exists().where(
        _Owner.id == ModelRow.account_id, (_Owner.name + "~" + ModelRow.name).regexp_match(expression)
    )
    return or_(and_(ModelRow.name.regexp_match(expression), not_(SHADOWED)), exact)


def require_new_name(caller: Caller, name: str) -> None:
    """Refuse a new model that a key's limits leave out, like any other model that they do.

    Raises:
        NotFound: When they do.
    """
    if not caller.limits.permits_model(name, caller.account_name, name):
        raise model_not_found(name)


def shortest(name: str, owner: str, *, shadowed: bool) -> str:
    """Return the name by which a caller reaches a model: exact where the bare one means another."""
    return f"{owner}~{name}" if shadowed else name


def check_new_name(name: str) -> None:
    """Refuse a name that a model cannot have.

    Raises:
        Unprocessable: With code `invalid_model_name`.
    """
    if re.fullmatch(MODEL_NAME, name) is None or name in RESERVED_MODEL_NAMES:
        raise Unprocessable(
            f"{name[:_MOST_CHARACTERS_SHOWN]!r} cannot be a model's name: 1 to 128 ASCII letters, digits, "
            f"dots, underscores and hyphens, a letter or digit first, and none of "
            f"{', '.join(sorted(RESERVED_MODEL_NAMES))}",
            code="invalid_model_name",
            param="name",
        )


def model_not_found(text: str) -> NotFound:
    """Make the one answer for absent and for hidden models."""
    return NotFound(
        f"there is no model {text[:_MOST_CHARACTERS_SHOWN]!r} that you can see; "
        "GET /v1/models lists those you can",
        code="model_not_found",
        param="model",
    )


def role_needed(text: str, role: Role, needed: ShareRole) -> Forbidden:
    """Make the answer for what a caller may not do with a model that they see."""
    if role is None:
        return Forbidden(
            f"{text!r} is another account's model, which its owner and those with the role {needed!r} may "
            "change; for one of your own by that name, write it as your-account~name",
            code="not_owner",
            param="model",
        )
    return Forbidden(
        f"{text!r} is shared with you as {role!r}, and this needs the role {needed!r}; ask its owner",
        code="missing_role",
        param="model",
    )
