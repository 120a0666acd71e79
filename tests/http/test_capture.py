"""Capture over HTTP: callers are told, calls come back as they were, and the same through both doors."""

import base64
import io
import json
import sqlite3
import struct
from contextlib import closing
from http.client import IncompleteRead

import numpy as np
import pytest
from onnx import TensorProto, helper
from PIL import Image

from maas_client import _open_inference as protocol
from maas_client import verify_receipt
from maas_client._package import pack
from maas_client._tensors import tensor_of
from maas_client.types import Receipt
from reference_server.errors import Forbidden, Unauthenticated
from reference_server.http import capture as routes
from reference_server.http.capturing import Captures
from reference_server.registry import capture_set

WORDS, VECTORS = "/v1/models/words", "/v1/models/vectors"
INFER = "/v2/models/words/infer"
TEXT = {"text": "a good day"}
NDJSON = {"accept": "application/x-ndjson"}


@pytest.fixture(scope="module")
def studio(make_server, tmp_path_factory, text_package):
    """A server with ada's public models `words` and `vectors`, whose calls bob makes."""
    made = make_server(tmp_path_factory.mktemp("studio") / "data")
    made.ada, made.bob = made.register("ada"), made.register("bob")
    assert made.publish(made.ada, "words", text_package, query="visibility=public").status == 201
    manifest = (text_package / "maas.toml").read_text(encoding="utf-8")
    manifest = manifest.replace("text-classification", "embedding").replace(
        'labels = ["negative", "positive"]', ""
    )
    graph = (text_package / "model.onnx").read_bytes()
    zipped = pack({"maas.toml": manifest.encode(), "model.onnx": graph})
    headers = {"content-type": "application/zip", **made.ada}
    published = made.through_flask(
        "POST", f"{VECTORS}/versions", headers=headers, body=zipped, query="visibility=public"
    )
    assert published.status == 201, published.body
    yield made
    made.close()


@pytest.fixture
def words(studio):
    """The server, with capture on and nothing captured."""
    switch(studio, WORDS, enabled=True, days=7, sample=1)
    yield studio
    assert studio.through_flask("DELETE", f"{WORDS}/captured", headers=studio.ada).status == 200
    switch(studio, WORDS, enabled=False)


