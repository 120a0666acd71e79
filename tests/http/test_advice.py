"""Advice over HTTP; the job process is played by the test, which runs what was queued."""

from __future__ import annotations

import io
import json
from datetime import timedelta

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from maas_client._package import open_package
from maas_client.types import Advice, StaticAdvice
from reference_server.advice import applying, measuring
from reference_server.advice.making import make_here
from reference_server.housekeeping import Housekeeping
from reference_server.jobs import running
from reference_server.jobs.context import Services
from reference_server.registry import job_runs, jobs
from reference_server.registry.tables import VersionRow

COLUMNS = [f"c{number}" for number in range(20)]
PATH = "/v1/models/table/advice"
QUICK = {"time_budget_seconds": 1, "budget": 20_000}


def table_graph(*, opset=17, hidden=64, batch="batch"):
    """Return a classifier of columns with one hidden layer, whose weights are worth being made smaller."""
    random = np.random.default_rng(0)
    weights = {
        "first": random.normal(size=(len(COLUMNS), hidden)).astype(np.float32),
        "second": random.normal(size=(hidden, 3)).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["sums"]),
        helper.make_node("Relu", ["sums"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "second"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "table",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, len(COLUMNS)])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, 3])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def rows(count, seed=0):
    """Return rows of the columns."""
    values = np.random.default_rng(seed).normal(size=(count, len(COLUMNS)))
    return [dict(zip(COLUMNS, map(float, row), strict=True)) for row in values]


@pytest.fixture(scope="module")
def office(make_server, tmp_path_factory):
    """A server with jobs, and `ada`, who owns the public classifier `table`."""
    from tests.conftest import write_package

    folder = tmp_path_factory.mktemp("office")
    made = make_server(folder / "data", jobs_per_account=4)
    made.services.has_job_processes, made.kept = True, set()
    made.ada, made.bob = made.register("ada"), made.register("bob")
    made.package = write_package(
        folder / "table",
        table_graph(),
        labels=["a", "b", "c"],
        task="tabular-classification",
        preprocessing={"columns": [{"name": name} for name in COLUMNS]},
        example=rows(1)[0],
    )
    assert made.publish(made.ada, "table", made.package, query="visibility=public").status == 201
    yield made
    made.close()


