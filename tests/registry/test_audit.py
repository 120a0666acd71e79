"""The audit log in the store: sealed, chained, verified after every kind of tampering, pruned, exported."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing, contextmanager, suppress
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from maas_client.types import AdminAuditQuery, AuditQuery
from reference_server.errors import Unprocessable
from reference_server.registry import accounts, audit, audit_keeping, data_keys
from reference_server.registry.audit import Act, Personal
from reference_server.registry.database import Database
from reference_server.registry.tables import AccountKeyRow, AccountRow, AuditRow
from reference_server.security.audit_chain import Anchor
from reference_server.security.encryption import DataKey
from reference_server.security.master_keys import MasterKeys

PERSONAL = Personal(
    address="192.0.2.77", user_agent="agent-of-ada", email="ada@example.com", model="secret-words"
)
MARKERS = ("192.0.2.77", "agent-of-ada", "ada@example.com", "secret-words")


def write(registry, *acts):
    with registry.db.write() as session:
        for act in acts:
            audit.record(session, act)


def fill(registry, ada, count=9):
    """Write entries of ada's, of a stranger's and of an operator's, a minute apart."""
    for number in range(count):
        act = (
            Act(
                "key_made",
                account=ada.account_id,
                actor=ada.account_id,
                subject=f"key_{number}",
                personal=PERSONAL,
            ),
            Act("request", "denied", status=401, count=number + 1, personal=Personal(address="198.51.100.9")),
            Act("role_changed", account=ada.account_id, actor=audit.OPERATOR, subject=ada.account_id),
        )[number % 3]
        write(registry, act)
        registry.clock.advance(60)


@pytest.fixture(name="log")
def filled(registry, ada):
    """A registry whose log has nine entries."""
    fill(registry, ada)
    return registry


def faults(db, **options):
    return [(fault.kind, fault.seq) for fault in audit_keeping.verify(db, **options).faults]


def test_numbers_have_no_gaps_and_the_chain_is_whole(log, ada):
    """Also when a transaction that wrote an entry is rolled back."""
    with suppress(ZeroDivisionError), log.db.write() as session:
        audit.record(session, Act("key_made", account=ada.account_id))
        raise ZeroDivisionError
    write(log, Act("key_made", account=ada.account_id))
    with log.db.read() as session:
        assert list(session.scalars(select(AuditRow.seq).order_by(AuditRow.seq))) == list(range(1, 11))
    found = audit_keeping.verify(log.db)
    assert (found.faults, found.entries, found.seq) == ((), 10, audit.head(log.db).seq)


def test_an_empty_log_is_whole(registry):
    """Nothing was ever written, nothing is missing."""
    assert faults(registry.db) == []
    assert audit_keeping.prune(registry.db, before=registry.clock()) == 0
    assert audit_keeping.verify_export(audit_keeping.export(registry.db)).faults == ()


def test_two_entries_of_one_transaction_follow_each_other(registry, ada):
    """And entries of many threads."""
    write(registry, *[Act("key_made", account=ada.account_id) for _ in range(5)])
    assert faults(registry.db) == []


def test_writers_at_once_get_numbers_of_their_own(registry, ada, at_once):
    """There is one writer, so nobody takes the number of another."""
    at_once(*[lambda: write(registry, Act("key_made", account=ada.account_id)) for _ in range(8)])
    assert (faults(registry.db), audit.head(registry.db).seq) == ([], 8)


def test_nothing_personal_stands_in_the_file(log):
    """Not an address, not a name, not a program: neither in the database nor in its log."""
    content = b"".join(each.read_bytes() for each in log.folder.parent.glob("maas.db*"))
    assert content.count(b"key_made") >= 3
    for marker in (*MARKERS[:2], MARKERS[3], "198.51.100.9"):
        assert marker.encode() not in content, marker


def test_the_account_reads_what_is_sealed_for_it(log, ada, bob):
    """Its owner and operators; others do not get the entry at all, strangers have no address."""
    own = audit.list_own(log.db, ada.account_id, AuditQuery()).data
    assert [each.address for each in own if each.act == "key_made"] == ["192.0.2.77"] * 3
    assert own[-1].model == "secret-words"
    assert audit.list_own(log.db, bob.account_id, AuditQuery()).data == []
    every = audit.list_all(log.db, AdminAuditQuery()).data
    assert [each.seq for each in every] == list(range(9, 0, -1))
    assert {each.address for each in every if each.act == "request"} == {None}
    assert len({each.origin for each in every if each.act == "request"}) == 1


