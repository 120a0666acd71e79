"""What a model's name means to a caller, and who may see and change it (`docs/architecture.md`, "Names").

A bare name is the caller's own model, else the public one of that name; `account~name` is always exact. What
the caller may not see is answered like what is not there; so is what a key's limits leave out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import and_, bindparam, exists, literal, not_, or_, select
from sqlalchemy.orm import aliased

from maas_client.types import ACCOUNT_NAME, MODEL_NAME, RESERVED_MODEL_NAMES
from reference_server.errors import Forbidden, NotFound, Unprocessable
from reference_server.registry.tables import AccountRow, ModelRow
from reference_server.security.limits import models_expression

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from reference_server.security.callers import Caller

_REFERENCE = re.compile(rf"(?:(?P<account>{ACCOUNT_NAME})~)?(?P<name>{MODEL_NAME})")
_MOST_CHARACTERS_SHOWN = 200

# Conditions over `ModelRow` joined with its owner; they take the parameters `caller`, `account` and `name`.
# A bare name can mean two rows, the caller's own and another's: sort by `MINE` for that order.
MINE: ColumnElement[bool] = ModelRow.account_id == bindparam("caller")
VISIBLE = or_(MINE, ModelRow.public_name.is_not(None))
BARE = or_(and_(MINE, ModelRow.name == bindparam("name")), ModelRow.public_name == bindparam("name"))
EXACT = and_(AccountRow.name == bindparam("account"), ModelRow.name == bindparam("name"), VISIBLE)
_Own, _Owner = aliased(ModelRow), aliased(AccountRow)
SHADOWED: ColumnElement[bool] = exists().where(
    _Own.account_id == bindparam("caller"), _Own.name == ModelRow.name, _Own.id != ModelRow.id
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
        mine: Whether the caller owns it.
    """

    row: ModelRow
    reached_as: str
    mine: bool


_SELECT = select(ModelRow, AccountRow.name, SHADOWED).join(AccountRow, AccountRow.id == ModelRow.account_id)
_FIND_BARE = _SELECT.where(BARE).order_by(MINE.desc()).limit(1)
_FIND_EXACT = _SELECT.where(EXACT)


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
    model, owner, shadowed = row
    reached_as = shortest(model.name, owner, shadowed=shadowed)
    if not caller.limits.permits_model(reached_as, owner, model.name):
        return None
    return Found(model, reached_as, model.account_id == caller.account_id)


def visible(session: Session, caller: Caller, text: str) -> Found:
    """Return the model that a name means to a caller.

    Raises:
        NotFound: When there is none, or none that they may see.
    """
    found = find(session, caller, text)
    if found is None:
        raise model_not_found(text)
    return found


def owned(session: Session, caller: Caller, text: str) -> Found:
    """Return a model that the caller may change.

    Raises:
        NotFound: When there is none, or none that they may see.
        Forbidden: With code `not_owner`, when they only see it.
    """
    found = visible(session, caller, text)
    if not found.mine:
        raise not_owner(text)
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
    """Return the name by which a caller reaches a model: exact when one of their own hides the bare one."""
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


def not_owner(text: str) -> Forbidden:
    """Make the answer for a change of somebody else's public model."""
    return Forbidden(
        f"{text!r} is another account's model, and only its owner may change it; "
        "for one of your own by that name, write it as your-account~name",
        code="not_owner",
        param="model",
    )
