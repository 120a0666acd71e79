import asyncio
import math
import random
from itertools import product

import pytest

import maas_client
from maas_client import _label_names, _recommend
from maas_client.errors import ArgumentError, AuthenticationError, UnavailableError
from maas_client.testing import FakeMaas

WORDS = ["good", "bad"]
LABELS = ["positive", "negative"]


def sample(count, *, seed=1):
    rng = random.Random(seed)  # noqa: S311 - made-up rows
    labels = [rng.choice(LABELS) for _ in range(count)]
    return [{"text": f"{label} {index}"} for index, label in enumerate(labels)], labels


def right_in(share):
    """Return an answer that is right in this share of the rows, always the same rows."""

    def answer(inputs):
        label, index = inputs["text"].split()
        if (int(index) * 7919) % 1000 < share * 1000:
            return label
        return LABELS[1 - LABELS.index(label)]

    return answer


@pytest.fixture
def fake():
    """A platform with a good, a fair and a poor classifier."""
    made = FakeMaas()
    for name, share in (("good", 0.95), ("fair", 0.8), ("poor", 0.5)):
        metric = {"name": "accuracy", "value": share, "dataset": "d", "rows": 9}
        made.add_model(name, answer=right_in(share), labels=LABELS, metrics=[metric])
    return made


# --- the statistics -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    # R: mcnemar.exact of exact2x2, that is binom.test(first, first + second)$p.value
    [(0, 0, 1.0), (1, 0, 1.0), (5, 5, 1.0), (6, 0, 0.03125), (8, 1, 0.0390625), (10, 2, 0.03857421875)],
)
def test_mcnemar_is_the_exact_binomial_test(first, second, expected):
    """Known values, and the same whichever model comes first."""
    assert _recommend.mcnemar(first, second) == _recommend.mcnemar(second, first) == expected


def test_mcnemar_counts_every_outcome():
    """For few rows, the p-value is what counting all outcomes of fair coins gives."""
    for first, second in product(range(5), repeat=2):
        count = first + second
        outcomes = [sum(tosses) for tosses in product((0, 1), repeat=count)]
        as_far = [each for each in outcomes if abs(each - count / 2) >= abs(first - count / 2)]
        assert _recommend.mcnemar(first, second) == pytest.approx(len(as_far) / 2**count)


@pytest.mark.long
def test_the_interval_covers_as_often_as_it_says():
    """Of 200 samples of 80 rows with a true accuracy of 0.8, about 95 % have it in their interval."""
    rng = random.Random(5)  # noqa: S311 - made-up rows
    covered = 0
    for seed in range(200):
        losses = [float(rng.random() < 0.2) for _ in range(80)]
        low, high = _recommend.interval(losses, seed=seed)
        covered += low <= 0.2 <= high
    assert 0.90 <= covered / 200 <= 0.99


def test_the_paired_bootstrap_agrees_with_the_normal_test():
    """Of many rows the p-value is that of the normal distribution."""
    rng = random.Random(2)  # noqa: S311 - made-up rows
    differences = [rng.gauss(0.1, 1) for _ in range(500)]
    mean = sum(differences) / 500
    deviation = math.sqrt(sum((each - mean) ** 2 for each in differences) / 500)
    z = mean / (deviation / math.sqrt(500))
    expected = math.erfc(abs(z) / math.sqrt(2))
    assert _recommend.paired_bootstrap(differences, seed=0) == pytest.approx(expected, abs=0.02)
    assert _recommend.paired_bootstrap([0.0] * 9, seed=0) == 1.0


def test_the_rows_needed_are_those_of_the_formulas():
    """Worked by hand: 15 and 5 discordant of 100, and a difference of half a deviation."""
    share, difference, a, b = 0.2, 0.1, 1.959964, 0.841621
    expected = ((a * math.sqrt(share) + b * math.sqrt(share - difference**2)) / difference) ** 2
    assert _recommend.rows_to_tell_shares(15, 5, 100) == math.ceil(expected) == 155
    assert _recommend.rows_to_tell_means([1.0, 3.0] * 5) == math.ceil((a + b) ** 2 * 1 / 4) == 2
    assert _recommend.rows_to_tell_shares(4, 4, 100) is None
    assert _recommend.rows_to_tell_means([1.0, -1.0]) is None


# --- trying models --------------------------------------------------------------------------------------


