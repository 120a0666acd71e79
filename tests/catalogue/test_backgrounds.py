"""The centres of training rows' clusters, as backgrounds of explanations."""

import json

import numpy as np

from reference_server.catalogue.backgrounds import background_file, clusters


def test_clusters_that_lie_apart_are_found():
    """Whatever the units of the columns."""
    draw = np.random.default_rng(0)
    places = np.array([[0, 0], [0, 1000], [1, 0], [1, 1000]])
    rows = np.vstack([place + draw.normal(size=(10, 2)) * [0.01, 10] for place in places])
    centres, weights = clusters(rows, count=4)
    assert weights.tolist() == [10] * 4
    assert np.allclose(sorted(centres.round(1).tolist()), sorted(places.tolist()), atol=[0.05, 15])


def test_the_weighted_mean_of_the_centres_is_that_of_the_rows():
    """So that a linear model's baseline is its mean prediction."""
    rows = np.random.default_rng(1).normal(size=(200, 3)) * [1, 50, 0.1]
    described = json.loads(background_file(rows, ["a", "b", "c"])["background.json"])
    centres = np.array([[row[name] for name in "abc"] for row in described["rows"]])
    weights = np.array(described["weights"])
    assert (len(centres), weights.sum()) == (10, 200)
    assert np.allclose(weights @ centres / 200, rows.mean(axis=0), atol=1e-4)


def test_the_same_rows_give_the_same_file():
    """A package's digest rests on it."""
    rows = np.random.default_rng(2).normal(size=(50, 2))
    assert background_file(rows, ["a", "b"]) == background_file(rows.copy(), ["a", "b"])
    assert len(clusters(np.repeat(rows[:12], 3, axis=0), count=10)[1]) == 10
