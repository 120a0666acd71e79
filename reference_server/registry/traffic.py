"""Traffic: which versions share the calls that name none, and which get copies; changes are remembered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from maas_client.types import Traffic, TrafficShare
from reference_server.errors import PreconditionFailed, Unprocessable
from reference_server.registry import aliases, events, names, splits, versions
from reference_server.registry.compatibility import check_runs, check_target
from reference_server.registry.in_force import newest_change
from reference_server.registry.tables import AccountRow, TrafficChangeRow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pydantic import JsonValue
    from sqlalchemy.orm import Session

    from maas_client.types import TrafficUpdate
    from reference_server.registry.database import Database
    from reference_server.security.callers import Caller

CHANGED, PROMOTED, WITHDRAWN = "traffic_changed", "promoted", "withdrawn"
_LEAST_SHARE = 1e-6


def get(db: Database, caller: Caller, model: str) -> Traffic:
    """Return who serves the calls of a model that name no version.

    Raises:
        NotFound: When the model is not there.
    """
    with db.read() as session:
        return _read(session, names.visible(session, caller, model).row.id)


def change(
    db: Database, caller: Caller, model: str, update: TrafficUpdate, *, expected_revision: int | None
) -> Traffic:
    """Put a split and shadows in force, or promote one version; a repeat of the last change changes nothing.

    Args:
        db: The store.
        caller: Who asks; a publisher of the model.
        model: The model's name.
        update: What is to be in force.
        expected_revision: Change only if it still has this revision; None changes it in any case.

    Raises:
        NotFound: When the model or a version is not there.
        Forbidden: With code `not_owner` or `missing_role`.
        Unprocessable: When a weight is too small to reach anybody.
        Conflict: With code `version_retired`, or `breaking_signature` without `force`.
        PreconditionFailed: When somebody changed it since.
    """
    with db.write() as session:
        made, is_due = _checked(session, db, caller, model, update, expected_revision=expected_revision)
        if is_due and update.promote:
            made.promote(update.splits[0].version, update.note)
        elif is_due:
            made.split(update)
        return _read(session, made.model_id)


def withdraw(
    db: Database, caller: Caller, model: str, *, note: str, expected_revision: int | None
) -> Traffic:
    """End the split and the shadows: the alias `default` serves alone again.

    Raises:
        NotFound: When the model is not there.
        Forbidden: With code `not_owner` or `missing_role`.
        PreconditionFailed: When somebody changed it since.
    """
    with db.write() as session:
        model_id = names.allowed(session, caller, model, names.PUBLISHER).row.id
        row = newest_change(session, model_id)
        _compare(session, model_id, row, expected_revision)
        if row is not None and (row.splits or row.shadows):
            _Change(session, caller, model_id, db.clock(), row).withdraw(note)
        return _read(session, model_id)


def check(
    db: Database, caller: Caller, model: str, update: TrafficUpdate, *, expected_revision: int | None
) -> None:
    """Refuse early what `change` would refuse, before versions are loaded for it.

    Raises:
        NotFound, Forbidden, Unprocessable, Conflict, PreconditionFailed: As `change`.
    """
    with db.read() as session:
        _checked(session, db, caller, model, update, expected_revision=expected_revision)


def versions_in_traffic(session: Session, model_id: str) -> dict[int, str]:
    """Return what each version that is in the traffic does there, for the message of who would delete it."""
    row = newest_change(session, model_id)
    if row is None:
        return {}
    told = dict.fromkeys(row.shadows, "is a shadow")
    shares = {each.version: each.share for each in _shares(row)}
    return told | {version: f"has {share:.3g} of the traffic" for version, share in shares.items()}


def read_changes(session: Session, model_id: str) -> list[Traffic]:
    """Return every change of a model's traffic, newest first."""
    statement = (
        select(TrafficChangeRow, AccountRow.name)
        .join(AccountRow, AccountRow.id == TrafficChangeRow.changed_by)
        .where(TrafficChangeRow.model_id == model_id)
        .order_by(TrafficChangeRow.revision.desc())
    )
    return [_to_traffic(row, by) for row, by in session.execute(statement)]


def _checked(
    session: Session,
    db: Database,
    caller: Caller,
    model: str,
    update: TrafficUpdate,
    *,
    expected_revision: int | None,
) -> tuple[_Change, bool]:
    """Refuse a change that cannot be; return it, and whether it is another than the last."""
    model_id = names.allowed(session, caller, model, names.PUBLISHER).row.id
    row = newest_change(session, model_id)
    made = _Change(session, caller, model_id, db.clock(), row)
    if made.is_repeat(update, expected_revision):
        return made, False
    _compare(session, model_id, row, expected_revision)
    for split in update.splits:
        versions.select_number(session, model_id, str(split.version))
        # Any caller of `default` may get it.
        check_target(session, model_id, versions.DEFAULT, split.version, force=update.force)
    for shadow in update.shadows:
        versions.select_number(session, model_id, str(shadow))
        check_runs(session, model_id, shadow)
    _check_shares(update)
    return made, True


