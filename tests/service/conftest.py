"""Real servers, started by the command that users type, and the SDK against them."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import warnings
from contextlib import chdir, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import copies
import psutil
import pytest
from argon2.profiles import CHEAPEST
from click.testing import CliRunner

import maas_client
from maas_client import cli as user_cli
from reference_server import cli as server_cli
from reference_server.catalogue import trained
from reference_server.catalogue.table import find
from reference_server.registry import accounts
from reference_server.security.passwords import Passwords
from reference_server.settings import Settings
from reference_server.stores import open_database

SCRIPTS = Path(sys.executable).parent
START_SECONDS = 60
COMMANDS = {"maas": user_cli.main, "maas-server": server_cli.main}
# What the person who runs the tests has configured must not reach what is tested.
FOREIGN = (
    "MAAS_",
    "PIP_",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
)


def environment(folder, **more):
    """Return the environment of a child: no index for pip, caches and profiles of its own, no low limits."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    own = {
        "MAAS_CACHE_DIR": str(folder / "cache"),
        "MAAS_CONFIG_FILE": str(folder / "config.toml"),
        "MAAS_SERVER_LOGINS_PER_MINUTE": "10000",
        "MAAS_SERVER_REGISTRATIONS_PER_MINUTE": "10000",
        "MAAS_SERVER_LANES": "2",
        # No balancer looks here for a second before the port closes; tests of the drain say how long.
        "MAAS_SERVER_GRACE_SECONDS": "0",
        # Tests of jobs start one; for all others it would only take a share of the cores.
        "MAAS_SERVER_JOB_PROCESSES": "0",
        "PIP_NO_INDEX": "1",
        "PIP_CONFIG_FILE": os.devnull,
        "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",
    }
    return {**kept, **own, **more}


def is_member(process, supervisor):
    """Tell whether a process is a worker or one for jobs: on Linux, a child of the supervisor's child."""
    with suppress(psutil.NoSuchProcess):
        if sys.platform == "linux":
            return psutil.Process(process.ppid()).ppid() == supervisor
        return "spawn_main" in " ".join(process.cmdline())
    return False


@dataclass
class Running:
    """A server that somebody started."""

    process: subprocess.Popen
    folder: Path
    ready: dict
    environment: dict

    @property
    def url(self):
        return self.ready["url"]

    def family(self):
        """Return every process below the supervisor, as they are now."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def workers(self):
        """Return the processes that answer requests, as they are now."""
        usual = psutil.Process(self.process.pid).nice()
        return [each for each in self._members() if each.nice() == usual]

    def job_processes(self):
        """Return the processes that take jobs: those that stand back."""
        usual = psutil.Process(self.process.pid).nice()
        return [each for each in self._members() if each.nice() > usual]

    def _members(self):
        # Beside them there are what forks them, what cleans up after them, and trials of packages.
        return [each for each in self.family() if is_member(each, self.process.pid)]

    def output(self):
        return (self.folder / "out.txt").read_text(encoding="utf-8")

    def client(self, **options):
        """Return a client with the credential that is given, or none."""
        return maas_client.Client(**{"base_url": self.url, "api_key": None, **options})

    def account(self, name):
        """Return a client that is logged in as a new account.

        It is made as an operator makes one, with a hash that takes no time, neither now nor at the log-in.
        """
        client = self.client()
        password = secrets.token_urlsafe(16)
        email = f"{name}-{secrets.token_hex(4)}@example.com"
        url = self.environment.get("MAAS_SERVER_DATABASE_URL")
        settings = Settings(data_dir=self.folder / "data", database_url=url)
        database = open_database(settings)
        accounts.create(
            database,
            email=email,
            password_hash=Passwords(cost=CHEAPEST).hash(password),
            name=None,
            role="user",
            policy_version=settings.policy_version,
        )
        database.dispose()
        client.login(email=email, password=password)
        return client

    def run(self, *command, text=None, **more):
        """Run a command as a user of this server would: `maas` and `maas-server` in this process.

        To start one takes a second of processor time. The README's tests start each as a shell does.
        """
        words = [str(part) for part in command]
        variables = {**self.environment, "MAAS_BASE_URL": self.url, **more}
        if words[0] in COMMANDS:
            return self._run_here(words, text, variables)
        return subprocess.run(
            words,
            env=variables,
            input=text,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=100,
            check=False,
            cwd=self.folder,
        )

    def _run_here(self, words, text, variables):
        foreign = {name: None for name in os.environ if name.startswith(FOREIGN)}
        with warnings.catch_warnings(), chdir(self.folder):
            warnings.simplefilter("default")
            done = CliRunner().invoke(
                COMMANDS[words[0]],
                words[1:],
                input=text,
                env={**foreign, **variables},
                prog_name=words[0],
            )
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)

    def stop(self):
        """End it as an operator does, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


