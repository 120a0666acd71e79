"""`client.fine_tunes` against the fake, which trains: rows go out, a curve and a version come back."""

from __future__ import annotations

import asyncio
import json
import math
import re
from html.parser import HTMLParser

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import polars as pl
import pytest

from maas_client import FineTuned, _fake_descent, _fake_training, errors
from maas_client._fine_tunes import FineTuneJob
from maas_client._job_bars import JobBars
from maas_client._operations import fine_tunes as operations
from maas_client.fine_tunes import LossCurve
from maas_client.testing import FakeMaas
from maas_client.types import FineTuneOptions, JobReply, LabelledRows, TrainingPoint

TRAIN = [
    (f"a {word} day, number {n}", label)
    for n in range(20)
    for word, label in (("good", "up"), ("bad", "down"))
]
TABLE = [({"x": float(n), "y": float(n % 3)}, 2.0 * n + 1) for n in range(60)]
HOSTILE = "<script>alert(1)</script>&\"'"


@pytest.fixture
def fake():
    return FakeMaas()


@pytest.fixture
def client(fake):
    with fake.client() as made:
        yield made


@pytest.fixture
def _without_a_screen():
    with mpl.rc_context({"backend": "agg"}):
        yield
    plt.close("all")


def sent(fake):
    return fake.calls[-1]


def test_pairs_become_a_version_that_predicts(fake, client):
    """A job, its result with metrics, intervals and calibration, and the model in the catalogue."""
    job = client.fine_tunes.create(name="moods", train=TRAIN, seed=3)
    assert sent(fake).route == "POST /v1/fine-tunes"
    assert sent(fake).json["train"]["inputs"][0] == {"text": "a good day, number 0"}
    made = job.wait()
    assert isinstance(made, FineTuned)
    assert (made.model, made.version, made.labels) == ("moods", 1, ["down", "up"])
    assert made["accuracy"] == made.metric("accuracy").value > 0.9
    low, high = made.metric("accuracy").interval
    assert low < made["accuracy"] <= high
    assert sum(each.rows for each in made.calibration) == made.rows["validation"] == 8
    assert client.predict(made.model, version=made.version, text="such a bad day").label == "down"
    assert client.models.get("moods").visibility == "private"


def test_every_option_of_the_contract_goes_out(fake, client):
    """Under its own name; what was not said is left to the server."""
    fake.add_model("vectors", task="embedding", answer=_vector, versions=2)
    options = {
        "base": "vectors",
        "base_version": 2,
        "validation": 0.25,
        "test": 0.1,
        "optimizer": "momentum",
        "learning_rate": 0.05,
        "schedule": "cosine",
        "batch_size": 8,
        "epochs": 4,
        "l2": 0.01,
        "label_smoothing": 0.1,
        "class_weights": {"up": 2.0},
        "early_stopping": False,
        "patience": 3,
        "seed": 9,
        "description": "d",
        "license": "MIT",
        "notes": "n",
        "visibility": "public",
        "set_default": True,
    }
    made = client.fine_tunes.create(name="moods", train=TRAIN, **options).wait()
    body = sent(fake).json
    wanted = {"loss": "cross_entropy", **options, "name": "moods", "base_version": "2"}
    assert {name: value for name, value in body.items() if name != "train"} == wanted
    assert set(FineTuneOptions.model_fields) <= wanted.keys()
    assert (made.base.model, made.base.version, made.features) == ("vectors", 2, "embeddings")
    client.fine_tunes.create(name="moods", train=TRAIN)
    assert not {"optimizer", "learning_rate", "base", "class_weights"} & sent(fake).json.keys()


