"""What an answer says about the end of a model or a version: one warning for each in a process.

The headers are `Deprecation` (RFC 9745), `Sunset` (RFC 8594) and `Link` with the relation `successor-version`
(RFC 5829).
"""

from __future__ import annotations

import re
import sys
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

_MODEL = re.compile(r"/v\d/models/([^/]+)(?:/versions/([^/]+))?")
_SUCCESSOR = re.compile(r'<([^>]*)>[^,]*;\s*rel="?[^",;]*\bsuccessor-version\b', re.IGNORECASE)
_LINES = 200
_told: set[str] = set()


def warn_of_deprecation(path: str, headers: Mapping[str, str]) -> None:
    """Warn, where the caller's own code stands, when an answer speaks of an end; once for each thing."""
    if (notice := notice_of(path, headers)) is None or (subject := _subject(path, headers)) in _told:
        return
    from maas_client.errors import ModelDeprecationWarning

    _told.add(subject)
    warnings.warn(notice, ModelDeprecationWarning, stacklevel=frames_of_ours())


def notice_of(path: str, headers: Mapping[str, str]) -> str | None:
    """Return what to tell about an answer, or None when its headers speak of no end.

    Args:
        path: The path that was asked, which names model and version.
        headers: The answer's headers, read without regard to case.
    """
    since, until = headers.get("Deprecation"), headers.get("Sunset")
    if since is None and until is None:
        return None
    told = f"{_subject(path, headers)} is deprecated"
    if day := _day_of(since):
        told += f" since {day}" if day <= f"{datetime.now(UTC):%Y-%m-%d}" else f" from {day} on"
    if until is not None:
        told += f" and ends on {_http_day(until) or until[:_LINES]}"
    successor = _SUCCESSOR.search(headers.get("Link", ""))
    return (
        f"{told}; use {_named(urlsplit(successor[1]).path) or successor[1][:_LINES]} instead"
        if successor
        else told
    )


def _subject(path: str, headers: Mapping[str, str]) -> str:
    # The path may name an alias, or no version, or not even the model, as that of the embeddings.
    if (model := headers.get("X-Maas-Model")) and (version := headers.get("X-Maas-Version")):
        return f"version {_shown(version)} of the model {_shown(model)}"
    return _named(path) or path.partition("?")[0][:_LINES]


def _named(path: str) -> str | None:
    found = _MODEL.search(path.partition("?")[0])
    if not found or found[2] is None:
        return f"the model {_shown(found[1])}" if found else None
    return f"version {_shown(found[2])} of the model {_shown(found[1])}"


def _shown(part: str) -> str:
    return repr(unquote(part)[:_LINES])


def _day_of(value: str | None) -> str | None:
    # A structured date (RFC 9651): `@` and Unix seconds. Older servers send `true`, which tells no day.
    seconds = (value or "").strip().removeprefix("@")
    if not seconds.isascii() or not seconds.isdigit() or len(seconds) > len("9999999999"):
        return None
    return f"{datetime.fromtimestamp(int(seconds), UTC):%Y-%m-%d}"


def _http_day(value: str) -> str | None:
    from email.utils import parsedate_to_datetime

    try:
        return f"{parsedate_to_datetime(value):%Y-%m-%d}"
    except (ValueError, OverflowError):
        return None


def frames_of_ours() -> int:
    """Return the stack level of whoever called the SDK."""
    level, frame = 1, sys._getframe(1)  # noqa: SLF001 - as `warnings` itself does
    while (outer := frame.f_back) is not None and frame.f_globals.get("__name__", "").startswith(
        "maas_client"
    ):
        frame, level = outer, level + 1
    return level
