"""The chain of the audit log, and what a look at a changed one finds."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_server.security.audit_chain import (
    FIRST_PREVIOUS,
    Anchor,
    Chained,
    Entry,
    Mark,
    chain,
    origin_of,
    verify,
)
from reference_server.security.encryption import DataKey

KEY, OTHER = DataKey(bytes(32)), DataKey(bytes(range(32)))
AT = datetime(2030, 1, 1, 12, tzinfo=UTC)
COUNT = 12


def entry(seq: int, **fields: object) -> Entry:
    return Entry(seq, f"aud_{seq}", AT + timedelta(seconds=seq), "key_made", "succeeded", **fields)  # type: ignore[arg-type]


def whole(count: int = COUNT, *, key: DataKey = KEY) -> list[Chained]:
    """Return a log with all kinds of fields in it."""
    log: list[Chained] = []
    for seq in range(1, count + 1):
        one = entry(seq, account=f"acc_{seq % 3}", subject=f"key_{seq}", version=seq, sealed=b"box %d" % seq)
        log.append(chain(one, log[-1].hash if log else FIRST_PREVIOUS, key))
    return log


def head_of(log: list[Chained]) -> Mark:
    last = log[-1]
    return Mark.make(KEY, "head", last.entry.seq, last.hash, at=AT)


WHOLE = whole()
HEAD = head_of(WHOLE)


def faults(log: list[Chained], head: Mark | None = HEAD, **options: object) -> list[tuple[str, int]]:
    found = verify(log, key=KEY, head=head, **options)  # type: ignore[arg-type]
    return [(fault.kind, fault.seq) for fault in found.faults]


def test_a_whole_log_has_no_fault() -> None:
    """And its extent is told."""
    found = verify(WHOLE, key=KEY, head=HEAD)
    assert (found.entries, found.start, found.seq, found.hash, found.faults) == (12, 0, 12, HEAD.hash, ())
    assert verify([], key=KEY).faults == ()


def test_an_entry_is_hashed_from_each_of_its_fields() -> None:
    """The same text in another field, and the same moment elsewhere on earth."""
    bare = entry(1)
    others = [
        replace(bare, **change)
        for change in (
            {"seq": 2},
            {"id": "aud_2"},
            {"at": AT},
            {"act": "key_revoked"},
            {"outcome": "denied"},
            {"account": "x"},
            {"actor": "x"},
            {"credential": "x"},
            {"subject": "x"},
            {"version": 1},
            {"status": 1},
            {"count": 2},
            {"origin": "x"},
            {"request_id": "x"},
            {"sealed": b""},
        )
    ]
    assert len(others) == len(Entry.__dataclass_fields__)
    assert len({chain(each, FIRST_PREVIOUS, KEY).hash for each in [bare, *others]}) == len(others) + 1
    elsewhere = replace(
        bare, at=bare.at.astimezone(datetime.fromisoformat("2030-01-01T00:00:00+05:30").tzinfo)
    )
    assert elsewhere.canonical() == bare.canonical()


@given(seq=st.integers(2, COUNT - 1), field=st.sampled_from(("act", "subject", "account", "outcome")))
def test_an_altered_entry_is_named_alone(seq: int, field: str) -> None:
    """Those behind it are what they were."""
    log = [*WHOLE]
    log[seq - 1] = replace(log[seq - 1], entry=replace(log[seq - 1].entry, **{field: "changed"}))
    assert faults(log) == [("altered", seq)]


@given(first=st.integers(1, COUNT - 1), count=st.integers(1, COUNT))
def test_what_was_removed_is_named_wherever_it_was(first: int, count: int) -> None:
    """At the beginning, in the middle, and at the end, where the head tells it."""
    last = min(first + count - 1, COUNT)
    log = [each for each in WHOLE if not first <= each.entry.seq <= last]
    assert faults(log) == [("cut off" if last == COUNT else "missing", first)]


@given(pair=st.lists(st.integers(1, COUNT), min_size=2, max_size=2, unique=True).map(sorted))
def test_swapped_entries_are_both_named(pair: list[int]) -> None:
    """Whether their numbers were swapped too, or not."""
    one, other = pair
    log = [*WHOLE]
    a, b = log[one - 1], log[other - 1]
    log[one - 1] = replace(b, entry=replace(b.entry, seq=one))
    log[other - 1] = replace(a, entry=replace(a.entry, seq=other))
    assert faults(log) == [("altered", one), ("altered", other)]
    log[one - 1], log[other - 1] = b, a
    assert ("misplaced" in {kind for kind, _ in faults(log)}) or (
        "missing" in {kind for kind, _ in faults(log)}
    )


@given(at=st.integers(1, COUNT))
def test_an_entry_that_was_put_in_is_named(at: int) -> None:
    """Whoever makes room for it has to renumber all that follow; without the key none of them is right."""
    added = chain(entry(at), WHOLE[at - 2].hash if at > 1 else FIRST_PREVIOUS, OTHER)
    moved = [replace(each, entry=replace(each.entry, seq=each.entry.seq + 1)) for each in WHOLE[at - 1 :]]
    found = faults([*WHOLE[: at - 1], added, *moved])
    assert found[0] == ("forged", at)
    assert {kind for kind, _ in found[1:-1]} == {"altered"}
    assert found[-1] == ("head", COUNT + 1)


@given(seq=st.integers(1, COUNT))
def test_whoever_hashes_anew_without_the_key_is_found_out(seq: int) -> None:
    """From the entry on that was changed, as the whole chain was written again."""
    log = [*WHOLE]
    for index in range(seq - 1, COUNT):
        one = log[index].entry if index >= seq else replace(log[index].entry, subject="changed")
        log[index] = chain(one, log[index - 1].hash if index else FIRST_PREVIOUS, OTHER)
    assert faults(log, head_of(log))[: COUNT - seq + 1] == [
        ("forged", each) for each in range(seq, COUNT + 1)
    ]


@given(data=st.data())
def test_no_random_tampering_goes_unseen(data: st.DataObject) -> None:
    """Of changes, removals, exchanges and copies at least one fault is told, or all is as it was."""
    log = [*WHOLE]
    for _ in range(data.draw(st.integers(1, 4))):
        if not log:
            break
        index, other = (data.draw(st.integers(0, len(log) - 1)) for _ in range(2))
        how = data.draw(st.sampled_from(("alter", "remove", "swap", "copy", "hash", "mac", "previous")))
        if how == "remove":
            del log[index]
        elif how == "swap":
            log[index], log[other] = log[other], log[index]
        elif how == "copy":
            log.insert(other, log[index])
        elif how == "alter":
            log[index] = replace(
                log[index], entry=replace(log[index].entry, count=data.draw(st.integers(1, 9)))
            )
        else:
            log[index] = replace(log[index], **{how: log[other].hash})
    assert bool(faults(log)) == (log != WHOLE)


def test_the_tail_is_held_by_the_head_and_by_what_was_written_down() -> None:
    """A store that was put back to an older state is whole, and only a head from outside tells."""
    older = WHOLE[:8]
    assert faults(older, head_of(older)) == []
    for anchor in (Anchor(HEAD.hash), Anchor(HEAD.hash, HEAD.seq)):
        assert [kind for kind, _ in faults(older, head_of(older), anchors=[anchor])] == ["anchor"]
        assert faults(WHOLE, anchors=[anchor, Anchor(WHOLE[3].hash, 4), Anchor(WHOLE[3].hash)]) == []
    assert faults(WHOLE, anchors=[Anchor(WHOLE[3].hash, 5)]) == [("anchor", 5)]


def test_whoever_has_the_key_and_writes_all_anew_is_found_by_what_was_written_down() -> None:
    """And by nothing else."""
    anew = [chain(entry(1, subject="other"), FIRST_PREVIOUS, KEY)]
    for seq in range(2, COUNT + 1):
        anew.append(chain(entry(seq), anew[-1].hash, KEY))
    assert faults(anew, head_of(anew)) == []
    assert faults(anew, head_of(anew), anchors=[Anchor(HEAD.hash, HEAD.seq)]) == [("anchor", COUNT)]


def test_entries_of_two_histories_do_not_join() -> None:
    """Such as of a store that was put back and written on: each entry is a true one, and does not follow."""
    other = [chain(entry(1, subject="other"), FIRST_PREVIOUS, KEY)]
    for seq in range(2, COUNT + 1):
        other.append(chain(entry(seq), other[-1].hash, KEY))
    assert faults([*WHOLE[:5], *other[5:]], head_of(other)) == [("unlinked", 6)]
    assert faults([*other[:5], *WHOLE[5:]]) == [("unlinked", 6)]


def test_a_head_that_is_gone_altered_or_older_is_told() -> None:
    """The head's own HMAC holds it."""
    assert faults(WHOLE, None) == [("head", COUNT)]
    assert faults(WHOLE[:-1], replace(HEAD, seq=COUNT - 1, hash=WHOLE[-2].hash)) == [("head", COUNT - 1)]
    assert faults(WHOLE, head_of(WHOLE[:10])) == [("head", 11)]
    assert faults([], HEAD) == [("cut off", 1)]


