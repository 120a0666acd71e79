"""What `FakeMaas` learns from: words, columns brought to mean 0 and deviation 1, or a base's vectors."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean, pstdev
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from maas_client._fake_descent import Vector

Inputs: TypeAlias = dict[str, Any]
Embed: TypeAlias = Callable[[Inputs], Sequence[float]]

_WORD = re.compile(r"\w+")
_MOST_WORDS = 1000


def learnt(inputs: Sequence[Inputs], embed: Embed | None) -> tuple[Callable[[Inputs], Vector], int, str]:
    """Return what makes features of an instance, how many there are, and their kind.

    Args:
        inputs: The training rows.
        embed: Returns a base's vector of an instance; None without a base.
    """
    if embed is not None:
        width = len(embed(inputs[0]))
        return lambda row: dict(enumerate(map(float, embed(row)))), width, "embeddings"
    if isinstance(inputs[0].get("text"), str):
        words = Counter(word for row in inputs for word in _words(row))
        known = {word: index for index, (word, _) in enumerate(words.most_common(_MOST_WORDS))}
        return lambda row: _bag(_words(row), known), max(1, len(known)), "ngrams"
    names = list(inputs[0])
    columns = {name: [float(row[name]) for row in inputs] for name in names}
    scales = {name: (fmean(column), pstdev(column) or 1.0) for name, column in columns.items()}

    def scaled(row: Inputs) -> Vector:
        return {
            index: (float(row[name]) - scales[name][0]) / scales[name][1] for index, name in enumerate(names)
        }

    return scaled, len(names), "columns"


def _words(row: Inputs) -> list[str]:
    return _WORD.findall(str(row["text"]).lower())


def _bag(words: Iterable[str], known: Mapping[str, int]) -> Vector:
    """Return the words that are known as a vector of length 1."""
    found = {known[word] for word in words if word in known}
    return dict.fromkeys(sorted(found), 1 / math.sqrt(len(found))) if found else {}
