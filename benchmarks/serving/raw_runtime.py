"""ONNX Runtime without any server: the most that the cores give, or what one run costs.

python raw_runtime.py NAME ROWS[,ROWS…]: tries every batch size with one session of one thread, one of all
cores, and a session in each of as many threads as there are cores; keeps the best and says which. Then, for
each line of standard input, a number of seconds, it runs that for so long and writes rows per second and the
median milliseconds of a run, as JSON.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import sys
import threading
import time
from dataclasses import dataclass

import graphs
import numpy as np
import onnxruntime as ort

CORES = os.cpu_count() or 1
TRIAL_SECONDS = 0.6
FINALISTS = 3


@dataclass(frozen=True)
class Arrangement:
    """How rows are run: so many sessions side by side, each of so many threads, so many rows at a time."""

    sessions: int
    threads: int
    rows: int

    def __str__(self) -> str:
        together = f"{self.sessions} sessions side by side" if self.sessions > 1 else "1 session"
        return f"{together}, {self.threads} threads each, {self.rows} rows a run"


class Raw:
    """A model's sessions.

    Args:
        name: Which of the benchmark's models.
    """

    def __init__(self, name: str) -> None:
        self._model = graphs.model(name).SerializeToString()
        self._row = graphs.example(name)
        self._sessions: dict[tuple[int, int], ort.InferenceSession] = {}

    def run(self, arrangement: Arrangement, seconds: float) -> tuple[float, float]:
        """Return rows per second and the median seconds of a run."""
        feeds = {name: np.stack([array] * arrangement.rows) for name, array in self._row.items()}
        sessions = [self._session(number, arrangement.threads) for number in range(arrangement.sessions)]
        for session in sessions:
            session.run(None, feeds)
        times: list[float] = []
        started = time.perf_counter()
        runners = [
            threading.Thread(target=_repeat, args=(session, feeds, started + seconds, times))
            for session in sessions
        ]
        for runner in runners:
            runner.start()
        for runner in runners:
            runner.join()
        return len(times) * arrangement.rows / (time.perf_counter() - started), statistics.median(times)

    def best(self, sizes: list[int]) -> Arrangement:
        """Return the arrangement that gives the most rows per second; the first few are tried twice."""
        tried = [
            Arrangement(sessions, threads, rows)
            for (sessions, threads), rows in itertools.product(
                sorted({(1, 1), (1, CORES), (CORES, 1)}), sizes
            )
        ]
        rates = {each: self.run(each, TRIAL_SECONDS)[0] for each in tried}
        finalists = sorted(tried, key=lambda each: -rates[each])[:FINALISTS]
        again = {each: self.run(each, 2 * TRIAL_SECONDS)[0] for each in finalists}
        return max(finalists, key=lambda each: rates[each] + 2 * again[each])

    def _session(self, number: int, threads: int) -> ort.InferenceSession:
        if (number, threads) not in self._sessions:
            options = ort.SessionOptions()
            options.intra_op_num_threads = threads
            self._sessions[number, threads] = ort.InferenceSession(
                self._model, options, providers=["CPUExecutionProvider"]
            )
        return self._sessions[number, threads]


def _repeat(
    session: ort.InferenceSession, feeds: dict[str, graphs.Array], until: float, times: list[float]
) -> None:
    while (started := time.perf_counter()) < until:
        session.run(None, feeds)
        times.append(time.perf_counter() - started)


def main() -> None:
    """Find the best arrangement, then run it as often as asked."""
    raw = Raw(sys.argv[1])
    best = raw.best([int(size) for size in sys.argv[2].split(",")])
    print(json.dumps({"arrangement": str(best)}), flush=True)
    for line in sys.stdin:
        rate, seconds = raw.run(best, float(line))
        print(json.dumps({"rate": rate, "median_ms": seconds * 1000}), flush=True)


if __name__ == "__main__":
    main()
