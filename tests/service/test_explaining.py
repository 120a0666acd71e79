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


@pytest.fixture
def client(listed):
    """A client of the account whose `iris`, `diabetes`, `digits` and `minilm` are."""
    with listed.client(api_key=listed.ready["api_key"]) as made:
        yield made


def adds_up(found):
    total = found.baseline + sum(each.value for each in found.attributions)
    return total == pytest.approx(found.prediction, abs=1e-9 * max(1, abs(found.prediction)))


def test_a_rows_columns_are_explained_against_the_background(client):
    """A flower with long petals is a virginica because of them, exactly, over all rows of the background."""
    row = {"sepal_length": 6.3, "sepal_width": 3.3, "petal_length": 6.0, "petal_width": 2.5}
    found = client.explain("iris", inputs=row)
    assert (found.target, found.method, found.unit, found.masking) == (
        "virginica",
        "exact",
        "columns",
        "background",
    )
    assert adds_up(found)
    assert {each.feature for each in found.ranked()[:2]} == {"petal_length", "petal_width"}
    assert min(each.value for each in found.ranked()[:2]) > 0.1
    assert found.notes == []
    assert found.evaluations == 1 + 10 * (2**4 - 1)


def test_a_regressions_columns_are_explained_in_its_own_unit(client):
    """The model is linear: a column adds its weight times how far it is from the mean of the background."""
    row = client.models.get("diabetes").example
    found = client.explain("diabetes", inputs=row, budget=2000)
    assert (found.target, adds_up(found)) == ("value", True)
    values = {each.feature: each.value for each in found.attributions}
    more = client.explain("diabetes", inputs={**row, "bmi": row["bmi"] + 1}, budget=2000)
    after = {each.feature: each.value for each in more.attributions}
    raised = after.pop("bmi") - values.pop("bmi")
    assert raised == pytest.approx(more.prediction - found.prediction, abs=1e-2)
    assert after == pytest.approx(values, abs=1e-2)


def test_an_embeddings_words_are_explained_by_what_they_are_compared_with(client):
    """The word that both have makes them alike, the other one less so."""
    found = client.explain("minilm", text="good dull dark", against="good")
    assert (found.target, adds_up(found)) == ("similarity", True)
    values = {each.feature: each.value for each in found.attributions}
    assert values["good"] > 0 > max(values["dull"], values["dark"])


def test_a_pictures_regions_are_explained(client):
    """Of a digit: sixteen cells; what is empty anyway adds nothing."""
    pixels = client.models.get("digits").example["image"]
    found = client.explain("digits", image=pixels, budget=600)
    assert (found.unit, found.masking, len(found.attributions)) == ("regions", "mean-color", 16)
    assert adds_up(found)
    assert found.target == client.predict("digits", image=pixels).label
    assert found.faithfulness.comprehensiveness > found.faithfulness.random_comprehensiveness


@pytest.mark.parametrize("name", ["iris", "diabetes", "digits", "minilm", MODEL])
def test_the_catalogues_call_explains(client, listed, monkeypatch, capsys, name):
    """What a model's page offers to paste runs as it stands."""
    model = client.models.get(name)
    assert model.explainable
    monkeypatch.setenv("MAAS_API_KEY", listed.ready["api_key"])
    program = {}
    exec(compile(model.snippets.explain_python, name, "exec"), program)  # noqa: S102 - what is offered is run
    program["client"].close()
    assert "baseline" in capsys.readouterr().out
