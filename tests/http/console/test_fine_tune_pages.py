"""Fine-tunes by forms: rows pasted or uploaded, the loss as it falls, what came of it, and the same call."""

import io
import json
import re
import subprocess
import sys
from datetime import timedelta
from html import unescape

import pytest

from maas_client.types import FineTuneCreate, TrainingPoint
from reference_server.console import losses, snippets
from reference_server.registry import job_runs, jobs

ROWS = "text,label\n" + "".join(
    f'"a {word} day, number {number}",{label}\n'
    for number in range(20)
    for word, label in (("good", "up"), ("bad", "down"))
)
FORM = {"name": "mine", "train": ROWS, "epochs": "8", "test": "0.2", "early_stopping": "yes"}


def told(shown):
    """Return what is told at the field at fault."""
    return unescape(
        re.search(r'<p class="error" id="f-train-error"[^>]*>(.*?)</p>', shown.text, re.DOTALL)[1]
    )


@pytest.mark.usefixtures("taking_jobs")
def test_rows_of_a_form_become_a_version(site, ada, run_next):
    """From the form to the version: the curve, metrics with intervals, and a model that answers."""
    shown = ada.follow(ada.post("/console/fine-tunes", FORM))
    assert shown.has("fine-tune ", "data-events=", 'data-line="train" points=""', "Stop the job")
    job = re.search(r"/console/jobs/(job_\w+)/progress", shown.text)[1]
    run_next()
    done = ada.get(f"/console/jobs/{job}")
    assert done.has("The new version", "accuracy", "by which nothing was decided", "Confusion matrix")
    assert done.has("/console/models/mine/versions/1", "fine_tunes.create(", "/v1/fine-tunes")
    assert re.search(r'data-line="train" points="66\.0,\d', done.text)
    assert re.search(r"accuracy</th><td class=\"number\">1</td><td>0\.\d+ \u2013 1</td>", done.text)
    assert "good day" not in done.text
    assert ada.get("/console/fine-tunes").has(job, "succeeded")
    tried = ada.post("/console/models/mine/try", {"input.text": "a bad day", "act": "predict"})
    assert tried.has("down")
    version = site.through_flask("GET", "/v1/models/mine/versions/1", headers=site.ada).json
    assert version["lineage"]["job"] == job


@pytest.mark.usefixtures("taking_jobs")
def test_a_file_goes_before_what_is_pasted_and_tabs_stand_for_commas(site, ada):
    """What is copied from a spreadsheet has tabs."""
    table = "rooms\tage\trent\n" + "".join(f"{n}\t{n % 3}\t{n * 3.5}\n" for n in range(1, 30))
    form = {
        **FORM,
        "loss": "mse",
        "label": "rent",
        "columns": "rooms",
        "train": "nothing of use",
        "train_file": (io.BytesIO(table.encode("utf-8-sig")), "rent.tsv"),
    }
    sent = ada.post("/console/fine-tunes", dict(form))
    job = sent.headers["Location"].rpartition("/")[2]
    found = site.through_flask("GET", f"/v1/jobs/{job}", headers=site.ada).json
    assert found["progress"]["total"] == 29
    assert found["request"]["options"]["loss"] == "mse"


@pytest.mark.usefixtures("taking_jobs")
def test_many_rows_go_as_a_stream_which_nobody_sees(site, ada, monkeypatch, run_next):
    """More than one call takes; the job is the same."""
    few = site.services.settings.model_copy(update={"max_instances": 10})
    monkeypatch.setattr(site.services, "settings", few)
    sent = ada.post("/console/fine-tunes", {**FORM, "name": "streamed"})
    run_next()
    assert ada.follow(sent).has("/console/models/streamed/versions/1")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train": ""}, "is empty; its first line is to name the columns"),
        ({"train": "text,label\na,b,c\n"}, "line 2 of the rows has 3 cells and the head has 2"),
        ({"train": 'text,label\n"a,b\n'}, "line 2 of the rows is no CSV"),
        ({"train": "text,mood\na,up\nb,down\n"}, "no column 'label', its columns are text, mood"),
        ({"train": "text,label\na,up\nb,up\n"}, "all rows of train have the label 'up'"),
        ({"train": "text,label\na,up\nb,\n"}, "line 3 of the rows: the label is missing"),
        ({"train": "x,label\n1,up\ntwo,down\n"}, "the column 'x' is 'two', a str, expected a number"),
        ({"train_file": (io.BytesIO(b"text,label\n\xff,up\n"), "a.csv")}, "not UTF-8"),
    ],
)
@pytest.mark.usefixtures("taking_jobs")
def test_rows_that_cannot_be_learnt_from_are_named_at_their_field(ada, changes, said):
    """Before anything is asked of the server; what was typed stays in the form."""
    shown = ada.post("/console/fine-tunes", {**FORM, **changes})
    assert shown.status == 422
    assert said in told(shown)
    assert shown.has('value="mine"', 'value="8"')


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"epochs": "0"}, "epochs"),
        ({"epochs": "many"}, "epochs"),
        ({"learning_rate": "nan"}, "learning_rate"),
        ({"l2": "-1"}, "l2"),
        ({"name": "Not A Name"}, "name"),
        ({"seed": "-1"}, "seed"),
    ],
)
@pytest.mark.usefixtures("taking_jobs")
def test_an_option_that_does_not_fit_is_told_at_its_field(ada, changes, field):
    """In the words of the API."""
    shown = ada.post("/console/fine-tunes", {**FORM, **changes})
    assert shown.status == 422
    (at_fault,) = re.findall(r'<input [^>]*aria-invalid="true"[^>]*>', shown.text)
    assert f'name="{field}"' in at_fault