def test_rows_to_watch_and_to_test_may_be_rows(fake, client, tmp_path):
    """From any source each; the metrics are of the test rows."""
    (tmp_path / "test.csv").write_text("text,label\nso good,up\nso bad,down\n")
    frame = pl.DataFrame({"text": ["good!", "bad!"], "label": ["up", "down"]})
    made = client.fine_tunes.create(
        name="moods", train=TRAIN, validation=frame, test=tmp_path / "test.csv"
    ).wait()
    assert made.rows == {"train": 40, "validation": 2, "test": 2}
    assert (made.evaluated_on, made["accuracy"]) == ("test", 1.0)
    assert "validation" in sent(fake).json


def test_much_goes_as_a_stream(fake, client, monkeypatch):
    """With the options in the query; the same comes of it."""
    monkeypatch.setattr(operations, "MOST_ROWS_AT_ONCE", 39)
    made = client.fine_tunes.create(name="moods", train=TRAIN, validation=0.5).wait()
    assert sent(fake).route == "POST /v1/fine-tunes/large"
    assert (sent(fake).query["rows"], set(sent(fake).json)) == ("40", {"train"})
    assert json.loads(sent(fake).query["options"])["validation"] == 0.5
    assert made.rows == {"train": 20, "validation": 20}


def test_a_server_that_takes_few_rows_in_a_call_gets_a_stream(fake, client):
    """Not one that takes so few in all."""
    fake.fail(errors.TooLargeError("fewer", code="too_many_rows", param="train"))
    assert client.fine_tunes.create(name="moods", train=TRAIN).result.version == 1
    assert [call.route for call in fake.calls] == ["POST /v1/fine-tunes", "POST /v1/fine-tunes/large"]
    fake.fail(errors.TooLargeError("fewer", code="too_many_rows", param="rows"))
    with pytest.raises(errors.TooLargeError):
        client.fine_tunes.create(name="moods", train=TRAIN)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"train": [*TRAIN, (None, "up")]}, "train row 40: the text is missing"),
        ({"train": TRAIN[::2]}, "all rows of train have the label 'up'"),
        ({"validation": [("new", "left")]}, "validation row 0: the label 'left' is none of those of train"),
        ({"validation": 0.6}, "validation is 0.6, expected a share"),
        ({"test": True}, "test is True, expected a share"),
        ({"train": 0.5}, "train is a float"),
        ({"epochs": 0}, "epochs"),
        ({"name": "no such name"}, "name"),
        ({"optimizer": "magic"}, "optimizer"),
        ({"class_weights": {"up": 0}}, "class_weights"),
        ({"loss": "mse"}, "the label is 'up', a str, expected a number"),
        ({"progress": 3}, "progress is 3"),
    ],
)
def test_what_cannot_be_used_is_refused_before_it_is_sent(fake, client, given, told):
    """By its name."""
    with pytest.raises(errors.ArgumentError, match=told):
        client.fine_tunes.create(**{"name": "moods", "train": TRAIN, **given})
    assert fake.calls == []


def test_waiting_is_part_of_the_call_where_that_is_wanted(client):
    """The job is returned either way, and has ended."""
    job = client.fine_tunes.create(name="moods", train=TRAIN, wait=30.0)
    assert isinstance(job, FineTuneJob)
    assert job.has_ended
    assert job.result.version == 1


def test_fine_tunes_are_found_again(fake, client):
    """By listing and by id; a job of another kind is none."""
    job = client.fine_tunes.create(name="moods", train=TRAIN)
    assert [each.id for each in client.fine_tunes.list(state="succeeded")] == [job.id]
    assert list(client.fine_tunes.list(state="running")) == []
    assert len(client.fine_tunes.get(job.id).loss_curve) == len(job.result.curve)
    assert client.jobs.get(job.id).result["accuracy"] == job.result["accuracy"]
    fake.add_model("mood", labels=["sad", "glad"], answer="glad")
    other = client.explain_many("mood", [{"text": "a"}])
    with pytest.raises(errors.ArgumentError, match="of the kind 'explain'"):
        client.fine_tunes.get(other.id)