def test_an_owner_does_not_see_from_where_another_came(registry, ada, bob):
    """What is personal is the actor's; both see what was done."""
    act = Act("alias_moved", account=ada.account_id, actor=bob.account_id, subject="mdl_1", personal=PERSONAL)
    write(registry, act)
    seen = {who: audit.list_own(registry.db, who.account_id, AuditQuery()).data[0] for who in (ada, bob)}
    assert seen[ada].subject == seen[bob].subject == "mdl_1"
    assert (seen[ada].address, seen[bob].address) == (None, "192.0.2.77")


def test_after_an_erasure_the_chain_holds_and_nothing_personal_opens(log, ada, bob):
    """The key is gone, the entries are not; what comes later of that account seals nothing."""
    write(
        log, Act("key_made", account=bob.account_id, actor=bob.account_id, personal=Personal(address="::1"))
    )
    with log.db.write() as session:
        session.execute(delete(AccountKeyRow).where(AccountKeyRow.account_id == ada.account_id))
        session.execute(delete(AccountRow).where(AccountRow.id == ada.account_id))
        audit.record(
            session, Act("account_erased", account=ada.account_id, actor=ada.account_id, personal=PERSONAL)
        )
    assert faults(log.db) == []
    found = audit.list_all(log.db, AdminAuditQuery()).data
    shown = json.dumps([each.model_dump(mode="json") for each in found])
    assert not [marker for marker in MARKERS if marker in shown]
    assert [each.unreadable for each in found if each.act == "key_made"] == [False, True, True, True]
    assert found[1].address == "::1"
    with log.db.read() as session:
        assert session.get(AccountKeyRow, ada.account_id) is None
        assert session.get_one(AuditRow, 11).sealed is None


def test_a_sealed_part_that_was_put_elsewhere_does_not_open(log, ada):
    """It is bound to its entry, and the chain tells both."""
    with log.db.write() as session:
        one, other = session.get_one(AuditRow, 1), session.get_one(AuditRow, 4)
        one.sealed, other.sealed = other.sealed, one.sealed
    assert faults(log.db) == [("altered", 1), ("altered", 4)]
    own = audit.list_own(log.db, ada.account_id, AuditQuery(act="key_made")).data
    assert [each.unreadable for each in own] == [False, True, True]


