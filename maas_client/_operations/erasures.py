"""Calls about what was erased for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_client._operations import _names
from maas_client._operations._contract import build, encode, reader, secrets_of
from maas_client._operations._operation import Operation, fill
from maas_client.types import AccountErase, Erasure, ErasurePlan

if TYPE_CHECKING:
    from maas_client._masking import Masked
    from maas_client._operations._operation import Answer

_ACCOUNT = "/v1/account"
_PLAN = "/v1/account/erasure"
_ERASURE = "/v1/erasures/{erasure}"


def plan() -> Operation[ErasurePlan]:
    """Ask what erasing one's account would take along."""
    return Operation(method="GET", template=_PLAN, path=_PLAN, read=reader(ErasurePlan))


def erase_account(*, password: Masked) -> Operation[Erasure]:
    """Erase one's account. Not repeatable: after the first time nobody is left who could ask."""
    request = build(AccountErase, password=password)
    return Operation(
        method="DELETE",
        template=_ACCOUNT,
        path=_ACCOUNT,
        body=encode(request),
        read=reader(Erasure),
        repeatable=False,
        secrets=secrets_of(request),
    )


def get(erasure: str) -> Operation[Erasure]:
    """Ask for an erasure and its receipt; it needs no credential."""
    path = fill(_ERASURE, erasure=_names.identifier(erasure))
    return Operation(method="GET", template=_ERASURE, path=path, read=reader(Erasure), credential="none")


def told(answer: Answer) -> Erasure | None:
    """Read what a deletion tells of itself; servers of before there were receipts tell nothing."""
    return reader(Erasure)(answer) if answer.body else None
