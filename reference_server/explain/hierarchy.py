"""Long texts: their sentences first, then the words within those that count most.

The value of a sentence is its Shapley value among the sentences. Its words share that out: each gets its
Shapley value among the words of its sentence, once with the sentences that precede it in an order drawn by
chance and once with those that follow it there. Taken over all orders that is the value of Owen, "Values of
Games with a Priori Unions" (1977), whose sums hold; over the two they hold but for an error of sampling,
which the words of the sentence bear in proportion to what they have: it is in their values, and as large in
their standard errors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from reference_server.explain import segments
from reference_server.explain.attribution import attribute, least_budget
from reference_server.explain.features import MOST_FEATURES
from reference_server.explain.game import Counted
from reference_server.explain.texts import MaskedText

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from maas_client.types import ExplainMethod
    from reference_server.explain.features import Maskable
    from reference_server.explain.game import Attributed, Booleans, Floats, Game
    from reference_server.explain.segments import Segment
    from reference_server.runtime.tasks import Batch

# Up to so many, words are explained at once.
MOST_WORDS = 64
_MOST_SENTENCES = 64
_LONGEST_SENTENCE = 32
_MOST_EXACT_SENTENCES = 12
_CONTEXTS = 2
_GOOD_PER_WORD = 4
# What KernelSHAP takes.
_LEAST_PER_SENTENCE = 3


@dataclass(slots=True)
class Shares:
    """What a long text's parts add to the score.

    Args:
        masked: The text with those parts.
        values: `[parts]`.
        standard_errors: `[parts]`, NaN where nothing was sampled; None if that is so everywhere.
        sentences: What the sentences came to.
        notes: What to know of it.
    """

    masked: MaskedText
    values: Floats
    standard_errors: Floats | None
    sentences: Attributed
    notes: tuple[str, ...]


@dataclass(slots=True)
class LongText:
    """A text of more words than are explained at once.

    Args:
        text: It.
        words: Its words.
        mask: The tokenizer's mask token, or None.
        method: How its parts are attributed.
        rng: Chooses coalitions.
        game: Returns the game of a masked text; the whole text's score is known where all of its parts are
            there.
        check: Called between runs; what it raises ends the work.
    """

    text: str
    words: Sequence[Segment]
    mask: str | None
    method: ExplainMethod
    rng: np.random.Generator
    game: Callable[[Maskable], Game]
    check: Callable[[], object]
    _sentences: list[list[Segment]] = field(init=False, default_factory=list)

    def explain(self, budget: int) -> Shares:
        """Return what its sentences add, and the words of those that count most.

        Args:
            budget: The most rows to run.

        Raises:
            Unprocessable: The budget is too small.
        """
        self._sentences = segments.sentences(
            self.text, self.words, most=self._most_sentences(budget), longest=_LONGEST_SENTENCE
        )
        masked = MaskedText(self.text, self._sentences, mask=self.mask)
        count = len(self._sentences)
        first = max(budget // 2, min(budget, least_budget(count, self.method)))
        game = Counted(self.game(masked), budget=first, check=self.check)
        found = attribute(game, count, method=self.method, budget=first, rng=self.rng)
        errors = np.full(count, np.nan) if found.standard_errors is None else found.standard_errors
        return self._with_words(found, errors, budget - game.spent)

    def _with_words(self, found: Attributed, errors: Floats, budget: int) -> Shares:
        parts: list[list[Segment]] = []
        values: list[float] = []
        deviations: list[float] = []
        chosen = self._chosen(found.values, budget)
        for index, sentence in enumerate(self._sentences):
            if index not in chosen:
                parts.append(sentence)
                values.append(float(found.values[index]))
                deviations.append(float(errors[index]))
                continue
            own, own_errors = self._within(index, chosen[index])
            missing = found.values[index] - own.sum()
            shares = _in_proportion(own)
            parts += [[word] for word in sentence]
            values += (own + missing * shares).tolist()
            deviations += np.hypot(
                own_errors, np.hypot(missing, np.nan_to_num(errors[index])) * shares
            ).tolist()
        known = np.array(deviations)
        return Shares(
            MaskedText(self.text, parts, mask=self.mask),
            np.array(values),
            None if np.isnan(known).all() else known,
            found,
            self._notes(len(chosen)),
        )

    def _most_sentences(self, budget: int) -> int:
        """Return into how many sentences a text is put together, so that the method has enough of each."""
        if self.method == "exact":
            return max(1, min(_MOST_EXACT_SENTENCES, (budget // 2).bit_length() - 1))
        return max(2, min(_MOST_SENTENCES, (budget // 2 - 2) // _LEAST_PER_SENTENCE))

    def _chosen(self, values: Floats, budget: int) -> dict[int, int]:
        """Return the most important sentences, into which is looked, and what each may spend."""
        chosen: dict[int, int] = {}
        left, words = budget, len(self._sentences)
        for index in np.argsort(-np.abs(values), kind="stable").tolist():
            count = len(self._sentences[index])
            least = _CONTEXTS * least_budget(count, "kernel" if self.method == "auto" else self.method)
            good = max(least, _CONTEXTS * min(2**count, _GOOD_PER_WORD * count + 2))
            if count == 1 or least > left or words + count - 1 > MOST_FEATURES:
                continue
            chosen[index] = min(good, left)
            left -= chosen[index]
            words += count - 1
        more = left // len(chosen) if chosen else 0
        return {index: spend + more for index, spend in chosen.items()}

    def _within(self, index: int, budget: int) -> tuple[Floats, Floats]:
        """Return the values of a sentence's words in two contexts, and their standard errors there."""
        within = _WithinSentence(
            self.text, self._sentences, index, mask=self.mask, contexts=self._contexts(index)
        )
        most = budget // _CONTEXTS
        game = Counted(self.game(within), budget=most, check=self.check)
        count = len(within.features)
        found = attribute(game, count, method=self.method, budget=most, rng=self.rng)
        errors = np.zeros(count) if found.standard_errors is None else found.standard_errors
        return found.values, errors

    def _contexts(self, index: int) -> Booleans:
        """Return which sentences are there: those before one in an order by chance, and those after it."""
        ranks = self.rng.permutation(len(self._sentences))
        return np.stack([ranks < ranks[index], ranks > ranks[index]])

    def _notes(self, looked_at: int) -> tuple[str, ...]:
        count = len(self._sentences)
        note = (
            f"The text is long: its {count} sentences were explained first, then the words of the "
            f"{looked_at} that count most, which share out their sentence's value."
        )
        return (note, "A larger budget looks into more of them.") if looked_at < count else (note,)


