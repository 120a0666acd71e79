"""Words and sentences of a text, with their places in it, in any script.

Places are counted in code points, as Python counts characters. A word is a run of letters, digits and the
marks on them (Unicode's general categories L, N and M), with apostrophes and hyphens inside; in Han, Hiragana
and Katakana, which put no space between words, each character is one. A run of pictographs (So) counts as a
word too, because models read feelings from them. This is less than Unicode's UAX #29 asks: no dictionary
parts Thai or Khmer.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_Kind: TypeAlias = Literal["word", "ideograph", "symbol", "other"]

_IDEOGRAPHS = re.compile(
    "[\u3041-\u3096\u309d-\u30fa\u30fc-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
_JOINERS = "'\u2019-\u2010\u2011"
# What ties two pictographs to one, and two letters of some scripts.
_ZERO_WIDTH_JOINERS = "\u200c\u200d"
_ENDS = re.compile(
    r"[.!?\u2026]+[\"'\u201d\u2019)\]]*(?=\s)|[\u3002\uff01\uff1f]+[\u300d\u300f\u201d\uff09]*|\n+"
)


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a text, and what goes when it goes.

    Args:
        start: Where the word or the sentence begins, in code points.
        end: Where it ends, exclusive.
        reach: Where the next one begins: with it goes what stands between the two, spaces and punctuation.
        words: How many words it has.
    """

    start: int
    end: int
    reach: int
    words: int = 1


def words(text: str) -> list[Segment]:
    """Return a text's words in their order; what precedes the first belongs to none."""
    spans = list(_words(text))
    reaches = [*(start for start, _ in spans[1:]), len(text)]
    return [Segment(start, end, reach) for (start, end), reach in zip(spans, reaches, strict=False)]


def sentences(text: str, parts: Sequence[Segment], *, most: int, longest: int) -> list[list[Segment]]:
    """Return the words of each sentence.

    Where a text has no full stops, so many words make one; where it has more sentences than wanted,
    neighbours are put together.

    Args:
        text: The whole text.
        parts: Its words.
        most: The most sentences wanted.
        longest: The most words in one.
    """
    breaks = [match.end() for match in _ENDS.finditer(text)]
    found = [part for each in _split(parts, breaks) for part in _in_parts(each, longest)]
    if len(found) <= most:
        return found
    edges = [round(index * len(found) / most) for index in range(most + 1)]
    return [[word for each in found[first:last] for word in each] for first, last in pairwise(edges)]


def whole(part: Sequence[Segment]) -> Segment:
    """Return the words of a sentence as one segment."""
    return Segment(part[0].start, part[-1].end, part[-1].reach, len(part))


def _words(text: str) -> Iterator[tuple[int, int]]:
    start, kind = 0, "other"
    for place, character in enumerate(text):
        found = _kind(character)
        if _goes_on(text, place, kind, found):
            continue
        if kind != "other":
            yield start, place
        start, kind = place, found
    if kind != "other":
        yield start, len(text)


def _goes_on(text: str, place: int, kind: str, found: str) -> bool:
    """Return whether a character belongs to what precedes it."""
    character = text[place]
    if unicodedata.category(character)[0] == "M":
        return kind != "other"
    if kind == "word" and found == "other":
        tied = character in _JOINERS or character in _ZERO_WIDTH_JOINERS
        return tied and place + 1 < len(text) and _kind(text[place + 1]) == "word"
    if kind == "symbol" and (character in _ZERO_WIDTH_JOINERS or unicodedata.category(character) == "Sk"):
        return True
    return kind == found != "ideograph"


def _kind(character: str) -> _Kind:
    if _IDEOGRAPHS.match(character):
        return "ideograph"
    category = unicodedata.category(character)
    if category[0] in "LNM" or character == "_":
        return "word"
    return "symbol" if category == "So" else "other"


def _split(parts: Sequence[Segment], breaks: Sequence[int]) -> Iterator[list[Segment]]:
    """Yield the words up to each break that has words before it."""
    left, current = iter(breaks), list[Segment]()
    until = next(left, None)
    for part in parts:
        while until is not None and until <= part.start:
            if current:
                yield current
                current = []
            until = next(left, None)
        current.append(part)
    if current:
        yield current


def _in_parts(sentence: list[Segment], longest: int) -> Iterator[list[Segment]]:
    count = -(-len(sentence) // longest)
    edges = [round(index * len(sentence) / count) for index in range(count + 1)]
    for first, last in pairwise(edges):
        yield sentence[first:last]