@pytest.fixture(params=["flask", "front"])
def send(request, words):
    """Make bob's calls by one of the doors."""
    way = words.through_flask if request.param == "flask" else words.through_front

    def call(path, body, **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return way("POST", path, headers={**words.bob, **named}, body=content)

    return call


def switch(server, model, **asked):
    answer = put(server, server.ada, model, asked)
    assert answer.status == 200, answer.body
    return answer.json


def put(server, who, model, asked):
    headers = {"content-type": "application/json", **who}
    return server.through_flask("PUT", f"{model}/capture", headers=headers, body=json.dumps(asked).encode())


def listed(server, model=WORDS, **headers):
    answer = server.through_flask("GET", f"{model}/captured", headers={**server.ada, **headers})
    assert answer.status == 200, answer.body
    return answer.json["data"]


def test_a_call_is_captured_as_it_was(words, send):
    """Its inputs, options and predictions, who made it and as what; the answer's header told so."""
    one = send(f"{WORDS}/predict", {**TEXT, "parameters": {"top_k": 1}}, content_type="application/json")
    many = send(f"{WORDS}/versions/1/predict", {"instances": [TEXT, {"text": "b\u00e4d"}]})
    assert one.headers["x-maas-capture"] == many.headers["x-maas-capture"] == "days=7"
    first, second = listed(words)
    assert (first["inputs"], first["parameters"]) == ([TEXT], {"top_k": 1})
    assert first["predictions"] == one.json["predictions"]
    assert (second["inputs"], second["parameters"]) == ([TEXT, {"text": "b\u00e4d"}], {})
    assert second["predictions"] == many.json["predictions"]
    bob = words.through_flask("GET", "/v1/account", headers=words.bob).json["id"]
    for call, answer in ((first, one), (second, many)):
        assert (call["account"], call["version"], call["route"]) == (bob, 1, "predict")
        assert call["request_id"] == answer.headers["x-request-id"]
        assert call["fault"] is None


def test_what_did_not_succeed_is_not_captured(words, send):
    """Nor what is no prediction: explanations, evaluations; their answers say nothing of it."""
    labelled = {"inputs": [TEXT], "targets": ["positive"]}
    for path, body, status in (
        (f"{WORDS}/predict", {"text": 1}, 422),
        (f"{WORDS}/predict", b"{", 400),
        (f"{WORDS}/versions/9/predict", TEXT, 404),
        (f"{WORDS}/evaluate", labelled, 200),
    ):
        answer = send(path, body, content_type="application/json")
        assert answer.status == status
        assert "x-maas-capture" not in answer.headers
    assert listed(words) == []


@pytest.mark.parametrize("binary", [False, True], ids=["JSON", "binary"])
@pytest.mark.parametrize("encoding", [None, "gzip"])
def test_tensors_are_captured_exactly(words, send, binary, encoding):
    """Those in JSON as they were written, binary ones as their bytes; also out of compressed bodies."""
    metadata = words.through_flask("GET", "/v2/models/words", headers=words.bob).json
    name, outputs = metadata["inputs"][0]["name"], metadata["outputs"]
    request = protocol.InferRequest(
        {name: tensor_of(name, np.array(["good", "bad"], object))}, parameters={"mine": 1}
    )
    message = protocol.write_request(request, binary=binary)
    body, headers = message.body, {key.lower(): value for key, value in message.headers.items()}
    if encoding:
        import gzip

        body = gzip.compress(body)
        headers |= {"content-encoding": "gzip", "accept-encoding": "gzip"}
    answer = send(INFER, body, **headers)
    assert (answer.status, answer.headers["x-maas-capture"]) == (200, "days=7")
    assert answer.headers.get("content-encoding") == encoding
    (call,) = listed(words)
    assert (call["route"], call["parameters"]) == ("infer", {"mine": 1})
    (given,) = call["inputs"]
    assert (given["name"], given["datatype"], given["shape"]) == (name, "BYTES", [2])
    if not binary:
        assert given["data"] == ["good", "bad"]
        assert [each["name"] for each in call["predictions"]] == [each["name"] for each in outputs]
        assert all("data" in each for each in call["predictions"])
        return
    expected = b"".join(struct.pack("<I", len(text)) + text for text in (b"good", b"bad"))
    assert base64.b64decode(given["base64"]) == expected
    content = answer.body
    if encoding:
        content = gzip.decompress(content)
    raw = content[int(answer.headers["inference-header-content-length"]) :]
    assert b"".join(base64.b64decode(each["base64"]) for each in call["predictions"]) == raw


@pytest.mark.parametrize("form", ["float", "base64"])
def test_embeddings_are_captured_as_predictions(studio, form):
    """In the form of `predict`, whatever form the caller asked for; each number exact."""
    switch(studio, VECTORS, enabled=True, days=1)
    asked = {"model": "ada~vectors", "input": ["good", "bad"], "encoding_format": form}
    answers = [
        way("POST", "/v1/embeddings", headers={**studio.bob, "content-type": "application/json"},
            body=json.dumps(asked).encode())
        for way in (studio.through_flask, studio.through_front)
    ]  # fmt: skip
    assert {each.headers["x-maas-capture"] for each in answers} == {"days=1"}
    calls = listed(studio, VECTORS)[-2:]
    predicted = studio.post(
        f"{VECTORS}/predict", {"instances": [{"text": "good"}, {"text": "bad"}]}, headers=studio.bob
    )
    for call in calls:
        assert (call["route"], call["inputs"]) == ("embeddings", [{"text": "good"}, {"text": "bad"}])
        for told, direct in zip(call["predictions"], predicted.json["predictions"], strict=True):
            same = np.array(told["embedding"], np.float32), np.array(direct["embedding"], np.float32)
            assert np.array_equal(*same)
    switch(studio, VECTORS, enabled=False)


def test_an_image_that_is_the_body_is_captured_as_predict_takes_it(studio, package_writer, onnx_model):
    """As base64 under `image`: the record's inputs can be sent again."""
    nodes = [helper.make_node("ReduceMean", ["x"], ["y"], axes=[2, 3], keepdims=0)]
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 2, 2])]
    out = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])]
    content = io.BytesIO()
    Image.fromarray(np.full((2, 2, 3), (255, 0, 0), np.uint8)).save(content, "PNG")
    image = base64.b64encode(content.getvalue()).decode()
    package = package_writer(
        onnx_model(nodes, given, out),
        task="image-classification",
        labels=["red", "green", "blue"],
        example={"image": image},
        preprocessing={"image": {"width": 2, "height": 2}},
    )
    published = studio.publish(studio.ada, "colours", package)
    assert published.status == 201, published.body
    switch(studio, "/v1/models/colours", enabled=True)
    answer = studio.through_flask(
        "POST",
        "/v1/models/colours/predict",
        headers={**studio.ada, "content-type": "image/png"},
        body=content.getvalue(),
    )
    assert answer.status == 200, answer.body
    (call,) = listed(studio, "/v1/models/colours")
    assert call["inputs"] == [{"image": image}]
    again = studio.post("/v1/models/colours/predict", call["inputs"][0], headers=studio.ada)
    assert again.json["predictions"] == call["predictions"] == answer.json["predictions"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (f"{WORDS}/predict", json.dumps(TEXT).encode()),
        (INFER, b'{"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["good"]}]}'),
        ("/v1/embeddings", b'{"model": "vectors", "input": "good"}'),
    ],
)
def test_both_doors_give_the_same_bytes(words, monkeypatch, path, body):
    """Under a fixed clock and id source, with the header that tells of capture; both are captured."""
    now = words.services.timer()
    monkeypatch.setattr(words.services, "timer", lambda: now)
    monkeypatch.setattr(words.services.lanes, "timer", lambda: now)
    monkeypatch.setattr(words.services, "random", lambda: "same")
    switch(words, VECTORS, enabled=True)
    headers = {"content-type": "application/json", **words.bob}
    one = words.through_flask("POST", path, headers=headers, body=body)
    other = words.through_front("POST", path, headers=headers, body=body)
    assert other.headers.pop("date")
    assert (one.status, one.body, one.headers) == (other.status, other.body, other.headers)
    assert one.headers["x-maas-capture"].startswith("days=")
    first, second = listed(words, VECTORS if "embeddings" in path else WORDS)[-2:]
    for field in ("inputs", "parameters", "predictions", "version", "account", "route", "request_id"):
        assert first[field] == second[field]
    switch(words, VECTORS, enabled=False)


