"""Tables as plain text, for `print`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of as many cells each as lines whose columns stand below each other."""
    cells = [[_printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]


def _printable(text: str) -> str:
    # Cells are other people's words: no line break or control character of theirs tears a table.
    return "".join(character if character.isprintable() else " " for character in text)