def test_the_best_on_the_sample_is_found(fake):
    """Models are ranked by their accuracy on the caller's rows, with intervals, a test and what they took."""
    examples, labels = sample(300)
    found = fake.client().models.recommend(examples, labels, task="text-classification")
    assert [each.model for each in found] == ["good", "fair", "poor"]
    assert [each.rank for each in found] == [1, 2, 3]
    assert found.best.model == "good"
    for each, share in zip(found, (0.95, 0.8, 0.5), strict=True):
        assert each.score == pytest.approx(share, abs=0.03)
        assert each.interval[0] < each.score < each.interval[1]
        assert (each.version, each.latency_ms) == (1, 0.0)
        assert each.round_trip_ms > 0
    assert found.comparison.test == "exact McNemar test"
    assert found.comparison.p_value < 0.001
    assert "good is better than fair on 300 rows" in found.verdict


def test_a_small_sample_says_that_it_is_too_small(fake):
    """Twelve rows do not tell 0.95 from 0.8: there is no best, and how many more rows would do is told."""
    found = fake.client().models.recommend(*sample(12), candidates=["good", "fair"])
    assert found.best is None
    assert found.comparison.rows_needed > 12
    assert f"about {found.comparison.rows_needed - 12:,} more" in found.verdict
    assert "12 rows are too few to tell" in str(found)


def test_equal_models_are_chosen_by_other_things(fake):
    """Where two do equally well no number of rows is made up."""
    fake.add_model("twin", answer=right_in(0.95), labels=LABELS)
    found = fake.client().models.recommend(*sample(50), candidates=["good", "twin"])
    assert (found.best, found.comparison.p_value, found.comparison.rows_needed) == (None, 1.0, None)
    assert "equally well" in found.verdict


def test_all_right_is_not_claimed_to_be_certain():
    """Thirty right rows of thirty leave an error of up to 11 % possible."""
    fake = FakeMaas()
    fake.add_model("perfect", answer=right_in(1.0), labels=LABELS)
    found = fake.client().models.recommend(*sample(30), candidates=["perfect"])
    (only,) = found
    assert (only.score, only.interval[1]) == (1.0, 1.0)
    assert only.interval[0] == pytest.approx(30 / (30 + 1.959964**2), abs=1e-4)  # Wilson
    assert found.best == only
    assert "the only candidate" in found.verdict


def test_what_cannot_be_compared_says_why_and_stops_nobody(fake):
    """Other labels, inputs or tasks, no such model, a failing one: each is listed with its reason."""
    fake.add_model("shouting", answer="POSITIVE", labels=["POSITIVE", "NEGATIVE"])
    fake.add_model("pictures", answer="positive", labels=LABELS, inputs=("image",))
    fake.add_model("prices", answer={"value": 1.0}, task="tabular-regression")

    def broken(_):
        raise UnavailableError("out of memory", retry_after=0)

    fake.add_model("broken", answer=broken, labels=LABELS)
    names = ["nothing", "shouting", "pictures", "prices", "broken", "good"]
    found = fake.client(max_retries=0).models.recommend(*sample(40), candidates=names, limit=1)
    reasons = {each.model: each.problem for each in found}
    assert reasons["good"] is None
    assert found.best.model == "good"
    assert "there is no model 'nothing'" in reasons["nothing"]
    assert "label_map={'NEGATIVE': 'negative', 'POSITIVE': 'positive'}" in reasons["shouting"]
    assert "'image'" in reasons["pictures"]
    assert "tabular-regression" in reasons["prices"]
    assert reasons["broken"].startswith("after 0 rows: ")
    assert [each.rank for each in found][1:] == [None] * 5


def test_a_label_map_makes_labels_comparable(fake):
    """Another vocabulary is no obstacle once it is told."""
    fake.add_model(
        "shouting",
        answer=lambda inputs: right_in(1.0)(inputs).upper(),
        labels=["POSITIVE", "NEGATIVE"],
    )
    found = fake.client().models.recommend(
        *sample(60), candidates=["shouting"], label_map={"POSITIVE": "positive", "NEGATIVE": "negative"}
    )
    assert found.best.score == 1.0


@pytest.mark.parametrize(
    ("labels", "targets", "label_map", "hint"),
    [
        # What matches already is left alone.
        (["billing", "delivery", "tech"], ["billing", "technical"], {}, {"tech": "technical"}),
        (["POS", "neg"], ["pos", "neg"], {}, {"POS": "pos"}),
        (["a1", "b"], ["x", "b"], {"a1": "x"}, None),
        # Nothing is made up of labels that have nothing to do with each other.
        (["billing", "delivery"], ["positive", "negative"], {}, {}),
    ],
)
def test_a_hint_never_takes_a_label_that_matches(labels, targets, label_map, hint):
    """Only what is left over on both sides and is written alike is suggested."""
    told = _label_names.problem(labels, targets, label_map)
    if hint is None:
        assert told is None
    elif not hint:
        assert "label_map" not in told
        assert "no label 'negative', 'positive'" in told
    else:
        assert f"label_map={hint!r}" in told