def test_only_the_sample_is_captured(words):
    """Which calls these are is told by their request ids, and each caller is told of the fraction."""
    switch(words, WORDS, enabled=True, sample=0.5)
    caller = words.services.authenticate(words.ada["authorization"], "127.0.0.1")
    target = words.services.targets.now(caller, "words", None)
    answers = [words.post(f"{WORDS}/predict", TEXT, headers=words.bob) for _ in range(40)]
    assert {each.headers["x-maas-capture"] for each in answers} == {"days=7, sample=0.500"}
    ids = [each.headers["x-request-id"] for each in answers]
    taken = [each for each in ids if target.capture.takes(each)]
    assert 0 < len(taken) < 40
    assert [call["request_id"] for call in listed(words)] == taken


def test_all_of_them_come_as_lines(words, monkeypatch):
    """Through both doors, over several pages, in their order."""
    for number in range(5):
        assert words.post(f"{WORDS}/predict", {"text": str(number)}, headers=words.bob).status == 200
    monkeypatch.setattr(routes, "_PAGE", 2)
    for way in (words.through_flask, words.through_front):
        answer = way("GET", f"{WORDS}/captured", headers={**words.ada, **NDJSON})
        assert (answer.status, answer.headers["content-type"]) == (200, "application/x-ndjson")
        lines = [json.loads(line) for line in answer.body.splitlines()]
        assert [line["inputs"][0]["text"] for line in lines] == list("01234")
    assert listed(words) == lines
    assert words.through_flask("HEAD", f"{WORDS}/captured", headers={**words.ada, **NDJSON}).status == 200


