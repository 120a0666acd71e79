"""What a variant says beside the original: each task's loss, its interval, and metrics of the same rows."""

import numpy as np
import pytest

from reference_server.advice.quality import Answers, compared
from reference_server.errors import Unprocessable
from reference_server.evaluation.rows import Classified, Valued


def labels(*scores):
    return [
        {
            "label": "b" if each > 0.5 else "a",
            "score": max(each, 1 - each),
            "scores": {"a": 1 - each, "b": each},
        }
        for each in scores
    ]


def test_other_labels_are_the_loss_of_a_classification():
    """With the largest shift of a score, and Wilson's interval."""
    before, after = labels(0.9, 0.8, 0.1, 0.4), labels(0.9, 0.7, 0.1, 0.6)
    found = compared(Answers(before, None), Answers(after, None))
    assert (found.measure, found.loss_of, found.rows) == ("label", "label", 4)
    assert (found.agreement, found.loss) == (0.75, 0.25)
    assert found.largest_shift == pytest.approx(0.2)
    assert found.agreement_interval[0] < 0.75 < found.agreement_interval[1]
    assert found.loss_interval == pytest.approx(
        (1 - found.agreement_interval[1], 1 - found.agreement_interval[0])
    )


def test_a_shift_in_deviations_is_the_loss_of_a_regression():
    """So that it does not depend on the values' unit."""
    values = np.array([1.0, 2.0, 3.0, 4.0])
    for unit in (1, 1000):
        before = [{"value": each * unit} for each in values]
        after = [{"value": (each + 0.1) * unit} for each in values]
        found = compared(Answers(before, None), Answers(after, None))
        assert found.loss_of == "value"
        assert found.loss == pytest.approx(0.1 / values.std())
        assert found.loss_interval[0] <= found.loss <= found.loss_interval[1]


def test_values_that_are_all_alike_have_a_loss_too():
    """In parts of their size, and none where nothing moved."""
    same = [{"value": 2.0}] * 3
    assert compared(Answers(same, None), Answers(same, None)).loss == 0
    assert compared(Answers(same, None), Answers([{"value": 3.0}] * 3, None)).loss == 0.5


def test_the_cosine_that_is_missing_is_the_loss_of_an_embedding():
    """A vector turned by 60 degrees has lost a half."""
    before = [{"embedding": [1.0, 0.0]}]
    after = [{"embedding": [0.5, 3**0.5 / 2]}]
    found = compared(Answers(before, None), Answers(after, None))
    assert (found.loss_of, found.loss) == ("embedding", pytest.approx(0.5))


def test_raw_tensors_differ_or_do_not():
    """By more than a thousandth."""
    before = [{"y": [1.0, 2.0]}, {"y": [3.0, 4.0]}]
    after = [{"y": [1.0, 2.0001]}, {"y": [3.0, 4.5]}]
    found = compared(Answers(before, None), Answers(after, None))
    assert (found.loss_of, found.loss, found.largest_shift) == ("tensor", 0.5, 0.5)


def test_with_targets_the_loss_is_the_metrics():
    """A variant that is right where the original was wrong has lost less than nothing."""
    targets = np.array([1, 1, 0, 1])
    before, after = np.array([0.9, 0.8, 0.1, 0.4]), np.array([0.9, 0.7, 0.1, 0.6])

    def rows(scores):
        return Classified.of(np.stack([1 - scores, scores], axis=1), targets)

    found = compared(Answers(labels(*before), rows(before)), Answers(labels(*after), rows(after)))
    assert (found.loss_of, found.loss, found.agreement) == ("accuracy", -0.25, 0.75)
    assert found.loss_interval[0] < -0.25 <= found.loss_interval[1]
    metrics = {each.name: each for each in found.metrics}
    assert metrics["accuracy"].difference == 0.25
    assert metrics["cross_entropy"].difference < 0


def test_the_bootstrap_draws_the_same_rows_for_both():
    """A shift that is the same on every row has no spread, however much the rows themselves have."""
    random = np.random.default_rng(0)
    targets = random.normal(size=50) * 100
    before = targets + random.normal(size=50) * 30
    valued = [Valued(before, targets), Valued(before, targets)]
    answers = [Answers([{"value": float(each)} for each in before], rows) for rows in valued]
    found = compared(*answers)
    assert (found.loss_of, found.loss, found.loss_interval) == ("r_squared", 0, None)


def test_other_outputs_cannot_be_compared():
    """It is told, and not taken for agreement."""
    with pytest.raises(Unprocessable) as caught:
        compared(Answers([{"y": [1.0]}], None), Answers([{"y": [1.0, 2.0]}], None))
    assert caught.value.code == "not_comparable"