SWAP = """
UPDATE audit_entries SET seq = CASE seq WHEN 2 THEN -3 ELSE -2 END WHERE seq IN (2, 3);
UPDATE audit_entries SET seq = -seq WHERE seq < 0
"""
PUT_IN = """
INSERT INTO audit_entries SELECT 10, 'aud_x', at, act, outcome, account, actor, credential, subject, version,
    status, count, origin, request_id, sealed, hash, hash, mac FROM audit_entries WHERE seq = 9
"""
TAMPERINGS = {
    "removed": ("DELETE FROM audit_entries WHERE seq = 5", ("missing", 5)),
    "removed from the beginning": ("DELETE FROM audit_entries WHERE seq < 4", ("missing", 1)),
    "removed from the end": ("DELETE FROM audit_entries WHERE seq > 7", ("cut off", 8)),
    "all removed": ("DELETE FROM audit_entries", ("cut off", 1)),
    "act altered": ("UPDATE audit_entries SET act = 'request' WHERE seq = 4", ("altered", 4)),
    "time altered": (
        "UPDATE audit_entries SET at = '2029-01-01 00:00:00.000000' WHERE seq = 4",
        ("altered", 4),
    ),
    "person altered": ("UPDATE audit_entries SET actor = 'acc_x' WHERE seq = 7", ("altered", 7)),
    "box altered": ("UPDATE audit_entries SET sealed = x'00' WHERE seq = 1", ("altered", 1)),
    "count altered": ("UPDATE audit_entries SET count = 1 WHERE seq = 8", ("altered", 8)),
    "hash altered": ("UPDATE audit_entries SET hash = previous WHERE seq = 3", ("altered", 3)),
    "HMAC altered": ("UPDATE audit_entries SET mac = hash WHERE seq = 3", ("forged", 3)),
    "swapped": (SWAP, ("altered", 2)),
    "put in at the end": (PUT_IN, ("altered", 10)),
    "put in before the beginning": ("UPDATE audit_entries SET seq = 0 WHERE seq = 1", ("misplaced", 0)),
    "time made unreadable": ("UPDATE audit_entries SET at = 'soon' WHERE seq = 6", ("altered", 6)),
    "text made unreadable": (
        "UPDATE audit_entries SET act = CAST(x'ff' AS TEXT) WHERE seq = 6",
        ("altered", 6),
    ),
    "hash made a blob": ("UPDATE audit_entries SET hash = x'00' WHERE seq = 6", ("altered", 6)),
    "box made a text": ("UPDATE audit_entries SET sealed = 'text' WHERE seq = 6", ("altered", 6)),
    "number made a text": ("UPDATE audit_entries SET seq = 'six' WHERE seq = 6", ("missing", 6)),
    "head made unreadable": ("UPDATE audit_marks SET at = 'soon'", ("head", 0)),
    "head removed": ("DELETE FROM audit_marks", ("head", 9)),
    "head put back": ("UPDATE audit_marks SET seq = 8; DELETE FROM audit_entries WHERE seq = 9", ("head", 8)),
    "all removed and the head": (
        "DELETE FROM audit_entries; DELETE FROM audit_marks",
        ("cut off", 1),
    ),
    "key removed": ("DELETE FROM store_keys", ("forged", 1)),
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_each_tampering_with_a_copy_is_found(log, tmp_path, tampering):
    """Done to the database's file by SQL, as who has it would."""
    statements, first = TAMPERINGS[tampering]
    with copied(log, tmp_path / "copy") as (db, file):
        assert faults(db) == []
        with closing(sqlite3.connect(file)) as connection:
            connection.executescript(statements)
        assert faults(db)[0] == first
    assert faults(log.db) == []


@pytest.fixture(scope="module")
def large(tmp_path_factory, open_registry):
    """A log that each example of a property copies."""
    made = open_registry(tmp_path_factory.mktemp("large"))
    fill(made, made.account("ada"), 12)
    yield made
    made.db.dispose()


COLUMNS = ("id", "act", "outcome", "account", "subject", "count", "previous", "hash", "mac", "at")


@settings(
    max_examples=15,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    changes=st.lists(
        st.tuples(
            st.sampled_from(("delete", "swap", "set")),
            st.integers(1, 12),
            st.integers(1, 12),
            st.sampled_from(COLUMNS),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_no_random_tampering_with_a_copy_goes_unseen(large, tmp_path, changes):
    """Rows deleted, columns taken over from other rows, rows exchanged: what is not the same is told."""
    with copied(large, tmp_path / "copy") as (db, file):
        with closing(sqlite3.connect(file)) as connection:
            before = connection.execute("SELECT * FROM audit_entries ORDER BY seq").fetchall()
            for change in changes:
                tamper(connection, *change)
            connection.commit()
            after = connection.execute("SELECT * FROM audit_entries ORDER BY seq").fetchall()
        assert bool(faults(db)) == (before != after)


def tamper(connection, how, one, other, column):
    if how == "delete":
        connection.execute("DELETE FROM audit_entries WHERE seq = ?", (one,))
    elif how == "swap":
        for to, seq in ((-1, one), (one, other), (other, -1)):
            connection.execute("UPDATE audit_entries SET seq = ? WHERE seq = ?", (to, seq))
    elif column != "id":
        value = f"(SELECT {column} FROM audit_entries WHERE seq = {other})"  # noqa: S608 - of this file
        connection.execute(f"UPDATE audit_entries SET {column} = coalesce({value}, 'x') WHERE seq = {one}")  # noqa: S608
    else:
        connection.execute("UPDATE audit_entries SET id = id || 'x' WHERE seq = ?", (one,))


@contextmanager
def copied(registry, folder):
    """Give a copy of a registry's database, opened, and its file."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    file = folder / "maas.db"
    with closing(sqlite3.connect(registry.folder.parent / "maas.db")) as source:
        source.execute("VACUUM INTO ?", (str(file),))
    db = Database(f"sqlite:///{file}", master_keys=registry.db._master_keys, clock=registry.clock)
    try:
        yield db, file
    finally:
        db.dispose()


def test_a_store_put_back_to_an_older_state_is_found_by_a_head_from_outside(log, tmp_path, ada):
    """And by nothing else: the older state was whole."""
    with copied(log, tmp_path / "older") as (older, _):
        write(log, Act("key_revoked", account=ada.account_id))
        head = audit.head(log.db)
        assert faults(older) == []
        for anchor in (Anchor(head.hash), Anchor(head.hash, head.seq)):
            assert [kind for kind, _ in faults(older, anchors=[anchor])] == ["anchor"]
            assert faults(log.db, anchors=[anchor]) == []


def test_pruning_leaves_a_checkpoint_from_which_the_rest_is_verified(log, ada):
    """It is told in the log, can be repeated, and heads from before it are no longer there to be held."""
    early, late = (
        next(each for each in audit.list_all(log.db, AdminAuditQuery()).data if each.seq == seq)
        for seq in (2, 8)
    )
    assert audit_keeping.prune(log.db, before=log.clock() - timedelta(minutes=5)) == 4
    found = audit_keeping.verify(log.db, anchors=[Anchor(late.hash, 8), Anchor(late.hash)])
    assert (found.faults, found.start, found.entries) == ((), 4, 6)
    assert faults(log.db, anchors=[Anchor(early.hash, 2)]) == [("anchor", 2)]
    (told,) = audit.list_all(log.db, AdminAuditQuery(act="audit_pruned")).data
    assert (told.count, told.actor) == (4, audit.OPERATOR)
    assert audit_keeping.prune(log.db, before=log.clock() - timedelta(minutes=5)) == 0
    assert audit_keeping.prune(log.db, before=log.clock() + timedelta(minutes=5)) == 6
    write(log, Act("key_made", account=ada.account_id))
    found = audit_keeping.verify(log.db)
    assert (found.faults, found.start, found.entries) == ((), 10, 2)


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("DELETE FROM audit_entries WHERE seq = 5", "missing"),
        (
            "UPDATE audit_marks SET seq = 6 WHERE name = 'start'; DELETE FROM audit_entries WHERE seq < 7",
            "altered",
        ),
        ("DELETE FROM audit_marks WHERE name = 'start'", "missing"),
    ],
)
def test_what_looks_like_a_pruning_is_none_without_the_key(log, statement, kind):
    """Whoever deletes the beginning by hand cannot make a checkpoint."""
    audit_keeping.prune(log.db, before=log.clock() - timedelta(minutes=5))
    with closing(sqlite3.connect(log.folder.parent / "maas.db")) as connection:
        connection.executescript(statement)
    assert faults(log.db)[0][0] == kind


def test_a_log_that_is_not_whole_is_not_pruned(log):
    """It is evidence."""
    with log.db.write() as session:
        session.get_one(AuditRow, 2).act = "key_made"
    with pytest.raises(Unprocessable, match="entry 2 was altered"):
        audit_keeping.prune(log.db, before=log.clock())
    assert audit.head(log.db).seq == 9


def test_a_clock_that_went_back_makes_no_hole(log, ada):
    """Only a beginning of the log goes: an old time behind a new one keeps what is before it."""
    log.clock.advance(-86400)
    write(log, Act("key_made", account=ada.account_id))
    log.clock.advance(86400)
    assert audit_keeping.prune(log.db, before=log.clock() - timedelta(minutes=5)) == 4
    assert faults(log.db) == []


def test_an_export_is_verified_without_the_store(log):
    """From where it was pruned on; what is personal stays sealed in it."""
    audit_keeping.prune(log.db, before=log.clock() - timedelta(minutes=5))
    lines = list(audit_keeping.export(log.db))
    head = audit.head(log.db)
    found = audit_keeping.verify_export(lines, anchors=[Anchor(head.hash, head.seq)])
    assert (found.faults, found.start, found.entries, found.hash) == ((), 4, 6, head.hash)
    assert not [marker for marker in MARKERS if marker.encode() in b"".join(lines)]
    for changed in (
        lines[:3] + lines[4:],
        [lines[0], *lines[2:]],
        [*lines[:2], lines[2].replace(b"key_", b"kez_"), *lines[3:]],
    ):
        assert changed == lines or audit_keeping.verify_export(changed).faults


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], "line 1 .*empty"),
        ([b"{}"], "line 1 .*does not say where"),
        ([b"x"], "line 1 .*not JSON"),
        ([b'{"export": "2030-01-01", "start": 0, "start_hash": ""}'], "line 1 .*no offset"),
        (
            [b'{"export": "2030-01-01T00:00:00Z", "start": 0, "start_hash": ""}', b"[]"],
            "line 2 .*no JSON object",
        ),
        ([b'{"export": "2030-01-01T00:00:00Z", "start": 0, "start_hash": ""}', b"{}"], "line 2 .*no entry"),
    ],
)
def test_what_is_no_export_is_said_to_be_none(lines, says):
    """With the line."""
    with pytest.raises(Unprocessable, match=says):
        audit_keeping.verify_export(lines)


def test_the_logs_key_is_sealed_anew_with_the_others(log, ada):
    """A rotation of the master key leaves the log whole and readable."""
    newer = MasterKeys({"mk_newer": DataKey(bytes(range(1, 33))), **log.db._master_keys.keys})
    db = Database(log.url, master_keys=newer, clock=log.clock)
    assert data_keys.masters_in_use(db) == {"mk_tests"}
    with db.write() as session:
        assert data_keys.rewrap(session, newer) >= 2
    assert data_keys.masters_in_use(db) == {"mk_newer"}
    db.dispose()
    alone = Database(log.url, master_keys=MasterKeys({"mk_newer": newer.keys["mk_newer"]}), clock=log.clock)
    assert faults(alone) == []
    assert audit.list_own(alone, ada.account_id, AuditQuery()).data[-1].address == "192.0.2.77"
    alone.dispose()


def test_an_operators_change_and_its_entry_are_one(registry, ada):
    """A change that fails leaves neither."""

    def change():
        accounts.set_role(registry.db, ada.account_id, "operator")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        audit.by_operator(registry.db, "role_changed", change)
    assert accounts.get(registry.db, ada.account_id).role == "user"
    assert audit.head(registry.db).seq == 0