def test_the_asynchronous_face_does_the_same(fake):
    """Name for name."""

    async def go():
        async with fake.async_client() as client:
            job = await client.fine_tunes.create(name="moods", train=TRAIN)
            return [known.state async for known in job.events()], await job.wait(), job.loss_curve

    states, made, curve = asyncio.run(go())
    assert states == ["succeeded"]
    assert list(curve) == made.curve


POINTS = [
    TrainingPoint(epoch=1, loss=0.7, validation_loss=0.8, learning_rate=0.1),
    TrainingPoint(epoch=2, loss=0.4, validation_loss=0.5, learning_rate=0.05),
    TrainingPoint(epoch=3, loss=0.2, validation_loss=0.6, learning_rate=0.01),
]
RUNNING = JobReply.model_validate(
    {
        "id": "job_1",
        "kind": "fine-tune",
        "state": "running",
        "revision": 5,
        "progress": {"done": 3, "total": 20, "unit": "epoch"},
        "interim": {
            "curve": [point.model_dump() for point in POINTS],
            "warnings": [HOSTILE],
            "something_new": 1,
        },
        "created_at": "2026-01-01T00:00:00Z",
        "expires_at": "2026-01-01T00:00:00Z",
    }
)


def test_the_loss_is_seen_while_it_falls():
    """In the job, in each event, and behind the bar."""
    job = FineTuneJob(None, None, RUNNING)
    assert list(job.loss_curve) == list(LossCurve.of_job(RUNNING)) == POINTS
    assert job.warnings == [HOSTILE]
    assert job.loss_curve.lowest == POINTS[1]
    from maas_client import _job_ends

    assert _job_ends.told(RUNNING) == "epoch 3: loss 0.2, validation 0.6"
    right = RUNNING.model_copy(deep=True)
    right.interim["curve"][-1]["validation_accuracy"] = 0.875
    assert _job_ends.told(right) == "epoch 3: loss 0.2, validation 0.6, 87.5% right"
    assert _job_ends.told(RUNNING.model_copy(update={"kind": "evaluate"})) == ""
    assert list(LossCurve.of_job(RUNNING.model_copy(update={"interim": None}))) == []


def test_what_is_no_curve_is_an_error_for_those_who_ask_for_it():
    """Waiting and showing go on: they are not about the curve."""
    odd = RUNNING.model_copy(update={"interim": {"curve": "steep"}})
    with pytest.raises(errors.InvalidReplyError, match="job_1 tells is not that of a fine-tune"):
        _ = FineTuneJob(None, None, odd).loss_curve
    assert "fine-tune" in FineTuneJob(None, None, odd)._repr_html_()


def test_the_bar_tells_the_loss(capsys):
    """Beside the units, on the bar of each phase."""
    with JobBars(progress=True, label="fine-tune", known=RUNNING.progress) as bars:
        bars.show(RUNNING.progress, told="epoch 3: loss 0.2")
        ended = RUNNING.progress.model_copy(update={"done": 1, "unit": "row proved"})
        bars.show(ended, told="epoch 3: loss 0.2")
    shown = capsys.readouterr().err.replace("\n", "\r").split("\r")
    assert any("row proved" in line and "loss 0.2" in line for line in shown)
    assert any("epoch" in line and "row proved" not in line and "loss 0.2" in line for line in shown)


class Checker(HTMLParser):
    """Collects texts; refuses what a page must not hold."""

    TAGS = frozenset({"div", "b", "table", "tr", "td", "span", "svg", "polyline", "circle", "text", "title"})

    def __init__(self):
        super().__init__()
        self.said = ""

    def handle_starttag(self, tag, attrs):
        assert tag in self.TAGS
        assert not any(name.startswith("on") or name in ("href", "src") for name, _ in attrs)
        assert not any("url" in (value or "") for _, value in attrs)

    def handle_data(self, data):
        self.said += data


def said(thing):
    checker = Checker()
    checker.feed(thing._repr_html_())
    checker.close()
    return checker.said


