"""The same values as the library `shap` (`pip install --group test-oracles`)."""

import warnings

import numpy as np
import pytest
from games import polynomial, sentence

from reference_server.explain.attribution import attribute
from reference_server.explain.game import Counted

# Importing it compiles for a minute.
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def shap():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("shap", reason="shap is not installed (pip install --group test-oracles)")


@pytest.mark.parametrize("features", [8, 10])
def test_exact_values_are_those_of_shap(shap, features):
    """To 1e-9, of a sentence and of a polynomial, by its exact explainer."""
    game = sentence if features == 8 else polynomial(10, seed=0, terms=30)[0]
    masked = shap.maskers.Independent(np.zeros((1, features)))
    theirs = shap.explainers.Exact(lambda rows: game(rows != 0), masked)(np.ones((1, features)))
    ours = attribute(
        Counted(game, budget=2**features),
        features,
        method="exact",
        budget=2**features,
        rng=np.random.default_rng(0),
    )
    assert ours.values == pytest.approx(theirs.values[0], abs=1e-9)
    assert ours.baseline == pytest.approx(theirs.base_values[0], abs=1e-9)


def test_sampled_values_are_closer_than_those_of_shap(shap):
    """With as many evaluations as its KernelSHAP, over 10 seeds."""
    game, truth = polynomial(12, seed=4, terms=30)
    ours, theirs = [], []
    for seed in range(10):
        np.random.seed(seed)  # noqa: NPY002 - it draws from there
        explainer = shap.KernelExplainer(lambda rows: game(rows != 0), np.zeros((1, 12)))
        values = explainer.shap_values(np.ones((1, 12)), nsamples=254, l1_reg=False, silent=True)
        theirs.append(np.abs(values[0] - truth).max())
        found = attribute(
            Counted(game, budget=256), 12, method="kernel", budget=256, rng=np.random.default_rng(seed)
        )
        ours.append(np.abs(found.values - truth).max())
    assert np.mean(ours) < np.mean(theirs) / 2
