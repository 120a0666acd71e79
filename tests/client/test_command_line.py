"""What `maas` shows: times, warnings, deprecations, results of jobs, differences."""

from __future__ import annotations

import json
import warnings

import pytest
from click.testing import CliRunner

from maas_client import _deprecation
from maas_client.cli import main
from maas_client.testing import FakeMaas

AT = "2030-01-02T03:04:05+02:00"
SHOWN = "2030-01-02 01:04:05Z"
END = {"state": "deprecated", "sunset": "2031-05-01T00:00:00Z", "replacement": "2"}


@pytest.fixture
def fake():
    """A platform with the model `mood`."""
    made = FakeMaas()
    made.add_model("mood", answer="positive", labels=["positive", "negative"])
    return made


@pytest.fixture
def maas(fake):
    """Run the command against it, warnings shown as they are to people."""

    def run(*arguments, code=0, text=None):
        with fake.installed(), warnings.catch_warnings():
            warnings.simplefilter("default")
            done = CliRunner().invoke(main, arguments, input=text)
        assert done.exit_code == code, done.output
        return done

    return run


def page(*data):
    return {"data": data, "has_more": False, "next_cursor": None}


def job(**fields):
    known = {"id": "job_1", "kind": "evaluate", "state": "running", "revision": 3, "expires_at": AT}
    return {**known, "created_at": AT, **fields}


@pytest.mark.parametrize(
    ("command", "route", "reply"),
    [
        (
            ["history", "mood"],
            "GET /v1/models/{model}/history",
            page({"seq": 1, "kind": "published", "at": AT, "by": "ada"}),
        ),
        (
            ["served", "mood", "--at", AT],
            "GET /v1/models/{model}/served",
            {"at": AT, "versions": [], "since": AT, "by": "ada", "kind": "promoted"},
        ),
        (["jobs"], "GET /v1/jobs", page(job())),
        (["job", "job_1", "--log"], "GET /v1/jobs/{job}/log", page({"number": 1, "at": AT, "text": "t"})),
        (
            ["aliases", "list", "mood"],
            "GET /v1/models/{model}/aliases",
            page({"name": "default", "version": 1, "revision": 1, "moved_at": AT}),
        ),
    ],
)
def test_times_have_seconds_and_a_zone(fake, maas, command, route, reply):
    """Every command shows them alike, in UTC, whatever offset the server sent."""
    fake.reply(route, reply)
    assert SHOWN in maas(*command).stdout


def test_a_warning_is_one_line_on_standard_error(fake, maas, monkeypatch):
    """Without the file and the line of Python that raised it, and results stay alone on standard output."""
    monkeypatch.setattr(_deprecation, "_told", set())
    reply = {
        "model": "mood",
        "version": 1,
        "predictions": [{"label": "positive", "score": 0.9}],
        "device": "cpu",
        "timing": {"queue_ms": 0, "compute_ms": 1},
        "id": "r",
        "digest": f"sha256:{0:064}",
        "usage": {"instances": 1},
    }
    headers = {"Deprecation": "@1900000000", "Sunset": "Thu, 01 May 2031 00:00:00 GMT"}
    fake.reply("POST /v1/models/{model}/predict", reply, headers=headers)
    done = maas("predict", "mood", "A good day.")
    (line,) = done.stderr.splitlines()
    assert line.startswith("warning: the model 'mood' is deprecated")
    assert ".py" not in line
    assert done.stdout.startswith("positive\t")


def test_the_catalogue_says_what_is_deprecated(fake, maas):
    """In the list and in the description of one model."""
    fake.add_model("ending", answer="positive", **END)
    told = "deprecated, ends on 2031-05-01, use version 2 instead"
    rows = {line.split("\t")[0]: line.split("\t") for line in maas("models").stdout.splitlines()}
    state = rows["MODEL"].index("STATE")
    assert (rows["ending"][state], rows["mood"][state]) == (told, "active")
    assert "deprecated, ends on 2031-05-01" in maas("model", "ending").stdout
    assert "deprecated" not in maas("model", "mood").stdout


def test_a_recommendation_of_what_is_deprecated_says_so(fake, maas):
    """In the table, and as JSON with the time of its end."""
    fake.add_model("ending", answer="positive", labels=["positive", "negative"], **END)
    command = ("recommend", "-f", "-", "-m", "ending")
    rows = '{"text": "a", "label": "positive"}\n{"text": "b", "label": "positive"}\n'
    assert "ending is deprecated, ends on 2031-05-01" in maas(*command, text=rows).stdout
    (candidate,) = json.loads(maas(*command, "--json", text=rows).stdout)["candidates"]
    assert (candidate["state"], candidate["sunset"]) == ("deprecated", "2031-05-01T00:00:00+00:00")


def test_the_result_of_an_evaluation_is_a_table(fake, maas):
    """As `maas evaluate` prints it; what another kind made stays JSON."""
    metric = {"name": "accuracy", "value": 0.75, "interval": [0.3, 0.95], "unit": "share of rows"}
    result = {
        "model": "ada~mood",
        "version": 2,
        "digest": f"sha256:{0:064}",
        "device": "cpu",
        "task": "text-classification",
        "rows": 4,
        "metrics": [metric],
        "resamples": 1000,
        "seed": 0,
    }
    fake.reply("GET /v1/jobs/{job}", job(state="succeeded", result=result))
    lines = maas("job", "job_1").stdout.splitlines()
    assert lines[1:] == ["METRIC\tVALUE\t95 % INTERVAL\tUNIT", "accuracy\t0.75\t0.3 to 0.95\tshare of rows"]
    fake.reply("GET /v1/jobs/{job}", job(kind="train", state="succeeded", result={"loss": 0.5}))
    assert json.loads(maas("job", "job_1").stdout.partition("\n")[2]) == {"loss": 0.5}


@pytest.mark.parametrize("version", [None, "3"])
def test_many_bytes_of_rows_are_streamed_to_a_job(fake, maas, version):
    """What no call takes goes to the endpoint that takes it as a stream; less goes where it always went."""
    for route in ("/v1/models/{model}/evaluations", "/v1/models/{model}/evaluate"):
        fake.reply(f"POST {route}", job(state="queued"), status=202)
    fake.reply("POST /v1/models/{model}/versions/{version}/evaluate", job(state="queued"), status=202)
    command = ["evaluate", "mood", "-f", "-", "--background", *(["--version", version] if version else [])]
    small = json.dumps({"text": "a", "target": "positive"})
    assert maas(*command, text=small).stdout == "job_1\n"
    assert fake.calls[-1].template.endswith("/evaluate")
    large = json.dumps({"text": "a" * 1100, "target": "positive"}) + "\n"
    assert maas(*command, text=large * 4000).stdout == "job_1\n"
    sent = fake.calls[-1]
    assert (sent.template, sent.query) == (
        "/v1/models/{model}/evaluations",
        {"rows": "4000"} if version is None else {"rows": "4000", "version": version},
    )
    assert len(json.loads(sent.content)["inputs"]) == 4000
    assert "Idempotency-Key" in sent.headers
