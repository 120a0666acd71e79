"""Who calls, and what the credential allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from maas_client.types import SCOPES, Scope
from reference_server.errors import Forbidden

if TYPE_CHECKING:
    from collections.abc import Iterable

    from maas_client.types import Account
    from reference_server.security.credentials import Kind

ALL_SCOPES: frozenset[str] = frozenset(SCOPES)


@dataclass(frozen=True, slots=True)
class Caller:
    """The account behind a request and the credential that speaks for it."""

    account_id: str
    account_name: str
    role: str
    credential_id: str
    kind: Kind
    scopes: frozenset[str]

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
        if self.role != "operator":
            raise Forbidden("this is for operators of the service alone", code="operator_required")

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
