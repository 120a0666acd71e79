"""Sends the same request over and over on many connections, by `wrk` where it is installed.

The bundled generator is asyncio on raw sockets in a process of its own; it costs about three times what `wrk`
does, so figures of the one do not compare with those of the other.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

HAS_WRK = shutil.which("wrk") is not None


@dataclass(frozen=True)
class Call:
    """One request; several paths are called in turn."""

    url: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    paths: tuple[str, ...] = ()

    @property
    def urls(self) -> list[str]:
        """Every address that is called."""
        parts = urlsplit(self.url)
        return [urlunsplit(parts._replace(path=path)) for path in self.paths] or [self.url]


@dataclass(frozen=True)
class Outcome:
    """What a round gave: answers per second, their failures, and times of one in milliseconds."""

    rate: float
    failures: int
    median_ms: float
    p99_ms: float = 0.0


def fire(call: Call, *, connections: int, seconds: int) -> Outcome:
    """Send a request for some seconds on some connections."""
    return _by_wrk(call, connections, seconds) if HAS_WRK else _by_ourselves(call, connections, seconds)


def _by_wrk(call: Call, connections: int, seconds: int) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        body = Path(folder) / "body"
        body.write_bytes(call.body)
        headers = "\n".join(
            f"wrk.headers[{json.dumps(k)}] = {json.dumps(v)}" for k, v in call.headers.items()
        )
        script = Path(folder) / "script.lua"
        paths = "{" + ", ".join(json.dumps(path) for path in call.paths) + "}"
        script.write_text(
            f"""wrk.method = "POST"
{headers}
local file = io.open({json.dumps(str(body))}, "rb")
wrk.body = file:read("*a")
local paths, made, at = {paths}, {{}}, 0
init = function()
  for each, path in ipairs(paths) do made[each] = wrk.format(nil, path) end
  if #made == 0 then made[1] = wrk.format() end
end
request = function()
  at = at % #made + 1
  return made[at]
end
done = function(summary, latency)
  io.write(string.format("RESULT %d %d %d %f %f", summary.requests, summary.duration,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
""",
            encoding="utf-8",
        )
        command = [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{seconds}s",
            "--timeout",
            "10s",
            "-s",
            str(script),
            call.url,
        ]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"RESULT (\d+) (\d+) (\d+) ([\d.]+) ([\d.]+)", output)
    if found is None:
        raise RuntimeError(f"wrk gave no result: {output}")
    requests, microseconds, failures, median, p99 = (float(each) for each in found.groups())
    return Outcome(requests / microseconds * 1e6, int(failures), median / 1000, p99 / 1000)


def _by_ourselves(call: Call, connections: int, seconds: int) -> Outcome:
    request = {
        "url": call.url,
        "headers": call.headers,
        "paths": call.paths,
        "connections": connections,
        "seconds": seconds,
    }
    process = subprocess.run(
        [sys.executable, __file__, json.dumps(request)], input=call.body, capture_output=True, check=True
    )
    return Outcome(**json.loads(process.stdout))


async def _loop(host: str, port: int, requests: list[bytes], until: float, times: list[float]) -> int:
    reader, writer = await asyncio.open_connection(host, port)
    failures, turn = 0, 0
    while time.perf_counter() < until:
        started = time.perf_counter()
        writer.write(requests[turn % len(requests)])
        turn += 1
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        await reader.readexactly(int(length[1]) if length else 0)
        failures += head[9:12] != b"200"
        times.append(time.perf_counter() - started)
    writer.close()
    return failures


async def _main(options: dict, body: bytes) -> Outcome:  # type: ignore[type-arg]
    parts = urlsplit(options["url"])
    given = {**options["headers"], "Content-Length": len(body)}
    headers = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    requests = [
        b"".join([f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n{headers}\r\n".encode(), body])
        for path in options["paths"] or [parts.path]
    ]
    times: list[float] = []
    started = time.perf_counter()
    loops = [
        _loop(str(parts.hostname), int(parts.port or 80), requests, started + options["seconds"], times)
        for _ in range(options["connections"])
    ]
    failures = sum(await asyncio.gather(*loops))
    times.sort()
    median, p99 = (times[round(share * (len(times) - 1))] * 1000 for share in (0.5, 0.99))
    return Outcome(len(times) / (time.perf_counter() - started), failures, median, p99)


if __name__ == "__main__":
    outcome = asyncio.run(_main(json.loads(sys.argv[1]), sys.stdin.buffer.read()))
    print(json.dumps(outcome.__dict__))
