"""Compare-and-swap over HTTP: the revision of what is to be changed, as its ETag and in `If-Match`."""

from __future__ import annotations

import re

from reference_server.errors import InvalidRequest
from reference_server.http.exchange import Call

_ETAG = re.compile(r'"?(\d{1,18})"?')


def etag(revision: int) -> dict[str, str]:
    """Return the header that tells a revision."""
    return {"etag": f'"{revision}"'}


def expected_revision(call: Call, of: str) -> int | None:
    """Return the revision that a change was decided on; None where it is to happen in any case.

    `If-None-Match: *` is 0, the revision of what is not there yet (RFC 9110, section 13.1.2).

    Args:
        call: The call.
        of: What has the revision, for the message.

    Raises:
        InvalidRequest: When `If-Match` holds none, or `If-None-Match` anything but a star.
    """
    headers = call.request.headers
    if (given_none := headers.get("if-none-match")) is not None:
        if given_none.strip() != "*":
            raise InvalidRequest(
                f"If-None-Match can only be *, which means that there is no {of} yet",
                code="invalid_header",
                param="If-None-Match",
            )
        return 0
    given = headers.get("if-match")
    if given is None or given.strip() == "*":
        return None
    tag = _ETAG.fullmatch(given.strip())
    if tag is None:
        raise InvalidRequest(
            f'If-Match must be the ETag of the {of}, its revision in quotes, such as "3"',
            code="invalid_header",
            param="If-Match",
        )
    return int(tag[1])


def must_exist(call: Call) -> bool:
    """Return whether a change is to happen only to what is there: `If-Match: *` (RFC 9110, 13.1.1)."""
    return call.request.headers.get("if-match", "").strip() == "*"