def test_a_notebook_shows_the_curve_and_nothing_that_runs(client):
    """Escaped, with both lines named by words and dashes, in the page's own colours beside."""
    html = FineTuneJob(None, None, RUNNING)._repr_html_()
    shown = said(FineTuneJob(None, None, RUNNING))
    assert "train 0.2" in shown
    assert "validation 0.6" in shown
    assert 'stroke-dasharray="6 3"' in html
    assert 'fill="currentColor"' in html
    assert 'role="img" aria-label="the loss by epoch; epoch 3: loss 0.2, validation 0.6"' in html
    made = client.fine_tunes.create(name="moods", train=TRAIN).wait()
    hostile = made.model_copy(update={"model": HOSTILE, "labels": [HOSTILE], "warnings": [HOSTILE]})
    assert HOSTILE in said(hostile)
    assert "accuracy" in said(hostile)


def test_names_at_the_lines_ends_do_not_meet():
    """Nor do they reach the epochs below, where both losses end at the lowest value."""
    ends = [TrainingPoint(epoch=n, loss=2.0 - n, validation_loss=2.0 - n, learning_rate=0.1) for n in (1, 2)]
    found = re.findall(r'y="([\d.]+)"[^>]*>(train|validation|epoch)', LossCurve(ends)._repr_html_())
    places = {name: float(y) for y, name in found}
    assert abs(places["train"] - places["validation"]) >= 12
    assert max(places["train"], places["validation"]) <= places["epoch"] - 12


@pytest.mark.parametrize(
    "points",
    [
        [],
        [POINTS[0]],
        [POINTS[0].model_copy(update={"validation_loss": None})],
        [POINTS[0], POINTS[1].model_copy(update={"loss": math.inf, "validation_loss": math.nan})],
        [point.model_copy(update={"loss": 0.5, "validation_loss": 0.5}) for point in POINTS],
        [point.model_copy(update={"epoch": 998 + point.epoch}) for point in POINTS[:2]],
        [POINTS[0].model_copy(update={"loss": math.nan, "validation_loss": math.inf})],
    ],
)
def test_curves_of_any_shape_are_shown(points):
    """One point, no rows to watch, numbers that are none, a level line."""
    curve = LossCurve(points)
    for shown in (said(curve), str(curve)):
        assert shown
    assert "1epoch" not in str(curve)
    picture, _, _ = curve._repr_html_().rpartition("</svg>")
    assert "nan" not in picture.partition(" style=")[2]


def test_print_shows_metrics_and_a_curve_of_characters(client):
    """Fifteen lines or so, whatever the number of epochs."""
    made = client.fine_tunes.create(name="moods", train=TRAIN, epochs=200, early_stopping=False).wait()
    lines = str(made).splitlines()
    assert lines[0] == "moods version 1"
    assert lines[2].startswith("accuracy")
    drawn = [line for line in lines if "│" in line]
    assert len(drawn) == 10
    assert all(len(line.partition("│")[2]) <= 60 for line in drawn)
    assert "•" in drawn[0] + drawn[1]
    assert "• train, x validation" in lines
    assert repr(made.loss_curve) == "LossCurve(200 points)"


def test_the_curve_is_a_table(client):
    """A row for each epoch."""
    job = client.fine_tunes.create(name="moods", train=TRAIN, epochs=4)
    frame = job.to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == [
        "epoch",
        "loss",
        "validation_loss",
        "validation_accuracy",
        "learning_rate",
    ]
    assert frame["epoch"].tolist() == [1, 2, 3, 4]
    assert frame["loss"].is_monotonic_decreasing
    assert job.result.to_frame().equals(frame)
    assert frame["validation_accuracy"].iloc[-1] == job.result["accuracy"]


