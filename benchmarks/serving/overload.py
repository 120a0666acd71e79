"""Send twice what the server can do, and see that it goes on doing what it can.

    python benchmarks/serving/overload.py [--seconds 60] [--factor 2] [--model encoder] [--out build/bench]

First its peak is measured, by callers that wait for their answers. Then calls come at twice that rate,
whether or not those before were answered, as from a crowd of clients that know nothing of each other. Beside
them /healthz is asked ten times a second, and the memory of all its processes is looked at. Goodput is what
was answered with 200; everything else must be a 503 or a 429 with `Retry-After`. All figures are of one run
on one machine, which the generator shares: the ratio is what counts. Ends with status 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from collections import Counter, deque
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bench import JSON, about, plain
from contenders import ours, resident_bytes
from graphs import write

import maas_client
from reference_server.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Coroutine

CALLERS = 16
MOST_CONNECTIONS = 4000
HEALTH_SECONDS = 0.1
MEGABYTE = 2**20
SHED = ("503", "429")
# The goals.
LEAST_GOODPUT = 0.9
MOST_HEALTH_SECONDS = 1.0
MOST_GROWTH = 1.25
# Of the time that a call may be expected to wait for: the estimate is one, and a run comes after it.
MOST_WAIT = 1.5


@dataclass
class Tally:
    """What came back.

    Args:
        statuses: How many answers of each status; `lost` for none.
        seconds: How long each 200 took.
        bare: Refusals without Retry-After.
        health: How long each /healthz took; infinite for one that was not answered 200.
        memory: Resident bytes of the server, over time.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    bare: int = 0
    health: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)


