"""Advice of `FakeMaas`, which times functions for real: who asks for it and applies it can test that."""

from __future__ import annotations

import asyncio

import pytest

from maas_client import errors
from maas_client.testing import FakeMaas

SAMPLE = [{"text": f"a {word} day, number {n}"} for n in range(15) for word in ("good", "bad")]


def label_of(inputs):
    return "up" if "good" in inputs["text"] else "down"


def slow(answer, *, rounds=20_000):
    """Return what answers the same and takes a thousand times as long."""

    def run(inputs):
        sum(range(rounds))
        return answer(inputs)

    return run


def greedy(answer):
    """Return what answers the same and holds 8 MB meanwhile."""

    def run(inputs):
        held = bytearray(8_000_000)
        return answer(inputs) if held else None

    return run


@pytest.fixture
def fake():
    made = FakeMaas()
    made.add_model("mood", labels=["down", "up"], answer=slow(label_of), variants={"int8-dynamic": label_of})
    return made


@pytest.fixture
def client(fake):
    with fake.client() as made:
        yield made


def advise(client, name="mood", **options):
    return client.model(name).advise(**{"sample": SAMPLE, "time_budget": 3.0, **options}).wait()


def test_what_is_quicker_and_says_the_same_is_recommended(client):
    advice = advise(client)
    assert advice.recommended.name == "int8-dynamic"
    assert advice.recommended.latency.high < 0.5
    assert advice.recommendation.gain_interval[0] > 2
    assert advice["int8-dynamic"].quality.agreement == 1.0
    assert advice["int8-dynamic"].pareto
    assert advice.original.p50_ms > advice["int8-dynamic"].p50_ms > 0
    assert "FakeMaas" in advice.warnings[0]
    assert "use int8-dynamic" in str(advice)


def test_what_is_applied_is_a_version_that_no_alias_points_to(fake, client):
    applied = advise(client).apply(notes="Quicker.")
    assert (applied.version, applied.parent, applied.is_new) == (2, 1, True)
    version = client.model("mood").versions.get(2)
    assert (version.origin, version.parent, version.notes) == ("quantized", 1, "Quicker.")
    assert version.lineage["measured"]["name"] == "int8-dynamic"
    assert client.models.get("mood").default_version == 1
    # It is the variant that answers now.
    fake.calls.clear()
    assert client.predict("mood", version=2, text="a good day").label == "up"
    assert client.predict("mood", text="a good day").version == 1


def test_to_apply_the_same_again_publishes_nothing(client):
    advice = advise(client)
    first, again = advice.apply(), advice.apply()
    assert (again.version, again.is_new) == (first.version, False)
    assert client.models.get("mood").latest_version == 2


def test_what_loses_too_much_is_not_recommended(fake, client):
    fake.add_model("mood", labels=["down", "up"], answer=slow(label_of), variants={"int8-dynamic": "up"})
    advice = advise(client)
    assert advice.recommended is None
    assert advice["int8-dynamic"].quality.loss == 0.5
    assert "0.5" in advice.recommendation.reason
    with pytest.raises(errors.ArgumentError, match="name its variant"):
        advice.apply()
    assert advice.apply("int8-dynamic").version == 2
    assert client.predict("mood", version=2, text="a bad day").label == "up"


def test_the_truth_makes_the_loss_one_of_accuracy(client):
    targets = [label_of(row) for row in SAMPLE]
    quality = advise(client, targets=targets)["int8-dynamic"].quality
    assert (quality.loss_of, quality.loss) == ("accuracy", 0.0)
    (metric,) = quality.metrics
    assert (metric.original, metric.variant) == (1.0, 1.0)


def test_without_a_sample_no_change_is_recommended(fake, client):
    fake.add_model(
        "mood",
        labels=["down", "up"],
        answer=slow(lambda _: "up"),
        variants={"int8-dynamic": "up"},
        versions=2,
    )
    advice = client.model("mood").advise(time_budget=2.0, version=1).wait()
    assert (advice.version, advice.sample_rows) == (1, 0)
    assert advice.recommended is None
    assert "20" in advice.recommendation.reason


