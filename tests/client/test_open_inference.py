"""The Open Inference surface of both faces, against recorded answers of real servers and the fake."""

from __future__ import annotations

import base64
import json
import math
import pickle
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from maas_client import Client, errors
from maas_client import _open_inference as protocol
from maas_client.testing import FakeMaas

RECORDED = sorted(Path(__file__).with_name("recorded").glob("*.json"))
X = np.array([[1.5, 2.0]], np.float32)


class Replay(ThreadingHTTPServer):
    """Answers as a real server did, and closes after a failure as FastAPI's servers do."""

    daemon_threads = True

    def __init__(self, path):
        super().__init__(("127.0.0.1", 0), _Replaying)
        content = json.loads(path.read_text())
        self.name = content["server"]
        self.exchanges = {(each["method"], each["path"], each["form"]): each for each in content["exchanges"]}
        self.seen = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Replaying(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        form = "binary" if self.headers.get(protocol.JSON_LENGTH) else "json"
        form = form if self.path.endswith("/infer") else None
        self.server.seen.append((self.command, self.path, form, self.headers))
        answer = self.server.exchanges[self.command, self.path, form]
        self.send_response(answer["status"])
        body = base64.b64decode(answer["body"])
        framing = {"content-length", "transfer-encoding"}
        for name, value in answer["headers"].items():
            if name.lower() not in framing:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        if self.headers.get("Connection") == "close":
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = answer["status"] == 500

    do_GET = do_POST  # noqa: N815 - the standard library's naming

    def log_message(self, *_):
        pass


@pytest.fixture(params=RECORDED, ids=lambda path: path.stem)
def replay(request):
    with Replay(request.param) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def client(face, replay):
    return face(base_url=replay.url, protocol="open-inference", proxies={}, max_retries=0)


def test_a_recorded_servers_metadata_is_read(client, ask, replay):
    """With nulls, empty lists and whatever else real servers send."""
    assert ask(client, lambda client: client.service.metadata()).name == replay.name
    metadata = ask(client, lambda client: client.model("doubler").metadata())
    assert [(each.name, each.datatype, each.shape) for each in metadata.inputs] == [("x", "FP32", [-1, 2])]


def test_a_recorded_servers_state_is_read(client, ask):
    """Absent is not ready, whether the server says 404 or 400."""
    for state, expected in (
        (lambda client: client.service.live(), True),
        (lambda client: client.service.ready(), True),
        (lambda client: client.model("doubler").ready(), True),
        (lambda client: client.model("nothing").ready(), False),
    ):
        assert ask(client, state) is expected


def test_a_recorded_servers_models_are_listed(client, ask):
    """From its repository, or from KServe's list."""
    assert "doubler" in [entry.name for entry in ask(client, lambda client: client.models.index())]


def test_tensors_go_as_the_recorded_server_takes_them(client, ask, replay, face):
    """The first call finds out, the second knows; MLServer fails on binary tensors and gets JSON."""

    def twice(client):
        return (
            [client.model("doubler").infer({"x": X}) for _ in range(2)]
            if face is Client
            else twice_awaited(client)
        )

    async def twice_awaited(client):
        return [await client.model("doubler").infer({"x": X}) for _ in range(2)]

    results = ask(client, twice)
    assert [result["x_twice"].tolist() for result in results] == [[[3.0, 4.0]]] * 2
    assert (results[0].id, results[0].model) == ("recorded", "doubler")
    forms = [form for _, _, form, _ in replay.seen]
    assert forms == (["binary", "json", "json"] if replay.name == "mlserver" else ["binary", "binary"])


def test_a_recorded_refusal_is_typed(client, ask):
    """In the server's own words, with its status."""
    with pytest.raises(errors.NotFoundError, match="nothing") as caught:
        ask(client, lambda client: client.model("nothing").infer({"x": X}))
    assert caught.value.status == 404


def test_no_key_goes_to_a_server_that_it_was_not_meant_for(face, ask, replay, monkeypatch):
    """The environment's key belongs to the environment's host."""
    monkeypatch.setenv("MAAS_API_KEY", "maas_key_0123456789abcdefghij")
    monkeypatch.setenv("MAAS_BASE_URL", "https://models.example.com")
    foreign = face(base_url=replay.url, protocol="open-inference", proxies={})
    ask(foreign, lambda client: client.service.metadata())
    assert replay.seen[-1][3]["Authorization"] is None
    meant = face("a-key-for-the-peer", replay.url, protocol="open-inference", proxies={})
    ask(meant, lambda client: client.service.metadata())
    assert replay.seen[-1][3]["Authorization"] == "Bearer a-key-for-the-peer"
    monkeypatch.setenv("MAAS_BASE_URL", replay.url + "/")
    ask(face(protocol="open-inference", proxies={}), lambda client: client.service.metadata())
    assert replay.seen[-1][3]["Authorization"] == "Bearer maas_key_0123456789abcdefghij"


# --- any server -----------------------------------------------------------------------------------------


@pytest.fixture
def fake():
    made = FakeMaas()
    made.add_model("scale", infer=lambda inputs: {"y": 2 * inputs["x"]}, versions=2)
    return made


@pytest.fixture
def own(fake, face):
    return fake.client() if face is Client else fake.async_client()


def test_tensors_come_back_as_arrays(own, ask):
    """A mapping from output names to arrays, with what made them."""
    result = ask(own, lambda client: client.model("scale").infer({"x": X}))
    assert list(result) == ["y"]
    assert result["y"].dtype == np.float32
    assert (result.model, result.version, result.datatypes) == ("scale", "2", {"y": "FP32"})
    assert repr(result) == "InferResult(y: FP32[1, 2])"


def test_a_result_is_a_value_that_can_be_kept(own, ask):
    """Pickled and back; equal to itself alone, as arrays have no single truth."""
    result = ask(own, lambda client: client.model("scale").infer({"x": X}))
    again = pickle.loads(pickle.dumps(result))
    assert again["y"].tolist() == result["y"].tolist()
    assert result == result  # noqa: PLR0124 - what is tested
    assert result != again
    assert len({result, again}) == 2


def test_a_version_and_outputs_can_be_chosen(own, ask, fake):
    """The version in the path, the outputs and parameters in the request."""
    ask(
        own,
        lambda client: client.model("scale").infer(
            {"x": X}, version=1, outputs=["y"], parameters={"priority": 3}
        ),
    )
    assert fake.calls[-1].path == "/v2/models/scale/versions/1/infer"
    request = protocol.read_request(fake.calls[-1].content, fake.calls[-1].headers)
    assert request.outputs == {"y": {"binary_data": True}}
    assert request.parameters == {"priority": 3, "binary_data_output": True}


def test_no_input_is_a_mistake(own, ask):
    """Told before anything is sent."""
    with pytest.raises(errors.ArgumentError, match="inputs is empty"):
        ask(own, lambda client: client.model("scale").infer({}))


def test_what_json_cannot_carry_is_refused_where_there_is_only_json(fake, face, ask):
    """Rather than sent as something else."""
    client = fake.client() if face is Client else fake.async_client()
    client._peer.takes_binary = False
    with pytest.raises(errors.ArgumentError, match="'x' holds NaN or an infinity"):
        ask(client, lambda client: client.model("scale").infer({"x": X * math.nan}))
    assert fake.calls == []


def test_a_malformed_reply_is_an_invalid_reply(own, ask, fake):
    """With what is wrong about it; a null says what it probably was."""
    output = {"name": "y", "datatype": "FP32", "shape": [1], "data": [None]}
    fake.reply("POST /v2/models/{model}/infer", {"outputs": [output]})
    with pytest.raises(
        errors.InvalidReplyError, match="'y' holds null, which is no FP32; JSON has null for NaN"
    ):
        ask(own, lambda client: client.model("scale").infer({"x": X}))


def test_one_budget_holds_for_all_that_a_call_finds_out(own, ask, fake):
    """Metadata, the trial and what follows share the seconds of the one call."""
    fake.reply("GET /v2/models/{model}", {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]})
    ask(own, lambda client: client.model("scale").infer({"x": [[1.0, 2.0]]}, timeout=5))
    budgets = [int(call.headers["X-Request-Timeout-Ms"]) for call in fake.calls]
    assert len(budgets) == 2
    assert 5000 >= budgets[0] >= budgets[1] > 0


