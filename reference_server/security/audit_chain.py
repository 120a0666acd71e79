"""The chain of the audit log: what each entry is hashed from, and what is wrong with a changed one.

Each entry's hash is SHA-256 over the hash before it and the entry's canonical form, after Schneier and
Kelsey, "Secure Audit Logs to Support Computer Forensics" (1999). Personal fields stand in that form as
ciphertext, so the chain outlives the destruction of the key that opens them. Over each hash lies an
HMAC-SHA-256 (RFC 2104) under a key of the store, so that whoever can write rows but has no master key cannot
make an entry.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reference_server.security.encryption import DataKey

FIRST_PREVIOUS = "0" * 64
_PREFIX = b"maas audit entry 1\n"

Kind: TypeAlias = Literal[
    "missing", "misplaced", "altered", "forged", "unlinked", "cut off", "head", "anchor"
]


@dataclass(frozen=True, slots=True)
class Entry:
    """One act, as it is hashed: opaque ids, and what is personal as ciphertext.

    Args:
        seq: Its number, from 1 without gaps.
        id: Its name for users, who learn no numbers.
        at: When, with an offset.
        act: What was done, such as `key_made`.
        outcome: `succeeded`, `denied`, `failed`, or `hidden`: a denial of what the caller must not know of.
        account: Whose affair it is; None where no account is known.
        actor: Who did it: an account's id, `operator` for the server's own commands, None for strangers.
        credential: The session or key that spoke for them.
        subject: The id of what it was done to.
        version: The number of the version it was done to.
        status: The HTTP status that was answered.
        count: How many like acts this stands for, 1 or more.
        origin: For strangers a keyed hash of their address, which tells two apart and nothing else.
        request_id: Of the request.
        sealed: The personal fields, sealed under the account's key.
    """

    seq: int
    id: str
    at: datetime
    act: str
    outcome: str
    account: str | None = None
    actor: str | None = None
    credential: str | None = None
    subject: str | None = None
    version: int | None = None
    status: int | None = None
    count: int = 1
    origin: str | None = None
    request_id: str | None = None
    sealed: bytes | None = field(default=None, repr=False)

    def canonical(self) -> bytes:
        """Return the bytes that are hashed: JSON with sorted keys, the time in UTC, bytes in hexadecimal."""
        return orjson.dumps(self.as_json(), option=orjson.OPT_SORT_KEYS)

    def as_json(self) -> dict[str, Any]:
        """Return the fields as JSON has them."""
        plain = asdict(self)
        plain["at"] = self.at.astimezone(UTC).isoformat(timespec="microseconds")
        plain["sealed"] = None if self.sealed is None else self.sealed.hex()
        return plain


@dataclass(frozen=True, slots=True)
class Chained:
    """An entry in its place.

    Args:
        entry: The entry.
        previous: The hash of the entry before it, in hexadecimal.
        hash: Its own.
        mac: The HMAC of its hash; None in an export.
    """

    entry: Entry
    previous: str
    hash: str
    mac: str | None


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the log that the store vouches for: its head, or the entry up to which it was pruned.

    Args:
        name: `head` or `start`.
        seq: The entry's number.
        hash: The entry's hash.
        at: When the mark was made.
        mac: The HMAC of all that.
    """

    name: str
    seq: int
    hash: str
    at: datetime
    mac: str

    @classmethod
    def make(cls, key: DataKey, name: str, seq: int, hash_: str, *, at: datetime) -> Mark:
        """Vouch for a place."""
        unsigned = cls(name, seq, hash_, at, "")
        return replace(unsigned, mac=_mac(key, unsigned.text()))

    def holds(self, key: DataKey) -> bool:
        """Tell whether this store's key made it."""
        return hmac.compare_digest(self.mac, _mac(key, self.text()))

    def text(self) -> str:
        """Return what its HMAC is made of."""
        at = self.at.astimezone(UTC).isoformat(timespec="microseconds")
        return f"mark {self.name} {self.seq} {self.hash} {at}"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is wrong with a log.

    Args:
        seq: The number of the entry that is missing or wrong; the first of several.
        kind: What kind of fault it is.
        told: What is wrong, for people.
    """

    seq: int
    kind: Kind
    told: str


@dataclass(frozen=True, slots=True)
class Anchor:
    """A head that was written down elsewhere; of an unknown number where only the hash was.

    Args:
        hash: The entry's hash.
        seq: Its number.
    """

    hash: str
    seq: int | None = None


@dataclass(frozen=True, slots=True)
class Verified:
    """What a look at a whole log found.

    Args:
        entries: How many entries there are.
        start: The number before the first one: 0, or up to where it was pruned.
        seq: The number of the last one.
        hash: Its hash.
        faults: What is wrong, in order; nothing when all is well.
    """

    entries: int
    start: int
    seq: int
    hash: str
    faults: tuple[Fault, ...]


def chain(entry: Entry, previous: str, key: DataKey) -> Chained:
    """Put an entry behind the one that has the hash `previous`."""
    hash_ = _hash(entry, previous)
    return Chained(entry, previous, hash_, _mac(key, f"entry {hash_}"))


def origin_of(key: DataKey, address: str, *, at: datetime) -> str:
    """Return what stands for a stranger's address on one day, in UTC: it tells two apart then."""
    day = at.astimezone(UTC).date().isoformat()
    return _mac(key, f"origin {day} {address}")[:32]


