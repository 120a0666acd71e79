from types import SimpleNamespace

import numpy as np
import pytest

from reference_server.errors import Unprocessable
from reference_server.evaluation.rows import Classified, Valued
from reference_server.evaluation.summary import Subject, summarise
from reference_server.evaluation.targets import targets_for

SUBJECT = Subject("m", 3, "sha256:0", "cpu", "text-classification", ["no", "yes"], "")
SCORES = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], np.float32)


def outputs(**tensors):
    return SimpleNamespace(tensors=tensors)


def test_a_classification_tells_metrics_matrix_and_calibration():
    """Two of three are right; the third was said to be no with 0.6."""
    rows = targets_for("text-classification", ["no", "yes"], ["no", "yes", "yes"], 3).rows(
        outputs(scores=SCORES), 0
    )
    found = summarise(rows, SUBJECT)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found.confusion_matrix.labels == ["no", "yes"]
    assert found.confusion_matrix.counts == [[1, 0], [1, 1]]
    assert sum(each.rows for each in found.calibration) == 3
    assert {each.name: each.unit for each in found.metrics}["cross_entropy"] == "nats"
    (note,) = found.notes
    assert note.startswith("3 rows are few: another sample may well give other figures")


@pytest.mark.parametrize(
    ("right", "rows", "interval"),
    # Wilson's, by the formula: n / (n + z²) and its mirror image where all rows are alike; else R's
    # prop.test(correct = FALSE).
    [
        (2, 2, (0.3424, 1)),
        (4, 4, (0.5101, 1)),
        (0, 4, (0, 0.4899)),
        (3, 4, (0.3006, 0.9544)),
        (1, 1, (0.2065, 1)),
    ],
)
def test_an_accuracy_of_few_rows_is_not_claimed_to_be_certain(right, rows, interval):
    """Its interval is Wilson's; of what resampling shows no spread there is none."""
    targets = np.array([0] * right + [1] * (rows - right))
    found = summarise(Classified.of(np.array([[0.9, 0.1]] * rows), targets), SUBJECT)
    intervals = {each.name: each.interval for each in found.metrics}
    assert intervals["accuracy"] == pytest.approx(interval, abs=1e-4)
    if right in (0, rows):
        assert intervals["macro_f1"] is intervals["cross_entropy"] is None


def test_scores_that_are_no_probabilities_have_no_calibration():
    """Logits are compared, not taken for chances; it says so."""
    rows = Classified.of(np.array([[2.0, 1.0]] * 40), np.zeros(40, np.int64))
    found = summarise(rows, SUBJECT)
    assert [each.name for each in found.metrics] == ["accuracy", "macro_f1"]
    assert found.calibration is None
    assert "do not sum to 1" in found.notes[0]


def test_a_regression_tells_its_unit():
    """The square of the unit for what is squared."""
    rows = Valued(np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 3.0]))
    subject = Subject("m", 1, "sha256:0", "cpu", "tabular-regression", [], "mg/dl")
    found = summarise(rows, subject)
    assert found["mean_squared_error"] == pytest.approx(1 / 3)
    assert [each.unit for each in found.metrics] == ["square of mg/dl", "mg/dl", "at most 1"]
    assert found.confusion_matrix is None


def test_equal_targets_have_no_r_squared():
    """It would divide by zero; the others are there."""
    found = summarise(Valued(np.arange(40.0), np.ones(40)), SUBJECT)
    assert [each.name for each in found.metrics] == ["mean_squared_error", "mean_absolute_error"]
    assert "all targets are equal" in found.notes[0]


def test_of_many_labels_the_matrix_shows_those_that_were_met():
    """A thousand labels make a million cells."""
    labels = [f"label {index}" for index in range(1000)]
    scores = np.zeros((2, 1000))
    scores[0, 7] = scores[1, 900] = 1.0
    rows = Classified.of(scores, np.array([7, 3]))
    subject = Subject("m", 1, "sha256:0", "cpu", "image-classification", labels, "")
    found = summarise(rows, subject)
    assert found.confusion_matrix.labels == ["label 3", "label 7", "label 900"]
    assert found.confusion_matrix.counts == [[0, 0, 1], [0, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    "rows", [Classified.of(SCORES, np.array([0, 1, 1])), Valued(np.ones(3), np.arange(3.0))]
)
def test_rows_come_back_from_a_checkpoint_as_they_were(rows):
    """Bit by bit."""
    back = type(rows).unpacked(rows.packed())
    assert back.measure() == rows.measure()
    assert len(type(rows).joined([rows, back])) == 2 * len(rows)


@pytest.mark.parametrize(
    ("task", "targets", "code", "param"),
    [
        ("text-classification", ["no", "perhaps"], "unknown_label", "targets[1]"),
        ("text-classification", ["no", 1], "wrong_type", "targets[1]"),
        ("text-classification", ["no"], "wrong_length", "targets"),
        ("tabular-regression", [1.0, "2"], "wrong_type", "targets[1]"),
        ("tabular-regression", [True, 2.0], "wrong_type", "targets[0]"),
        ("tabular-regression", [1.0, float("nan")], "out_of_range", "targets[1]"),
        ("tabular-regression", [1.0, 10**400], "out_of_range", "targets[1]"),
        ("embedding", ["no", "yes"], "not_evaluated", "model"),
    ],
)
def test_a_wrong_target_is_named(task, targets, code, param):
    """By its row, before anything is run."""
    with pytest.raises(Unprocessable) as caught:
        targets_for(task, ["no", "yes"], targets, 2)
    assert (caught.value.code, caught.value.param) == (code, param)


def test_every_wrong_target_is_listed():
    """So that all can be mended at once."""
    with pytest.raises(Unprocessable) as caught:
        targets_for("text-classification", ["no", "yes"], ["a", "no", "b"], 3)
    assert [detail.param for detail in caught.value.details] == ["targets[0]", "targets[2]"]
