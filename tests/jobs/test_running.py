"""A job under way, on a real store and, where a model is needed, with a real one."""

from __future__ import annotations

import threading
from datetime import timedelta
from itertools import count

import orjson
import pytest

from maas_client.types import JobProgress, PageQuery, PublishQuery
from reference_server.errors import Unprocessable
from reference_server.evaluation import job, work
from reference_server.evaluation import job as evaluation_job
from reference_server.evaluation import summary as evaluation_summary
from reference_server.jobs import context as contexts
from reference_server.jobs import kinds, running
from reference_server.jobs.context import Services
from reference_server.registry import accounts, data_keys, job_runs, jobs, publishing, shares
from reference_server.registry.artifacts import ArtifactStore
from reference_server.registry.jobs import NewJob
from reference_server.registry.sealed_artifacts import keep
from reference_server.runtime.execution_providers import Providers
from reference_server.runtime.pool import ModelPool
from reference_server.runtime.probe import probe
from reference_server.security.callers import Caller
from reference_server.security.encryption import DataKey
from reference_server.settings import Settings
from reference_server.stores import open_database

LEASE = timedelta(seconds=10)


class Desk:
    """A store, an account, and jobs that run in this thread."""

    def __init__(self, folder):
        settings = Settings(data_dir=folder, provider="cpu", lanes=1)
        pool = ModelPool(providers=Providers("cpu"), memory_budget_bytes=2**30)
        self.services = Services(settings, open_database(settings), ArtifactStore(settings.artifacts), pool)
        made = accounts.create(
            self.db,
            email="ada@example.com",
            password_hash="$argon2id$",
            name="ada",
            role="user",
            policy_version="1",
        )
        self.ada = Caller.at_the_machine(made)
        self.stopping = threading.Event()
        self.key = DataKey.random()

    @property
    def db(self):
        return self.services.database

    @property
    def store(self):
        return self.services.artifacts

    def create(self, kind, **about):
        return jobs.create(
            self.db,
            self.ada.account_id,
            NewJob(kind=kind, **about),
            resumable=kinds.KINDS[kind].resumable if kind in kinds.KINDS else False,
            most_under_way=100,
            kept=timedelta(days=1),
        )

    def run(self, owner="one"):
        claim = job_runs.claim(self.db, owner, lease=LEASE)
        running.run(claim, self.services, stopping=self.stopping.is_set)
        return self.get(claim.job_id)

    def get(self, job_id):
        return jobs.get(self.db, self.ada.account_id, job_id)

    def log(self, job_id):
        return [line.text for line in jobs.read_log(self.db, self.ada.account_id, job_id, PageQuery()).data]

    def publish(self, folder, model="words"):
        from io import BytesIO

        from maas_client._package import open_package, write_zip

        content = BytesIO()
        with open_package(folder) as package:
            write_zip(package, content)
        query = PublishQuery()
        publishing.publish(
            self.db, self.store, self.ada, model, content, query=query, inspect=probe, max_bytes=2**24
        )

    def close(self):
        self.services.pool.close()
        self.db.dispose()


@pytest.fixture
def desk(tmp_path):
    made = Desk(tmp_path / "data")
    yield made
    made.close()


@pytest.fixture
def kind(monkeypatch):
    """Return a function that makes `run` a kind of job called `test`."""

    def make(run, *, resumable=False):
        monkeypatch.setitem(kinds.KINDS, "test", kinds.Kind(type(None), run, resumable=resumable))

    return make


def test_what_a_kind_returns_is_the_result(desk, kind):
    """With its log beside it."""

    def run(context):
        context.log("half way")
        context.progress(2, 2)
        return JobProgress(done=2, unit="step")

    kind(run)
    made = desk.create("test", total=2, unit="step")
    found = desk.run()
    assert (found.state, found.result["done"]) == ("succeeded", 2)
    assert desk.log(made.id) == ["begun", "half way"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Unprocessable("row 3 is bad", code="bad_row"), "bad_row"),
        (ZeroDivisionError("secret"), "internal_error"),
    ],
)
def test_a_failure_of_the_work_is_the_jobs_own_and_a_defect_is_not_shown(desk, kind, error, code):
    """What is written for callers reaches them, what is not stays in the server's log."""

    def run(context):
        raise error

    kind(run)
    desk.create("test")
    found = desk.run()
    assert (found.state, found.error.code) == ("failed", code)
    assert "secret" not in found.error.message


def test_a_kind_that_is_not_known_fails_the_job(desk):
    """As after a downgrade of the server."""
    desk.create("from-the-future")
    found = desk.run()
    assert (found.state, found.error.code) == ("failed", "unknown_kind")


