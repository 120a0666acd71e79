"""A full disk, a locked database, damaged files, a clock that goes back: what callers are told."""

import json
import sqlite3
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest

from reference_server.housekeeping import ClockWatch
from reference_server.registry import database as database_module
from reference_server.registry import faults

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits of files are POSIX's")


@pytest.fixture(autouse=True)
def _told_anew(monkeypatch):
    """Let each test see its own fault logged."""
    monkeypatch.setattr(faults, "_told", faults._Told())


@pytest.fixture
def served(make_server, tmp_path, text_package, monkeypatch):
    """A server that waits for a locked database no longer than a moment, with the model `words`."""
    monkeypatch.setattr(database_module, "_BUSY_SECONDS", 0.3)
    made = make_server(tmp_path / "data")
    made.ada = made.register("ada")
    assert made.publish(made.ada, "words", text_package).status == 201
    assert predict(made).status == 200
    yield made
    made.close()


def predict(server, path="/v1/models/words/predict"):
    headers = {**server.ada, "content-type": "application/json"}
    return server.through_front("POST", path, headers=headers, body=b'{"text": "good"}')


def make_key(server, name="k"):
    headers = {**server.ada, "content-type": "application/json"}
    body = json.dumps({"name": name, "scopes": ["predict"]}).encode()
    return server.through_front("POST", "/v1/keys", headers=headers, body=body)


def keys(server):
    return {each["name"] for each in server.through_front("GET", "/v1/keys", headers=server.ada).json["data"]}


@contextmanager
def no_file_grows(bytes_):
    """Let no file of this process be written beyond a length, as a quota or a full disk would."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_507_and_loses_nothing(served, token_package, caplog):
    """Rows and packages are refused whole, predictions go on, and what was acknowledged stays."""
    assert make_key(served, "before").status == 201
    stored = sorted((served.services.settings.data_dir / "artifacts").iterdir())
    with no_file_grows(100):
        refused = [make_key(served, "during"), served.publish(served.ada, "words", token_package)]
        answered = predict(served)
    for answer in refused:
        assert answer.status == 507, answer.body
        assert answer.json["error"]["code"] == "storage_full"
        assert int(answer.headers["retry-after"]) > 0
    assert answered.status == 200
    assert "make room" in caplog.text
    assert keys(served) == {"before"}
    assert sorted((served.services.settings.data_dir / "artifacts").iterdir()) == stored
    assert make_key(served, "after").status == 201
    assert served.publish(served.ada, "words", token_package).json["version"] == 2
    assert keys(served) == {"before", "after"}


def test_a_package_that_does_not_fit_leaves_nothing(served, long_zip, caplog):
    """Where only the package is too large for what is left, neither a row nor a piece of it stays."""
    body = long_zip()
    before = sorted((served.services.settings.data_dir / "artifacts").iterdir())
    headers = {"content-type": "application/zip", **served.ada}
    for send in (served.through_front, served.through_flask):
        with no_file_grows(2000):
            answer = send("POST", "/v1/models/large/versions", headers=headers, body=body)
        assert answer.status == 507, answer.body
        assert "nothing of this request was kept" in answer.json["error"]["message"]
    assert sorted((served.services.settings.data_dir / "artifacts").iterdir()) == before
    assert served.through_front("GET", "/v1/models/large", headers=served.ada).status == 404
    assert caplog.text.count("make room") == 1


def test_a_locked_database_delays_writes_alone(served):
    """They are 503 with when to come again; predictions and /healthz are answered meanwhile."""
    lock = sqlite3.connect(served.services.settings.data_dir / "maas.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(24) as callers:
        waiting = [callers.submit(make_key, served, f"k{number}") for number in range(24)]
        served.wait_for(lambda: served.front._others > 8)
        began = time.monotonic()
        assert served.through_front("GET", "/healthz").status == 200
        assert served.through_front("GET", "/v2/health/ready").status == 200
        assert predict(served).status == 200
        quick = time.monotonic() - began
        still = sum(not each.done() for each in waiting)
        answers = [each.result() for each in waiting]
    lock.execute("ROLLBACK")
    lock.close()
    assert still > 8, f"the writes were answered before health was asked for, which took {quick:.2f} s"
    assert {answer.status for answer in answers} == {503}
    assert {answer.json["error"]["code"] for answer in answers} == {"store_busy"}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
    assert make_key(served, "after").status == 201
    assert keys(served) == {"after"}


@pytest.mark.parametrize("damage", ["a bit", "another package", "nothing there", "cut off"])
def test_a_damaged_package_is_503_for_its_version_alone(served, token_package, damage, caplog):
    """The caller learns that the fault is the server's, the log which file it is; other versions go on."""
    folder = served.services.settings.data_dir / "artifacts"
    first = set(folder.iterdir())
    assert served.publish(served.ada, "words", token_package).json["version"] == 2
    (file,) = set(folder.iterdir()) - first
    if damage == "a bit":
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    elif damage == "another package":
        file.write_bytes(first.pop().read_bytes())
    elif damage == "cut off":
        file.write_bytes(file.read_bytes()[:-100])
    else:
        file.unlink()
    answer = predict(served, "/v1/models/words/versions/2/predict")
    assert answer.status == 503, answer.body
    assert answer.json["error"]["code"] == "package_damaged"
    assert answer.headers["x-should-retry"] == "false"
    assert "ada~words version 2" in caplog.text
    assert "doctor" in caplog.text
    assert predict(served, "/v1/models/words/versions/1/predict").status == 200


