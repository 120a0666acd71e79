"""Texts with some of their words or sentences left out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from reference_server.errors import Unprocessable
from reference_server.explain import segments
from reference_server.explain.features import Feature
from reference_server.runtime.tasks import Batch
from reference_server.runtime.tasks.text_inputs import TEXT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reference_server.explain.game import Booleans
    from reference_server.explain.segments import Segment

_MOST_NAME_CHARACTERS = 200


class MaskedText:
    """A text whose segments can be left out.

    A word that is left out takes with it what stands between it and the next one; or, where the model has a
    mask token, that stands in its place and all else stays.

    Args:
        text: The text.
        parts: Its segments, for each the words that are in it: one, or those of a sentence.
        mask: The tokenizer's mask token, or None.
    """

    weights = np.ones(1)

    def __init__(self, text: str, parts: Sequence[Sequence[Segment]], *, mask: str | None) -> None:
        self.text = text
        self.parts = parts
        self.mask = mask
        self.masking = "delete" if mask is None else "mask-token"
        self.features = [_feature(text, part) for part in parts]
        alone = [len(part) == 1 for part in parts]
        self.unit = "words" if any(alone) else "sentences"
        self.notes: tuple[str, ...] = ()
        self._there = [text[part[0].start : part[-1].reach] for part in parts]
        self._away = ["" if mask is None else _with_mask(text, part, mask) for part in parts]
        self._before = text[: parts[0][0].start]

    def masked(self, coalitions: Booleans) -> Batch:
        """Return the text without the segments that are away; see `Maskable.masked`."""
        return Batch({TEXT: [self._text(row) for row in coalitions.tolist()]}, {})

    def _text(self, present: list[bool]) -> str:
        pieces = zip(present, self._there, self._away, strict=True)
        return self._before + "".join(there if is_there else away for is_there, there, away in pieces)


def words_of(text: str) -> list[Segment]:
    """Return a text's words.

    Raises:
        Unprocessable: There are none.
    """
    found = segments.words(text)
    if not found:
        raise Unprocessable(
            "the text has no words that an explanation could be about; send one with at least one word",
            code="nothing_to_explain",
            param=f"inputs.{TEXT}",
        )
    return found


def seen_words(text: str, seen: int) -> tuple[list[Segment], tuple[str, ...]]:
    """Return the words that a model gets to see, and what to say of the others.

    Those beyond its window can be no features: with words before them away they would move into it, and be
    given an effect that they do not have. So would the comma after the last word that is seen.

    Args:
        text: The text.
        seen: How many of its characters the model sees.

    Raises:
        Unprocessable: The text has no words, or the model sees none of them.
    """
    found = words_of(text)
    within = [word for word in found if word.start < seen]
    if len(within) == len(found):
        return found, ()
    if not within:
        raise Unprocessable(
            f"the model sees the first {seen:,} characters of the text, and no word is in them",
            code="nothing_to_explain",
            param=f"inputs.{TEXT}",
        )
    away = len(found) - len(within)
    note = (
        f"The model sees the first {len(within):,} of the text's {len(found):,} words. The other {away:,} "
        "are beyond its window: they have no effect and no values."
    )
    last = within[-1]
    return [*within[:-1], replace(last, reach=max(last.end, seen))], (note,)


def _feature(text: str, part: Sequence[Segment]) -> Feature:
    start, end = part[0].start, part[-1].end
    name = text[start:end]
    if len(name) > _MOST_NAME_CHARACTERS:
        name = f"{name[: _MOST_NAME_CHARACTERS - 1]}…"
    return Feature(name, TEXT, start=start, end=end, counts=len(part) == 1)


def _with_mask(text: str, part: Sequence[Segment], mask: str) -> str:
    return "".join(mask + text[word.end : word.reach] for word in part)
