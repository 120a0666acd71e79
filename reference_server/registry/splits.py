"""Which of several versions serves a caller: by weight, and the same one again while weights allow it.

A caller's id is hashed to one of 2³² buckets; each version holds as many as its weight says. When weights
change, versions that lose some give them to those that gain, so no caller moves without need, whatever the
number of versions; with ranges laid out anew, a change of one version would move callers of others too.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

BUCKETS = 2**32
_BUCKET_BYTES = 4

# Pairs of an end, exclusive, and a version; the first begins at 0, each at the end of the one before.
Segments: TypeAlias = "Sequence[tuple[int, int]]"


def bucket(salt: bytes, sticky_id: str) -> int:
    """Return a caller's bucket, from 0 and below 2³².

    Args:
        salt: The model's own, so that it is not the same callers who meet every model's new version first.
        sticky_id: What tells callers apart.
    """
    digest = hashlib.blake2b(salt + sticky_id.encode(), digest_size=_BUCKET_BYTES).digest()
    return int.from_bytes(digest)


def widths(weights: Mapping[int, float]) -> dict[int, int]:
    """Return how many buckets each version gets: 2³² in all, by the method of largest remainders."""
    total = sum(weights.values())
    exact = {version: weight / total * BUCKETS for version, weight in weights.items()}
    whole = {version: int(share) for version, share in exact.items()}
    left = BUCKETS - sum(whole.values())
    by_remainder = sorted(exact, key=lambda version: (whole[version] - exact[version], version))
    for version in by_remainder[:left]:
        whole[version] += 1
    return whole


def assigned(before: Segments, wanted: Mapping[int, int]) -> list[tuple[int, int]]:
    """Return the segments of a new split, in which as few buckets as possible change their version.

    Args:
        before: Those of the split before.
        wanted: How many buckets each version is to have, 2³² in all.
    """
    left = dict(wanted)
    kept: list[tuple[int, int | None]] = []
    for width, version in _pieces(before):
        keeps = min(width, left.get(version, 0))
        left[version] = left.get(version, 0) - keeps
        kept += [(keeps, version), (width - keeps, None)]
    return _joined(_filled(kept, [(version, width) for version, width in left.items() if width]))


def _pieces(segments: Segments) -> Iterable[tuple[int, int]]:
    start = 0
    for end, version in segments:
        yield end - start, version
        start = end


def _filled(
    pieces: Iterable[tuple[int, int | None]], gaining: list[tuple[int, int]]
) -> Iterable[tuple[int, int]]:
    """Give the pieces that nobody kept to the versions that gain, in their order."""
    for width, version in pieces:
        if version is not None:
            yield width, version
            continue
        free = width
        while free:
            gainer, wants = gaining[0]
            gets = min(free, wants)
            yield gets, gainer
            free -= gets
            gaining[0] = (gainer, wants - gets)
            if gets == wants:
                del gaining[0]


def _joined(pieces: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    segments: list[tuple[int, int]] = []
    end = 0
    for width, version in pieces:
        if not width:
            continue
        end += width
        if segments and segments[-1][1] == version:
            segments.pop()
        segments.append((end, version))
    return segments
