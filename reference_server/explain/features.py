"""What an explanation's features are, and how an input looks without some of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reference_server.explain.game import Booleans, Floats
    from reference_server.runtime.tasks import Batch

# More are not told apart by any budget that is worth its time; long texts have sentences, parted further.
MOST_FEATURES = 256


@dataclass(frozen=True, slots=True)
class Feature:
    """A part of an instance that can be there or not.

    Args:
        name: The word, the column's name, the region's place.
        input: The input that it is part of.
        start: Where it begins in a text, in code points.
        end: Where it ends in a text, exclusive.
        box: Of a region: left, top, right and bottom in pixels of the picture as sent and turned upright.
        counts: Whether it is counted among many instances' features: a sentence is nowhere else.
    """

    name: str
    input: str
    start: int | None = None
    end: int | None = None
    box: tuple[int, int, int, int] | None = None
    counts: bool = True


class Maskable(Protocol):
    """An instance of which parts can be left out."""

    @property
    def features(self) -> Sequence[Feature]:
        """Those parts."""

    @property
    def unit(self) -> str:
        """What they are: `words`, `sentences`, `columns` or `regions`."""

    @property
    def masking(self) -> str:
        """What stands where one is away."""

    @property
    def weights(self) -> Floats:
        """`[rows]`, which add up to 1: each coalition becomes as many rows, whose scores count so."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know of all that."""

    def masked(self, coalitions: Booleans) -> Batch:
        """Return the instance with the features of each coalition alone, `len(weights)` rows for each.

        Args:
            coalitions: `[coalitions, features]`, True where a feature is present.
        """