def test_a_pruned_log_is_verified_from_its_checkpoint_on() -> None:
    """A checkpoint that this store did not make is none."""
    start = Mark.make(KEY, "start", 5, WHOLE[4].hash, at=AT)
    left = WHOLE[5:]
    found = verify(left, key=KEY, head=HEAD, start=start)
    assert (found.faults, found.start, found.entries) == ((), 5, 7)
    assert faults(left[1:], start=start) == [("missing", 6)]
    assert faults(left, start=replace(start, hash=WHOLE[3].hash))[0] == ("altered", 5)
    assert faults(WHOLE[6:], start=replace(start, seq=6, hash=WHOLE[5].hash)) == [("altered", 6)]
    assert faults(left, start=start, anchors=[Anchor(start.hash), Anchor(start.hash, 5)]) == []
    assert faults(left, start=start, anchors=[Anchor(WHOLE[1].hash, 2)]) == [("anchor", 2)]


def test_without_the_key_the_chain_alone_is_looked_at() -> None:
    """As in an export, which has no HMACs."""
    log = [replace(each, mac=None) for each in WHOLE]
    assert verify(log, key=None).faults == ()
    log[4] = replace(log[4], entry=replace(log[4].entry, actor="somebody"))
    assert [fault.seq for fault in verify(log, key=None).faults] == [5]


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
def test_an_origin_tells_two_addresses_apart_on_one_day(address: str) -> None:
    """Nobody without the key can make it, nor follow it to the next day."""
    one = origin_of(KEY, address, at=AT)
    assert one == origin_of(KEY, address, at=AT + timedelta(hours=11))
    others = {
        origin_of(KEY, f"{address}2", at=AT),
        origin_of(KEY, address, at=AT + timedelta(hours=12)),
        origin_of(OTHER, address, at=AT),
    }
    assert len({one, *others}) == 4