def test_whoever_may_read_no_more_gets_no_further(words, monkeypatch):
    """A credential that ends or a share that is withdrawn ends the stream, and not as if that were all."""
    for number in range(4):
        words.post(f"{WORDS}/predict", {"text": str(number)}, headers=words.bob)
    headers = {"content-type": "application/json", **words.ada}
    shared = words.through_flask("PUT", f"{WORDS}/shares/bob", headers=headers, body=b'{"role": "owner"}')
    assert shared.status == 200
    monkeypatch.setattr(routes, "_PAGE", 2)
    answer = words.flask.test_client().get(f"{WORDS}/captured", headers={**words.bob, **NDJSON})
    pieces = iter(answer.response)
    assert next(pieces).count(b"\n") == 2
    assert words.through_flask("DELETE", f"{WORDS}/shares/bob", headers=words.ada).status == 204
    with pytest.raises(Forbidden):
        next(pieces)
    held = words.post("/v1/keys", {"name": "k", "scopes": ["models:read"]}, headers=words.ada).json
    key = {"authorization": f"Bearer {held['secret']}"}
    answer = words.flask.test_client().get(f"{WORDS}/captured", headers={**key, **NDJSON})
    pieces = iter(answer.response)
    next(pieces)
    assert words.through_flask("DELETE", f"/v1/keys/{held['id']}", headers=words.ada).status == 204
    with pytest.raises(Unauthenticated, match="not whole"):
        next(pieces)


def test_a_stream_that_breaks_off_does_not_look_whole(words, monkeypatch):
    """Its last chunk is missing on the wire, as HTTP has it for an answer that was cut."""
    for number in range(4):
        words.post(f"{WORDS}/predict", {"text": str(number)}, headers=words.bob)
    monkeypatch.setattr(routes, "_PAGE", 2)
    monkeypatch.setattr(type(words.services.authenticate), "holds", lambda *_: False)
    with pytest.raises(IncompleteRead) as cut:
        words.through_front("GET", f"{WORDS}/captured", headers={**words.ada, **NDJSON})
    assert cut.value.partial.count(b"\n") == 2


def test_reading_and_changing_stand_in_the_audit_log(words):
    """Who did it to which model; nothing of what was sent or read."""
    words.post(f"{WORDS}/predict", {"text": "unmistakable"}, headers=words.bob)
    listed(words)
    words.through_flask("DELETE", f"{WORDS}/captured", headers=words.ada)
    words.services.trail.flush(everything=True)
    entries = words.through_flask("GET", "/v1/audit", headers=words.ada, query="limit=1000").json["data"]
    for act in ("capture_changed", "captured_read", "captured_deleted"):
        found = [entry for entry in entries if entry["act"] == act]
        assert found, act
        assert {entry["subject"][:4] for entry in found} == {"mdl_"}
    assert "unmistakable" not in json.dumps(entries)


def test_an_erasure_has_a_receipt_and_waits_for_readers(words):
    """The receipt says what and how; while a reader holds the log it is pending."""
    words.post(f"{WORDS}/predict", TEXT, headers=words.bob)
    words.services.captures.flush()
    answer = words.through_flask("DELETE", f"{WORDS}/captured", headers=words.ada)
    assert (answer.status, answer.json["what"], answer.json["counts"]) == (
        200,
        "captured",
        {"captured_calls": 1},
    )
    key = words.through_flask("GET", "/").json["receipt_key"]
    statement = verify_receipt(
        Receipt.model_validate(answer.json["receipt"]), key=key, name="ada~words captured"
    )
    assert statement.what == "captured"
    assert not any("model" in each for each in statement.how)
    with closing(sqlite3.connect(words.services.settings.data_dir / "maas.db", isolation_level=None)) as held:
        held.execute("BEGIN")
        held.execute("SELECT count(*) FROM accounts").fetchall()
        waiting = words.through_flask("DELETE", f"{WORDS}/captured", headers=words.ada)
        assert (waiting.status, waiting.json["state"]) == (202, "pending")
        assert waiting.headers["location"] == f"/v1/erasures/{waiting.json['id']}"


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({}, "enabled"),
        ({"enabled": "yes"}, "enabled"),
        ({"enabled": True, "days": 0}, "days"),
        ({"enabled": True, "days": 366}, "days"),
        ({"enabled": True, "days": 1.5}, "days"),
        ({"enabled": True, "days": 10**30}, "days"),
        ({"enabled": True, "sample": 0}, "sample"),
        ({"enabled": True, "sample": -1}, "sample"),
        ({"enabled": True, "sample": 1.01}, "sample"),
        ({"enabled": True, "sample": 1e400}, None),
        ({"enabled": True, "day": 1}, "day"),
        ([], None),
    ],
    ids=repr,
)
def test_what_cannot_be_is_refused_and_named(words, asked, param):
    """And changes nothing."""
    before = words.through_flask("GET", f"{WORDS}/capture", headers=words.ada).json
    answer = put(words, words.ada, WORDS, asked)
    assert answer.status in (400, 422), answer.body
    if param is not None:
        assert param in answer.body.decode()
    assert words.through_flask("GET", f"{WORDS}/capture", headers=words.ada).json == before