def test_a_cancelled_job_ends_at_its_next_step(desk, kind):
    """The lease hears of it beside the work."""

    def run(context):
        jobs.cancel(desk.db, desk.store, desk.ada.account_id, context.claim.job_id)
        for step in count():
            context.check()
            assert desk.stopping.wait(0.01) is False
            assert step < 1000

    kind(run)
    desk.create("test")
    assert desk.run().state == "cancelled"


def test_a_stopping_process_hands_its_job_back(desk, kind):
    """A resumable one is queued again."""

    def run(context):
        desk.stopping.set()
        context.check()

    kind(run, resumable=True)
    desk.create("test")
    assert desk.run().state == "queued"


def test_progress_tells_the_time_that_is_left(desk, kind, monkeypatch):
    """From the speed since it began here; reports are no more than two a second."""
    clock = iter([0.0, 0.0, 1.0, 1.1, 2.0])
    seen = []
    monkeypatch.setattr(contexts.job_runs, "report", lambda *_, **report: seen.append(report))
    claim = job_runs.Claim(
        "job_1", "one", desk.ada, "test", {}, None, None, None, None, desk.key, 0, 100, "row"
    )
    context = contexts.Context(claim, desk.services, lambda: "go on", lambda: False, lambda: next(clock))
    for done in (0, 10, 11, 20):
        context.progress(done, 100)
    assert [(report["done"], report["remaining_seconds"]) for report in seen] == [
        (0, None),
        (10, 9.0),
        (20, 8.0),
    ]


def rows(texts, targets):
    return orjson.dumps({"inputs": [{"text": text} for text in texts], "targets": targets})


def kept(desk, content):
    """Return where a new job's input lies, and what seals it."""
    key = data_keys.fresh()
    return {"input": keep(desk.store, key.key, "job-input", content), "key": key}


def evaluation(desk, texts, targets):
    return desk.create(
        "evaluate",
        request={"rows": len(texts), "parameters": {}},
        model="ada~words",
        version=1,
        **kept(desk, rows(texts, targets)),
        total=len(texts),
        unit="row",
    )


def test_an_evaluation_runs_as_a_job(desk, text_package):
    """On the version that it was asked for, in chunks."""
    desk.publish(text_package)
    evaluation(desk, ["a good day", "a bad day"] * 100, ["positive", "negative"] * 100)
    found = desk.run()
    assert found.state == "succeeded", found.error
    assert found.result["rows"] == 200
    assert found.result["metrics"][0] == {
        "name": "accuracy",
        "value": 1.0,
        "interval": pytest.approx([200 / (200 + 1.959964**2), 1.0]),
        "unit": "share of rows",
    }


def test_an_evaluation_goes_on_from_its_checkpoint(desk, text_package, monkeypatch):
    """It ends as if nothing had happened, and does not run again what was done."""
    desk.publish(text_package)
    monkeypatch.setattr(contexts, "_SAVE_SECONDS", 0.0)
    monkeypatch.setattr(work, "_FIRST_ROWS", 64)
    monkeypatch.setattr(work, "_MOST_ROWS", 64)
    texts = ["a good day", "a bad day", "dull"] * 100
    targets = ["positive", "negative", "positive"] * 100
    whole = evaluation(desk, texts, targets)
    desk.run()
    interrupted = evaluation(desk, texts, targets)
    saves = []
    save = job_runs.save

    def stop_after_two(*arguments, **more):
        save(*arguments, **more)
        saves.append(more["done"])
        if len(saves) == 2:
            desk.stopping.set()

    monkeypatch.setattr(job_runs, "save", stop_after_two)
    assert desk.run().state == "queued"
    desk.stopping.clear()
    desk.run()
    again = desk.get(interrupted.id)
    assert again.state == "succeeded", again.error
    assert saves[:3] == [64, 128, 192]
    assert desk.log(again.id) == [
        "begun",
        "begun again, from a checkpoint",
        "goes on after 128 of 300 rows",
    ]
    assert again.result == desk.get(whole.id).result


@pytest.fixture
def few_resamples(monkeypatch):
    """Let intervals be of fifty samples: where each is reported, a thousand take ten seconds."""
    for part in (evaluation_job, evaluation_summary):
        monkeypatch.setattr(part, "RESAMPLES", 50)