@pytest.fixture(autouse=True, scope="module")
def _made_here():
    """Make variants in this process: `test_making.py` has others, each of which loads for a second."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (measuring, applying):
            patch.setattr(module, "make", make_here)
        yield


@pytest.fixture(autouse=True)
def _no_jobs_left(office):
    yield
    with office.services.database.write() as session:
        session.query(jobs.JobRow).filter(jobs.JobRow.id.not_in(office.kept)).delete()


def send(office, method, path, body=None, headers=None, **options):
    content = b"" if body is None else json.dumps(body).encode()
    given = {"content-type": "application/json", **(headers or office.ada)}
    return office.through_flask(method, path, headers=given, body=content, **options)


def run_next(office, **kept):
    """Do what a job process does once."""
    services = office.services
    own = Services(services.settings, services.database, services.artifacts, services.pool)
    claim = job_runs.claim(services.database, "test", lease=timedelta(seconds=10))
    running.run(claim, own, stopping=lambda: False, **kept)
    return claim.job_id


def done(office, answer, headers=None):
    assert answer.status == 202, answer.json
    run_next(office)
    return send(office, "GET", answer.headers["location"], headers=headers).json


@pytest.fixture(scope="module")
def advised(office):
    """One advice of `table` on forty rows, as it came over the wire, and its job."""
    job = done(office, send(office, "POST", PATH, {**QUICK, "inputs": rows(40)}))
    assert job["state"] == "succeeded", job["error"]
    office.kept.add(job["id"])
    return job


@pytest.fixture(scope="module")
def bobs(office):
    """An advice on the same model that somebody else asked for, who may use it."""
    path = "/v1/models/ada~table/advice"
    job = done(office, send(office, "POST", path, QUICK, headers=office.bob), headers=office.bob)
    assert job["state"] == "succeeded", job["error"]
    office.kept.add(job["id"])
    return job


def test_it_measures_every_setting_beside_the_original(advised):
    """With times, memory, quality and the front; what cannot be measured here says why."""
    advice = Advice.model_validate(advised["result"])
    names = {each.name for each in advice.variants}
    assert {"original", "int8-weights", "int8-blocks", "int8-dynamic", "optimization-disabled"} <= names
    assert {"cuda", "fp16"} <= {each.name for each in advice.not_measured}
    assert advice.variants[0].name == "original"
    for variant in advice.variants[1:]:
        assert variant.latency.pairs == variant.calls > 0
        assert variant.latency.low <= variant.latency.median <= variant.latency.high
        assert 0 < variant.p50_ms <= variant.p99_ms
        assert variant.throughput_rows_per_second > 0
        assert (variant.quality is None) == (variant.setting.weights == "original")
    assert any(each.pareto for each in advice.variants)
    assert advice["int8-weights"].package_bytes < advice["original"].package_bytes / 1.5
    assert advice["int8-dynamic"].batch_invariant is False
    assert 0.9 <= advice["int8-weights"].quality.agreement <= 1
    assert not advice["optimization-basic"].applicable
    assert advice.rows_run <= QUICK["budget"]
    assert {each.hardware for each in advice.hardware} == {"cores", "gpu"}


def test_it_tells_what_it_has_while_it_measures(advised):
    """The interim holds each variant that is done."""
    told = [each["name"] for each in advised["interim"]["variants"]]
    assert told[0] == "original"
    assert "int8-weights" in told


def test_without_a_sample_no_change_of_weights_is_recommended(office):
    """Of one example nobody knows what it costs."""
    result = done(office, send(office, "POST", PATH, {**QUICK, "objective": "throughput"}))["result"]
    assert result["sample_rows"] == 1
    assert any("no sample" in each for each in result["warnings"])
    assert not str(result["recommendation"]["variant"]).startswith(("int8", "fp16"))


def test_a_small_budget_leaves_out_what_it_does_not_reach(office):
    """It is no failure: what was not measured is told, with what to do about it."""
    job = done(office, send(office, "POST", PATH, {"time_budget_seconds": 1, "budget": 100}))
    assert job["state"] == "succeeded", job["error"]
    result = job["result"]
    assert result["variants"][0]["name"] == "original"
    assert any("ask for a larger one" in each["reason"] for each in result["not_measured"])
    assert result["rows_run"] <= 100


def test_targets_make_the_loss_one_of_the_metric(office):
    """With the difference and its interval, of the same rows for both."""
    labels = send(office, "POST", "/v1/models/table/predict", {"instances": rows(40)}).json["predictions"]
    body = {**QUICK, "inputs": rows(40), "targets": [each["label"] for each in labels]}
    advice = Advice.model_validate(done(office, send(office, "POST", PATH, body))["result"])
    quality = advice["int8-dynamic"].quality
    assert quality.loss_of == "accuracy"
    accuracy = next(each for each in quality.metrics if each.name == "accuracy")
    assert accuracy.original == 1
    assert accuracy.variant == quality.agreement
    assert quality.loss == pytest.approx(1 - quality.agreement)
    entropy = next(each for each in quality.metrics if each.name == "cross_entropy")
    assert entropy.interval[0] <= entropy.difference <= entropy.interval[1]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"inputs": rows(3), "targets": ["a"]}, 422, "wrong_length"),
        ({"inputs": rows(30), "budget": 100}, 422, "budget_too_small"),
        ({"objective": "beauty"}, 422, None),
        ({"budget": 1}, 422, None),
        ({"samples": []}, 422, None),
    ],
)
def test_what_cannot_be_measured_is_refused_at_once(office, body, status, code):
    """Before there is a job."""
    answer = send(office, "POST", PATH, body)
    assert answer.status == status, answer.json
    assert code is None or answer.json["error"]["code"] == code
    found = send(office, "GET", "/v1/jobs").json["data"]
    assert {each["id"] for each in found} <= office.kept


def test_a_sample_that_does_not_fit_fails_the_job_by_its_row(office):
    """As its sender named it."""
    job = done(office, send(office, "POST", PATH, {**QUICK, "inputs": [*rows(2), {"c0": 1}]}))
    assert (job["state"], job["error"]["code"]) == ("failed", "missing_input")
    assert "inputs[2]" in job["error"]["message"]


def test_it_takes_both_scopes(office):
    """To make jobs, and to run models."""
    for scopes, status in ((["jobs"], 403), (["predict"], 403), (["jobs", "predict"], 202)):
        made = office.post("/v1/keys", {"name": "k", "scopes": scopes}, headers=office.ada).json
        held = {"authorization": f"Bearer {made['secret']}"}
        answer = send(office, "POST", PATH, QUICK, headers=held)
        assert answer.status == status, answer.json


def test_one_version_is_measured_by_its_number(office):
    """Or by an alias; the job names it."""
    answer = send(office, "POST", "/v1/models/table/versions/1/advice", QUICK)
    assert (answer.status, answer.json["kind"], answer.json["version"]) == (202, "advise", 1)
    assert answer.headers["location"] == f"/v1/jobs/{answer.json['id']}"


def test_a_cancelled_advice_stops_and_gives_its_rows_back(office):
    """Between two runs; what it ran is spent."""
    job = send(office, "POST", PATH, QUICK).json["id"]
    ticks = iter(range(10**9))

    def timer():
        if next(ticks) == 50:
            send(office, "POST", f"/v1/jobs/{job}/cancel")
            with office.services.database.read() as session:
                assert session.get(jobs.JobRow, job).cancel_requested
        return next(ticks) / 1000

    services = office.services
    own = Services(services.settings, services.database, services.artifacts, services.pool)
    claim = job_runs.claim(services.database, "test", lease=timedelta(seconds=10))
    context = running.Context(
        claim,
        own,
        lambda: job_runs.verdict(services.database, claim),
        lambda: False,
        timer,
    )
    running._run(context, running.KINDS[claim.kind])
    assert send(office, "GET", f"/v1/jobs/{job}").json["state"] == "cancelled"
    assert 0 < context.spent < QUICK["budget"]


def used(office):
    """Return how many rows were counted."""
    # As happens every second.
    housekeeping = Housekeeping(office.services)
    housekeeping.start()
    housekeeping.stop()
    return sum(each["rows"] for each in send(office, "GET", "/v1/usage").json["data"])


def test_rows_are_usage_and_what_was_not_run_is_given_back(office):
    """The whole budget is taken at first, and the rows that were run are counted in the end."""
    most, before = {"rows_per_day": 30_000}, used(office)
    made = office.post("/v1/keys", {"name": "k", "scopes": ["jobs", "predict"], **most}, headers=office.ada)
    assert made.status == 201, made.json
    held = {"authorization": f"Bearer {made.json['secret']}"}
    first = send(office, "POST", PATH, QUICK, headers=held)
    assert first.headers["x-ratelimit-remaining"] == "10000"
    assert send(office, "POST", PATH, QUICK, headers=held).json["error"]["code"] == "quota_spent"
    ran = done(office, first)["result"]["rows_run"]
    assert used(office) - before == ran
    answer = send(office, "POST", "/v1/models/table/predict", rows(1)[0], headers=held)
    assert int(answer.headers["x-ratelimit-remaining"]) == 30_000 - ran - 1


def apply(office, job, body, headers=None):
    return send(office, "POST", f"/v1/jobs/{job}/apply", body, headers=headers)


def package_of(office, model, version):
    content = send(office, "GET", f"/v1/models/{model}/versions/{version}/package").body
    with open_package(io.BytesIO(content)) as package:
        return package.manifest, package.read("model.onnx")


def test_a_variant_becomes_a_version_that_predicts(office, advised):
    """With its lineage, signed off by nothing but its own digest; `default` stays where it was."""
    job = done(office, apply(office, advised["id"], {"variant": "int8-weights"}))
    assert (job["state"], job["kind"]) == ("succeeded", "apply-advice"), job["error"]
    result = job["result"]
    number = result["version"]
    assert (result["parent"], result["variant"], result["is_new"]) == (1, "int8-weights", True)
    version = send(office, "GET", f"/v1/models/table/versions/{number}").json
    assert (version["origin"], version["parent"]) == ("quantized", 1)
    assert version["notes"] == "derived from 1: weight-only int8"
    assert version["lineage"]["derived_from"] == "derived from 1: weight-only int8"
    assert version["lineage"]["job"] == advised["id"]
    assert version["lineage"]["measured"]["quality"]["rows"] == 40
    assert "default" not in version["aliases"]
    said = send(office, "POST", f"/v1/models/table/versions/{number}/predict", rows(1)[0])
    assert said.status == 200, said.json
    _, graph = package_of(office, "table", number)
    assert "DequantizeLinear" in {node.op_type for node in onnx.load_from_string(graph).graph.node}
    again = done(office, apply(office, advised["id"], {"variant": "int8-weights"}))["result"]
    assert (again["version"], again["is_new"]) == (number, False)


def test_a_setting_becomes_the_serving_options_of_a_version(office, advised):
    """The graph is the same, to the byte."""
    body = {"variant": "batch-32", "notes": "for the night's work"}
    result = done(office, apply(office, advised["id"], body))["result"]
    manifest, graph = package_of(office, "table", result["version"])
    assert (manifest.serving.batching, manifest.serving.max_batch_rows) == (True, 32)
    assert graph == package_of(office, "table", 1)[1]
    version = send(office, "GET", f"/v1/models/table/versions/{result['version']}").json
    assert (version["origin"], version["notes"]) == ("tuned", "for the night's work")


@pytest.mark.parametrize(
    ("variant", "status", "code"),
    [
        ("optimization-basic", 422, "variant_not_applicable"),
        ("original", 422, "variant_not_applicable"),
        ("int1", 422, "unknown_variant"),
    ],
)
def test_what_cannot_be_applied_is_refused(office, advised, variant, status, code):
    """With what can."""
    answer = apply(office, advised["id"], {"variant": variant})
    assert (answer.status, answer.json["error"]["code"]) == (status, code)


def test_another_job_or_one_under_way_is_no_advice(office):
    """There is nothing to apply."""
    under_way = send(office, "POST", PATH, QUICK).json["id"]
    answer = apply(office, under_way, {})
    assert (answer.status, answer.json["error"]["code"]) == (409, "advice_not_ready")
    evaluation = send(
        office,
        "POST",
        "/v1/models/table/evaluate",
        {"inputs": rows(1), "targets": ["a"], "background": True},
    )
    answer = apply(office, evaluation.json["id"], {})
    assert (answer.status, answer.json["error"]["code"]) == (422, "not_advice")


def test_who_may_not_publish_cannot_apply(office, advised, bobs):
    """Measuring is for everybody who may use a model, a new version for its publishers."""
    answer = apply(office, bobs["id"], {"variant": "int8-weights"}, headers=office.bob)
    assert (answer.status, answer.json["error"]["code"]) == (403, "not_owner"), answer.json
    made = office.post("/v1/keys", {"name": "k", "scopes": ["jobs", "predict"]}, headers=office.ada).json
    held = {"authorization": f"Bearer {made['secret']}"}
    answer = apply(office, advised["id"], {"variant": "int8-weights"}, headers=held)
    assert (answer.status, answer.json["error"]["code"]) == (403, "missing_scope")


def test_a_role_that_is_withdrawn_before_the_job_runs_ends_it(office, bobs):
    """The right is looked at when the version is made, too."""
    share = "/v1/models/table/shares/bob"
    assert send(office, "PUT", share, {"role": "publisher"}).status == 200
    answer = apply(office, bobs["id"], {"variant": "int8-blocks"}, headers=office.bob)
    assert answer.status == 202, answer.json
    assert send(office, "DELETE", share).status == 204
    run_next(office)
    ended = send(office, "GET", answer.headers["location"], headers=office.bob).json
    assert (ended["state"], ended["error"]["code"]) == ("failed", "not_owner")


def test_what_does_not_come_out_as_it_was_measured_is_not_published(office, advised, monkeypatch):
    """Software may have changed in between."""
    answer = apply(office, advised["id"], {"variant": "int8-dynamic"})
    monkeypatch.setattr(applying, "make", lambda graph, names: dict.fromkeys(names, graph))
    run_next(office)
    ended = send(office, "GET", answer.headers["location"]).json
    assert (ended["state"], ended["error"]["code"]) == ("failed", "advice_outdated")


def test_a_version_made_of_what_is_withheld_is_withheld(office, advised):
    """Whoever could not download the original cannot download what was made from it."""
    with office.services.database.write() as session:
        row = session.query(VersionRow).filter_by(number=1).one()
        row.withheld_by = ["mod_" + "0" * 32]
    try:
        result = done(office, apply(office, advised["id"], {"variant": "threads-2"}))["result"]
        path = f"/v1/models/table/versions/{result['version']}"
        assert send(office, "GET", path).json["withheld"] is True
        answer = send(office, "GET", f"{path}/package")
        assert (answer.status, answer.json["error"]["code"]) == (403, "not_downloadable")
    finally:
        with office.services.database.write() as session:
            session.query(VersionRow).filter_by(number=1).one().withheld_by = None


def test_both_stand_in_the_audit_log(office, advised):
    """Who asked, who applied, and the version that came of it."""
    job = done(office, apply(office, advised["id"], {"variant": "lanes-1"}))
    asked = send(office, "GET", "/v1/audit", query="act=advice_asked").json["data"]
    applied = send(office, "GET", "/v1/audit", query="act=advice_applied").json["data"]
    published = send(office, "GET", "/v1/audit", query="act=version_published").json["data"]
    assert advised["id"] in {entry["subject"] for entry in asked}
    assert job["id"] in {entry["subject"] for entry in applied}
    assert job["result"]["version"] in {entry["version"] for entry in published}


def test_a_look_tells_names_only_to_those_who_may_download(office, package_writer):
    """How a graph is built is its owner's affair."""
    folder = package_writer(
        table_graph(opset=11, batch=1),
        labels=["a", "b", "c"],
        task="tabular-classification",
        preprocessing={"columns": [{"name": name} for name in COLUMNS]},
        example=rows(1)[0],
    )
    assert office.publish(office.ada, "old", folder, query="visibility=public").status == 201
    path = "/v1/models/ada~old/versions/latest/advice"
    found = StaticAdvice.model_validate(send(office, "GET", path).json)
    assert (found.version, found.opset) == (1, 11)
    by_code = {each.code: each for each in found.findings}
    assert by_code.keys() == {"old_opset", "fixed_batch"}
    assert by_code["fixed_batch"].where == ["x"]
    others = StaticAdvice.model_validate(send(office, "GET", path, headers=office.bob).json)
    assert {each.code for each in others.findings} == by_code.keys()
    assert all(each.where == [] and each.count for each in others.findings)