class Crowd:
    """Clients of one server, each with a connection that it keeps.

    Args:
        url: The server.
        request: The bytes of one call.
    """

    def __init__(self, url: str, request: bytes) -> None:
        parts = urlsplit(url)
        self._host, self._port = str(parts.hostname), int(parts.port or 80)
        self._request = request
        self._idle: deque[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    async def peak(self, seconds: float) -> float:
        """Return the answers a second when each caller waits for its own."""
        tally, until = Tally(), time.monotonic() + seconds

        async def caller() -> None:
            while time.monotonic() < until:
                await self._call(tally)

        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        if set(tally.statuses) != {"200"}:
            raise RuntimeError(
                f"not every answer was a 200 before there was too much to do: {tally.statuses}"
            )
        return tally.statuses["200"] / seconds

    async def overload(self, rate: float, seconds: float, tally: Tally) -> None:
        """Begin calls at a rate for some seconds, and wait for what was begun."""
        began = time.monotonic()
        for number in range(round(rate * seconds)):
            due = began + number / rate
            if (early := due - time.monotonic()) > 0:
                await asyncio.sleep(early)
            if len(self._tasks) < MOST_CONNECTIONS:
                self._begin(self._call(tally))
            else:
                tally.statuses["lost"] += 1
        await asyncio.gather(*self._tasks)

    async def watch_health(self, tally: Tally) -> None:
        """Ask /healthz over and over, each time on a connection of its own, until cancelled."""
        request = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        while True:
            began = time.monotonic()
            status = "lost"
            with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                async with asyncio.timeout(10):
                    reader, writer = await asyncio.open_connection(self._host, self._port)
                    status, _ = await _exchange(reader, writer, request)
                    writer.close()
            tally.health.append(time.monotonic() - began if status == "200" else float("inf"))
            await asyncio.sleep(HEALTH_SECONDS)

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _call(self, tally: Tally) -> None:
        began = time.monotonic()
        try:
            reader, writer = (
                self._idle.pop() if self._idle else await asyncio.open_connection(self._host, self._port)
            )
            status, head = await _exchange(reader, writer, self._request)
        except (OSError, asyncio.IncompleteReadError):
            tally.statuses["lost"] += 1
            return
        tally.statuses[status] += 1
        if status == "200":
            tally.seconds.append(time.monotonic() - began)
        elif b"retry-after:" not in head.lower():
            tally.bare += 1
        self._idle.append((reader, writer))


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> tuple[str, bytes]:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
    await reader.readexactly(int(fields.get(b"content-length", b"0")))
    return head[9:12].decode(), head


async def _watch_memory(pid: int, tally: Tally) -> None:
    while True:
        tally.memory.append(await asyncio.to_thread(resident_bytes, pid))
        await asyncio.sleep(0.5)


async def measure(pid: int, crowd: Crowd, *, factor: float, seconds: float) -> tuple[float, Tally]:
    """Return the peak in answers a second, and what came of so many times as much."""
    tally = Tally()
    await crowd.peak(2)
    peak = await crowd.peak(max(2.0, seconds / 4))
    watchers = [
        asyncio.create_task(crowd.watch_health(tally)),
        asyncio.create_task(_watch_memory(pid, tally)),
    ]
    await crowd.overload(factor * peak, seconds, tally)
    for watcher in watchers:
        watcher.cancel()
    await asyncio.gather(*watchers, return_exceptions=True)
    return peak, tally


def judge(peak: float, tally: Tally, seconds: float) -> dict[str, tuple[float, str, bool]]:
    """Return each figure with its goal and whether it was met."""
    goodput = tally.statuses["200"] / seconds / peak
    refused = sum(tally.statuses[status] for status in SHED)
    others = sum(tally.statuses.values()) - tally.statuses["200"] - refused
    # What is loaded and buffered in the first fifth is needed to work at all.
    settled = max(tally.memory[: max(1, len(tally.memory) // 5)])
    growth = max(tally.memory) / settled
    patience = MOST_WAIT * Settings().queue_seconds
    late, health = _share(tally.seconds, 0.99), _share(tally.health, 0.99)
    return {
        "goodput of the peak": (goodput, f"at least {LEAST_GOODPUT}", goodput >= LEAST_GOODPUT),
        "neither 200 nor 503 or 429": (others, "none", others == 0),
        "refusals without Retry-After": (tally.bare, "none", tally.bare == 0),
        "99th percentile of accepted calls, s": (late, f"at most {patience:g}", late <= patience),
        "99th percentile of /healthz, s": (
            health,
            f"at most {MOST_HEALTH_SECONDS:g}",
            health <= MOST_HEALTH_SECONDS,
        ),
        "memory, of that after a fifth": (growth, f"at most {MOST_GROWTH}", growth <= MOST_GROWTH),
    }


def _share(values: list[float], share: float) -> float:
    return sorted(values)[round(share * (len(values) - 1))] if values else float("inf")


def _request(url: str, key: str, model: str) -> bytes:
    body = plain(model)
    headers = {"Host": urlsplit(url).netloc, "Authorization": f"Bearer {key}", **JSON}
    lines = [
        f"POST /v1/models/{model}/predict HTTP/1.1",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def main() -> None:
    """Measure, write the report, and tell by the exit status whether the goals were met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60, help="of overload")
    parser.add_argument("--factor", type=float, default=2, help="of the peak")
    parser.add_argument("--model", default="encoder", choices=("encoder", "image", "tiny"))
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended before all was measured"))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        pid, url, key = stack.enter_context(ours(folder))
        with maas_client.Client(key, url) as client:
            client.models.publish(write(options.model, folder / options.model), name=options.model)
        crowd = Crowd(url, _request(url, key, options.model))
        peak, tally = asyncio.run(measure(pid, crowd, factor=options.factor, seconds=options.seconds))
    figures = judge(peak, tally, options.seconds)
    rows = [
        f"| {name} | {value:.3g} | {goal} | {'yes' if met else 'no'} |"
        for name, (value, goal, met) in figures.items()
    ]
    told = (
        f"{options.model}: {options.factor:g} times its peak of {peak:.1f} calls/s for "
        f"{options.seconds:g} s; answers {dict(tally.statuses)}; resident memory "
        f"{max(tally.memory) / MEGABYTE:.0f} MB at most"
    )
    lines = [
        told,
        "",
        "| figure | value | goal | met |",
        "|---|---|---|---|",
        *rows,
        "",
        *(f"{name}: {value}" for name, value in about().items()),
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "overload.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    print(json.dumps({name: met for name, (_, _, met) in figures.items()}))
    sys.exit(not all(met for _, _, met in figures.values()))


if __name__ == "__main__":
    main()