def test_less_memory_is_an_objective_too(fake, client):
    fake.add_model("mood", labels=["down", "up"], answer=greedy(label_of), variants={"small": label_of})
    advice = advise(client, objective="memory")
    assert advice.recommended.name == "small"
    assert advice.original.memory_bytes > 8_000_000 > advice["small"].memory_bytes


@pytest.mark.parametrize(
    ("pair", "measure", "loss"),
    [
        ((lambda row: {"value": row["x"]}, lambda row: {"value": 1.0 * row["x"]}), "value", 0.0),
        ((lambda row: {"value": row["x"]}, lambda row: {"value": row["x"] + 100}), "value", 100 / 8.655441),
        (
            (lambda row: {"embedding": [1, row["x"]]}, lambda row: {"embedding": [2, 2 * row["x"]]}),
            "embedding",
            0.0,
        ),
        ((lambda _: {"embedding": [1, 0]}, lambda _: {"embedding": [0, 1]}), "embedding", 1.0),
        ((lambda row: {"grid": [[row["x"]]]}, lambda row: {"grid": [[row["x"] | 1]]}), "tensor", 0.5),
    ],
)
def test_each_kind_of_answer_has_its_measure(client, fake, pair, measure, loss):
    answer, variant = pair
    fake.add_model("m", task="raw", inputs=["x"], answer=answer, variants={"v": variant})
    quality = advise(client, "m", sample=[{"x": n} for n in range(30)])["v"].quality
    assert quality.measure == measure
    assert quality.loss == pytest.approx(loss, abs=1e-6)


@pytest.mark.parametrize(
    ("variant", "why"),
    [
        ({"value": 1.0}, "other names or shapes"),
        (lambda _: (_ for _ in ()).throw(errors.UnprocessableError("too long")), "too long"),
    ],
)
def test_what_cannot_be_compared_is_told_and_not_measured(fake, client, variant, why):
    fake.add_model("mood", labels=["down", "up"], answer=label_of, variants={"other": variant})
    (left_out,) = advise(client).not_measured
    assert left_out.name == "other"
    assert why in left_out.reason


def test_no_more_rows_are_run_than_the_budget_has(fake, client):
    fake.add_model(
        "mood",
        labels=["down", "up"],
        answer=label_of,
        variants=dict.fromkeys(("a", "b", "c"), label_of),
    )
    advice = advise(client, budget=400)
    assert advice.rows_run <= 400
    assert all("budget of 400 rows" in each.reason for each in advice.not_measured)
    assert len(advice.not_measured) >= 1


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"budget": 100}, "budget_too_small"),
        ({"sample": [{"txt": "a"}]}, "invalid_input"),
        ({"version": 9}, "version_not_found"),
    ],
)
def test_what_a_server_refuses_it_refuses(client, options, code):
    with pytest.raises(errors.MaasError) as caught:
        advise(client, **options)
    assert code in (caught.value.code, type(caught.value).__name__)


@pytest.mark.parametrize(
    ("variant", "code"), [("fp16", "unknown_variant"), ("original", "variant_not_applicable")]
)
def test_only_what_was_measured_is_applied(client, variant, code):
    """Below what the handle refuses by itself, which the server refuses too."""
    job = client.model("mood").advise(sample=SAMPLE, time_budget=2.0)
    with pytest.raises(errors.UnprocessableError) as caught:
        job.applied(variant, notes="", timeout=None)
    assert caught.value.code == code


def test_the_async_face_is_answered_alike(fake):
    async def ask():
        async with fake.async_client() as client:
            job = await client.model("mood").advise(sample=SAMPLE, time_budget=2.0)
            applied = await (await job.wait()).apply()
            return applied.version, (await client.model("mood").advice(job.id)).id == job.id

    assert asyncio.run(ask()) == (2, True)
