"""What calls leave in the audit log: each change by itself, denials and downloads counted.

The pipeline sees to it for every endpoint that the table says is audited, so a handler cannot forget it. The
entry and the change are one transaction where the endpoint is `one_transaction`: a change whose entry cannot
be written is then not made. Elsewhere the entry follows at once, and waits in memory until it can be written.
"""

from __future__ import annotations

import re
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

from maas_client.types import (
    Account,
    Alias,
    JobReply,
    Key,
    Model,
    PublishQuery,
    Session,
    SessionCreated,
    Version,
)
from reference_server.errors import NotFound, ServiceError
from reference_server.http.exchange import Replied
from reference_server.registry import audit, names
from reference_server.registry.audit import Act, Personal
from reference_server.security.audit_tally import Counted, network_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maas_client.types import AuditAct
    from reference_server.http.exchange import Call
    from reference_server.registry.database import Transaction

_DENIALS = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.TOO_MANY_REQUESTS,
)
# A handler of several steps may have made some of them when it fails so.
_HALFWAY = (HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED)
_MOST_CHARACTERS = 200
_ID = re.compile(r"[a-z]{2,4}_[0-9a-f]{32}")
# The parts of paths that are ids of what a call is about.
_IDS = ("key", "session", "job")
# Which part of a path was not found, by the error's code: a model only by its exact name, because a bare one
# means no hidden model.
_NOT_FOUND = {
    "model_not_found": "model",
    "key_not_found": "key",
    "session_not_found": "session",
    "job_not_found": "job",
    "upload_not_found": "upload",
}


class _Subject(NamedTuple):
    """What a call is about.

    Args:
        id: Its id, if it is known.
        owner: The account whose affair it is.
    """

    id: str | None
    owner: str | None


def handled(call: Call, arguments: Mapping[str, object]) -> Any:  # noqa: ANN401 - what the handler returns
    """Run the handler of an audited endpoint, and write what it did."""
    endpoint, database = call.endpoint, call.services.database
    with database.read() as session:
        before = _subject(session, call, arguments)
    if endpoint.method == "GET":
        result = endpoint.handler(call, **arguments)
        if call.request.method != "HEAD":
            _count_read(call, arguments, before)
        return result
    if endpoint.one_transaction:
        with database.together():
            result = endpoint.handler(call, **arguments)
            with database.write() as session:
                for act in _acts(session, call, arguments, before, result):
                    audit.record(session, act)
        return result
    try:
        result = endpoint.handler(call, **arguments)
    except Exception as error:
        status = error.status if isinstance(error, ServiceError) else HTTPStatus.INTERNAL_SERVER_ERROR
        if status in _HALFWAY or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            call.services.trail.write([_failed(call, arguments, before, int(status))])
        raise
    with database.read() as session:
        acts = _acts(session, call, arguments, before, result)
    call.services.trail.write(acts)
    return result


def denied(call: Call, path: Mapping[str, str], error: ServiceError) -> None:
    """Count a call that was denied: 401, 403, 429, and 404 for what may be there but hidden."""
    if error.status not in _DENIALS:
        return
    endpoint, caller = call.endpoint, call.caller
    if caller is None and error.status == HTTPStatus.UNAUTHORIZED and endpoint.access == "open":
        return  # a failed log-in, which its handler counts: it knows for which account
    asked = _asked(path, error) if error.status == HTTPStatus.NOT_FOUND else None
    if error.status == HTTPStatus.NOT_FOUND and (asked is None or caller is None):
        return
    call.services.trail.count(
        Counted(
            act=endpoint.audit or ("prediction" if endpoint.inference else "request"),
            outcome="denied",
            status=error.status,
            account=caller.account_id if caller else None,
            actor=caller.account_id if caller else None,
            credential=caller.credential_id if caller else None,
            address=network_of(call.request.address),
            asked=asked,
        )
    )


def failed_login(call: Call, account_id: str | None) -> None:
    """Count a log-in that failed, for the account that it was tried for or for nobody known."""
    call.services.trail.count(
        Counted(
            act="session_started",
            outcome="denied",
            status=HTTPStatus.UNAUTHORIZED,
            account=account_id,
            address=network_of(call.request.address),
        )
    )


def _asked(path: Mapping[str, str], error: ServiceError) -> str | None:
    part = _NOT_FOUND.get(error.code)
    text = path.get(part, "")[:_MOST_CHARACTERS] if part else ""
    return f"{part}={text}" if "~" in text or (text and part != "model") else None


def _count_read(call: Call, arguments: Mapping[str, object], subject: _Subject) -> None:
    caller = call.by
    call.services.trail.count(
        Counted(
            act=str(call.endpoint.audit),
            outcome="succeeded",
            status=call.endpoint.status,
            account=subject.owner or caller.account_id,
            actor=caller.account_id,
            credential=caller.credential_id,
            subject=subject.id,
            version=_version(arguments, None),
            address=network_of(call.request.address),
        )
    )


