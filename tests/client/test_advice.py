"""Advice as users of the SDK meet it: rows that are read before anything is sent, and what is shown."""

from __future__ import annotations

import json

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import polars as pl
import pytest

from maas_client import _advice_samples, errors
from maas_client._advice import AdviceJob, AppliableAdvice
from maas_client._operations import advice as operations
from maas_client.advice import MeasuredAdvice, progress_of
from maas_client.types import JobReply, TaskSignature

HOSTILE = "<script>alert(1)</script>&\"'"
TEXTS = TaskSignature.model_validate({"inputs": [{"name": "text", "type": "string"}], "outputs": []})
TABLE = TaskSignature.model_validate(
    {"inputs": [{"name": "x", "type": "number"}, {"name": "y", "type": "number"}], "outputs": []}
)


def variant(name, *, p50, memory, pareto=False, **more):
    return {
        "name": name,
        "title": f"the title of {name}",
        "setting": {},
        "p50_ms": p50,
        "p99_ms": 2 * p50,
        "calls": 100,
        "throughput_rows_per_second": 1000 / p50,
        "memory_bytes": memory,
        "load_ms": 12.0,
        "package_bytes": 1000,
        "graph_sha256": "0" * 64,
        "batch_invariant": True,
        "pareto": pareto,
        **more,
    }


def result(**more):
    quality = {
        "measure": "label", "rows": 50, "agreement": 0.98, "largest_shift": 0.1, "mean_shift": 0.01,
        "loss": 0.004, "loss_of": "label",
    }  # fmt: skip
    quick = variant(
        "int8-dynamic", p50=1.5, memory=20_000_000, pareto=True, quality=quality, applicable=True,
        latency={"median": 0.5, "low": 0.4, "high": 0.6, "pairs": 20},
    )  # fmt: skip
    return {
        "model": "reviews",
        "version": 3,
        "digest": f"sha256:{'0' * 64}",
        "task": "text-classification",
        "objective": "latency",
        "max_quality_loss": 0.01,
        "machine": {"cores": 2, "architecture": "x86_64", "devices": ["cpu"], "onnxruntime": "1.32"},
        "sample_rows": 50,
        "rows_run": 4000,
        "seconds": 31.5,
        "variants": [variant("original", p50=3.0, memory=80_000_000), quick],
        "not_measured": [{"name": "fp16", "reason": "there is no CUDA here"}],
        "recommendation": {"variant": "int8-dynamic", "reason": "half the time", "gain": 2.0},
        "warnings": ["the machine was busy"],
        "findings": [
            {"code": "old_opset", "where": ["a"], "count": 1, "why": "it is old", "remedy": "convert it"}
        ],
        **more,
    }


@pytest.fixture
def advice():
    return MeasuredAdvice.model_validate(result())


def job_reply(**more):
    return JobReply.model_validate(
        {
            "id": "job_1",
            "kind": "advise",
            "state": "succeeded",
            "created_at": "2030-01-01T00:00:00Z",
            "expires_at": "2030-01-08T00:00:00Z",
            "revision": 1,
            "attempts": 1,
            "progress": {"done": 1, "total": 1, "unit": "variant"},
            **more,
        }
    )


def test_the_front_and_the_recommendation_are_at_hand(advice):
    assert [each.name for each in advice.pareto] == ["int8-dynamic"]
    assert advice.recommended is advice["int8-dynamic"]
    assert advice.original.name == "original"
    with pytest.raises(KeyError, match="int8-dynamic"):
        advice["fp16"]


def test_leaving_it_as_it_is_is_an_answer():
    left = MeasuredAdvice.model_validate(result(recommendation={"variant": None, "reason": "within noise"}))
    assert left.recommended is None
    assert "\nwithin noise\n" in str(left)


def test_it_is_printed_with_a_table_a_picture_and_what_to_know(advice):
    printed = str(advice)
    assert "use int8-dynamic: half the time" in printed
    assert "int8-dynamic *" in printed
    # On the front in capitals; the quicker and smaller one is at the lower left.
    assert [line for line in printed.splitlines() if line.endswith("│B")]
    assert "old_opset (a): it is old; convert it" in printed
    assert "not measured: fp16: there is no CUDA here" in printed
    assert "warning: the machine was busy" in printed


def test_a_notebook_shows_it_escaped_and_without_scripts():
    told = result(recommendation={"variant": None, "reason": HOSTILE}, warnings=[HOSTILE], model=HOSTILE)
    shown = MeasuredAdvice.model_validate(told)._repr_html_()
    assert "<script" not in shown
    assert "&lt;script&gt;" in shown
    assert shown.count("<svg") == shown.count("</svg>") == 1


def test_without_memory_there_is_a_table_and_no_picture():
    told = result(variants=[variant("original", p50=3.0, memory=None), variant("b", p50=2.0, memory=None)])
    advice = MeasuredAdvice.model_validate(told | {"recommendation": {"reason": "nothing is better"}})
    assert "<svg" not in advice._repr_html_()
    assert "│" not in str(advice)


def test_a_frame_has_a_row_for_each_variant(advice):
    frame = advice.to_frame()
    assert list(frame["name"]) == ["original", "int8-dynamic"]
    assert frame["quality_loss"].iloc[1] == 0.004
    assert frame["latency"].iloc[1] == 0.5


def test_it_is_plotted(advice):
    with mpl.rc_context({"backend": "agg"}):
        axes = advice.plot()
        assert {text.get_text() for text in axes.texts} == {"original", "int8-dynamic"}
        plt.close("all")


