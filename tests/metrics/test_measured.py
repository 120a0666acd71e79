import threading

from reference_server import sketches
from reference_server.metrics import Asked, Metrics
from reference_server.metrics.counts import ModelStatistics

KEY = ("ada~words", 1, "cpu")


def answer(statistics, account, *, rows=1, seconds=0.001, shared_rows=1):
    statistics.answered.append((account, rows))
    statistics.succeeded(
        queue=0.0, decode=0.0, compute=seconds, encode=0.0, rows=rows, shared_rows=shared_rows
    )


def test_what_was_counted_is_handed_out_once():
    """Calls, rows and failures by account, durations and runs; then nothing until more is counted."""
    metrics = Metrics([], {})
    statistics = metrics.model(KEY)
    answer(statistics, "acc_a", rows=3, seconds=0.25)
    answer(statistics, "acc_b", rows=2, seconds=0.5, shared_rows=0)
    statistics.failures.append(0.1)
    statistics.failed_for.append("acc_b")
    metrics.publish()
    taken = metrics.take()[KEY]
    assert taken.accounts == {"acc_a": Asked(1, 3, 0), "acc_b": Asked(1, 2, 1)}
    assert taken.total == Asked(2, 5, 1)
    assert taken.latencies == {sketches.bucket_of(0.25): 1, sketches.bucket_of(0.5): 1}
    assert taken.run_seconds == 0.25  # the other call shared a run that is counted elsewhere
    assert metrics.take() == {}


def test_evaluations_are_usage_alone():
    """They say nothing about how long a prediction takes; what is given back holds them too."""
    metrics = Metrics([], {})
    statistics = metrics.model(KEY)
    answer(statistics, "acc_a")
    statistics.evaluated += [("acc_a", 7), ("acc_b", 2)]
    statistics.evaluations_failed_for.append("acc_b")
    metrics.publish()
    taken = metrics.take()
    metrics.give_back(taken)
    taken = metrics.take()[KEY]
    assert (taken.total, sum(taken.latencies.values())) == (Asked(1, 1, 0), 1)
    assert taken.usage == {"acc_a": Asked(2, 8, 0), "acc_b": Asked(1, 2, 1)}


def test_what_could_not_be_stored_comes_again():
    """What is given back is added to what came meanwhile."""
    metrics = Metrics([], {})
    answer(metrics.model(KEY), "acc_a")
    metrics.publish()
    taken = metrics.take()
    answer(metrics.model(KEY), "acc_a", rows=4)
    metrics.give_back(taken)
    metrics.publish()
    assert metrics.take()[KEY].accounts == {"acc_a": Asked(2, 5, 0)}


def test_counts_of_another_worker_are_stored_by_that_worker():
    """What a worker inherits or adds up for a scrape is not stored twice."""
    one, other = ModelStatistics(), ModelStatistics()
    answer(one, "acc_a")
    one.fold()
    other.absorb(one.state(KEY))
    assert other.take() is None


def test_nothing_is_lost_between_threads():
    """Folding and taking at once hand out every call exactly once."""
    statistics, calls = ModelStatistics(), 2000
    for _ in range(calls):
        answer(statistics, "acc_a")
    taken, barrier = [], threading.Barrier(4)

    def work():
        barrier.wait(10)
        for _ in range(50):
            statistics.fold()
            if (measured := statistics.take()) is not None:
                taken.append(measured.total.calls)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sum(taken) == calls