@pytest.mark.usefixtures("few_resamples")
def test_the_intervals_are_a_phase_of_their_own(desk, text_package, monkeypatch):
    """After the rows come the samples, counted and timed anew; in the end the rows are told again."""
    desk.publish(text_package)
    seen = []
    report = job_runs.report

    def note(*arguments, **told):
        report(*arguments, **told)
        seen.append((told["done"], told["total"], told["unit"], told["remaining_seconds"]))

    monkeypatch.setattr(job_runs, "report", note)
    monkeypatch.setattr(contexts, "_REPORT_SECONDS", 0.0)
    made = evaluation(desk, ["a good day"] * 20, ["positive"] * 20)
    found = desk.run()
    assert seen[0] == (0, 20, "row", None)
    phase = [each for each in seen if each[2] == "bootstrap sample"]
    assert phase[0] == (0, 50, "bootstrap sample", None)
    assert phase[-1][0] == 49
    # Nothing of the second phase is told as if it were done with the first.
    assert seen.index(phase[0]) == next(at for at, each in enumerate(seen) if each[0] == 20) + 1
    assert (found.progress.done, found.progress.total, found.progress.unit) == (20, 20, "row")
    assert desk.log(made.id) == ["begun"]


@pytest.mark.usefixtures("few_resamples")
def test_a_job_that_goes_on_tells_what_its_checkpoint_holds(desk, text_package, monkeypatch):
    """Not what had been reported when its process died, and nothing where nothing was saved."""
    desk.publish(text_package)
    monkeypatch.setattr(work, "_FIRST_ROWS", 64)
    monkeypatch.setattr(work, "_MOST_ROWS", 64)
    monkeypatch.setattr(contexts, "_REPORT_SECONDS", 0.0)
    made = evaluation(desk, ["a good day"] * 300, ["positive"] * 300)
    reports = []
    report = job_runs.report

    def die_after_four(*arguments, **told):
        report(*arguments, **told)
        reports.append(told)
        if len(reports) == 4:
            raise SystemExit

    monkeypatch.setattr(job_runs, "report", die_after_four)
    with pytest.raises(SystemExit):
        desk.run()
    assert desk.get(made.id).progress.done == 192
    job_runs.recover(desk.db, desk.store, dead="one")
    assert desk.run("two").state == "succeeded"
    # The first checkpoint comes with the first rows, the next a second later.
    assert (reports[4]["done"], reports[4]["unit"]) == (64, "row")
    assert reports[5]["remaining_seconds"] is None or reports[5]["remaining_seconds"] < 60


def test_a_row_that_does_not_fit_fails_the_job_by_its_name(desk, text_package):
    """As the caller numbered it."""
    desk.publish(text_package)
    content = orjson.dumps({"inputs": [{"text": "good"}, {"text": 2}], "targets": ["positive"] * 2})
    desk.create(
        "evaluate",
        request={"rows": 2, "parameters": {}},
        model="ada~words",
        version=1,
        **kept(desk, content),
    )
    found = desk.run()
    assert found.state == "failed"
    assert found.error.message.startswith("inputs[1].text: ")


@pytest.mark.parametrize("seconds", [0.0, 60.0])
def test_a_job_learns_nothing_of_a_model_that_is_withdrawn_meanwhile(
    desk, text_package, monkeypatch, seconds
):
    """It is looked at between chunks, and once more before the result is told."""
    desk.publish(text_package)
    bob = accounts.create(
        desk.db, email="bob@example.com", password_hash="$", name="bob", role="user", policy_version="1"
    )
    shares.put(desk.db, desk.ada, "words", "bob", role="reader")
    desk.ada, ada = Caller.at_the_machine(bob), desk.ada
    monkeypatch.setattr(job, "_LOOK_SECONDS", seconds)
    monkeypatch.setattr(work, "_FIRST_ROWS", 64)
    monkeypatch.setattr(work, "_MOST_ROWS", 64)
    evaluation(desk, ["good", "bad"] * 100, ["positive", "negative"] * 100)
    report, reported = job_runs.report, []

    def withdraw(*arguments, **more):
        report(*arguments, **more)
        if not reported:
            shares.remove(desk.db, ada, "words", "bob")
        reported.append(more["done"])

    monkeypatch.setattr(job_runs, "report", withdraw)
    found = desk.run()
    assert (found.state, found.error.code, found.result) == ("failed", "model_not_found", None)
    assert (reported[-1] < 200) == (seconds == 0.0)


def test_a_model_that_is_gone_fails_the_job(desk):
    """What its account may not see any more, its jobs may not either."""
    evaluation(desk, ["good"], ["positive"])
    found = desk.run()
    assert (found.state, found.error.code) == ("failed", "model_not_found")