@pytest.mark.parametrize("made", [pd.DataFrame, pl.DataFrame])
def test_columns_of_a_frame_are_inputs_and_one_may_be_the_truth(made):
    rows = _advice_samples.read(made({"text": ["a", "b"], "label": ["up", "down"]}), None, "label", TEXTS)
    assert rows.inputs == [{"text": "a"}, {"text": "b"}]
    assert list(rows.targets) == ["up", "down"]


def test_cells_of_a_csv_file_are_numbers_where_the_model_takes_numbers(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("x,y,class\n1,2.5,a\n3,4,b\n", encoding="utf-8")
    rows = _advice_samples.read(file, None, "class", TABLE)
    assert rows.inputs == [{"x": 1.0, "y": 2.5}, {"x": 3.0, "y": 4.0}]
    assert list(rows.targets) == ["a", "b"]


def test_what_is_true_of_a_regression_is_a_number(tmp_path):
    """Though a CSV file holds it as a text."""
    file = tmp_path / "rows.csv"
    file.write_text("x,y,rent\n1,2,900\n", encoding="utf-8")
    outputs = [{"name": "value", "type": "number"}]
    signature = TaskSignature.model_validate({**TABLE.model_dump(), "outputs": outputs})
    assert _advice_samples.read(file, None, "rent", signature).targets == [900.0]
    file.write_text("x,y,rent\n1,2,much\n", encoding="utf-8")
    with pytest.raises(errors.ArgumentError, match=r"line 2 of rows.csv: 'rent' is 'much', expected a num"):
        _advice_samples.read(file, None, "rent", signature)


@pytest.mark.parametrize(
    ("written", "label", "said"),
    [
        ("x,y\n1,two\n", None, r"line 2 of rows.csv: 'y' is 'two', expected a number"),
        ("x\n1\n", None, r"no column 'y', which the model takes; its columns are x"),
        ("x,y\n1,2\n", "class", r"no column 'class', its columns are x, y"),
    ],
)
def test_a_file_that_does_not_fit_is_told_before_anything_is_sent(tmp_path, written, label, said):
    file = tmp_path / "rows.csv"
    file.write_text(written, encoding="utf-8")
    with pytest.raises(errors.ArgumentError, match=said):
        _advice_samples.read(file, None, label, TABLE)


def test_plain_texts_are_the_only_input():
    assert _advice_samples.read(["a"], ["up"], None, TEXTS).inputs == [{"text": "a"}]


@pytest.mark.parametrize(
    ("sample", "targets", "said"),
    [
        (["a", "b"], ["up"], "1 targets for 2 rows"),
        ({"text": "a"}, None, "pass a list"),
        (None, ["up"], "0 rows"),
    ],
)
def test_rows_and_targets_that_do_not_fit_together_are_told(sample, targets, said):
    with pytest.raises(errors.ArgumentError, match=said):
        _advice_samples.read(sample, targets, None, TEXTS)


def ask(**more):
    given = {
        "version": None,
        "objective": "latency",
        "max_quality_loss": 0.0,
        "time_budget": 2.0,
        "budget": 100,
    }
    return operations.advise("reviews", [{"text": "a"}], ["up"], **{**given, "parameters": None, **more})


def test_what_is_asked_goes_out_as_the_contract_has_it():
    asked = ask()
    assert asked.path == "/v1/models/reviews/advice"
    assert json.loads(asked.body) == {
        "objective": "latency", "max_quality_loss": 0.0, "time_budget_seconds": 2.0, "budget": 100,
        "targets": ["up"], "inputs": [{"text": "a"}],
    }  # fmt: skip
    assert ask(version=3).path == "/v1/models/reviews/versions/3/advice"


@pytest.mark.parametrize(
    "option", [{"objective": "speed"}, {"max_quality_loss": 2.0}, {"time_budget": 0.1}, {"budget": 1}]
)
def test_options_out_of_range_are_told_before_anything_is_sent(option):
    with pytest.raises(errors.ArgumentError):
        ask(**option)


def sender(*answers):
    asked, left = [], list(answers)

    def send(operation, **_):
        asked.append(operation)
        return left.pop(0)

    return send, asked


def test_the_result_of_a_job_can_be_applied():
    applied = {
        "model": "reviews", "version": 4, "digest": f"sha256:{'1' * 64}", "is_new": True, "parent": 3,
        "variant": "int8-dynamic",
    }  # fmt: skip
    done = job_reply(id="job_2", kind="apply-advice", result=applied)
    send, asked = sender(done)
    advice = AdviceJob(send, None, job_reply(result=result())).result
    assert isinstance(advice, AppliableAdvice)
    assert advice.apply(notes="quicker").version == 4
    assert asked[0].path == "/v1/jobs/job_1/apply"
    assert json.loads(asked[0].body) == {"notes": "quicker"}


def test_only_what_was_measured_and_can_be_applied_is():
    send, asked = sender()
    advice = AdviceJob(send, None, job_reply(result=result())).result
    with pytest.raises(errors.ArgumentError, match="expected one of int8-dynamic"):
        advice.apply("fp16")
    left = job_reply(result=result(recommendation={"variant": None, "reason": "within noise"}))
    with pytest.raises(
        errors.ArgumentError, match="within noise; to apply one all the same, name its variant"
    ):
        AdviceJob(send, None, left).result.apply()
    assert not asked


def test_what_is_measured_so_far_can_be_watched():
    known = job_reply(state="running", interim={"variants": [variant("original", p50=3.0, memory=1)]})
    assert [each.name for each in AdviceJob(None, None, known).variants] == ["original"]
    with pytest.raises(errors.InvalidReplyError, match="is not that of advice"):
        progress_of(job_reply(state="running", interim={"variants": "?"}))
