"""Jobs of a real server, followed by the real SDK; the server and its processes are killed under them."""

from __future__ import annotations

import asyncio
import json
import time

import psutil
import pytest

import maas_client
from maas_client import errors

TEXTS = ["a good day", "a bad day", "dull", "fun"]
TARGETS = ["positive", "negative", "positive", "positive"]
# Little enough that the tests of a busy machine end in time, and enough to be told by.
STANDS_BACK = {"MAAS_SERVER_JOB_PROCESSES": "1", "MAAS_SERVER_JOB_NICENESS": "1"}


@pytest.fixture(scope="module")
def office(serving, tmp_path_factory, text_package):
    """A server whose account `ada` has the model `words`."""
    few = {**STANDS_BACK, "MAAS_SERVER_JOB_STREAMS_PER_ACCOUNT": "1"}
    with serving(tmp_path_factory.mktemp("office"), **few) as running, running.account("ada") as client:
        client.models.publish(text_package, name="words")
        key = client.keys.create(
            "k", scopes=["predict", "models:read", "models:write", "jobs"]
        ).secret.get_secret_value()
        running.key = key
        running.words = client.model("words")
        running.jobs = client.jobs
        yield running


def wait_for(condition, seconds=40):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until
        time.sleep(0.02)
    return found


def test_few_rows_are_measured_at_once(office):
    """Plain values where the model has one input; the result is one's to attach."""
    found = office.words.evaluate(TEXTS, TARGETS)
    assert (found["accuracy"], found.rows, found.version) == (0.75, 4, 1)
    office.words.versions.update(1, metrics=found.as_metrics("four sentences"))
    kept = office.words.versions.get(1).measured_metrics
    assert (kept[0].name, kept[0].value, kept[0].interval) == ("accuracy", 0.75, found.metrics[0].interval)


def test_many_rows_go_through_a_job_by_themselves(office):
    """With progress in rows, and the same figures."""
    told = []
    found = office.words.evaluate(TEXTS * 600, TARGETS * 600, progress=lambda *now: told.append(now))
    assert (found["accuracy"], found.rows) == (0.75, 2400)
    assert (2400, 2400) in told
    assert told[-1] in ((2400, 2400), (1000, 1000))
    newest = next(iter(office.jobs.list(kind="evaluate")))
    assert newest.state == "succeeded"


def test_a_job_is_found_again_from_elsewhere(office):
    """By its id, with its result as the type of its kind; then it is erased."""
    made = office.words.evaluate_in_background(TEXTS, TARGETS)
    with office.client(api_key=office.key) as other:
        job = other.jobs.get(made.id)
        assert job.wait(30)["accuracy"] == 0.75
        assert "succeeded" in repr(job)
        assert "succeeded" in job._repr_html_()
        assert [line.text for line in job.log()] == ["begun"]
        job.delete()
        with pytest.raises(errors.NotFoundError):
            other.jobs.get(made.id)


def test_the_asynchronous_face_follows_too(office):
    """Events until the end, several jobs at once; with one stream for all of them the others ask."""

    async def main():
        async with maas_client.AsyncClient(office.key, office.url) as client:
            words = client.model("words")
            jobs = [await words.evaluate_in_background(TEXTS, TARGETS) for _ in range(3)]
            seen = [known.state async for known in jobs[0].events(timeout=30)]
            found = await asyncio.gather(*(job.wait(30) for job in jobs))
            return seen, [each["accuracy"] for each in found]

    seen, accuracies = asyncio.run(main())
    assert seen[-1] == "succeeded"
    assert accuracies == [0.75] * 3


def test_a_wrong_row_is_told_by_its_number(office):
    """At once, or as the job's own message."""
    with pytest.raises(errors.UnprocessableError) as caught:
        office.words.evaluate(TEXTS, [*TARGETS[:3], "perhaps"])
    assert caught.value.param == "targets[3]"
    job = office.words.evaluate_in_background([*TEXTS[:3], {"text": 1}], TARGETS)
    with pytest.raises(errors.JobFailedError) as caught:
        job.wait(30)
    assert "inputs[3].text" in caught.value.message
    assert caught.value.code == "wrong_type"


def test_the_command_line_measures_and_follows(office):
    """`maas evaluate`, `maas jobs`, `maas job`."""
    lines = "".join(
        json.dumps({"text": text, "target": target}) + "\n"
        for text, target in zip(TEXTS, TARGETS, strict=True)
    )
    done = office.run("maas", "evaluate", "words", "--file", "-", text=lines, MAAS_API_KEY=office.key)
    assert "accuracy\t0.75" in done.stdout, done.stderr
    made = office.run(
        "maas", "evaluate", "words", "--file", "-", "--background", text=lines, MAAS_API_KEY=office.key
    )
    job = made.stdout.strip()
    done = office.run("maas", "job", job, "--wait", MAAS_API_KEY=office.key)
    assert "\naccuracy\t0.75\t" in done.stdout, done.stderr
    assert office.run("maas", "job", job, "--log", MAAS_API_KEY=office.key).stdout.endswith("\tbegun\n")
    assert job in office.run("maas", "jobs", "--state", "succeeded", MAAS_API_KEY=office.key).stdout