def launch(folder, *options, before=None, **more):
    """Start `maas-server serve`, its output in out.txt; the caller waits and ends it.

    `before` is called in the new process: it may take away what the server will not have.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [SCRIPTS / "maas-server", "serve", "--port", "0", "--data-dir", folder / "data"]
    variables = environment(folder, **more)
    with (folder / "out.txt").open("wb") as output:
        process = subprocess.Popen(
            [*command, "--ready-file", folder / "ready.json", *options],
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=before,  # noqa: PLW1509 - no thread of these tests holds a lock that it needs
        )
    return process, variables


def launch_copy(folder, *options, **more):
    """Start a server as `launch` does, quicker by all that it has to load."""
    folder.mkdir(parents=True, exist_ok=True)
    variables = environment(folder, **more)
    command = ["serve", "--port", "0", "--data-dir", folder / "data", "--ready-file", folder / "ready.json"]
    return copies.start([*command, *options], variables, folder / "out.txt"), variables


@contextmanager
def serving(folder, *options, how=launch_copy if copies.CAN_FORK else launch, **more):
    """Run a server until the end of the block; nothing of it is left then."""
    process, variables = how(folder, *options, **more)
    running = Running(process, folder, {}, variables)
    family = []
    try:
        until = time.monotonic() + START_SECONDS
        while not (folder / "ready.json").exists():
            assert process.poll() is None, running.output()
            assert time.monotonic() < until, running.output()
            time.sleep(0.02)
        running.ready = json.loads((folder / "ready.json").read_text())
        family = running.family()
        yield running
    finally:
        if process.poll() is None:
            family = running.family()
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
        _, alive = psutil.wait_procs(family, timeout=10)
        for left in alive:
            left.kill()
        if process.poll() is None:
            process.kill()
            process.wait()
        assert not alive, "the server left processes behind"


@pytest.fixture
def owner(running):
    """Return a client that is logged in as a new account of the module's server."""
    with running.account("owner") as client:
        yield client


@pytest.fixture
def another(package_writer, text_graph):
    """Return a maker of packages of other content each time."""
    count = itertools.count()
    return lambda **options: package_writer(text_graph(), example=f"good day {next(count)}", **options)


@pytest.fixture
def three_versions(owner, another):
    """Return what publishes three versions of the model `words`, the last with labels of its own."""

    def publish(*last_labels):
        for number in (1, 2, 3):
            labels = ("negative", "positive") if number < 3 else last_labels
            owner.models.publish(another(labels=labels), name="words", notes=f"Note {number}.")
        return owner.model("words")

    return publish


@pytest.fixture
def serve(tmp_path):
    """Return `serving`, in a folder of the test's own."""
    return lambda *options, **more: serving(tmp_path / "server", *options, **more)


@pytest.fixture
def serve_anew(tmp_path):
    """Return what runs `maas-server serve` itself, in a folder of the test's own."""
    return lambda *options, **more: serving(tmp_path / "server", *options, how=launch, **more)


@pytest.fixture(name="serving", scope="session")
def serving_function():
    """Return `serving`, for tests that share a server."""
    return serving


@pytest.fixture(name="launch")
def launch_server(tmp_path):
    """Return `launch` for servers that are meant not to start; whatever happens, they are ended."""
    processes = []

    def start(*options, **more):
        process, _ = launch(tmp_path / "server", *options, **more)
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """The demo's server, trained on this repository's own sentences because it has no network."""
    folder = tmp_path_factory.mktemp("demo")
    with serving(folder, "--demo", how=launch, MAAS_SERVER_JOB_PROCESSES="1") as running:
        yield running


class _Installed:
    """What scikit-learn carries, from where it is installed: the same data as in the wheel that is pinned."""

    def read(self, distribution, member):
        (package,) = find_spec("sklearn").submodule_search_locations
        return (Path(package).parent / member).read_bytes()


@pytest.fixture(scope="session")
def listed(demo, tmp_path_factory, embedding_package):
    """The demo's server with `iris`, `diabetes`, `digits` and `minilm`, which need no network here.

    The first three are trained as `maas-server models add` does; `minilm` is a small encoder.
    """
    folder = tmp_path_factory.mktemp("listed")
    with demo.client(api_key=demo.ready["api_key"]) as client:
        for name in ("iris", "diabetes", "digits"):
            package = folder / name
            package.mkdir()
            for file, content in getattr(trained, name)(find(name), _Installed()).items():
                (package / file).write_bytes(content)
            client.models.publish(package, name=name)
        client.models.publish(embedding_package, name="minilm")
    return demo


@pytest.fixture
def ada(demo):
    """A client that is logged in as a new account of the demo's server."""
    with demo.account("ada") as client:
        yield client
