"""Long texts, whose sentences share out their values among their words."""

import numpy as np
import pytest

from reference_server.explain import segments
from reference_server.explain.hierarchy import LongText

TEXT = " ".join(f"Here is sentence {number} of them." for number in range(9)) + " Not good at all! Bad it is."


def score(text):
    """An additive score of some words, with one interaction within a sentence."""
    found = text.split()
    value = 0.1 * found.count("Bad") + 0.05 * found.count("3") + 0.01 * len(found)
    return value + (0.3 if "Not good" in text else 0.0)


class Game:
    """Scores masked texts and counts them."""

    def __init__(self):
        self.rows = 0

    def __call__(self, masked):
        def play(coalitions):
            texts = masked.masked(coalitions).columns["text"]
            self.rows += len(texts)
            return np.array([score(each) for each in texts]).reshape(len(coalitions), -1) @ masked.weights

        return play


def explain(text, budget, *, method="auto", seed=0):
    game = Game()
    rng = np.random.default_rng(seed)
    words = segments.words(text)
    shares = LongText(text, words, None, method, rng, game, lambda: None).explain(budget)
    return shares, game.rows


@pytest.mark.parametrize("budget", [60, 256, 600])
def test_the_sums_hold(budget):
    """Baseline and attributions make the prediction, and no more is spent than was allowed."""
    shares, rows = explain(TEXT, budget)
    assert rows <= budget
    assert score("") + shares.values.sum() == pytest.approx(score(TEXT), abs=1e-9)
    assert len(shares.values) == len(shares.masked.features)


def test_a_large_budget_looks_into_every_sentence():
    """Of an additive score each word then has what it adds; the interaction is shared by its two words."""
    shares, _ = explain(TEXT, 20_000)
    values = {each.name: value for each, value in zip(shares.masked.features, shares.values, strict=True)}
    assert shares.masked.unit == "words"
    assert all(each.counts for each in shares.masked.features)
    assert values["Bad"] == pytest.approx(0.11, abs=1e-6)
    assert values["3"] == pytest.approx(0.06, abs=1e-6)
    assert values["Not"] == values["good"] == pytest.approx(0.16, abs=1e-6)
    assert values["sentence"] == pytest.approx(0.01, abs=1e-6)


def test_a_small_budget_looks_into_the_sentences_that_count_most():
    """The others stay whole."""
    shares, _ = explain(TEXT, 160)
    names = [each.name for each in shares.masked.features]
    assert "Not" in names
    assert "Here is sentence 8 of them" in names
    assert any("larger budget" in note for note in shares.notes)


def test_the_same_seed_gives_the_same_answer():
    """Another one chooses other coalitions."""
    one, same, other = (explain(TEXT, 200, seed=seed)[0].values for seed in (1, 1, 2))
    assert (one == same).all()
    assert one.shape != other.shape or (one != other).any()


@pytest.mark.parametrize("method", ["exact", "kernel", "fast"])
def test_each_method_works(method):
    """What it found of the sentences is what is told."""
    shares, rows = explain(TEXT, 300, method=method)
    assert rows <= 300
    assert shares.sentences.method == ("exact" if method == "exact" else method)
