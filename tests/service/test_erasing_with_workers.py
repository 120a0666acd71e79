"""An erasure with several workers, on SQLite and on a PostgreSQL that the test starts for itself."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import psycopg
import pytest
import requests

import maas_client
from maas_client import errors

pytestmark = pytest.mark.long

PASSWORD = "correct horse battery"
MARK = "Zebra7Quagga"
EMAIL = f"{MARK.lower()}@example.com"
WORKERS = 2
# Each connection is one worker's: enough that both are met.
CONNECTIONS = 12
# PostgreSQL refuses to be run by root, so its files must be reachable by somebody else.
OTHER_USER = {"user": "nobody"} if os.name == "posix" and os.geteuid() == 0 else {}


@pytest.fixture(scope="module")
def postgresql():
    """Return the URL of a PostgreSQL of the test's own."""
    if shutil.which("initdb") is None or shutil.which("postgres") is None:
        pytest.skip("initdb and postgres are not on PATH (Debian's package postgresql)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="maas-postgresql-", dir=tempfile.gettempdir()))
    if OTHER_USER:
        shutil.chown(folder, "nobody")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, **OTHER_USER}
    make = ["initdb", "-D", folder / "db", "-U", "maas", "--auth=trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(make, check=True, **quiet)
    options = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}"]
    server = subprocess.Popen(
        ["postgres", "-D", folder / "db", "-p", str(port), "-c", "fsync=off", *options], **quiet
    )
    try:
        _make_database(port)
        yield f"postgresql+psycopg://maas@127.0.0.1:{port}/maas"
    finally:
        server.terminate()
        server.wait(30)
        shutil.rmtree(folder)


def _make_database(port):
    until = time.monotonic() + 30
    while True:
        try:
            with psycopg.connect(
                f"host=127.0.0.1 port={port} user=maas dbname=postgres", autocommit=True
            ) as made:
                made.execute("CREATE DATABASE maas")
        except psycopg.OperationalError:
            assert time.monotonic() < until
            time.sleep(0.05)
        else:
            return


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request, serve):
    """A server with two workers on either database."""
    chosen = {}
    if request.param == "postgresql":
        chosen["MAAS_SERVER_DATABASE_URL"] = request.getfixturevalue("postgresql")
    with serve("--workers", str(WORKERS), **chosen) as running:
        running.database_url = chosen.get("MAAS_SERVER_DATABASE_URL")
        yield running


def statuses(server, model, token):
    """Return what calls on connections of their own are answered; each connection is one worker's."""
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{server.url}/v1/models/{model}/predict"
    return {
        requests.post(url, headers=headers, json={"text": f"{MARK} good"}, timeout=30).status_code
        for _ in range(CONNECTIONS)
    }


def rows_with(server, text):
    """Return the tables in which a row has a text."""
    with psycopg.connect(server.database_url.replace("+psycopg", "")) as made:
        tables = made.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchall()
        return {
            table
            for (table,) in tables
            if any(text.lower() in repr(row).lower() for row in made.execute(f'SELECT * FROM "{table}"'))  # noqa: S608 - our own tables
        }


def files_with(folder, text):
    """Return the files below a folder that hold a text, in either case."""
    found = (file for file in folder.rglob("*") if file.is_file())
    return {file.name for file in found if text.lower().encode() in file.read_bytes().lower()}


def test_after_an_erasure_no_worker_serves_and_no_row_tells_of_it(server, package_writer, text_graph):
    """Within a second, whoever is asked and under load; the receipt holds and says what is not covered."""
    ada, bob = server.client(), server.account("bob")
    ada.register(email=EMAIL, password=PASSWORD, accept_policy=True)
    ada.login(email=EMAIL, password=PASSWORD)
    ada.models.publish(package_writer(text_graph()), name=MARK, notes=f"{MARK} notes")
    name, token = f"{ada.account.get().name}~{MARK}", bob.keys.create("b", scopes=["predict"])
    ada.model(MARK).shares.put(bob.account.get().name, "reader")
    secret = token.secret.get_secret_value()
    hers = ada.keys.create("hers", scopes=["predict"]).secret.get_secret_value()
    assert statuses(server, name, secret) == statuses(server, name, hers) == {200}

    stop, late = threading.Event(), []

    def call():
        while not stop.is_set():
            sent = time.monotonic()
            late.extend((sent, status) for status in statuses(server, name, secret))

    callers = [threading.Thread(target=call) for _ in range(2)]
    for caller in callers:
        caller.start()
    erasure = ada.account.delete(password=PASSWORD)
    erased = time.monotonic()
    time.sleep(1.5)
    stop.set()
    for caller in callers:
        caller.join()
    assert {status for sent, status in late if sent > erased + 1} == {404}
    assert statuses(server, name, hers) == {401}
    until = time.monotonic() + 20
    while erasure.state != "done":
        assert time.monotonic() < until
        time.sleep(0.1)
        erasure = bob.service.erasure(erasure.id)

    key = requests.get(server.url, timeout=30).json()["receipt_key"]
    statement = maas_client.verify_receipt(erasure.receipt, key=key, name=EMAIL)
    is_postgresql = server.database_url is not None
    assert any("vacuum" in each for each in statement.not_covered) is is_postgresql
    assert files_with(server.folder / "data", MARK) == set()
    assert MARK.lower() not in server.output().lower()
    if is_postgresql:
        assert rows_with(server, MARK) == set()
    with pytest.raises(errors.NotFoundError):
        bob.models.get(name)
    checked = server.run("maas-server", "audit", "verify", "--json", "--data-dir", server.folder / "data")
    assert json.loads(checked.stdout)["whole"], checked.stderr