def verify(
    entries: Iterable[Chained],
    *,
    key: DataKey | None,
    start: Mark | None = None,
    head: Mark | None = None,
    anchors: Iterable[Anchor] = (),
    is_begun: bool = False,
) -> Verified:
    """Look at a whole log, and tell everything that was removed, altered, moved or put in.

    Args:
        entries: All there are, by number.
        key: The store's; without it HMACs are not looked at, nor whether there is a head.
        start: Up to where the log was pruned.
        head: What the store says is the last entry.
        anchors: Heads written down elsewhere, which the log must still hold.
        is_begun: Whether any entry was ever written.
    """
    walk = _Walk(key, start)
    wanted = list(anchors)
    found: dict[Anchor, str] = {}
    for each in entries:
        walk.step(each)
        for anchor in wanted:
            if each.entry.seq == anchor.seq or (anchor.seq is None and each.hash == anchor.hash):
                found[anchor] = each.hash
    if key is not None:
        walk.end(key, head, is_begun=is_begun)
    walk.faults.extend(fault for anchor in wanted if (fault := _look_for(anchor, found, start, walk.seq)))
    return Verified(walk.entries, walk.start, walk.seq, walk.hash, tuple(walk.faults))


class _Walk:
    """Goes from entry to entry; one that is wrong is blamed alone, and not all that come after it."""

    def __init__(self, key: DataKey | None, start: Mark | None) -> None:
        self._key = key
        self.start = self.seq = 0 if start is None else start.seq
        self.hash = FIRST_PREVIOUS if start is None else start.hash
        self.entries = 0
        self.faults: list[Fault] = []
        self._before_is_sound = True
        if start is not None and key is not None and not start.holds(key):
            self._before_is_sound = False
            self._tell(
                start.seq, "altered", f"the checkpoint at entry {start.seq} is not one that this store made"
            )

    def step(self, each: Chained) -> None:
        seq = each.entry.seq
        self.entries += 1
        if seq <= self.seq:
            self._tell(seq, "misplaced", f"entry {seq} stands where no entry of this number can be")
            return
        if seq > self.seq + 1:
            self._tell(self.seq + 1, "missing", f"{_numbers(self.seq + 1, seq - 1)} missing")
            self._before_is_sound = False
        fault = _own_fault(each, self._key)
        if fault is not None:
            self.faults.append(fault)
        elif self._before_is_sound and each.previous != self.hash:
            self._tell(seq, "unlinked", f"entry {seq} does not follow on the entry before it")
        self._before_is_sound = fault is None
        self.seq, self.hash = seq, each.hash

    def end(self, key: DataKey, head: Mark | None, *, is_begun: bool) -> None:
        if head is None:
            if self.entries or self.start:
                self._tell(self.seq, "head", "the store does not say any more which entry is the last")
            elif is_begun:
                told = "the log was emptied: an entry was written, and there is none, nor a mark of the last"
                self._tell(1, "cut off", told)
        elif not head.holds(key):
            self._tell(head.seq, "head", f"what the store says is the last entry, {head.seq}, was altered")
        elif head.seq > self.seq:
            gone = _numbers(self.seq + 1, head.seq)
            self._tell(self.seq + 1, "cut off", f"{gone} missing at the end")
        elif head.seq < self.seq:
            more = _numbers(head.seq + 1, self.seq)
            self._tell(head.seq + 1, "head", f"{more} behind what the store says is the last")
        elif head.hash != self.hash and self._before_is_sound:
            self._tell(self.seq, "head", f"the last entry, {self.seq}, is not the one that the store says")

    def _tell(self, seq: int, kind: Kind, told: str) -> None:
        self.faults.append(Fault(seq, kind, told))


def _own_fault(each: Chained, key: DataKey | None) -> Fault | None:
    seq = each.entry.seq
    if _hash(each.entry, each.previous) != each.hash:
        return Fault(seq, "altered", f"entry {seq} was altered: it does not have its hash")
    if key is not None and not hmac.compare_digest(each.mac or "", _mac(key, f"entry {each.hash}")):
        return Fault(seq, "forged", f"entry {seq} was not written by this server: its HMAC is wrong")
    return None


def _look_for(anchor: Anchor, found: Mapping[Anchor, str], start: Mark | None, last: int) -> Fault | None:
    seq = anchor.seq
    if start is not None and anchor.hash == start.hash and seq in (None, start.seq):
        return None
    if start is not None and seq is not None and seq <= start.seq:
        told = (
            f"entry {seq} was pruned (up to entry {start.seq}), so this head cannot be held against the log"
        )
        return Fault(seq, "anchor", told)
    if anchor not in found:
        named = "the head that was written down" if seq is None else f"entry {seq}, which was written down,"
        told = f"{named} is not there: the log, which ends at {last}, was cut off or written anew"
        return Fault(seq or last, "anchor", told)
    if not hmac.compare_digest(found[anchor], anchor.hash):
        told = f"entry {seq} has another hash than was written down: the log was written anew"
        return Fault(seq or last, "anchor", told)
    return None


def _hash(entry: Entry, previous: str) -> str:
    return hashlib.sha256(_PREFIX + previous.encode() + b"\n" + entry.canonical()).hexdigest()


def _mac(key: DataKey, text: str) -> str:
    return hmac.new(key.secret, text.encode(), hashlib.sha256).hexdigest()


def _numbers(first: int, last: int) -> str:
    return f"entry {first} is" if first == last else f"entries {first} to {last} are"