@pytest.mark.usefixtures("_without_a_screen")
def test_the_curve_is_plotted(client):
    """Both losses, told apart without colours too, and where the lowest is."""
    job = client.fine_tunes.create(name="moods", train=TRAIN)
    train, validation, lowest = job.plot().get_lines()
    assert list(train.get_ydata()) == [point.loss for point in job.result.curve]
    assert train.get_linestyle() != validation.get_linestyle()
    assert list(lowest.get_xdata()) == [job.result.best_epoch] * 2
    _, ax = plt.subplots()
    assert LossCurve(POINTS[:1]).plot(ax=ax) is ax
    unwatched = LossCurve([POINTS[0].model_copy(update={"validation_loss": None})])
    assert len(unwatched.plot().get_lines()) == 1


def test_a_metric_that_was_not_measured_is_named(client):
    """With those that were."""
    made = client.fine_tunes.create(name="moods", train=TRAIN, validation=0).wait()
    with pytest.raises(KeyError, match="no rows were held out"):
        made.metric("accuracy")
    assert (made.metrics, made.calibration, made.evaluated_on) == ([], [], None)


# What the fake does, so that tests of others may build on it.


def _vector(inputs):
    return {"embedding": [float("good" in inputs["text"]), float("bad" in inputs["text"]), 1.0]}


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_the_fake_learns(client, optimizer, loss):
    """With each optimiser, labels and numbers."""
    rows = (
        TABLE if loss == "mse" else [(inputs, "high" if target > 60 else "low") for inputs, target in TABLE]
    )
    rates = {"sgd": 0.05, "momentum": 0.01, "adam": 0.1}
    made = client.fine_tunes.create(
        name="table",
        train=rows,
        loss=loss,
        optimizer=optimizer,
        learning_rate=rates[optimizer],
        batch_size=8,
        epochs=60,
    ).wait()
    answer = client.predict("table", x=50.0, y=1.0)
    if loss == "mse":
        assert made["mean_absolute_error"] < 2
        assert answer["value"] == pytest.approx(101, abs=3)
    else:
        assert made["accuracy"] > 0.8
        assert answer["label"] == "high"


def test_the_fakes_gradient_is_that_of_its_loss():
    """By central differences, with weights, smoothing and the penalty."""
    rows = LabelledRows(
        inputs=[{"x": float(n), "y": float(n * n % 5)} for n in range(6)], targets=["a", "b", "c"] * 2
    )
    options = FineTuneOptions(
        name="m", label_smoothing=0.2, class_weights={"b": 3.0}, l2=0.1, epochs=2, validation=0, test=0
    )
    training = _fake_training.Training({"train": rows}, options)
    seen, head = training._seen(rows), training._head

    def objective():
        penalty = sum(weight * weight for row in head.weights for weight in row)
        return training._loss(seen) + options.l2 / 2 * penalty

    gradient = training._gradient(seen)
    for mine, theirs in _fake_descent._pairs(head, gradient):
        for index, found in enumerate(theirs):
            here = mine[index]
            mine[index] = here + 1e-5
            above = objective()
            mine[index] = here - 1e-5
            assert (above - objective()) / 2e-5 == pytest.approx(found, abs=1e-6)
            mine[index] = here


def test_the_fake_publishes_versions(fake, client):
    """The same again is the same version; another is a next one, and `default` stays unless it is asked."""
    one, same, other = (
        client.fine_tunes.create(name="m", train=TRAIN, seed=seed).wait() for seed in (1, 1, 2)
    )
    assert [(each.version, each.is_new) for each in (one, same, other)] == [(1, True), (1, False), (2, True)]
    assert client.models.get("m").default_version == 1
    client.fine_tunes.create(name="m", train=TRAIN, seed=3, set_default=True)
    assert client.predict("m", text="a good day").version == 3
    assert [each.origin for each in client.model("m").versions.list()] == ["trained"] * 3
    fake.add_model("mood", labels=["sad", "glad"], answer="glad")
    with pytest.raises(errors.UnprocessableError, match="a base's is embedding"):
        client.fine_tunes.create(name="m", base="mood", train=TRAIN)
    with pytest.raises(errors.NotFoundError):
        client.fine_tunes.create(name="m", base="nothing", train=TRAIN)