def test_a_busy_server_is_not_taken_for_one_without_binary_tensors(own, ask, fake):
    """Only an answer that may mean a misread body leads to a second try in JSON."""
    fake.reply("POST /v2/models/{model}/infer", {"error": "no"}, status=403)
    with pytest.raises(errors.PermissionDeniedError):
        ask(own, lambda client: client.model("scale").infer({"x": X}))
    assert len(fake.calls) == 1
    assert own._peer.takes_binary is None


@pytest.mark.parametrize(
    ("act", "instead"),
    [
        (lambda client: client.predict("m", text="a"), r"use client\.model\(name\)\.infer"),
        (lambda client: client.model("m").get(), r"use client\.model\(name\)\.metadata\(\)"),
        (lambda client: client.service.health(), r"use client\.service\.ready\(\)"),
        (lambda client: client.keys.create("k"), "only servers of ours have it"),
    ],
)
def test_what_a_peer_lacks_names_what_it_has(fake, face, ask, act, instead):
    """Nothing is sent."""
    client = (fake.client if face is Client else fake.async_client)(protocol="open-inference")
    with pytest.raises(errors.ArgumentError, match=instead):
        ask(client, act)
    assert fake.calls == []


def test_the_protocol_is_found_out(fake, face, ask):
    """Ours by `GET /`, another's by `GET /v2`; neither is an error that says so."""
    client = fake.client() if face is Client else fake.async_client()
    info = {"name": "n", "version": "1", "usage_policy": {"version": "1", "text": "t"}}
    fake.reply("GET /", info)
    assert ask(client, lambda client: client.service.protocol()) == "maas"
    fake.reply("GET /", {"status": "alive"})
    assert ask(client, lambda client: client.service.protocol()) == "open-inference"
    fake.reply("GET /v2", {"detail": "Not Found"}, status=404)
    with pytest.raises(errors.InvalidReplyError, match="neither"):
        ask(client, lambda client: client.service.protocol())


@pytest.mark.parametrize(
    "copied", [lambda client: client.with_options(), lambda client: pickle.loads(pickle.dumps(client))]
)
def test_copies_keep_the_protocol(face, copied):
    """Neither options nor a pickle lose it."""
    client = copied(face(base_url="http://peer.test", protocol="open-inference", proxies={}))
    assert client._peer.protocol == "open-inference"


def test_an_unknown_protocol_is_refused():
    """With those that there are."""
    with pytest.raises(errors.ArgumentError, match="expected 'maas', 'open-inference' or None"):
        Client(base_url="http://peer.test", protocol="grpc")


def test_tensors_show_in_notebooks(fake):
    """Names, datatypes, shapes and the first elements, escaped."""
    fake.add_model("hostile", infer=lambda inputs: {"<b>": inputs["x"], "t": np.array(["<script>"], object)})
    html = fake.client().model("hostile").infer({"x": X})._repr_html_()
    assert "&lt;b&gt;" in html
    assert "<script>" not in html
    assert "[1, 2]" in html
