"""The catalogue's search: words found in name, description and tags, without regard to case."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from sqlalchemy import and_, func, or_

from reference_server.registry.tables import ModelRow, VersionRow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ColumnElement


def searchable(description: str, tags: Iterable[str]) -> str:
    """Return the text that a version is found by, besides its model's name."""
    return _fold("\n".join((description, *tags)))


def has_all_words(query: str) -> ColumnElement[bool]:
    """Return the condition that every word of a query is in the name or in the catalogue version's text."""
    return and_(True, *(_has_word(word) for word in _fold(query).split()))  # noqa: FBT003 - SQLAlchemy's neutral element


def _has_word(word: str) -> ColumnElement[bool]:
    in_name = func.lower(ModelRow.name).contains(word, autoescape=True)
    return or_(in_name, VersionRow.search.contains(word, autoescape=True))


def _fold(text: str) -> str:
    # Folded here, not in SQL: SQLite's lower() knows ASCII only. PostgreSQL's text cannot hold NUL.
    return unicodedata.normalize("NFKC", text).casefold().replace("\0", " ")