def _acts(
    session: Transaction, call: Call, arguments: Mapping[str, object], before: _Subject, result: object
) -> list[Act]:
    """Return what a call did."""
    reply = result.reply if isinstance(result, Replied) else result
    subject, who = before, _who(call, reply)
    if isinstance(reply, Key | Session | JobReply | Account):
        subject = _Subject(reply.id, who)
    elif call.endpoint.method != "DELETE" and (name := _model_name(arguments, reply)) is not None:
        # A publish may have made it: the name then means the caller's own, and no longer somebody else's.
        subject = _find(session, call, name)
    act = _act(call, call.endpoint.audit, arguments, subject)
    first = replace(
        act,
        account=subject.owner or who,
        actor=who,
        version=_version(arguments, reply),
        status=(result.status if isinstance(result, Replied) else None) or call.endpoint.status,
        personal=replace(act.personal, model=_model_name(arguments, reply)),
    )
    return [first, *(replace(first, act=each) for each in _besides(arguments, before, subject))]


def _besides(arguments: Mapping[str, object], before: _Subject, subject: _Subject) -> list[AuditAct]:
    """Return what a publish did besides."""
    besides: list[AuditAct] = []
    query = arguments.get("query")
    if not isinstance(query, PublishQuery):
        return besides
    if subject.id != before.id:
        besides.append("model_made")
    if query.set_default:
        besides.append("alias_moved")
    return besides


def _failed(call: Call, arguments: Mapping[str, object], subject: _Subject, status: int) -> Act:
    act = _act(call, call.endpoint.audit, arguments, subject)
    return replace(act, outcome="failed", status=status, version=_version(arguments, None))


def _act(call: Call, act: AuditAct | None, arguments: Mapping[str, object], subject: _Subject) -> Act:
    if act is None:
        raise RuntimeError(f"{call.endpoint.name} is not audited")
    caller, request = call.caller, call.request
    alias, email = arguments.get("alias"), getattr(arguments.get("body"), "email", None)
    return Act(
        act,
        account=subject.owner or (caller.account_id if caller else None),
        actor=caller.account_id if caller else None,
        credential=caller.credential_id if caller else None,
        subject=subject.id,
        status=call.endpoint.status,
        request_id=request.id,
        personal=Personal(
            address=request.address,
            user_agent=request.headers.get("user-agent", "")[:_MOST_CHARACTERS] or None,
            email=email,
            model=_model_name(arguments, None),
            alias=str(alias)[:_MOST_CHARACTERS] if alias is not None else None,
            shared_with=_share(arguments),
        ),
    )


def _share(arguments: Mapping[str, object]) -> str | None:
    """Return whom a share is for, and as what if it is not withdrawn."""
    if (account := arguments.get("account")) is None:
        return None
    role = getattr(arguments.get("body"), "role", None)
    return str(account)[:_MOST_CHARACTERS] + (f" as {role}" if role else "")


def _who(call: Call, reply: object) -> str | None:
    """Return who called; on the open endpoints that is who they turned out to be."""
    if call.caller is not None:
        return call.caller.account_id
    if isinstance(reply, SessionCreated):
        return reply.account.id
    return reply.id if isinstance(reply, Account) else None


def _subject(session: Transaction, call: Call, arguments: Mapping[str, object]) -> _Subject:
    """Return what a call is about as far as its path tells, before the handler changes that."""
    if "model" in arguments:
        return _find(session, call, str(arguments["model"]))
    owner = call.caller.account_id if call.caller else None
    for part in _IDS:
        if part in arguments:
            given = str(arguments[part])
            named = call.by.credential_id if part == "session" and given == "current" else given
            return _Subject(named if _ID.fullmatch(named) else None, owner)
    return _Subject(owner if call.endpoint.tag == "accounts" else None, owner)


def _find(session: Transaction, call: Call, name: str) -> _Subject:
    try:
        found = names.find(session, call.by, name)
    except NotFound:  # no model can have that name
        found = None
    return _Subject(None, None) if found is None else _Subject(found.row.id, found.row.account_id)


def _model_name(arguments: Mapping[str, object], reply: object) -> str | None:
    given = arguments.get("model")
    if given is not None:
        return str(given)[:_MOST_CHARACTERS]
    return reply.name if isinstance(reply, Model) else None


def _version(arguments: Mapping[str, object], reply: object) -> int | None:
    if isinstance(reply, Version | Alias):
        return reply.version
    given = str(arguments.get("version", ""))
    return int(given) if given.isascii() and given.isdigit() and len(given) <= 9 else None  # noqa: PLR2004 - as the contract's VERSION_NUMBER
