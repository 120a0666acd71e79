"""Every package of the corpus, published: one clear refusal, in bounded time and memory, and nothing kept."""

import hashlib
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psutil
import pytest
from corpus import corpus
from forging import REJECTED, TEXT_MANIFEST, package
from hostile_graphs import endless_loop, graph
from hostile_tokenizers import charsmap, token_graph
from onnx import helper
from sqlalchemy import func, select

from reference_server.http import versions
from reference_server.registry.tables import ModelEventRow, ModelRow, VersionRow
from reference_server.runtime import probe_processes
from reference_server.runtime.probe import probe

CORPUS = corpus()
TRIAL_SECONDS = 2
# Of the server's own process, in processor time; a trial has limits of its own.
MOST_SECONDS = 5
MOST_BYTES = 150 * 2**20


@pytest.fixture(scope="module")
def counter(make_server, tmp_path_factory):
    """A server at whose counter `ada` publishes."""
    made = make_server(tmp_path_factory.mktemp("counter") / "data", max_package_bytes=2**30)
    made.ada = made.register("ada")
    yield made
    made.close()
    probe_processes.close()


@pytest.fixture(autouse=True)
def _short_trials(monkeypatch):
    monkeypatch.setattr(versions, "probe", partial(probe, seconds=TRIAL_SECONDS, memory_bytes=2**31))


def kept(server):
    """Return how much of everything is in the store."""
    with server.services.database.read() as session:
        rows = [
            session.scalar(select(func.count()).select_from(each))
            for each in (ModelRow, VersionRow, ModelEventRow)
        ]
    folder = Path(server.services.settings.data_dir) / "artifacts"
    return rows, sorted(file.name for file in folder.rglob("*"))


class Peak:
    """The most memory that this process has while the block runs, above what it had before; Linux tells."""

    bytes = 0

    def __enter__(self):
        if sys.platform == "linux":
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
            self._before = self._kilobytes("VmRSS")
        return self

    def __exit__(self, *_):
        if sys.platform == "linux":
            self.bytes = 1024 * (self._kilobytes("VmHWM") - self._before)

    @staticmethod
    def _kilobytes(name):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith(f"{name}:")))


def send(server, content, model="evil"):
    headers = {"content-type": "application/zip", **server.ada}
    return server.through_flask("POST", f"/v1/models/{model}/versions", headers=headers, body=content)


@pytest.mark.parametrize("name", CORPUS)
def test_a_hostile_package_is_refused_and_leaves_nothing(counter, name):
    """One answer that says what is wrong, soon and at no great cost; no model, no version and no file."""
    hostile, before = CORPUS[name], kept(counter)
    started = time.process_time()
    with Peak() as peak:
        answer = send(counter, hostile.content)
    took = time.process_time() - started
    error = answer.json["error"]
    assert (answer.status, error["code"]) == (422, hostile.code), error
    assert hostile.says in error["message"]
    assert len(error["message"]) < 2000
    assert took < MOST_SECONDS
    assert peak.bytes < MOST_BYTES + len(hostile.content)
    assert kept(counter) == before


def test_a_friendly_package_is_taken(counter):
    """What refuses all of the corpus is no wall: the same door takes what is well made."""
    content = package(graph=graph([helper.make_node("Identity", ["x"], ["y"])], shape=[-7]))
    answer = send(counter, content, "good")
    assert answer.status == 201, answer.json
    assert answer.json["tensors"]["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1]}]
    assert counter.through_flask("DELETE", "/v1/models/good", headers=counter.ada).status == 200


def test_many_hostile_packages_at_once_leave_the_server_answering(counter):
    """While two are refused, the third caller is answered, and no process is left behind."""
    probe_processes.close()
    before = set(psutil.Process().children())
    content = package(graph=endless_loop())
    with ThreadPoolExecutor(2) as threads:
        refusals = [threads.submit(send, counter, content) for _ in range(2)]
        assert counter.through_front("GET", "/healthz").status == 200
        for refusal in refusals:
            answer = refusal.result()
            # Trials are made one at a time; whoever waits too long for his is told to come back.
            assert (answer.status, answer.json["error"]["code"]) in ((422, REJECTED), (503, "busy"))
    probe_processes.close()
    assert set(psutil.Process().children()) <= before


@pytest.mark.parametrize("name", ["external data", "a million entries", "overlapping entries"])
def test_a_hostile_package_in_chunks_is_refused_as_well(counter, name):
    """The way in parts ends at the same checks, and what came is forgotten."""
    content, before = CORPUS[name].content, kept(counter)
    declared = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    upload = counter.post("/v1/uploads", declared, headers=counter.ada).json
    size = upload["chunk_bytes"]
    for offset in range(0, len(content), size):
        path = f"/v1/uploads/{upload['id']}/chunks/{offset}"
        headers = {"content-type": "application/octet-stream", **counter.ada}
        chunk = content[offset : offset + size]
        assert counter.through_flask("PUT", path, headers=headers, body=chunk).status == 200
    answer = counter.through_flask(
        "POST", "/v1/models/evil/versions", headers=counter.ada, query=f"upload={upload['id']}"
    )
    assert (answer.status, answer.json["error"]["code"]) == (422, CORPUS[name].code)
    assert counter.through_flask("GET", f"/v1/uploads/{upload['id']}", headers=counter.ada).status == 404
    assert kept(counter) == before


def test_a_text_that_makes_a_tokenizer_panic_is_a_refusal(counter):
    """What the example did not meet a caller may: that call alone fails, with a reason; the lane goes on."""
    # A trie (Darts) of 256 units, of which the one of "a" points beyond the end.
    panics = charsmap(b"\0\4\0\0" + b"\0\0\0\0" * 97 + b"a\xfd\xff\x7f" + b"\0\0\0\0" * 158 + b"a")
    content = package(TEXT_MANIFEST.replace("a good day", "b"), token_graph(), tokenizer__json=panics)
    assert send(counter, content, "panics").status == 201
    for way in (counter.through_flask, counter.through_front):
        for text, status in (("b", 200), ("a", 422), ("b", 200)):
            headers = {"content-type": "application/json", **counter.ada}
            body = json.dumps({"text": text}).encode()
            answer = way("POST", "/v1/models/panics/predict", headers=headers, body=body)
            assert answer.status == status, answer.json
    assert answer.status == 200
    assert counter.through_flask("DELETE", "/v1/models/panics", headers=counter.ada).status == 200
