"""Cuts a batch into chunks of like length, so that one long row does not make room for all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Budget:
    """What one run may hold.

    Args:
        rows: The most rows.
        cells: The most rows times their longest length; a single row may exceed it.
    """

    rows: int
    cells: int


def chunk_by_length(lengths: Sequence[int], budget: Budget) -> Iterator[list[int]]:
    """Yield the indices of rows in chunks within a budget, the short rows first.

    Every index comes once. Rows of equal length keep their order.

    Args:
        lengths: One length per row, such as its number of tokens.
        budget: What a chunk may hold.
    """
    chunk: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        # Sorted, so this row is the longest of the chunk that it joins.
        if chunk and (len(chunk) >= budget.rows or (len(chunk) + 1) * lengths[index] > budget.cells):
            yield chunk
            chunk = []
        chunk.append(index)
    if chunk:
        yield chunk