def test_the_form_shows_the_defaults_of_the_contract(ada):
    """They cannot drift from what the server takes when nothing is said."""
    shown = ada.get("/console/fine-tunes")
    for name in ("batch_size", "epochs", "patience", "seed", "l2", "label_smoothing", "validation", "test"):
        (field,) = re.findall(rf'<input [^>]*name="{name}"[^>]*>', shown.text)
        assert f'value="{FineTuneCreate.model_fields[name].default}"' in field
    assert re.search(r'name="early_stopping" value="yes" checked', shown.text)
    assert not re.search(r'name="set_default" value="yes" checked', shown.text)


@pytest.mark.usefixtures("taking_jobs")
def test_the_curve_moves_while_the_job_runs(site, ada, account_id):
    """What the script asks for holds the lines and the figures; the stream of events is the API's."""
    sent = ada.post("/console/fine-tunes", FORM)
    job = sent.headers["Location"].rpartition("/")[2]
    db = site.services.database
    claim = job_runs.claim(db, "test", lease=timedelta(seconds=60))
    curve = [
        TrainingPoint(epoch=1, loss=0.7, validation_loss=0.6, learning_rate=0.1),
        TrainingPoint(epoch=2, loss=0.5, validation_loss=0.55, learning_rate=0.05),
    ]
    interim = {"curve": [point.model_dump() for point in curve], "warnings": ["a label is rare"]}
    job_runs.report(db, claim, done=2, total=8, unit="epoch", remaining_seconds=None, interim=interim)
    shown = json.loads(ada.get(f"/console/jobs/{job}/progress").text)
    assert shown["points"] == dict(losses.picture(curve).points)
    assert shown["texts"]["loss"] == "0.5"
    assert ada.get(f"/console/jobs/{job}").has("a label is rare", shown["points"]["train"])
    jobs.cancel(db, site.services.artifacts, account_id, job)
    job_runs.cancel(db, site.services.artifacts, claim)
    events = ada.get(f"/console/jobs/{job}/events")
    assert events.headers["content-type"] == "text/event-stream"
    assert "event: job" in events.text
    assert '"state":"cancelled"' in events.text
    assert site.services.streams.open == {}


@pytest.mark.usefixtures("taking_jobs")
def test_events_come_through_the_front_for_the_cookie_alone(site, ada, eve, anybody, make_job, make_key):  # noqa: PLR0917 - fixtures
    """Without a thread each; an API key in the cookie's place is nobody, and another's job is not there."""
    path = f"/console/jobs/{make_job()}/events"
    assert ada.post(path.replace("events", "cancel")).status == 303

    def asked(session):
        return site.through_front("GET", path, headers={"cookie": f"maas_session={session}"})

    answer = asked(ada.session)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")
    assert b"event: job" in answer.body
    assert asked(eve.session).status == 404
    assert asked(make_key()[1]).status == 303
    assert site.through_front("GET", path).status == 303


def test_lines_lie_in_the_chart_and_skip_what_is_no_number():
    """From the greatest loss at the top to the least; one epoch is a dash; none is nothing."""
    assert losses.picture([]).points == {"train": "", "validation": ""}
    one = losses.picture([TrainingPoint(epoch=1, loss=0.5, learning_rate=0.1)])
    assert one.points["train"] == "188.0,73.0 192.0,73.0"
    assert one.texts["validation-loss"] == "\u2013"
    curve = [
        TrainingPoint(epoch=epoch, loss=loss, learning_rate=0.1)
        for epoch, loss in ((1, 2.0), (2, float("inf")), (3, 1.0))
    ]
    three = losses.picture(curve, best_epoch=3)
    assert three.points["train"] == "66.0,10.0 310.0,136.0"
    assert (three.texts["top"], three.texts["bottom"], three.best) == ("2", "1", 310.0)


def test_the_call_to_copy_is_the_call_that_was_made(tmp_path):
    """The shell's program makes the body of the contract of a file; the SDK's call names no default."""
    options = {"name": "mine", "epochs": 8, "l2": 0.0, "loss": "mse"}
    call = snippets.fine_tune(options, "http://localhost", label="rent's")
    assert "epochs=8" in call.python
    assert "l2" not in call.python
    compile(call.python, "snippet", "exec")
    (tmp_path / "rows.csv").write_text("rooms,rent's\n1,300\n2,400.5\n", encoding="utf-8")
    program = call.curl.partition("  | curl")[0].rstrip("\\\n ").replace("python3", sys.executable, 1)
    done = subprocess.run(
        ["/bin/sh", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    body = FineTuneCreate.model_validate_json(done.stdout)
    assert body.train.inputs == [{"rooms": 1.0}, {"rooms": 2.0}]
    assert body.train.targets == [300.0, 400.5]
    assert (body.name, body.epochs, body.loss) == ("mine", 8, "mse")