@pytest.fixture
def slow_package(package_writer, onnx_model):
    """Return a package that takes some milliseconds a row: eight products of matrices."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    size, depth = 256, 8
    weights = numpy_helper.from_array(np.full((size, size), 1 / size, np.float32), "w")
    nodes = [
        helper.make_node("Reshape", ["x", "cube"], ["c"]),
        helper.make_node("Expand", ["c", "wide"], ["h0"]),
    ]
    nodes += [helper.make_node("MatMul", [f"h{at}", "w"], [f"h{at + 1}"]) for at in range(depth)]
    nodes += [
        helper.make_node("ReduceMean", [f"h{depth}"], ["m"], axes=[1, 2], keepdims=0),
        helper.make_node("Reshape", ["m", "flat"], ["y"]),
    ]
    graph = onnx_model(
        nodes,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
        [
            weights,
            numpy_helper.from_array(np.array([1, size, size], np.int64), "wide"),
            numpy_helper.from_array(np.array([-1], np.int64), "flat"),
            numpy_helper.from_array(np.array([-1, 1, 1], np.int64), "cube"),
        ],
    )
    return package_writer(
        graph,
        labels=(),
        task="tabular-regression",
        preprocessing={"columns": [{"name": "x"}]},
        example={"x": 1.0},
    )


@pytest.fixture
def slow(serve, slow_package):
    """A server of the test's own with the model `slow`, and a job on it that takes many seconds."""

    def start(running):
        client = running.account("ada")
        client.models.publish(slow_package, name="slow")
        return client.model("slow").evaluate_in_background([{"x": 1.0}] * 5_000, [1.0] * 5_000), client

    return start


def job_process(running):
    """Return the process that takes jobs."""
    return next(each for each in running.job_processes() if each.is_running())


def is_under_way(job):
    return job.refresh().state == "running" and job.progress.done > 0


@pytest.mark.long
@pytest.mark.timeout(300)  # three servers, one after the other
def test_a_job_outlives_its_processes(serve, slow):
    """SIGTERM, SIGKILL of the server, SIGKILL of the job process: each time it goes on, and never hangs."""
    with serve(**STANDS_BACK) as running:
        job, client = slow(running)
        wait_for(lambda: is_under_way(job))
        key = client.keys.create("k", scopes=["jobs", "predict"]).secret.get_secret_value()
        assert running.stop() == 0
    with serve(**STANDS_BACK) as running, running.client(api_key=key) as client:
        job = client.jobs.get(job.id)
        wait_for(lambda: job.refresh().state == "running")
        family = running.family()
        running.process.kill()
        running.process.wait()
        _, alive = psutil.wait_procs(family, timeout=20)
        assert not alive, "a killed server leaves nothing behind"
        (running.folder / "ready.json").unlink()
    with serve(**STANDS_BACK) as running, running.client(api_key=key) as client:
        job = client.jobs.get(job.id)
        wait_for(lambda: job.refresh().state == "running")
        artifacts = running.folder / "data" / "artifacts"
        wait_for(lambda: [*artifacts.glob("job-checkpoint-*")])
        resumed = len([*job.log()])
        job_process(running).kill()
        assert client.model("slow").predict(x=1.0).value == pytest.approx(1.0)
        wait_for(lambda: any(line.text.startswith("goes on after ") for line in [*job.log()][resumed:]))
        assert job.cancel().reply.cancel_requested
        with pytest.raises(errors.JobCancelledError):
            job.wait(30)
        assert not [*artifacts.glob("job-*")]


def test_rows_that_no_call_takes_are_evaluated(office):
    """More than the server's largest body goes to the job as a stream, and all of it is measured."""
    rows = [{"text": f"I love it, {number}. " + "It was a day. " * 200} for number in range(3200)]
    assert sum(len(row["text"]) for row in rows) > 8 * 2**20
    job = office.words.evaluate_in_background(rows, ["positive"] * len(rows))
    units = {known.progress.unit for known in job.events(timeout=120)}
    assert job.result.rows == len(rows)
    assert (job.attempts, job.error, job.progress.done) == (1, None, len(rows))
    assert units <= {"row", "bootstrap sample"}
    job.delete()