def test_what_a_worker_cannot_hold_is_dropped_and_told(words):
    """The newest go, each is counted, and callers are answered all the same."""
    services = words.services
    services.captures = Captures(services.database, model_bytes=10**6, body_bytes=10**6, most_bytes=7000)
    try:
        for number in range(5):
            assert words.post(f"{WORDS}/predict", {"text": str(number)}, headers=words.bob).status == 200
        assert [call["inputs"][0]["text"] for call in listed(words)] == list("01")
    finally:
        services.captures = Captures(services.database, model_bytes=10**6, body_bytes=10**6)
    told = words.through_flask("GET", f"{WORDS}/capture", headers=words.ada).json
    assert (told["records"], told["dropped"]) == (2, 3)


def test_what_the_store_cannot_take_now_comes_again(words, monkeypatch):
    """In its order, and not twice; a call that cannot be read keeps no other from the store."""
    add, captures = capture_set.add, words.services.captures

    def fail(*_, **__):
        raise OSError("away")

    words.post(f"{WORDS}/predict", {"text": "one"}, headers=words.bob)
    monkeypatch.setattr(capture_set, "add", fail)
    with pytest.raises(OSError, match="away"):
        captures.flush()
    words.post(f"{WORDS}/predict", {"text": "two"}, headers=words.bob)
    captures._held[0] = captures._held[0]._replace(reply=b"{")
    monkeypatch.setattr(capture_set, "add", add)
    words.post(f"{WORDS}/predict", {"text": "three"}, headers=words.bob)
    for _ in range(2):
        assert [call["inputs"][0]["text"] for call in listed(words)] == ["two", "three"]
        captures.flush()
    assert words.through_flask("GET", f"{WORDS}/capture", headers=words.ada).json["dropped"] == 1


def test_a_changed_record_is_named_in_the_listing(words):
    """The others come whole; the export has the fault in the record's line."""
    for number in range(3):
        words.post(f"{WORDS}/predict", {"text": str(number)}, headers=words.bob)
    second = listed(words)[1]["seq"]
    with closing(sqlite3.connect(words.services.settings.data_dir / "maas.db")) as store, store:
        store.execute("UPDATE captured_calls SET version = 2 WHERE seq = ?", (second,))
    assert [call["fault"] is None for call in listed(words)] == [True, False, True]
    lines = words.through_flask("GET", f"{WORDS}/captured", headers={**words.ada, **NDJSON}).body.splitlines()
    assert [json.loads(line)["seq"] for line in lines if json.loads(line)["fault"]] == [second]


def test_the_description_tells_all_of_it(studio):
    """The header of predictions, and both forms of the listing."""
    paths = studio.through_flask("GET", "/openapi.json").json["paths"]
    for path in ("/v1/models/{model}/predict", "/v1/embeddings", "/v2/models/{model}/infer"):
        assert "X-Maas-Capture" in paths[path]["post"]["responses"]["200"]["headers"]
    assert "headers" not in paths["/v1/models/{model}/evaluate"]["post"]["responses"]["200"]
    content = paths["/v1/models/{model}/captured"]["get"]["responses"]["200"]["content"]
    assert content.keys() == {"application/json", "application/x-ndjson"}
