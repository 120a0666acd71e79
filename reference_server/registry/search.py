"""The catalogue's search: words found in name, description and tags, without regard to case."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

ESCAPE = "/"


def searchable(description: str, tags: Iterable[str]) -> str:
    """Return the text that a version is found by, besides its model's name."""
    return fold("\n".join((description, *tags)))


def containing(text: str) -> str:
    """Return the pattern of SQL's LIKE for texts that contain this one; `ESCAPE` escapes in it."""
    escaped = re.sub("[/%_]", lambda found: ESCAPE + found[0], text)
    return f"%{escaped}%"


def fold(text: str) -> str:
    """Return a text as it is compared: without case, and without NUL, which PostgreSQL's text cannot hold."""
    # Folded here, not in SQL: SQLite's lower() knows ASCII only.
    return unicodedata.normalize("NFKC", text).casefold().replace("\0", " ")
