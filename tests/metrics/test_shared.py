"""Several workers count in one folder, and any of them tells what all counted."""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap

import pytest
from prometheus_client.parser import text_string_to_metric_families

from reference_server.metrics import Gauge, Metrics
from reference_server.runtime.load_counts import LoadCounts
from reference_server.serving import metrics_folder

KEY = ("ada~words", 1, "cpu")


@pytest.fixture
def folder():
    with metrics_folder(2) as made:
        yield made


@pytest.fixture
def worker(folder):
    made = []

    def make(**options):
        gauge = Gauge("maas_models_loaded", "Models in memory.", lambda: len(made))
        made.append(Metrics([gauge], {"version": "1"}, folder=folder, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def predicted(metrics, *, times=1, rows=2, seconds=0.5):
    for _ in range(times):
        metrics.model(KEY).succeeded(
            queue=seconds, decode=seconds, compute=seconds, encode=seconds, rows=rows, shared_rows=rows
        )
        metrics.count_request("POST", "/v1/models/{model}/predict", 200, seconds)


def scraped(metrics):
    """Return the values by name and labels, as Prometheus reads them."""
    text = metrics.exposition("text/plain")[0].decode()
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def rows(metrics):
    return scraped(metrics)[("maas_inference_rows_total", *sorted(map(str, KEY)))]


def test_a_scrape_of_any_worker_tells_of_all(worker):
    """Requests, histograms and rows are sums; what each is now, it tells with its own label."""
    first, second = worker(), worker()
    predicted(first, times=3)
    predicted(second, times=2, rows=5)
    second.publish()
    values = scraped(first)
    assert values["maas_inference_rows_total", "1", "ada~words", "cpu"] == 3 * 2 + 2 * 5
    assert values["maas_request_duration_seconds_count", "/v1/models/{model}/predict", "200", "POST"] == 5
    assert values["maas_inference_duration_seconds_sum", "1", "ada~words", "compute", "cpu"] == 2.5
    assert values["maas_run_rows_bucket", "1", "2", "ada~words", "cpu"] == 3
    assert values["maas_run_rows_bucket", "1", "8", "ada~words", "cpu"] == 5
    assert values["maas_run_rows_sum", "1", "ada~words", "cpu"] == 16
    assert {key for key in values if key[0] == "maas_models_loaded"} == {
        ("maas_models_loaded", "0"),
        ("maas_models_loaded", "1"),
    }
    assert values["process_cpu_seconds_total", "1"] > 0
    assert scraped(second)["maas_inference_rows_total", "1", "ada~words", "cpu"] == 16


def test_what_one_scrape_told_the_next_does_not_take_back(worker):
    """Whichever worker answers it, and though only a second later all is published anyway."""
    first, second = worker(), worker()
    predicted(first)
    assert rows(first) == 2
    predicted(second)
    assert rows(second) == 4


def test_statistics_in_tritons_form_are_sums(worker):
    """Counts, nanoseconds and batches of all workers, and the latest of the times."""
    first, second = worker(), worker()
    predicted(first, times=2, rows=1)
    predicted(second, times=1, rows=4)
    second.model(KEY).failures.append(0.25)
    second.publish()
    told = first.statistics()[KEY].in_triton_form("words", 1)
    assert (told["inference_count"], told["execution_count"]) == (6, 3)
    assert told["inference_stats"]["success"] == {"count": 3, "ns": 6_000_000_000}
    assert told["inference_stats"]["fail"] == {"count": 1, "ns": 250_000_000}
    assert [(each["batch_size"], each["compute_infer"]["count"]) for each in told["batch_stats"]] == [
        (1, 2),
        (4, 1),
    ]
    assert told["last_inference"] > 0


def test_loads_failures_and_evictions_are_sums_too(worker):
    """By model, version and device; a failed load has no device."""
    here, there = LoadCounts(), LoadCounts()
    first, second = worker(loads=here), worker(loads=there)
    for counts in (here, there):
        counts.loaded(KEY[:2], "cpu", 0.5)
        counts.evicted(KEY[:2], "cpu")
    there.failed(("ada~broken", 3))
    second.publish()
    values = scraped(first)
    assert values["maas_model_load_duration_seconds_count", "1", "ada~words", "cpu"] == 2
    assert values["maas_model_load_duration_seconds_sum", "1", "ada~words", "cpu"] == 1
    assert values["maas_model_evictions_total", "1", "ada~words", "cpu"] == 2
    assert values["maas_model_load_failures_total", "3", "ada~broken"] == 1


DIES = """
    import os, signal, sys
    from pathlib import Path
    from reference_server.metrics import Gauge, Metrics

    metrics = Metrics([Gauge("maas_models_loaded", "Models.", lambda: 7)], {}, folder=Path(sys.argv[1]))
    metrics.model(("ada~words", 1, "cpu")).succeeded(
        queue=0, decode=0, compute=0, encode=0, rows=100, shared_rows=100
    )
    metrics.publish()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def die(folder):
    command = [sys.executable, "-c", textwrap.dedent(DIES), str(folder)]
    assert subprocess.run(command, check=False, timeout=60).returncode < 0


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's")
def test_a_killed_workers_counts_stay_and_its_gauges_go(worker, folder):
    """What it had published is counted for ever; what was true of it is no more."""
    first = worker()
    predicted(first)
    die(folder)
    values = scraped(first)
    assert values["maas_inference_rows_total", "1", "ada~words", "cpu"] == 102
    assert ("maas_models_loaded", "1") not in values


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's")
def test_workers_that_die_again_and_again_leave_one_file(worker, folder):
    """Each goes on counting in the slot of the one before it, and nothing is counted twice."""
    first = worker()
    predicted(first)
    for _ in range(3):
        die(folder)
    assert sorted(file.name for file in folder.glob("*.json")) == ["1.json"]
    successor = worker()
    assert rows(first) == rows(successor) == 302


def test_an_ended_worker_leaves_its_counts(worker):
    """It publishes for the last time when it closes, and its slot is free."""
    first, second = worker(), worker()
    predicted(second)
    second.close()
    assert rows(first) == 2
    assert ("maas_models_loaded", "1") not in scraped(first)
    third = worker()
    assert rows(third) == 2
    assert ("maas_models_loaded", "1") in scraped(first)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"bounds": [0.0',
        b"\xff\xfe\x00",
        b"[]",
        b'{"bounds": [1.0, 2.0]}',
        b'{"bounds": [1.0], "more": 1}',
        b'{"bounds": ["0.1"]}',
    ],
)
def test_a_torn_or_foreign_file_does_no_harm(worker, folder, content, caplog):
    """It is left out, and the log says which and why; the worker that takes its slot starts from nothing."""
    first = worker()
    predicted(first)
    (folder / "1.json").write_bytes(content)
    (folder / "notes.json").write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert rows(first) == 2
    assert "notes" not in caplog.text
    second = worker()
    predicted(second)
    assert rows(second) == 4


def test_a_folder_that_is_gone_stops_no_counting(worker, folder, caplog):
    """The worker tells what it counted itself, and the log what is wrong."""
    first = worker()
    predicted(first)
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    assert rows(first) == 2
    assert "other workers do not see" in caplog.text
    folder.mkdir()


def test_one_worker_alone_writes_nothing_and_needs_no_label():
    """There is no folder, and its values have no `worker`."""
    with metrics_folder(1) as folder:
        assert folder is None
    alone = Metrics([Gauge("maas_models_loaded", "Models in memory.", lambda: 2)], {}, folder=None)
    predicted(alone)
    values = scraped(alone)
    assert values["maas_models_loaded",] == 2
    assert values["process_resident_memory_bytes",] > 0
    assert values["maas_inference_rows_total", "1", "ada~words", "cpu"] == 2
    alone.close()


def test_the_folder_is_removed_at_the_end():
    """With everything in it; each run has a new one, for its owner alone."""
    with metrics_folder(3) as folder:
        assert folder.stat().st_mode & 0o077 == 0 or sys.platform == "win32"
        Metrics([], {}, folder=folder).close()
    assert not folder.exists()
