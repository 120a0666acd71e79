"""The catalogue's search: words found in name, description and tags, without regard to case."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from reference_server.registry.tables import ModelRow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ColumnElement


def searchable(description: str, tags: Iterable[str]) -> str:
    """Return the text that a version is found by, besides its model's name."""
    return fold("\n".join((description, *tags)))


def has_all_words(query: str) -> list[ColumnElement[bool]]:
    """Return the conditions that every word of a query is in the name or in the listed version's text."""
    return [ModelRow.search.contains(word, autoescape=True) for word in fold(query).split()]


def fold(text: str) -> str:
    """Return a text as it is compared: without case, and without NUL, which PostgreSQL's text cannot hold."""
    # Folded here, not in SQL: SQLite's lower() knows ASCII only.
    return unicodedata.normalize("NFKC", text).casefold().replace("\0", " ")
