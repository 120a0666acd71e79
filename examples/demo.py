"""The four steps against a server of its own: register and log in, choose, call, read the result."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import maas_client

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL = "text_classification_model"
EXAMPLES = Path(__file__).parent


def main() -> None:
    """Start a server, walk the four steps, stop it."""
    print(
        "Starting a server with the embedded store (the first start trains its demo models) ...", flush=True
    )
    with running_server() as base_url:
        print(f"It answers at {base_url}; its API is described at {base_url}/docs")
        api_key = register_and_log_in(base_url)
        client = maas_client.Client(api_key=api_key, base_url=base_url)
        choose_a_model(client)
        call_it(client)
        call_it_without_the_sdk(api_key, base_url)
        list_versions(client)
    print("\nDone. `maas-server serve --demo` keeps such a server up.")


@contextmanager
def running_server() -> Iterator[str]:
    """Run `maas-server serve --demo` on a free port and give its URL once it answers."""
    with tempfile.TemporaryDirectory() as folder:
        ready_file = Path(folder, "ready.json")
        command = [Path(sys.executable).parent / "maas-server", "serve", "--demo", "--port", "0"]
        options = ["--data-dir", Path(folder, "data"), "--ready-file", ready_file, "--log-level", "warning"]
        server = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL)
        try:
            while not ready_file.exists():
                if server.poll() is not None:
                    sys.exit(f"the server stopped with exit code {server.returncode}")
                time.sleep(0.05)
            yield json.loads(ready_file.read_text())["url"]
        finally:
            server.terminate()
            server.wait()


def register_and_log_in(base_url: str) -> str:
    """Make an account, log in, and return the secret of a new API key."""
    step(1, "Register and log in")
    email, password = "ada@example.com", secrets.token_urlsafe(16)
    with maas_client.Client(base_url=base_url, api_key=None) as client:
        account = client.register(email=email, password=password, accept_policy=True)
        print(f"registered {account.email} as {account.name}")
        session = client.login(email=email, password=password)
        print(f"logged in until {session.expires_at:%Y-%m-%d %H:%M} UTC")
        key = client.keys.create("demo", scopes=["models:read", "predict"])
    print(f"made the API key {key.prefix}...{key.last4} for {' and '.join(key.scopes)}")
    return key.secret.get_secret_value()


def choose_a_model(client: maas_client.Client) -> None:
    """List the catalogue and show what is known of one model."""
    step(2, "Choose a model")
    for model in client.models.list():
        print(f"{model.id}  [{model.task}]  by {model.owned_by}")
    model = client.models.get(MODEL)
    print(f"  {model.description}")
    print(f"  intended use: {model.intended_use}")
    print(f"  labels: {', '.join(model.labels)}")
    for metric in model.metrics:
        print(f"  {metric.name} {metric.value:.3f} on {metric.rows:,} held-out rows of {metric.dataset}")


def call_it(client: maas_client.Client) -> None:
    """Predict through the SDK."""
    step(3, "Call it, read the result: with the SDK")
    for text in ("This is a sample text for classification.", "I love it!", "The plot is thin and dull."):
        result = client.predict(MODEL, text=text)
        print(f"{result.label:<9} {result.score:.3f}  {text}")
    print(f"by version {result.version} on {result.device} in {result.timing.compute_ms:.2f} ms")


def call_it_without_the_sdk(api_key: str, base_url: str) -> None:
    """Predict through a plain HTTP call."""
    step(4, "The same with nothing but `requests` (examples/quickstart_requests.py)")
    environment = {**os.environ, "MAAS_API_KEY": api_key, "MAAS_BASE_URL": base_url}
    script = [sys.executable, EXAMPLES / "quickstart_requests.py"]
    print(subprocess.run(script, env=environment, check=True, capture_output=True, text=True).stdout.strip())


def list_versions(client: maas_client.Client) -> None:
    """Show the model's versions and where its aliases point."""
    step(5, "Versions")
    for version in client.model(MODEL).versions.list():
        aliases = f" ({', '.join(version.aliases)})" if version.aliases else ""
        print(f"version {version.version}{aliases}: {version.notes}")
    change = next(iter(client.model(MODEL).aliases.history("default")))
    before = "" if change.from_version is None else f" from version {change.from_version}"
    print(f"default went{before} to version {change.to_version}: {change.note}")


def step(number: int, title: str) -> None:
    """Print a heading."""
    print(f"\n{number}. {title}\n{'-' * 72}", flush=True)


if __name__ == "__main__":
    main()
