"""What a failed answer means: the one place where statuses, headers and bodies become errors."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from maas_client._masking import scrub
from maas_client.errors import MAX_BODY_CHARACTERS, class_for_status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from maas_client._masking import Masked
    from maas_client.errors import StatusError
    from maas_client.types import Alias, ErrorDetail, Traffic

# A list of a hundred faults fits in; more than this is no explanation.
MAX_BODY_BYTES = 256 * 1024
# Parameters of a limit; the names of limits are quoted, and ours hold no semicolon.
_NOTHING_LEFT = re.compile(r";\s*r=0(?!\d)")
_RENEWED = re.compile(r";\s*t=(\d{1,9})(?!\d)")


def error_from(
    status: int, headers: Mapping[str, str], body: bytes, *, secrets: Iterable[Masked] = ()
) -> StatusError:
    """Return the error that an answer of status 400 or above stands for.

    Args:
        status: The HTTP status.
        headers: The answer's headers, read without regard to case.
        body: The answer's body: our error object, another server's (a string, an object, FastAPI's `detail`)
            or plain text.
        secrets: What must not appear in the error even if the server echoes it.
    """
    text = scrub(body[:MAX_BODY_BYTES].decode("utf-8", "replace"), secrets)
    fault = _fault(text)
    message = fault.get("message") or text[:MAX_BODY_CHARACTERS].strip()
    return class_for_status(status)(
        str(message) or f"the server answered with status {status} and no explanation",
        status=status,
        code=_word(fault.get("code")),
        type=_word(fault.get("type")),
        param=_word(fault.get("param")),
        request_id=headers.get("X-Request-Id") or _word(fault.get("request_id")),
        retry_after=retry_after(headers, now=datetime.now(UTC)),
        should_retry=_should_retry(headers),
        body=text,
        errors=_details(fault.get("errors")),
        current=_current(fault.get("current")),
        replacement=_word(fault.get("replacement")),
    )


def retry_after(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Return the seconds to wait that an answer asks for (RFC 9110, section 10.2.3), or None.

    `retry-after-ms` is finer and goes first; a date counts from the server's own `Date`, so that a wrong
    clock on either side does no harm. Without either, what counts is when the limits are renewed of which
    `RateLimit` says that nothing is left (draft-ietf-httpapi-ratelimit-headers-10, section 4).
    """
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    value = headers.get("Retry-After")
    if value is None:
        return _renewal(headers.get("RateLimit"))
    if (seconds := _number(value)) is not None:
        return seconds
    due = _date(value)
    return None if due is None else max(0.0, (due - (_date(headers.get("Date")) or now)).total_seconds())


def _renewal(limits: str | None) -> float | None:
    """Return the seconds until all limits are renewed that are used up; None for none that says when."""
    used_up = [limit for limit in (limits or "").split(",") if _NOTHING_LEFT.search(limit)]
    renewals = [float(found[1]) for limit in used_up if (found := _RENEWED.search(limit))]
    return max(renewals, default=None)


def _should_retry(headers: Mapping[str, str]) -> bool | None:
    return {"true": True, "false": False}.get(headers.get("x-should-retry", "").strip().lower())


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if number >= 0 and math.isfinite(number) else None


def _date(text: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(text or "")
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _fault(text: str) -> dict[str, Any]:
    try:
        reply = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(reply, dict):
        return {}
    fault = reply.get("error", reply.get("detail"))
    if isinstance(fault, dict):
        return fault
    return (
        {"message": fault if isinstance(fault, str) else json.dumps(fault, ensure_ascii=False)}
        if fault
        else {}
    )


def _word(value: object) -> str | None:
    return value[:200] if isinstance(value, str) and value else None


def _current(value: object) -> Alias | Traffic | None:
    if not isinstance(value, dict):
        return None
    from pydantic import ValidationError

    from maas_client.types import Alias, Traffic

    try:
        return (Alias if "version" in value else Traffic).model_validate(value)
    except ValidationError:
        # Of a kind that this version of the SDK does not know.
        return None


def _details(faults: object) -> list[ErrorDetail]:
    from pydantic import ValidationError

    from maas_client.types import ErrorDetail

    details = []
    for fault in faults if isinstance(faults, list) else []:
        try:
            details.append(ErrorDetail.model_validate(fault))
        except ValidationError:
            details.append(ErrorDetail(code="unknown", message=str(fault)[:200]))
    return details
