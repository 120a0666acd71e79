import pytest

from maas_client.testing import FakeMaas

MOMENTS = {"since": "2030-01-01T00:00:00Z", "updated_at": "2030-01-01T00:00:00Z"}


@pytest.fixture
def client():
    """A client of a platform with three models of which one has no figures."""
    fake = FakeMaas()
    for name, accuracy, latency, size, calls in (("B", 0.9, 5.0, 10, 1), ("a", 0.7, 1.0, 99, 7)):
        fake.add_model(
            name,
            metrics=[{"name": "accuracy", "value": accuracy, "dataset": "d", "rows": 9}],
            performance=[{"device": "cpu", "calls": 1, "rows": 1, "p50_ms": latency, **MOMENTS}],
            size=size,
            usage={"calls": calls, "rows": calls, "days": 30},
            license="MIT",
            tags=["t", name.lower()],
        )
    fake.add_model("plain", task="embedding", description="Straßen", owned_by="eve")
    return fake.client()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["a", "B", "plain"]),
        ({"sort": "-name"}, ["plain", "B", "a"]),
        ({"sort": "accuracy"}, ["a", "B", "plain"]),
        ({"sort": "-accuracy"}, ["B", "a", "plain"]),
        ({"sort": "latency"}, ["a", "B", "plain"]),
        ({"sort": "-size"}, ["a", "B", "plain"]),
        ({"sort": "-usage"}, ["a", "B", "plain"]),
        ({"task": "embedding"}, ["plain"]),
        ({"q": "STRASSEN"}, ["plain"]),
        ({"tag": "t"}, ["a", "B"]),
        ({"tag": ["t", "b"]}, ["B"]),
        ({"license": "mit"}, ["a", "B"]),
        ({"owner": "eve"}, ["plain"]),
        ({"max_latency_ms": 2}, ["a"]),
        ({"min_accuracy": 0.9}, ["B"]),
        ({"max_size_bytes": 50}, ["B"]),
    ],
    ids=str,
)
def test_the_fake_filters_and_sorts_as_a_server_does(client, query, expected):
    """Filters leave out what lacks the figure, orders put it last."""
    assert [model.name for model in client.models.list(**query)] == expected