def test_a_model_is_held_against_others_and_not_against_itself(fake):
    """Two names of one model are one candidate, and that is told."""
    owner = fake.client().models.get("good").owned_by
    found = fake.client().models.recommend(*sample(30), candidates=["good", f"{owner}~good", "poor", "good"])
    assert [each.model for each in found] == ["good", "poor"]
    assert found.notes == (f"{owner}~good and good are the same model, which was tried once.",)


def test_what_the_limit_cuts_off_is_told(fake):
    """How many were not tried, and how to try them."""
    found = fake.client().models.recommend(*sample(30), task="text-classification", limit=2)
    assert len(found) == 2
    (note,) = found.notes
    assert note.startswith("Not tried: 1 more")
    assert note in str(found)
    assert not fake.client().models.recommend(*sample(30), task="text-classification").notes


def test_a_task_that_nothing_has_is_told(fake):
    """A misspelt task is no table of nothing."""
    found = fake.client().models.recommend(*sample(3), task="text-clasification")
    assert (len(found), found.verdict) == (0, "No model was tried.")
    assert "no model of the task 'text-clasification'" in str(found)


def test_a_deprecated_model_says_so(fake):
    """In its row and in the verdict, with its end and what to use instead."""
    end = {"state": "deprecated", "sunset": "2031-05-01T00:00:00Z", "replacement": "2"}
    fake.add_model("ending", answer=right_in(1.0), labels=LABELS, **end)
    found = fake.client().models.recommend(*sample(80), candidates=["ending", "poor"])
    assert found.ranked[0].state == "deprecated"
    told = "deprecated, ends on 2031-05-01, use version 2 instead"
    assert found.cells()[0][-1] == told
    assert found.verdict.endswith(f"ending is {told}.")
    assert found.cells()[1][-1] == ""


def test_numbers_are_held_against_values():
    """For a regression the mean absolute error ranks, and the bootstrap tests."""
    fake = FakeMaas()
    for name, error in (("near", 0.1), ("far", 1.0)):
        fake.add_model(
            name,
            answer=lambda row, error=error: {"value": 2 * row["x"] + error * (1 + row["x"] % 3) / 2},
            inputs=("x",),
            task="tabular-regression",
        )
    examples = [{"x": float(number), "unknown": "not sent"} for number in range(60)]
    found = fake.client().models.recommend(
        examples, [2 * row["x"] for row in examples], task="tabular-regression"
    )
    assert (found.metric, found.best.model) == ("mean absolute error", "near")
    assert found.best.score == pytest.approx(0.1)
    assert found.comparison.test == "paired bootstrap"
    assert "unknown" not in fake.calls[-1].content.decode()


def test_slow_models_are_left_out(fake):
    """A model that the server knows to be slow is not tried; one that is found slow is not ranked."""
    slow = {"device": "cpu", "calls": 9, "rows": 9, "p50_ms": 80.0}
    moments = {"since": "2030-01-01T00:00:00Z", "updated_at": "2030-01-01T00:00:00Z"}
    fake.add_model("slow", answer=right_in(1.0), labels=LABELS, performance=[{**slow, **moments}])
    client = fake.client()
    found = client.models.recommend(*sample(30), task="text-classification", max_latency_ms=50)
    assert "slow" not in [each.model for each in found]
    named = client.models.recommend(*sample(30), candidates=["slow"], max_latency_ms=50)
    assert named.ranked[0].stated_latency_ms == 80.0


def test_one_version_answers_all_rows(fake):
    """What the first answer came from, all others are asked of, though an alias moves meanwhile."""
    fake.add_model("moving", answer=right_in(1.0), labels=LABELS, versions=3)
    fake.client().models.recommend(*sample(100), candidates=["moving"])
    asked = [call.parts.get("version") for call in fake.calls if "predict" in call.template]
    assert asked == [None] + ["3"] * (len(asked) - 1)
    assert len(asked) == 20 + 2  # twenty alone, eighty in batches of 64


