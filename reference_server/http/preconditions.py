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

    Args:
        call: The call.
        of: What has the revision, for the message.

    Raises:
        InvalidRequest: When `If-Match` holds none.
    """
    given = call.request.headers.get("if-match")
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
