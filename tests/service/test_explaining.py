"""Explanations by the SDK from a real server."""

import pytest

MODEL = "text_classification_model"
TEXT = "The plot was dull, but I love it."


def test_a_prediction_is_explained(ada):
    """What each word adds makes the prediction, which is what predict says."""
    found = ada.explain(MODEL, text=TEXT, target="positive")
    assert found.prediction == ada.predict(MODEL, text=TEXT).scores["positive"]
    total = found.baseline + sum(each.value for each in found.attributions)
    assert total == pytest.approx(found.prediction, abs=1e-9)
    values = {each.feature: each.value for each in found.attributions}
    assert values["love"] == max(values.values())
    assert values["dull"] < 0
    assert [TEXT[each.start : each.end] for each in found.attributions] == list(values)
    assert found.faithfulness.comprehensiveness > found.faithfulness.random_comprehensiveness
