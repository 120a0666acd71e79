"""What an explanation spends, and on what; scores as replies report them."""

import numpy as np
import pytest

from maas_client.types import ExplainOptions
from reference_server.errors import Unprocessable
from reference_server.explain.budgets import within_memory
from reference_server.explain.explaining import Explaining, Subject
from reference_server.explain.scoring import (
    Scores,
    Target,
    Turns,
    label_target,
    reported,
    similarity_target,
    value_target,
)
from reference_server.explain.segments import words
from reference_server.explain.texts import MaskedText
from reference_server.runtime.tasks import Batch, Outputs

MILLISECOND = 0.001


class Model:
    """Scores texts by their words; each row takes a millisecond of its own clock."""

    def __init__(self):
        self.now = 0.0
        self.batches = []

    def predict(self, batch):
        texts = batch.columns["text"]
        self.batches.append(list(texts))
        self.now += MILLISECOND * len(texts)
        values = [0.5 * ("good" in text) - 0.25 * ("bad" in text) + len(text) / 1000 for text in texts]
        return Outputs({"value": np.array(values, np.float32)}, {}), MILLISECOND * len(texts)

    @property
    def rows(self):
        return sum(map(len, self.batches))


def subject(text):
    parts = words(text)
    batch = Batch({"text": [text]}, {})
    target = lambda outputs, _turns: value_target(None, outputs)  # noqa: E731 - one expression
    if len(parts) > 64:
        return Subject(batch, target, long=parts)
    return Subject(batch, target, masked=MaskedText(text, [[word] for word in parts], mask=None))


def explain(text, **options):
    model = Model()
    turns = Turns(model.predict, row_seconds=MILLISECOND)
    explaining = Explaining(subject(text), ExplainOptions(**options))
    found = explaining.run(turns, timer=lambda: model.now, check=lambda: None)
    assert found.evaluations == model.rows <= explaining.most_rows
    return found, model


MANY = " ".join(f"word{number}" for number in range(30)) + " good bad"
LONG = " ".join(f"Sentence {number} is not so long." for number in range(20)) + " It is good. It is bad."


@pytest.mark.parametrize("method", ["auto", "kernel", "fast"])
@pytest.mark.parametrize("budget", [130, 256, 1000])
@pytest.mark.parametrize("text", [MANY, LONG], ids=["words", "sentences"])
def test_no_more_is_spent_than_the_budget(text, budget, method):
    """Whatever it is spent on."""
    found, _ = explain(text, budget=budget, method=method)
    assert found.evaluations <= budget
    if method != "fast":
        assert found.baseline + found.values.sum() == pytest.approx(found.prediction, abs=1e-9)


@pytest.mark.parametrize("text", [MANY, LONG], ids=["words", "sentences"])
@pytest.mark.parametrize("milliseconds", [200, 400])
def test_a_time_budget_is_spent_and_not_exceeded(text, milliseconds):
    """By the pace of the model's own first runs."""
    found, model = explain(text, budget=100_000, time_budget_ms=milliseconds)
    assert 0.6 * milliseconds < model.now * 1000 <= milliseconds
    assert found.evaluations == model.rows


def test_a_time_budget_of_few_words_still_gives_exact_values():
    """What is tried for the model's pace is among all coalitions, and not run again."""
    found, _ = explain("a good day, or bad", budget=32, time_budget_ms=1000)
    assert (found.method, found.evaluations) == ("exact", 32)


def test_a_time_too_short_for_the_method_is_told():
    """The least that it takes is spent."""
    found, _ = explain(MANY, budget=1000, time_budget_ms=1)
    assert found.method == "fast"
    assert "time budget is too short" in found.notes[0]


@pytest.mark.parametrize(
    ("text", "faithfulness", "most"),
    [
        ("a good day, or a bad one", True, 9 + 5 * 6),
        ("a good day, or a bad one", False, 9),
        (MANY, True, 34 + 5 * 9),
        (MANY, False, 34),
    ],
)
def test_leave_one_out_is_cheap_whatever_the_budget(text, faithfulness, most):
    """Each feature is left out once; how far that can be trusted is measured by three random orders."""
    for budget in (256, 5000):
        found, _ = explain(text, budget=budget, method="fast", faithfulness=faithfulness)
        assert most - 10 < found.evaluations <= most
        assert found.trust is None or found.trust.random_orders == 3
        assert (found.trust is not None) is faithfulness


def test_leave_one_out_of_a_long_text_measures_trust_by_few_orders():
    """It looks into sentences as the budget allows, and spends no more on trust than it must."""
    found, _ = explain(LONG, budget=5000, method="fast")
    without, _ = explain(LONG, budget=5000, method="fast", faithfulness=False)
    assert found.trust.random_orders == 3
    # Beside the curves, the text without any word is run once more.
    assert found.evaluations - without.evaluations <= 5 * 9 + 1


