import threading
from types import SimpleNamespace

from reference_server import housekeeping
from reference_server.errors import Unavailable
from reference_server.housekeeping import Housekeeping


def test_housekeeping_outlives_a_busy_store(server, monkeypatch):
    """A round that the store has no time for is not the last one."""
    monkeypatch.setattr(housekeeping, "_FLUSH_SECONDS", 0.001)
    rounds, second = [], threading.Event()

    def flush():
        rounds.append(None)
        if len(rounds) == 1:
            raise Unavailable("the store is busy with other changes", code="store_busy", retry_after=1.0)
        second.set()

    monkeypatch.setattr(server.services, "authenticate", SimpleNamespace(flush=flush))
    kept = Housekeeping(server.services)
    kept.start()
    assert second.wait(10)
    kept.stop()
