"""What is observed of one SDK: `python probes.py SDK PROBE PORT` prints what was seen as JSON."""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import io
import json
import logging
import os
import pickle
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters import ADAPTERS, KEY, Adapter

if TYPE_CHECKING:
    from collections.abc import Callable

OURS = Path(__file__).with_name("adapters.py").resolve()
BUDGET = 1.0
PATIENCE = 8.0
KEYS = ("idempotency-key", "x-idempotency-key", "x-stainless-idempotency-key")


class Probed:
    """One SDK and the server that plays its API."""

    def __init__(self, adapter: Adapter, port: int) -> None:
        self.adapter = adapter
        self.url = f"http://127.0.0.1:{port}"

    def client(self, how: str, timeout: float | None = 5.0) -> Any:
        return self.adapter.client(f"{self.url}/{how}", timeout)

    def try_call(self, how: str, timeout: float | None = 5.0) -> BaseException | None:
        return attempt(self.adapter.call, self.client(how, timeout))

    def seen(self, how: str) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.url}/_seen") as answer:
            return [each for each in json.load(answer) if each["how"] == how]

    def forget(self) -> None:
        urllib.request.urlopen(f"{self.url}/_forget").close()


def attempt(call: Callable[[Any], Any], client: Any) -> BaseException | None:
    """Make a call and return the error that came out of it."""
    try:
        call(client)
    except BaseException as error:
        return error
    return None


def deadline(probed: Probed, how: str) -> str:
    """Seconds until a call with a budget of one second ends, against a peer that drips."""
    # What is loaded at a first call is no part of a later one.
    attempt(probed.adapter.call, probed.client("ok"))
    client = probed.client(how, BUDGET)
    done = threading.Event()
    started = time.perf_counter()
    thread = threading.Thread(target=lambda: (attempt(probed.adapter.call, client), done.set()), daemon=True)
    thread.start()
    done.wait(PATIENCE)
    spent = time.perf_counter() - started
    return f"{spent:.1f} s" if done.is_set() else f"not cut off after {PATIENCE:.0f} s"


def repeats(probed: Probed, how: str) -> str:
    """How often a failing POST is sent by default, and whether it carries one idempotency key."""
    probed.forget()
    attempt(probed.adapter.change or probed.adapter.call, probed.client(how, None))
    seen = probed.seen(how)
    keys = {each["headers"].get(name) for each in seen for name in KEYS} - {None}
    kept = "one key for all" if len(keys) == 1 and len(seen) > 1 else "keys differ" if keys else "no key"
    return f"{len(seen)} attempts, {kept}" if len(seen) > 1 else "1 attempt"