def test_the_whole_instance_runs_once_and_alone():
    """In company its last digits could be others than a prediction's."""
    _, model = explain("a good day", budget=64)
    assert model.batches[0] == ["a good day"]
    assert not any("a good day" in batch for batch in model.batches[1:])


def test_where_the_budget_is_too_small_for_faithfulness_that_is_said():
    """And all of it goes into the attributions."""
    found, _ = explain(MANY, budget=100)
    assert found.trust is None
    assert any("not measured" in note for note in found.notes)
    found, _ = explain(MANY, budget=100, faithfulness=False)
    assert not any("not measured" in note for note in found.notes)


def test_many_features_take_a_bounded_budget():
    """Whatever was asked for: memory and time grow with coalitions times features."""
    assert within_memory(16, 2**16) == (2**16, ())
    most, (note,) = within_memory(250, 100_000)
    assert most == 8000
    assert "No more than 8,000 evaluations" in note


def test_turns_are_as_long_as_predictions_may_wait():
    """About ten milliseconds of a slow model, sixty-four rows of a quick one."""
    sizes = []

    def predict(batch):
        sizes.append(len(batch))
        return Outputs({"value": np.zeros(len(batch))}, {}), 0.002 * len(batch)

    turns = Turns(predict, row_seconds=0.0)
    turns.run(Batch({"text": ["a"] * 100}, {}))
    assert sizes[0] == 64
    assert set(sizes[1:-1]) == {5}
    assert (sum(sizes), turns.rows) == (100, 100)


def test_what_ends_the_work_ends_it_between_two_turns():
    """A deadline, a caller who has gone, a job that is cancelled."""
    model = Model()
    turns = Turns(model.predict, row_seconds=MILLISECOND)

    class EndedError(Exception):
        pass

    def check():
        if model.rows > 50:
            raise EndedError

    explaining = Explaining(subject(MANY), ExplainOptions(budget=10_000))
    with pytest.raises(EndedError):
        explaining.run(turns, timer=lambda: model.now, check=check)
    assert model.rows < 200


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_scores_are_what_replies_say(kind):
    """The shortest decimal that reads back as the same float."""
    values = np.array([0.1, 1 / 3, 2.5], kind)
    assert reported(values).tolist() == [float(str(value)) for value in values]
    assert np.isnan(reported(np.array([1, np.nan], kind))[1])


def test_a_target_is_the_predicted_label_or_the_one_that_is_named():
    """Of equal scores the first, as in a prediction."""
    outputs = Outputs({"scores": np.array([[0.25, 0.5, 0.5]], np.float32)}, {})
    labels = ["a", "b", "c"]
    assert label_target(labels, None, outputs).name == "b"
    assert label_target(labels, "a", outputs).read(outputs).tolist() == [0.25]
    with pytest.raises(Unprocessable, match=r"'a', 'b', 'c'"):
        label_target(labels, "d", outputs)
    with pytest.raises(Unprocessable, match="NaN") as caught:
        label_target(labels, None, Outputs({"scores": np.array([[np.nan, 1, 0]])}, {}))
    assert caught.value.code == "non_finite_output"


def test_many_labels_are_not_all_listed():
    """Twenty are enough to see what they are like."""
    outputs = Outputs({"scores": np.zeros((1, 1000), np.float32)}, {})
    with pytest.raises(Unprocessable, match="and 980 more") as caught:
        label_target([f"label-{number}" for number in range(1000)], "x", outputs)
    assert len(caught.value.message) < 1000


def test_a_vector_of_zeros_is_like_nothing():
    """It has no direction."""
    target = similarity_target(None, Outputs({"embedding": np.array([[3.0, 4.0]])}, {}))
    vectors = np.array([[6.0, 8.0], [-3, -4], [0, 0]], np.float32)
    assert target.read(Outputs({"embedding": vectors}, {})).tolist() == [1, -1, 0]


def test_a_coalitions_score_is_the_weighted_mean_over_its_rows():
    """Of a background's rows, in turns that need not hold all of them."""

    class Rows:
        features = ("a", "b")
        weights = np.array([0.5, 0.25, 0.25])

        @staticmethod
        def masked(coalitions):
            sums = coalitions.sum(axis=1)
            return Batch({"x": [row * total for total in sums.tolist() for row in (1, 2, 4)]}, {})

    def predict(batch):
        return Outputs({"value": np.array(batch.columns["x"], float)}, {}), 0.006 * len(batch)

    target = Target("value", lambda outputs: outputs.tensors["value"])
    scores = Scores(Turns(predict, row_seconds=0.006), Rows(), target, prediction=7.0)
    coalitions = np.array([[0, 0], [1, 0], [1, 1]], bool)
    assert scores(coalitions).tolist() == [0.0, 2.0, 7.0]
