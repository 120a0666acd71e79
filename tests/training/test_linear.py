import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_server.training.linear import Bags, LinearClassifier, Matrix
from reference_server.training.losses import CrossEntropy

rows_of_ids = st.lists(st.lists(st.integers(0, 5), max_size=5), max_size=6)


def arrays(rows):
    return [np.array(row, np.int64) for row in rows]


def dense(bags, features=6):
    matrix = np.zeros((len(bags), features))
    for row in range(len(bags)):
        for entry in range(bags.starts[row], bags.starts[row + 1]):
            matrix[row, bags.ids[entry]] += bags.values[entry]
    return matrix


def spread(gradient, shape):
    weights = np.zeros(shape)
    for own, derivative in zip(weights, gradient.weights, strict=True):
        np.add.at(own, gradient.ids, derivative)
    return weights


def test_a_row_has_length_one():
    """Features worth 3 and 4 scale to 0.6 and 0.8."""
    bags = Bags.of(arrays([[0, 1]]), np.array([3.0, 4.0]))
    np.testing.assert_allclose(bags.values, [0.6, 0.8])


def test_each_occurrence_counts_for_itself():
    """An id that a row has four times is four entries of equal value."""
    bags = Bags.of(arrays([[1, 1, 1, 1]]), np.array([9.0, 2.0]))
    np.testing.assert_allclose(bags.values, [0.5, 0.5, 0.5, 0.5])


def test_empty_rows_and_worthless_features_stay_zero():
    """A row without features, or of features worth nothing, is all bias and no division by zero."""
    bags = Bags.of(arrays([[], [0, 0], []]), np.array([0.0, 1.0]))
    model = LinearClassifier(2, 2)
    model.weights[:], model.bias[:] = 5.0, [1.0, 2.0]
    np.testing.assert_array_equal(model.logits(bags), [[1, 2], [1, 2], [1, 2]])


def test_no_rows_give_no_logits():
    """Bags may be empty altogether."""
    bags = Bags.of([], np.array([1.0]))
    assert len(bags) == 0
    assert LinearClassifier(1, 2).logits(bags).shape == (0, 2)


@given(rows_of_ids, st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_logits_are_weights_times_bag_plus_bias(rows, seed):
    """The sparse sums are the matrix product of the same rows, written out."""
    random = np.random.default_rng(seed)
    bags = Bags.of(arrays(rows), random.uniform(0.1, 3, 6))
    model = LinearClassifier(6, 3)
    model.weights[:], model.bias[:] = random.normal(size=(3, 6)), random.normal(size=3)
    np.testing.assert_allclose(model.logits(bags), dense(bags) @ model.weights.T + model.bias, atol=1e-12)


@given(rows_of_ids.filter(len), st.data())
@settings(deadline=None)
def test_taken_rows_are_those_rows(rows, data):
    """Any rows, in any order and repeated, have the entries that they had."""
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=8))
    bags = Bags.of(arrays(rows), np.linspace(1, 2, 6))
    taken = bags.take(np.array(chosen, np.int64))
    assert len(taken) == len(chosen)
    np.testing.assert_array_equal(dense(taken), dense(bags)[chosen])


def test_the_gradient_is_the_finite_difference(model, bags, targets, differences):
    """With ids repeated in a row and rows that are empty, weights and bias have the right derivatives."""
    loss = CrossEntropy()
    gradient = model.gradient(bags, loss.gradient(model.logits(bags), targets))

    def value():
        return loss.value(model.logits(bags), targets)

    np.testing.assert_allclose(
        spread(gradient, model.weights.shape), differences(value, model.weights), atol=1e-9
    )
    np.testing.assert_allclose(gradient.bias, differences(value, model.bias), atol=1e-9)


def test_a_feature_that_no_row_has_gets_no_gradient(model, bags, targets):
    """The gradient names only ids of the batch."""
    gradient = model.gradient(bags, CrossEntropy().gradient(model.logits(bags), targets))
    assert 4 not in gradient.ids
    assert set(gradient.ids) == {0, 1, 2, 3, 5}


def test_a_new_classifier_says_nothing(bags):
    """Training starts from zero, so from equal logits."""
    np.testing.assert_array_equal(LinearClassifier(6, 2).logits(bags), np.zeros((len(bags), 2)))


def test_bags_cannot_be_changed(bags):
    """A bag is a value: its fields cannot be replaced."""
    with pytest.raises(AttributeError):
        bags.ids = bags.ids[:0]


@pytest.fixture
def matrix():
    return np.random.default_rng(0).normal(size=(7, 6))


def test_rows_of_a_matrix_can_be_taken_out(model, matrix):
    """Logits are the matrix by the weights, and rows may come in any order."""
    expected = matrix @ model.weights.T + model.bias
    np.testing.assert_allclose(model.logits(Matrix(matrix)), expected)
    taken = Matrix(matrix).take(np.array([4, 1]))
    assert len(taken) == 2
    np.testing.assert_allclose(model.logits(taken), expected[[4, 1]])


@given(rows_of_ids.filter(len), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_bags_and_their_matrix_have_one_gradient(rows, seed):
    """However rows are kept, the derivative is the same, repeated ids added up."""
    random = np.random.default_rng(seed)
    bags = Bags.of(arrays(rows), random.uniform(0.1, 3, 6))
    outer = random.normal(size=(len(rows), 3))
    model = LinearClassifier(6, 3)
    sparse, full = model.gradient(bags, outer), model.gradient(Matrix(dense(bags)), outer)
    np.testing.assert_allclose(sparse.dense(6), full.dense(6), atol=1e-12)
    np.testing.assert_allclose(sparse.dense(6), spread(sparse, (3, 6)), atol=1e-12)
    np.testing.assert_array_equal(sparse.bias, full.bias)


@pytest.mark.parametrize("kept_as", ["bags", "matrix"])
def test_the_penalised_gradient_is_the_finite_difference(  # noqa: PLR0917 - fixtures
    model, bags, targets, matrix, differences, kept_as
):
    """λ/2 · ‖W‖² is added to the loss, and the bias goes free."""
    rows, loss, l2 = bags if kept_as == "bags" else Matrix(matrix), CrossEntropy(), 0.3
    gradient = model.gradient(rows, loss.gradient(model.logits(rows), targets), l2=l2)

    def value():
        return loss.value(model.logits(rows), targets) + l2 / 2 * (model.weights**2).sum()

    np.testing.assert_allclose(
        spread(gradient, model.weights.shape), differences(value, model.weights), atol=1e-8
    )
    np.testing.assert_allclose(gradient.bias, differences(value, model.bias), atol=1e-8)
