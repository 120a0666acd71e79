"""Who calls, and what the credential allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from maas_client.types import SCOPES, Scope
from reference_server.errors import Forbidden
from reference_server.security.limits import UNLIMITED, Limits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from maas_client.types import Account
    from reference_server.security.credentials import Kind
    from reference_server.security.limits import Budget

ALL_SCOPES: frozenset[str] = frozenset(SCOPES)


@dataclass(frozen=True, slots=True)
class Caller:
    """The account behind a request and the credential that speaks for it.

    Args:
        limits: Those of the key; a session has none.
        budgets: By what its calls are counted: the key's own, and its account's.
    """

    account_id: str
    account_name: str
    role: str
    credential_id: str
    kind: Kind
    scopes: frozenset[str]
    limits: Limits = UNLIMITED
    budgets: tuple[Budget, ...] = ()

    @property
    def sees_as(self) -> str:
        """What tells those apart to whom a model's name may mean different things."""
        return self.account_id if self.limits.models is None else f"{self.account_id} {self.credential_id}"

    @classmethod
    def at_the_machine(cls, account: Account) -> Caller:
        """Return who works on the server's own machine for an account: nothing is kept from them."""
        return cls(account.id, account.name, account.role, "", "session", ALL_SCOPES)

    def require(self, scope: Scope) -> None:
        """Refuse the call unless the credential carries a scope.

        Raises:
            Forbidden: Naming the missing scope.
        """
        if scope not in self.scopes:
            raise Forbidden(
                f"this credential lacks the scope {scope!r}; make a key that has it", code="missing_scope"
            )

    def require_session(self) -> None:
        """Refuse the call unless a log-in session makes it: keys cannot touch the account itself.

        Raises:
            Forbidden: For an API key.
        """
        if self.kind != "session":
            raise Forbidden(
                "this needs a log-in session, an API key is not enough; log in with POST /v1/sessions",
                code="session_required",
            )

    def require_operator(self) -> None:
        """Refuse the call unless an operator's account makes it.

        Raises:
            Forbidden: For everybody else.
        """
        # A key that is limited to some models is not to read of all.
        if self.role != "operator" or self.limits.models is not None:
            raise Forbidden(
                "this is for operators of the service alone, with a key for all models",
                code="operator_required",
            )

    def require_address(self, address: str) -> None:
        """Refuse the call unless the key may be used from there; which places would do is not told.

        Raises:
            Forbidden: With code `address_not_allowed`.
        """
        if not self.limits.permits_address(address):
            raise Forbidden(
                "this key cannot be used from this address; its owner sees in the list of keys from where "
                "it can",
                code="address_not_allowed",
            )

    def grant(self, scopes: Iterable[str]) -> list[str]:
        """Return the scopes in their canonical order if this caller may hand all of them on.

        Raises:
            Forbidden: Naming the scopes that the caller does not have itself.
        """
        wanted = set(scopes)
        if missing := sorted(wanted - self.scopes):
            raise Forbidden(
                f"a key cannot have scopes that its maker lacks: {', '.join(missing)}",
                code="scope_not_held",
                param="scopes",
            )
        return [scope for scope in SCOPES if scope in wanted]
