"""Which bytes a request wants: `Range` and `If-Range`, one range (RFC 9110, sections 13.1.5 and 14)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from reference_server.errors import RangeNotSatisfiable

if TYPE_CHECKING:
    from collections.abc import Mapping

# The digits are bounded because `int` refuses thousands of them; no file needs as many as these.
_RANGE = re.compile(
    r"bytes\s*=[\s,]*(?:(?P<first>\d{1,40})-(?P<last>\d{0,40})|-(?P<suffix>\d{1,40}))[\s,]*",
    re.ASCII | re.IGNORECASE,
)


def requested(headers: Mapping[str, str], *, etag: str, size: int) -> tuple[int, int] | None:
    """Return the first byte that a request wants and the one after the last; None for the whole.

    A range that is malformed, one of several, or of another representation than `If-Range` names is no range:
    the whole is the right answer then.

    Args:
        headers: The request's, their names in lower case.
        etag: The strong validator of what there is, quoted.
        size: Its bytes.

    Raises:
        RangeNotSatisfiable: When the range holds no byte of it.
    """
    found = _RANGE.fullmatch(headers.get("range", "").strip())
    # A date never matches, for nothing here has a Last-Modified; neither does a weak validator.
    if found is None or headers.get("if-range", etag).strip() != etag:
        return None
    if found["suffix"] is not None:
        first, stop = max(0, size - int(found["suffix"])), size
    else:
        first, stop = int(found["first"]), min(size, int(found["last"] or size) + 1)
        if found["last"] and int(found["last"]) < first:
            return None
    if first >= size:
        raise RangeNotSatisfiable(
            f"the range begins after the end; there are {size:,} bytes, the last of them number {size - 1}",
            size=size,
        )
    return first, stop