def test_a_damaged_database_is_told_and_logged(served, caplog):
    """What cannot be read is 503 and no traceback; what is in memory goes on serving."""
    database = served.services.settings.data_dir / "maas.db"
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    served.services.database.dispose()
    content = bytearray(database.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    database.write_bytes(content)
    answer = served.through_front("GET", "/v1/keys", headers=served.ada)
    assert answer.status == 503, answer.body
    assert answer.json["error"]["code"] == "store_damaged"
    assert "restore a backup" in caplog.text
    assert served.through_front("GET", "/healthz").status == 200


def test_a_clock_that_goes_back_loses_nothing(served, token_package):
    """Sessions and keys hold, versions and events keep their order, and new ones come behind."""
    services, clock = served.services, served.services.database.clock
    assert make_key(served, "before").status == 201
    services.database.clock = lambda: clock() - timedelta(hours=3)
    services.authenticate.__init__(services.database, timer=services.timer)
    assert make_key(served, "after").status == 201
    assert keys(served) == {"before", "after"}
    assert served.publish(served.ada, "words", token_package).json["version"] == 2
    assert predict(served).status == 200
    again = served.register("grace")
    assert served.through_front("GET", "/v1/account", headers=again).status == 200
    listed = served.through_front("GET", "/v1/models/words/versions", headers=served.ada).json["data"]
    assert [each["version"] for each in listed] == [2, 1]
    reply = served.through_front("GET", "/v1/models/words/history", headers=served.ada)
    assert [each["seq"] for each in reply.json["data"]] == [3, 2, 1][-len(reply.json["data"]) :]


def test_a_clock_that_goes_back_is_logged(caplog):
    """Once, with by how much; a clock that is slewed gently is nothing to tell."""
    times, timer = iter([100.0, 101.0, 98.5, 99.0, 100.0, 10.0]), iter([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    watch = ClockWatch(clock=lambda: next(times), timer=lambda: next(timer))
    for _ in range(4):
        watch.look()
    assert not caplog.text
    watch.look()
    assert "went back by 91 s" in caplog.text


def test_each_kind_of_fault_is_logged_once_a_minute(caplog):
    """A full disk is not filled with its own complaints."""
    now = [0.0]
    told = faults._Told(lambda: now[0])
    for _ in range(1000):
        told("storage_full", OSError("no room"), "make room")
    assert caplog.text.count("make room") == 1
    now[0] = 61.0
    told("storage_full", OSError("no room"), "make room")
    assert caplog.text.count("make room") == 2
    barrier = threading.Barrier(8)

    def tell():
        barrier.wait(5)
        told("store_damaged", OSError("bad"), "look at the disk")

    threads = [threading.Thread(target=tell) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert caplog.text.count("look at the disk") == 1
