from __future__ import annotations

import gc
import logging
import os
import pickle
import threading
import warnings

import pytest

from maas_client import Client


def test_64_threads_share_one_client(live_server, caplog):
    """No connection is thrown away, and no more are opened than threads run at once."""
    caplog.set_level(logging.WARNING, logger="urllib3")
    live_server.delay = 0.005
    barrier = threading.Barrier(64)
    wrong = []

    def run():
        barrier.wait()
        wrong.extend(1 for _ in range(3) if client.predict("m", text="x").label != "positive")

    with Client("k" * 10, live_server.url, proxies={}) as client:
        threads = [threading.Thread(target=run) for _ in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong
    assert len(live_server.seen) == 192
    assert live_server.connections <= 64
    assert not caplog.records


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_opens_its_own_connection(live_server):
    """Parent and child never send on the same socket."""
    with Client("k" * 10, live_server.url, proxies={}) as client:
        client.predict("m", text="parent")
        with warnings.catch_warnings():
            # Python warns of forking beside threads; the server of this test has some.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            status = 1
            try:
                status = 0 if client.predict("m", text="child").label == "positive" else 2
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        client.predict("m", text="parent again")
    first, other, again = (address for _, _, _, address in live_server.seen)
    assert first == again != other


def test_options_share_the_pool(live_server):
    """A client made by `with_options` uses the connections of the first, and acts as the same caller."""
    with Client("k" * 10, live_server.url, proxies={}) as client:
        client.predict("m", text="x")
        client.with_options(timeout=3).predict("m", text="x")
        client.with_options(api_key="other-key").predict("m", text="x")
    assert live_server.connections == 1
    sent = [headers["Authorization"] for _, headers, _, _ in live_server.seen]
    assert sent == ["Bearer kkkkkkkkkk", "Bearer kkkkkkkkkk", "Bearer other-key"]


def test_a_closed_client_can_be_used_again(live_server):
    """Closing drops the idle connections; another call opens one."""
    client = Client("k" * 10, live_server.url, proxies={})
    with client:
        client.predict("m", text="x")
    client.predict("m", text="x")
    client.close()
    assert live_server.connections == 2


def test_a_dropped_client_leaves_no_warning_and_no_socket(live_server):
    """Forgetting to close is forgiven; nothing happens in `__del__`."""
    Client("k" * 10, live_server.url, proxies={}).predict("m", text="x")
    assert not hasattr(Client, "__del__")
    gc.collect()


def test_results_pickle(live_server):
    """A prediction made in a worker comes back whole."""
    with Client("k" * 10, live_server.url, proxies={}) as client:
        result = client.predict("m", text="x")
    again = pickle.loads(pickle.dumps(result))
    assert again == result
    assert (again.version, again.call) == (3, result.call)
