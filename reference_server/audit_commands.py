"""`maas-server audit`: read the audit log, look whether it is whole, copy it out, prune it."""

from __future__ import annotations

import json
import re
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from maas_client.types import AdminAuditQuery, AuditAct, AuditOutcome
from reference_server.store_command import DATA_DIR, or_fail, settings, with_database

if TYPE_CHECKING:
    from datetime import datetime
    from typing import BinaryIO

    from maas_client.types import AuditEntry
    from reference_server.registry.database import Database
    from reference_server.security.audit_chain import Anchor, Verified

_MOMENT = click.DateTime(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_HEAD = re.compile(r"(?:([1-9][0-9]{0,17}):)?([0-9a-f]{64})")
_MOST_ON_A_PAGE = 1000
_DAMAGED = 1


@click.group()
def audit() -> None:
    """Read and verify the audit log; who can run this has the store's files and needs no other right."""


@audit.command("list")
@click.option("--account", metavar="ACCOUNT", help="Only what concerns this account, by name, e-mail or id.")
@click.option("--act", type=click.Choice(get_args(AuditAct)), metavar="ACT", help="Only this act.")
@click.option("--outcome", type=click.Choice(get_args(AuditOutcome)), help="Only what ended so.")
@click.option("--since", type=_MOMENT, help="The first moment, in UTC.")
@click.option("--until", type=_MOMENT, help="The moment before which all must lie, in UTC.")
@click.option(
    "--limit", type=click.IntRange(1), default=100, show_default=True, help="The most entries shown."
)
@_JSON
@DATA_DIR
def list_(
    *,
    account: str | None,
    act: Any,  # noqa: ANN401 - one of the choices
    outcome: Any,  # noqa: ANN401 - likewise
    since: datetime | None,
    until: datetime | None,
    limit: int,
    as_json: bool,
    data_dir: Path | None,
) -> None:
    """List entries of all accounts, the newest first, with what is personal of accounts that are there."""
    query = AdminAuditQuery(
        act=act,
        outcome=outcome,
        since=since and since.replace(tzinfo=UTC),
        until=until and until.replace(tzinfo=UTC),
        limit=min(limit, _MOST_ON_A_PAGE),
    )
    found = with_database(
        settings(data_dir=data_dir), lambda database: _listed(database, query, account, limit)
    )
    if as_json:
        click.echo(json.dumps([entry.model_dump(mode="json") for entry in found], indent=2))
        return
    for entry in found:
        click.echo(_line(entry))


@audit.command()
@_JSON
@DATA_DIR
def head(*, as_json: bool, data_dir: Path | None) -> None:
    """Print the last entry's number and hash, to be written down where this machine cannot reach."""
    from reference_server.registry import audit as registry

    found = with_database(settings(data_dir=data_dir), registry.head)
    click.echo(found.model_dump_json() if as_json else f"{found.seq}:{found.hash}")


@audit.command()
@click.option(
    "--head",
    "heads",
    multiple=True,
    metavar="[SEQ:]HASH",
    help="A head that was written down; the log must still hold it. May be given several times.",
)
@click.option(
    "--export",
    "file",
    type=click.File("rb"),
    help="Look at an export and not at the store: the chain alone, which needs no key.",
)
@_JSON
@DATA_DIR
def verify(*, heads: tuple[str, ...], file: BinaryIO | None, as_json: bool, data_dir: Path | None) -> None:
    """Look whether any entry was removed, altered, moved or put in, and say which.

    Ends with 0 when the log is whole and with 1 when it is not. A server may be running meanwhile. Without
    --head it cannot tell that the whole store was put back to an older state.
    """
    anchors = [_anchor(text) for text in heads]
    from reference_server.registry import audit_keeping

    if file is not None:
        found = or_fail(lambda: audit_keeping.verify_export(file, anchors=anchors))
    else:
        found = with_database(
            settings(data_dir=data_dir), lambda database: audit_keeping.verify(database, anchors=anchors)
        )
    if as_json:
        click.echo(json.dumps(_report(found), indent=2))
    else:
        for fault in found.faults:
            click.echo(f"{fault.kind:9} {fault.told}")
        click.echo(_verdict(found))
    raise click.exceptions.Exit(_DAMAGED if found.faults else 0)


@audit.command()
@click.argument("file", type=click.Path(dir_okay=False, writable=True, path_type=Path))
@DATA_DIR
def export(file: Path, *, data_dir: Path | None) -> None:
    """Write the whole log to FILE, a line of JSON for each entry; what is personal stays sealed.

    So an erasure holds for the copy too. `maas-server audit verify --export FILE` looks at its chain.
    """
    count = with_database(settings(data_dir=data_dir), lambda database: _exported(database, file))
    click.echo(f"{count:,} entries written to {file}")


@audit.command()
@click.option("--before", type=_MOMENT, required=True, help="Delete what is older than this moment, in UTC.")
@click.option("--yes", is_flag=True, help="Ask nothing.")
@DATA_DIR
def prune(*, before: datetime, yes: bool, data_dir: Path | None) -> None:
    """Delete old entries from the beginning of the log; nothing is ever deleted by itself.

    A checkpoint stays, from which what is left can be verified, and an entry that tells of the pruning. A log
    that does not verify is not pruned.
    """
    if not yes:
        click.confirm(f"Delete the entries before {before:%Y-%m-%d %H:%M:%S} UTC for good?", abort=True)
    from reference_server.registry import audit_keeping

    gone = with_database(
        settings(data_dir=data_dir),
        lambda database: audit_keeping.prune(database, before=before.replace(tzinfo=UTC)),
    )
    click.echo(f"{gone:,} entries deleted")


def _listed(database: Database, query: AdminAuditQuery, account: str | None, limit: int) -> list[AuditEntry]:
    from reference_server.registry import accounts
    from reference_server.registry import audit as registry

    # An account that is erased has no name any more, but its id stands in the log.
    is_id = account is None or account.startswith("acc_")
    account_id = account if is_id else accounts.find(database, str(account)).id
    found: list[AuditEntry] = []
    while len(found) < limit:
        page = registry.list_all(database, query, account_id=account_id)
        found.extend(page.data)
        if page.next_cursor is None:
            break
        query = query.model_copy(update={"cursor": page.next_cursor})
    return found[:limit]


def _exported(database: Database, file: Path) -> int:
    from reference_server.registry import audit as registry
    from reference_server.registry import audit_keeping

    count = -1  # the first line is no entry
    with file.open("wb") as target:
        for line in audit_keeping.export(database):
            target.write(line)
            count += 1
    with database.write() as session:
        registry.record(session, registry.Act("audit_exported", actor=registry.OPERATOR, count=max(1, count)))
    return count


def _line(entry: AuditEntry) -> str:
    on = " ".join(
        str(part)
        for part in (
            entry.subject,
            entry.version and f"v{entry.version}",
            entry.model,
            entry.alias,
            entry.shared_with,
            entry.email,
        )
        if part
    )
    where = entry.address or (f"origin {entry.origin}" if entry.origin else "—")
    outcome = entry.outcome if entry.status is None else f"{entry.outcome} {entry.status}"
    many = f" {entry.count:,} times" if entry.count > 1 else ""
    who = f"{entry.actor or 'a stranger'}{f' ({entry.credential})' if entry.credential else ''}"
    what = f"{entry.act}, {outcome}{many}: {on or '—'}"
    return f"{entry.seq:>7} {entry.at:%Y-%m-%d %H:%M:%S} {what} by {who} from {where}"


def _anchor(text: str) -> Anchor:
    from reference_server.security.audit_chain import Anchor

    form = _HEAD.fullmatch(text.strip())
    if form is None:
        raise click.UsageError(
            f"--head: {text[:80]!r} is no head; give what maas-server audit head printed, SEQ:HASH, or the "
            "hash alone"
        )
    return Anchor(form[2], None if form[1] is None else int(form[1]))


def _report(found: Verified) -> dict[str, object]:
    faults = [{"seq": fault.seq, "kind": fault.kind, "told": fault.told} for fault in found.faults]
    return {
        "whole": not faults,
        "entries": found.entries,
        "pruned_up_to": found.start,
        "seq": found.seq,
        "hash": found.hash,
        "faults": faults,
    }


def _verdict(found: Verified) -> str:
    extent = f"{found.entries:,} entries, up to {found.seq}:{found.hash}"
    pruned = f", pruned up to entry {found.start}" if found.start else ""
    count = len(found.faults)
    state = f"NOT whole, {count} fault{'' if count == 1 else 's'}" if count else "whole"
    return f"the log is {state}: {extent}{pruned}"