def _check_shares(update: TrafficUpdate) -> None:
    total = sum(split.weight for split in update.splits)
    for index, split in enumerate(update.splits):
        if split.weight / total < _LEAST_SHARE:
            raise Unprocessable(
                f"version {split.version} would get {split.weight / total:.1g} of the traffic; shares are "
                f"told apart down to {_LEAST_SHARE:g}; give it more weight or leave it out",
                code="weight_too_small",
                param=f"splits[{index}].weight",
            )


def _compare(
    session: Session, model_id: str, row: TrafficChangeRow | None, expected_revision: int | None
) -> None:
    revision = 0 if row is None else row.revision
    if expected_revision not in (None, revision):
        raise PreconditionFailed(
            f"the traffic is at revision {revision}, not {expected_revision}: somebody changed it; "
            "read it again and decide anew",
            code="revision_mismatch",
            current=_read(session, model_id),
            etag=f'"{revision}"',
        )


def _chosen(update: TrafficUpdate) -> list[dict[str, float]]:
    """Return the splits as they are stored: in one order, so that equal ones are told to be equal."""
    return [split.model_dump() for split in sorted(update.splits, key=lambda split: split.version)]


@dataclass(frozen=True, slots=True)
class _Change:
    """One change on its way into the record: who makes it, of which model, when."""

    session: Session
    caller: Caller
    model_id: str
    at: datetime
    before: TrafficChangeRow | None

    def is_repeat(self, update: TrafficUpdate, expected_revision: int | None) -> bool:
        """Tell whether the last change is this very one, whose reply its caller may have lost."""
        row = self.before
        if row is None or expected_revision not in (None, row.revision, row.revision - 1):
            return False
        last = (row.note, row.changed_by) == (update.note, self.caller.account_id)
        if update.promote:
            return last and row.kind == PROMOTED and self._default() == update.splits[0].version
        same = (row.kind, row.splits, row.shadows) == (CHANGED, _chosen(update), sorted(update.shadows))
        return last and same

    def split(self, update: TrafficUpdate) -> None:
        """Let versions share the calls, moving as few callers as possible."""
        segments: list[tuple[int, int]] = []
        if update.splits:
            wanted = splits.widths({split.version: split.weight for split in update.splits})
            segments = splits.assigned(self._segments(), wanted)
        self._append(CHANGED, update.note, _chosen(update), segments, sorted(update.shadows))

    def promote(self, version: int, note: str) -> None:
        """Move `default` and end the split, in one transaction: no caller sees one without the other."""
        self._append(PROMOTED, note, version=version)
        if self._default() != version:
            aliases.record_move(
                self.session,
                self.model_id,
                versions.DEFAULT,
                version=version,
                note=note,
                by=self.caller,
                at=self.at,
            )
            self.session.flush()

    def withdraw(self, note: str) -> None:
        """End the split and the shadows."""
        self._append(WITHDRAWN, note)

    def _segments(self) -> list[tuple[int, int]]:
        if self.before is not None and self.before.segments:
            return [(end, version) for end, version in self.before.segments]
        # Without a split all callers are with `default`, and those who can stay there do.
        return [(splits.BUCKETS, self._default())]

    def _default(self) -> int:
        return versions.select_number(self.session, self.model_id, versions.DEFAULT)

    def _append(
        self,
        kind: str,
        note: str,
        chosen: Sequence[dict[str, float]] = (),
        segments: Sequence[tuple[int, int]] = (),
        shadows: Sequence[int] = (),
        *,
        version: int | None = None,
    ) -> None:
        row = TrafficChangeRow(
            model_id=self.model_id,
            revision=1 if self.before is None else self.before.revision + 1,
            kind=kind,
            splits=list(chosen),
            segments=[list(segment) for segment in segments],
            shadows=list(shadows),
            note=note,
            changed_by=self.caller.account_id,
            changed_at=self.at,
        )
        self.session.add(row)
        self.session.flush()
        details: dict[str, JsonValue] = {
            "revision": row.revision,
            "splits": [dict(split) for split in row.splits],
            "shadows": [*row.shadows],
            "note": note,
        }
        events.record(
            self.session, self.model_id, kind, by=self.caller, at=self.at, version=version, **details
        )


def _read(session: Session, model_id: str) -> Traffic:
    row = newest_change(session, model_id)
    if row is None:
        return Traffic(revision=0)
    account = session.get_one(AccountRow, row.changed_by)
    return _to_traffic(row, account.name)


def _shares(row: TrafficChangeRow) -> list[TrafficShare]:
    weights = [(int(split["version"]), split["weight"]) for split in row.splits]
    total = sum(weight for _, weight in weights)
    return [TrafficShare(version=version, weight=weight, share=weight / total) for version, weight in weights]


def _to_traffic(row: TrafficChangeRow, by: str) -> Traffic:
    return Traffic(
        splits=_shares(row),
        shadows=row.shadows,
        revision=row.revision,
        kind=row.kind,
        note=row.note,
        changed_by=by,
        changed_at=row.changed_at,
    )
