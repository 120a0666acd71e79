"""Accounts: registration, and what an owner may do with the own one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_client.types import (
    Account,
    AccountCreate,
    AccountErase,
    AccountExport,
    Erasure,
    ErasurePlan,
    PasswordChange,
)
from reference_server.errors import Forbidden, Unauthenticated, Unprocessable
from reference_server.http.endpoints import Routes
from reference_server.http.erasures import PENDING, told
from reference_server.http.exchange import Call, Replied
from reference_server.registry import account_erasure, accounts, erasures, export, invitations
from reference_server.security import credentials

if TYPE_CHECKING:
    from reference_server.security.callers import Caller
    from reference_server.security.credentials import Credential

routes = Routes("accounts")


@routes.route(
    "POST", "/v1/accounts", access="open", status=201, one_transaction=True, audit="account_registered"
)
def register(call: Call, body: AccountCreate) -> Account:
    """Register an account, accepting the usage policy that `GET /` shows; that tells too who may register."""
    services, address = call.services, call.request.address
    services.limits.registrations.take(address)
    invitation = _invited(call, body)
    policy = services.settings.policy_version
    if body.accept_policy != policy:
        raise Unprocessable(
            f"the usage policy in force is version {policy!r}; read it at GET / and accept that version",
            code="policy_not_accepted",
            param="accept_policy",
        )
    return accounts.create(
        services.database,
        email=body.email,
        password_hash=services.passwords.hash(body.password.get_secret_value(), address=address),
        name=body.name,
        role="user",
        policy_version=policy,
        invitation=invitation,
    )


@routes.route("GET", "/v1/account", access="session")
def get(call: Call) -> Account:
    """Return one's own account."""
    return accounts.get(call.services.database, call.by.account_id)


@routes.route("PATCH", "/v1/account", access="session", one_transaction=True, audit="password_changed")
def change_password(call: Call, body: PasswordChange) -> Account:
    """Change the password and end every other session of the account."""
    services, caller = call.services, call.by
    services.limits.logins.take(caller.account_id)
    _confirm_password(call, caller, body.current_password.get_secret_value())
    accounts.set_password(
        services.database,
        caller.account_id,
        services.passwords.hash(body.new_password.get_secret_value(), address=call.request.address),
        keep_session=caller.credential_id,
    )
    services.authenticate.forget()
    return accounts.get(services.database, caller.account_id)


@routes.route("GET", "/v1/account/export", access="session", audit="account_exported")
def export_data(call: Call) -> AccountExport:
    """Return everything that the service holds about the account, without secrets."""
    return export.export(call.services.database, call.by.account_id)


@routes.route("GET", "/v1/account/erasure", access="session")
def erasure_plan(call: Call) -> ErasurePlan:
    """Tell what erasing the account would take along, and whom else that concerns; changes nothing."""
    return account_erasure.plan(call.services.database, call.by.account_id)


@routes.route("DELETE", "/v1/account", access="session", others=PENDING, audit="account_erased")
def erase(call: Call, body: AccountErase) -> Replied[Erasure]:
    """Erase the account and everything that is its, public models too; there is no way back.

    `GET /v1/account/erasure` tells before what goes.
    """
    services, caller = call.services, call.by
    services.limits.logins.take(caller.account_id)
    _confirm_password(call, caller, body.password.get_secret_value(), param="password")
    erased = account_erasure.erase(services.database, caller.account_id)
    services.authenticate.forget()
    services.forget_contents(erased.digests)
    return told(erasures.finish(services.database, services.artifacts, erased.erasure))


def _invited(call: Call, body: AccountCreate) -> Credential | None:
    """Return the invitation that a registration uses up, if it brings one, where it may be made at all.

    It is looked at before anything is said of the e-mail address: only who is invited hears whether that is
    taken.
    """
    registration = call.services.settings.registration
    if registration == "closed":
        raise Forbidden(
            "this service takes no registrations; ask its operator for an account", code="registration_closed"
        )
    if body.invitation is None:
        if registration == "invitation":
            raise Forbidden(
                "registration is by invitation here; ask the operator for one and send it as `invitation`",
                code="invitation_required",
                param="invitation",
            )
        return None
    invitation = credentials.parse(body.invitation.get_secret_value())
    invitations.require(call.services.database, invitation, body.email)
    return invitation


def _confirm_password(call: Call, caller: Caller, password: str, *, param: str = "current_password") -> None:
    services = call.services
    email = accounts.get(services.database, caller.account_id).email
    login = accounts.find_login(services.database, email)
    stored = login.password_hash if login else None
    if not services.passwords.verify(stored, password, address=call.request.address):
        raise Unauthenticated("the current password is not right", code="wrong_password", param=param)
