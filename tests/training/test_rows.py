"""What rows are refused, what they are warned of, and how they are split."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maas_client.types import LabelledRows
from reference_server.errors import Unprocessable
from reference_server.training.row_warnings import warnings_of
from reference_server.training.rows import check_rows, key_of, table_of
from reference_server.training.splits import split


def rows(inputs, targets):
    return LabelledRows(inputs=inputs, targets=targets)


def texts(*given, targets=None):
    return rows([{"text": text} for text in given], targets or ["ab"[n % 2] for n in range(len(given))])


def checked(train, *, loss="cross_entropy", has_base=False, **parts):
    return check_rows({"train": train, **parts}, loss=loss, has_base=has_base)


def refusal(train, **options):
    with pytest.raises(Unprocessable) as caught:
        checked(train, **options)
    return caught.value


def warned(train, **options):
    data = checked(train, **options)
    return " / ".join(warnings_of(data, data.parts))


def test_labels_are_numbered_in_their_order():
    """Whatever order rows come in, the same labels are the same classes."""
    data = checked(texts("x", "y", "z", targets=["zebra", "ant", "zebra"]))
    assert data.labels == ("ant", "zebra")
    assert data.parts["train"].targets.tolist() == [1, 0, 1]


def test_the_hash_is_of_all_rows_and_their_targets():
    """A changed target, part or order is other data; keys of a row have no order."""
    one, two = {"a": 1, "b": 2}, {"a": 3, "b": 4}
    base = checked(rows([one, two], ["x", "y"])).sha256
    assert checked(rows([{"b": 2, "a": 1}, two], ["x", "y"])).sha256 == base
    assert checked(rows([one, two], ["y", "x"])).sha256 != base
    assert checked(rows([two, one], ["y", "x"])).sha256 != base
    assert checked(rows([one, two], ["x", "y"]), test=rows([{"a": 9, "b": 9}], ["x"])).sha256 != base


@pytest.mark.parametrize(
    ("row", "code", "said"),
    [
        ({"text": 2}, "wrong_type", "a string is expected, not an integer"),
        ({"text": "b", "more": 1}, "wrong_columns", "every row has the inputs text"),
        ({}, "wrong_columns", "every row has the inputs text"),
        ({"text": "\ud800"}, "invalid_text", "a lone surrogate at character 0"),
        ({"text": "x" * 10_001}, "input_too_long", "10,001 characters, at most 10,000"),
    ],
)
def test_a_bad_text_is_named_by_its_place(row, code, said):
    """With what was expected; every fault is listed."""
    error = refusal(rows([{"text": "a"}, row, row], ["x", "y", "x"]))
    assert error.code == code
    assert error.param.startswith("train.inputs[1]")
    assert said in error.message
    assert "(and 1 more, see errors); nothing was run" in error.message
    assert [each.param.partition(".text")[0] for each in error.details] == [
        "train.inputs[1]",
        "train.inputs[2]",
    ]


@pytest.mark.parametrize("value", ["1", None, True, 2**60, 10**400, 1e39])
def test_a_bad_number_is_named_by_its_column(value):
    """Booleans are none, and what float32 cannot hold would be infinite in the graph."""
    error = refusal(rows([{"x": 1.0}, {"x": value}], ["a", "b"]))
    assert error.param == "train.inputs[1].x"


@pytest.mark.parametrize(
    ("row", "code"),
    [({"inputs": 1.0}, "bad_column"), ({"a\nb": 1.0}, "bad_column"), ({}, "wrong_columns")],
)
def test_columns_have_names_that_a_call_can_use(row, code):
    """They become the inputs of the model."""
    assert refusal(rows([row, row], ["a", "b"])).code == code


@pytest.mark.parametrize(
    ("target", "code"),
    [(1, "wrong_type"), ("", "bad_label"), ("a\nb", "bad_label"), ("x" * 201, "bad_label")],
)
def test_labels_are_short_printable_texts(target, code):
    """They stand in a manifest and in every answer."""
    error = refusal(texts("p", "q", targets=["a", target]))
    assert (error.code, error.param) == (code, "train.targets[1]")


@pytest.mark.parametrize("target", ["high", None, True, 10**400])
def test_numbers_are_what_mse_takes(target):
    """Each other target is named."""
    error = refusal(rows([{"x": 1.0}, {"x": 2.0}], [1.0, target]), loss="mse")
    assert error.param == "train.targets[1]"


def test_there_are_two_labels_at_least_and_a_thousand_at_most():
    """Of one there is nothing to learn; thousands are mostly numbers or identifiers."""
    assert refusal(texts("p", "q", targets=["a", "a"])).code == "one_class"
    many = [str(number) for number in range(1001)]
    assert refusal(texts(*many, targets=many)).code == "too_many_classes"


def test_a_held_out_row_with_an_unknown_label_is_named():
    """The head has no output for it."""
    error = refusal(texts("p", "q"), test=texts("r", targets=["c"]))
    assert (error.code, error.param) == ("unknown_label", "test.targets[0]")
    assert "which have a, b" in error.message


def test_a_row_on_both_sides_is_refused_with_both_places():
    """What was learnt from cannot be measured on."""
    error = refusal(texts("p", "q"), validation=texts("new", "q"))
    assert (error.code, error.param) == ("duplicate_row", "validation.inputs[1]")
    assert "train.inputs[1]" in error.message
    assert refusal(texts("p", "q"), validation=texts("r"), test=texts("r")).param == "test.inputs[0]"
    checked(texts("p", "p", "q"))  # within one side it is merely said twice


def test_a_base_takes_texts_alone():
    """And texts of any length: the base's own limit holds."""
    assert refusal(rows([{"x": 1.0}] * 2, ["a", "b"]), has_base=True).code == "wrong_type"
    checked(texts("x" * 20_000, "y"), has_base=True)