def later(probed: Probed) -> str:
    """What happens when the server says to come back after the budget."""
    started = time.perf_counter()
    done: list[BaseException | None] = []
    thread = threading.Thread(target=lambda: done.append(probed.try_call("later", 5.0)), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    spent = time.perf_counter() - started
    if not done:
        return f"waits, not back after {PATIENCE:.0f} s"
    wait = getattr(done[0], "retry_after", None)
    told = f", tells {wait:g} s" if isinstance(wait, int | float) else ""
    attempts = len(probed.seen("later"))
    return f"raises after {spent:.1f} s and {attempts} attempt{'s' * (attempts > 1)}{told}"


def failures(probed: Probed) -> dict[str, str]:
    """Which class of error comes out of each failure."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = taken.getsockname()[1]
    found = {}
    for name in ("refused connection", "cut", "text", "shape", "gateway"):
        if name == "refused connection":
            error = Probed(probed.adapter, nobody).try_call("ok", 3.0)
        else:
            error = probed.try_call(name, 3.0)
        found[name] = kind_of(error, probed.adapter.root())
    return found


def kind_of(error: BaseException | None, roots: tuple[type[BaseException], ...]) -> str:
    if error is None:
        return "no error"
    if innermost_file(error) == OURS:
        # The SDK gave something back, and the caller's own line failed on it.
        return "no error; fails where the result is used"
    own = "own" if isinstance(error, roots) else "foreign"
    return f"{own}: {type(error).__module__.partition('.')[0]}.{type(error).__name__}"


def innermost_file(error: BaseException) -> Path | None:
    """Return the file whose line raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return Path(trace.tb_frame.f_code.co_filename).resolve() if trace is not None else None


def errors_travel(probed: Probed) -> dict[str, str]:
    """Whether the error of a refused key survives a pickle and a deep copy."""
    error = probed.try_call("refused")
    found = {}
    for name, act in (("pickle", lambda e: pickle.loads(pickle.dumps(e))), ("deepcopy", copy.deepcopy)):
        try:
            found[name] = "yes" if str(act(error)) == str(error) else "loses its message"
        except Exception as failure:
            found[name] = f"no: {type(failure).__name__}"
    return found


def request_id(probed: Probed) -> str:
    """Whether an error knows the X-Request-Id of the answer."""
    error = probed.try_call("refused")
    if error is None:
        return "no error"
    places = [error, getattr(error, "response", None)]
    named = [getattr(place, "request_id", None) for place in places]
    if "req_seen" in named:
        return "yes, error.request_id"
    headers = getattr(places[1], "headers", None) or getattr(error, "headers", None) or {}
    return "in error.response.headers" if headers.get("x-request-id") == "req_seen" else "no"


def fork(probed: Probed) -> str:
    """Whether a forked child sends over its parent's connection."""
    client = probed.client("ok")
    probed.adapter.call(client)
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            probed.adapter.call(client)
        os._exit(0)
    os.waitpid(child, 0)
    ports = [each["port"] for each in probed.seen("ok")]
    if len(ports) == 1:
        return "the child's call did not arrive"
    return "shares its parent's socket" if len(set(ports)) == 1 else "its own connection"


def threads(probed: Probed) -> str:
    """64 threads with one client, eight calls each: failures, warnings and connections."""
    said = io.StringIO()
    logging.basicConfig(stream=said, level=logging.WARNING)
    client = probed.client("ok", 20.0)
    failed: list[BaseException] = []
    gate = threading.Barrier(64)

    def work() -> None:
        gate.wait()
        for _ in range(8):
            try:
                probed.adapter.call(client)
            except BaseException as error:
                failed.append(error)

    workers = [threading.Thread(target=work) for _ in range(64)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    connections = len({each["port"] for each in probed.seen("ok")})
    discarded = said.getvalue().count("discarding connection")
    told = f"{connections} connections"
    if failed:
        told = f"{len(failed)} of 512 calls failed ({type(failed[0]).__name__}), {told}"
    return f"{told}, {discarded} thrown away with a warning" if discarded else told


def secrets(probed: Probed) -> dict[str, str]:
    """Whether the key stands in clear in the client's repr, its pickle, or a DEBUG log of a call."""
    client = probed.client("ok")
    said = io.StringIO()
    logging.basicConfig(stream=said, level=logging.DEBUG, force=True)
    probed.adapter.call(client)
    found = {
        "repr": "in clear" if KEY in repr(client) else "no",
        "log": "in clear" if KEY in said.getvalue() else "no",
    }
    try:
        found["pickle"] = "in clear" if KEY.encode() in pickle.dumps(client) else "no"
    except Exception as error:
        found["pickle"] = f"cannot be pickled ({type(error).__name__})"
    return found


def redirect(probed: Probed) -> str:
    """Whether the credential goes along to another host."""
    error = probed.try_call("elsewhere")
    arrived = [each for each in probed.seen("ok") if "localhost" in each["headers"].get("host", "")]
    if not arrived:
        return f"not followed ({type(error).__name__})" if error else "not followed"
    sent = any(KEY in value for each in arrived for value in each["headers"].values())
    return "followed, with the key" if sent else "followed, without the key"


def netrc(probed: Probed) -> str:
    """Whether a ~/.netrc entry for the host replaces the key."""
    with tempfile.NamedTemporaryFile("w", suffix=".netrc") as file:
        file.write("machine 127.0.0.1 login netrc-user password netrc-password\n")
        file.flush()
        Path(file.name).chmod(0o600)
        os.environ["NETRC"] = file.name
        probed.adapter.call(probed.client("ok"))
    headers = probed.seen("ok")[-1]["headers"]
    return "no" if any(KEY in value for value in headers.values()) else "yes"


def notebook(probed: Probed) -> str:
    """Whether a result shows as more than text in a notebook."""
    if probed.adapter.module == "maas_client":
        result = probed.client("ok").predict("m", text="a")
    else:
        result = probed.adapter.call(probed.client("ok"))
    return "yes" if hasattr(result, "_repr_html_") else "no"


def package(probed: Probed) -> dict[str, str]:
    """What is in the box: types, a fake for tests, both faces."""
    spec = importlib.util.find_spec(probed.adapter.module)
    home = Path(spec.origin if spec and spec.origin else "").parent
    fake = next(
        (path.stem for path in home.rglob("*.py") if path.stem in ("testing", "fake", "mock", "mocks")), None
    )
    faces = probed.adapter.faces()
    told = faces if isinstance(faces, str) else ""
    if not isinstance(faces, str):
        one, other = ({n for n in dir(face) if not n.startswith("_")} for face in faces)
        told = "same names" if one == other else f"names that differ: {len(one ^ other)}"
    return {
        "py.typed": "yes" if any((place / "py.typed").exists() for place in (home, home.parent)) else "no",
        "fake": fake or "no",
        "faces": told,
    }


def calls(probed: Probed) -> str:
    """CPU of a call on a kept connection over that of requests.Session, medians of interleaved rounds."""
    plain = Probed(ADAPTERS["requests"], int(probed.url.rpartition(":")[2]))
    ways = {each: (each, each.client("ok")) for each in {probed, plain}}
    measured: dict[Probed, list[float]] = {each: [] for each in ways}
    for _ in range(9):
        for each, (which, client) in ways.items():
            started = time.process_time()
            for _ in range(60):
                which.adapter.call(client)
            measured[each].append((time.process_time() - started) / 60)
    own = statistics.median(measured[probed])
    return (
        f"{own * 1e6:.0f} µs, ratio {own / statistics.median(measured[plain]):.2f}"
        if plain in measured
        else ""
    )


def imports(probed: Probed) -> str:
    """CPU milliseconds of the import over bare Python, and the modules that it loads."""
    code = (
        "import sys, resource\n{}\nu = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print(u.ru_utime + u.ru_stime, len(sys.modules))"
    )
    measured: dict[str, list[tuple[float, int]]] = {"pass": [], f"import {probed.adapter.module}": []}
    for _ in range(9):
        for line, values in measured.items():
            said = subprocess.check_output([sys.executable, "-c", code.format(line)], text=True).split()
            values.append((float(said[0]), int(said[1])))
    bare, own = (statistics.median(v[0] for v in values) for values in measured.values())
    modules = measured[f"import {probed.adapter.module}"][0][1] - measured["pass"][0][1]
    return f"{(own - bare) * 1000:.0f} ms, {modules} modules"


PROBES: dict[str, Callable[[Probed], Any]] = {
    "deadline, body": lambda probed: deadline(probed, "body"),
    "deadline, headers": lambda probed: deadline(probed, "headers"),
    "repeats, dropped": lambda probed: repeats(probed, "dropped"),
    "repeats, 503": lambda probed: repeats(probed, "busy"),
    "later": later,
    "failures": failures,
    "errors travel": errors_travel,
    "request id": request_id,
    "fork": fork,
    "threads": threads,
    "secrets": secrets,
    "redirect": redirect,
    "netrc": netrc,
    "notebook": notebook,
    "package": package,
    "imports": imports,
    "calls": calls,
}


def main() -> None:
    """Run one probe and print what was seen."""
    sdk, probe, port = sys.argv[1:]
    warnings.simplefilter("ignore")
    seen = PROBES[probe](Probed(ADAPTERS[sdk], int(port)))
    sys.stdout.write("\n" + json.dumps(seen) + "\n")
    sys.stdout.flush()
    os._exit(0)  # threads that hang are part of what was looked for


if __name__ == "__main__":
    main()
