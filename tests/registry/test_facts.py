import io
import zipfile

import pytest
from sqlalchemy import select

from maas_client.types import ModelQuery, VersionUpdate
from reference_server.registry import aliases, models, states
from reference_server.registry.tables import ModelRow

ACCURACY = {"name": "Accuracy", "value": 0.9, "dataset": "d", "rows": 10}
OTHER = {"name": "macro_f1", "value": 0.5, "dataset": "d", "rows": 10}
COLUMNS = ("listed_version", "task", "license", "accuracy", "tags")


def facts(registry, name="words"):
    with registry.db.read() as session:
        row = session.scalars(select(ModelRow).where(ModelRow.name == name)).one()
        return {column: getattr(row, column) for column in COLUMNS} | {"search": row.search}


@pytest.fixture
def measured(package):
    """Return a function that makes a package with metrics."""

    def make(content, *each, **manifest):
        return with_metrics(package(content, **manifest), each)

    return make


def with_metrics(content, each):
    target, source = io.BytesIO(), zipfile.ZipFile(io.BytesIO(content))
    with zipfile.ZipFile(target, "w") as archive:
        text = source.read("maas.toml").decode()
        for metric in each:
            fields = "\n".join(f"{name} = {value!r}" for name, value in metric.items())
            text += f"\n[[metrics]]\n{fields}\n"
        archive.writestr("maas.toml", text)
        archive.writestr("model.onnx", source.read("model.onnx"))
    return target.getvalue()


def test_a_model_without_versions_is_found_by_its_name_alone(registry, ada):
    """There is nothing else to filter by."""
    models.create(registry.db, ada, name="Words", visibility="private")
    assert facts(registry, "Words") == {**dict.fromkeys(COLUMNS), "tags": "", "search": "words"}


def test_the_facts_are_those_of_the_version_behind_default(registry, ada, measured):
    """They follow the alias, there and back, and nothing but it."""
    first = {"listed_version": 1, "task": "text-classification", "license": "mit", "accuracy": 0.9}
    registry.publish(
        ada, "words", measured("1", OTHER, ACCURACY, license="MIT", tags=["A", "b"], description="Eins")
    )
    assert facts(registry) == {**first, "tags": "\na\n\nb\n", "search": "words\neins\na\nb"}
    second = {"listed_version": 2, "task": "regression", "license": "apache-2.0", "accuracy": None}
    registry.publish(ada, "words", measured("2", OTHER, task="regression", tags=[], description="Zwei"))
    assert facts(registry)["listed_version"] == 1
    aliases.move(registry.db, ada, "words", "best", version=2, note="", expected_revision=None)
    assert facts(registry)["listed_version"] == 1
    # Another task breaks calls, which is meant here.
    aliases.move(registry.db, ada, "words", "default", version=2, note="", expected_revision=None, force=True)
    assert facts(registry) == {**second, "tags": "", "search": "words\nzwei"}
    aliases.rollback(registry.db, ada, "words", "default", note="", expected_revision=None, force=True)
    assert facts(registry)["listed_version"] == 1
    registry.publish(
        ada,
        "words",
        measured("2", OTHER, task="regression", tags=[], description="Zwei"),
        set_default=True,
        force=True,
    )
    assert facts(registry)["listed_version"] == 2


def test_what_was_measured_later_is_in_the_catalogue(registry, ada, measured):
    """It is shown, filtered and sorted by, before what the package says; of the same data set it is all."""
    registry.publish(ada, "words", measured("1", OTHER, ACCURACY))
    states.update(registry.db, ada, "words", "1", VersionUpdate(metrics=[{**ACCURACY, "value": 0.7}]))
    found = models.get(registry.db, ada, "words")
    assert [(each.name, each.value) for each in found.metrics] == [("Accuracy", 0.7), ("macro_f1", 0.5)]
    assert facts(registry)["accuracy"] == 0.7
    elsewhere = {**ACCURACY, "value": 0.6, "dataset": "reviews of May"}
    states.update(registry.db, ada, "words", "1", VersionUpdate(metrics=[elsewhere]))
    (found,) = models.list_models(registry.db, ada, ModelQuery(min_accuracy=0.6)).data
    assert [each.value for each in found.metrics] == [0.6, 0.5, 0.9]
    assert models.list_models(registry.db, ada, ModelQuery(min_accuracy=0.65)).data == []
    states.update(registry.db, ada, "words", "1", VersionUpdate(metrics=[]))
    assert [each.value for each in models.get(registry.db, ada, "words").metrics] == [0.5, 0.9]