LONG = [f"row number {number}" for number in range(40)]


@pytest.mark.parametrize(
    ("train", "said"),
    [
        (
            texts(*LONG, "Row  NUMBER 0", targets=[*"ab" * 20, "b"]),
            "1 inputs occur in the training rows with",
        ),
        (texts(*LONG, "odd", targets=[*"ab" * 20, "rare"]), "labels of fewer than 5 training rows"),
        (texts(*LONG, targets=["a"] * 39 + ["b"]), "39 training rows and the rarest 1"),
        (
            texts(*[f"{row} {'yes' * (n % 2)}" for n, row in enumerate(LONG)], targets=["no!", "yes"] * 20),
            "'yes'",
        ),
        (rows([{"x": n, "y": 7} for n in range(40)], [*"ab" * 20]), "the column 'y' is the same"),
        (rows([{"x": n} for n in range(40)], ["a"] * 20 + ["b"] * 20), "the column 'x' alone tells"),
    ],
)
def test_what_makes_figures_lie_is_warned_of(train, said):
    """Contradictions, rare labels, labels within their texts, columns that give the answer away."""
    assert said in warned(train)


def test_a_regression_is_warned_of_a_column_that_is_its_target():
    """In another unit it is still the same figure."""
    numbers = [float(n * n % 17) for n in range(40)]
    train = rows([{"x": 3 * n - 1, "y": (n * 7) % 5} for n in numbers], numbers)
    assert "'x' alone tells" in warned(train, loss="mse")
    assert "'y' alone tells" not in warned(train, loss="mse")


def test_near_repeats_across_the_split_are_warned_of():
    """They are other rows, and hardly tell anything new."""
    said = warned(texts(*LONG), validation=texts(*[f"new {n}" for n in range(40)], "ROW number  3"))
    assert "1 rows of validation differ from a training row in case or spaces alone" in said


def test_plain_rows_are_warned_of_nothing():
    """Neither texts nor columns that are as they should be."""
    random = np.random.default_rng(0)
    assert warned(texts(*LONG), validation=texts(*[f"new {n}" for n in range(40)])) == ""
    columns = [{"x": x} for x in random.normal(size=80).tolist()]
    assert warned(rows(columns[:40], [*"ab" * 20]), test=rows(columns[40:], [*"ab" * 20])) == ""


def test_few_rows_to_measure_on_are_warned_of():
    """And none at all."""
    assert "test has 2 rows, too few" in warned(texts(*LONG), test=texts("x", "y"))
    assert "nothing is measured" in warned(texts(*LONG))


@given(
    st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=30, max_size=80),
    st.integers(0, 9),
    st.sampled_from([(0.2, 0.0), (0.2, 0.2), (0.0, 0.5)]),
)
@settings(deadline=None, max_examples=30)
def test_a_split_keeps_every_row_once_and_equals_on_one_side(given_rows, seed, shares):
    """Whatever the rows; each label is left to be learnt from; the seed alone chooses."""
    inputs = [{"text": f"{'T' if big else 't'}ext {number}"} for number, big in given_rows]
    targets = ["ab"[number % 2] for number, _ in given_rows]
    if len(set(targets)) == 1:
        return
    data = checked(rows(inputs, targets))
    validation, test = shares
    try:
        parts = split(data, validation=validation, test=test, seed=seed)
    except Unprocessable as error:
        assert error.code == "too_few_rows"  # noqa: PT017 - it is raised now and then
        return
    found = [row["text"] for part in parts.values() for row in part.inputs]
    assert sorted(found) == sorted(row["text"] for row in inputs)
    keys = {name: {key_of(row) for row in part.inputs} for name, part in parts.items()}
    assert sum(map(len, keys.values())) == len(set.union(*keys.values()))
    assert set(parts["train"].targets.tolist()) == {0, 1}
    again = split(data, validation=validation, test=test, seed=seed)
    assert {name: part.inputs for name, part in again.items()} == {
        name: part.inputs for name, part in parts.items()
    }


def test_each_label_is_held_out_in_its_share():
    """A rare one too, and another seed chooses others."""
    data = checked(
        texts(*[f"t {n}" for n in range(100)], targets=["rare" if n < 10 else "often" for n in range(100)])
    )
    parts = split(data, validation=0.2, test=0.1, seed=0)
    counts = {name: np.bincount(part.targets).tolist() for name, part in parts.items()}
    assert counts == {"train": [63, 7], "validation": [18, 2], "test": [9, 1]}
    assert split(data, validation=0.2, test=0.1, seed=1)["test"].inputs != parts["test"].inputs


def test_rows_that_came_as_such_are_not_split_again():
    """A share is only of what has no rows of its own."""
    data = checked(texts(*LONG), validation=texts("x", "y"))
    parts = split(data, validation=0.2, test=0.0, seed=0)
    assert [len(part) for part in parts.values()] == [40, 2]


def test_too_few_rows_to_hold_any_out_are_refused():
    """With what to give instead."""
    with pytest.raises(Unprocessable, match="rows for validation of their own"):
        split(checked(texts("p", "q")), validation=0.2, test=0.0, seed=0)


def test_columns_are_read_in_their_order():
    """Whatever order a row names them in, as float32."""
    table = table_of([{"a": 1, "b": 0.1}, {"b": 3, "a": 2}], ("a", "b"))
    np.testing.assert_array_equal(table, np.array([[1, 0.1], [2, 3]], np.float32))