def _in_proportion(values: Floats) -> Floats:
    """Return which share each value has of the sum of their sizes; equal ones where all are 0."""
    total = np.abs(values).sum()
    shares: Floats = np.abs(values) / total if total > 0 else np.full(len(values), 1 / len(values))
    return shares


class _WithinSentence:
    """The words of one sentence as features, the others as each context has them."""

    weights = np.full(_CONTEXTS, 1 / _CONTEXTS)
    notes: tuple[str, ...] = ()

    def __init__(
        self,
        text: str,
        sentences: Sequence[Sequence[Segment]],
        index: int,
        *,
        mask: str | None,
        contexts: Booleans,
    ) -> None:
        own = [[word] for word in sentences[index]]
        self._inner = MaskedText(text, [*sentences[:index], *own, *sentences[index + 1 :]], mask=mask)
        self._place = slice(index, index + len(own))
        self._before, self._after = contexts[:, :index], contexts[:, index + 1 :]
        self.features = self._inner.features[self._place]
        self.unit, self.masking = self._inner.unit, self._inner.masking

    def masked(self, coalitions: Booleans) -> Batch:
        """Return each coalition of the words in each context; see `Maskable.masked`."""
        count = len(coalitions)
        rows = np.hstack(
            [
                np.tile(self._before, (count, 1)),
                np.repeat(coalitions, _CONTEXTS, axis=0),
                np.tile(self._after, (count, 1)),
            ]
        )
        return self._inner.masked(rows)
