import numpy as np
import onnxruntime
import pytest

from reference_server.catalogue.linear_heads import classifier, regressor
from reference_server.catalogue.scikit_data import Rows


@pytest.fixture
def run():
    """Return a function that runs a graph on rows."""

    def outputs(graph, rows):
        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        (name,) = (each.name for each in session.get_inputs())
        return session.run(None, {name: rows.astype(np.float32)})[0]

    return outputs


@pytest.fixture
def clouds():
    """Three clouds of points, one column a thousand times as wide as the other."""
    random = np.random.default_rng(0)
    targets = np.arange(90) % 3
    centres = np.array([[0.0, 0.0], [1.0, 1000.0], [2.0, -1000.0]])
    return Rows(centres[targets] + random.normal(size=(90, 2)) * [0.1, 100.0], targets)


@pytest.mark.parametrize("one_unit", [True, False])
def test_a_classifier_parts_what_a_line_parts(clouds, run, one_unit):
    """Its graph says the same as its own arithmetic, and takes rows of any shape that is asked for."""
    head = classifier(clouds, classes=3, learning_rate=0.5, epochs=60, one_unit=one_unit)
    probabilities = head.probabilities(clouds.features)
    assert (probabilities.argmax(axis=1) == clouds.targets).mean() > 0.98
    graph = head.graph("points", [1, 2], output="p", is_classifier=True)
    np.testing.assert_allclose(run(graph, clouds.features.reshape(90, 1, 2)), probabilities, atol=1e-5)


def test_a_regressor_finds_a_line(run):
    """Weights and bias come out in the features' and the target's own units."""
    random = np.random.default_rng(0)
    features = random.normal([50.0, 3.0], [10.0, 0.1], size=(200, 2))
    targets = features @ [2.0, -30.0] + 7
    head = regressor(Rows(features, targets), learning_rate=0.05, epochs=100)
    np.testing.assert_allclose(head.weights[:, 0], [2.0, -30.0], rtol=1e-3)
    assert head.bias[0] == pytest.approx(7, abs=0.2)
    graph = head.graph("figures", [2], output="value", is_classifier=False)
    np.testing.assert_allclose(run(graph, features)[:, 0], targets, atol=0.1)


def test_the_same_rows_give_the_same_graph(clouds):
    """Every byte, so that a model added twice is one version."""
    graphs = {
        classifier(clouds, classes=3, learning_rate=0.5, epochs=5, one_unit=False).graph(
            "x", [2], output="p", is_classifier=True
        )
        for _ in range(2)
    }
    assert len(graphs) == 1


def test_last_bits_of_the_training_do_not_show(clouds):
    """Parameters have six digits: what processors round differently is gone."""
    head = classifier(clouds, classes=3, learning_rate=0.5, epochs=5, one_unit=False)
    for value in [*head.weights.ravel(), *head.bias]:
        assert value == np.float32(f"{value:.6g}")