def test_progress_is_told(fake):
    """Rows done and their total."""
    told = []
    fake.client().models.recommend(
        *sample(30), candidates=["good", "fair"], progress=lambda done, total: told.append((done, total))
    )
    assert told[-1] == (60, 60)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"examples": [], "labels": [], "task": "t"}, "1 to 10,000"),
        ({"examples": [{"text": "a"}], "labels": ["x", "y"], "task": "t"}, "2 labels"),
        ({"examples": [{"text": "a"}], "labels": ["x"]}, "task='…'"),
        ({"examples": [{"text": "a"}], "labels": ["x"], "task": "t", "candidates": ["m"]}, "one of them"),
        ({"examples": ["a"], "labels": ["x"], "task": "t"}, "examples[0]"),
        ({"examples": [{"text": "a"}], "labels": [True], "task": "t"}, "labels must be"),
        ({"examples": [{"text": "a"}] * 2, "labels": ["x", 1], "task": "t"}, "of one kind"),
        ({"examples": [{"text": "a"}], "labels": [math.nan], "task": "t"}, "finite"),
        ({"examples": [{"text": "a"}], "labels": ["x"], "candidates": []}, "number of candidates"),
        ({"examples": [{"text": "a"}], "labels": ["x"], "task": "t", "limit": 0}, "limit"),
        ({"examples": [{"text": "a"}], "labels": ["x"], "candidates": "good"}, "candidates=['good']"),
        ({"examples": [{"text": "a"}], "labels": ["x"], "candidates": 7}, "a list of models' names"),
        ({"examples": [{"text": "a"}], "labels": "x", "task": "t"}, "labels is 'x'"),
        ({"examples": {"text": "a"}, "labels": ["x"], "task": "t"}, "examples is {"),
        *(
            (
                {"examples": [{"text": "a"}], "labels": ["x"], "task": "t", "max_latency_ms": limit},
                "max_latency_ms is",
            )
            for limit in (-1, 0, math.nan, math.inf, "5", True)
        ),
        ({"examples": [{"text": "a"}], "labels": ["x"], "task": "t", "label_map": ["x"]}, "pass a dict"),
        ({"examples": [{"text": "a"}], "labels": ["x"], "task": "t", "label_map": {"x": 1}}, "be texts"),
        (
            {
                "examples": [{"text": "a"}],
                "labels": ["positive"],
                "candidates": ["good"],
                "label_map": {"POSITIV": "positive"},
            },
            "label_map names 'POSITIV', which is no label of any candidate; they have 'negative', 'positive'",
        ),
        (
            {"examples": [{"text": "a"}], "labels": ["x"], "candidates": ["no name"]},
            "cannot be a model's name",
        ),
    ],
)
def test_a_mistaken_argument_is_told_before_anything_is_called(fake, arguments, said):
    """What cannot be is an error of the argument."""
    with pytest.raises(ArgumentError) as caught:
        fake.client().models.recommend(**arguments)
    assert said in str(caught.value)
    assert not [call for call in fake.calls if "predict" in call.template]


def test_a_credential_that_does_not_hold_ends_it(fake):
    """What would meet every candidate is raised."""
    fake.fail(AuthenticationError("revoked"), route="POST /v1/models/{model}/predict")
    with pytest.raises(AuthenticationError):
        fake.client().models.recommend(*sample(5), candidates=["good", "fair"])


def test_the_same_seed_gives_the_same_figures(fake):
    """Nothing of a recommendation is left to chance."""
    first, again = (
        fake.client().models.recommend(*sample(50), candidates=["good", "poor"], seed=4) for _ in range(2)
    )
    assert [each.interval for each in first] == [each.interval for each in again]


def test_the_asynchronous_face_recommends_too(fake):
    """The same under asyncio."""

    async def main():
        async with fake.async_client() as client:
            return await client.models.recommend(*sample(40), candidates=["good", "poor"])

    assert asyncio.run(main()).best.model == "good"


def test_a_recommendation_shows_as_a_frame_and_as_text(fake):
    """A data frame with a row for each candidate, a table, and HTML without markup of others."""
    found = fake.client().models.recommend(*sample(40), candidates=["good", "nothing"])
    frame = found.to_frame()
    assert list(frame["model"]) == ["good", "nothing"]
    assert {"low", "high", "problem"} <= set(frame.columns)
    lines = str(found).splitlines()
    assert lines[0].split()[:3] == ["MODEL", "VERSION", "ACCURACY"]
    assert len(found) == 2
    hostile = maas_client.Recommendation(
        "accuracy", 1, (maas_client.recommendations.Candidate("<script>", problem="<img onerror=x>"),)
    )
    assert "<script>" not in hostile._repr_html_()
    assert "<img" not in hostile._repr_html_()
