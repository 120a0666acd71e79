"""Trying a model: a form from its signature, the answer, and what it counts as."""

import base64
import io
import os
import re
from html import unescape

import pytest
from onnx import TensorProto, helper
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from PIL import Image

from reference_server.housekeeping import Housekeeping
from reference_server.registry import accounts
from reference_server.tracing import Tracing

COLUMNS = [
    {"name": "age", "type": "number", "unit": "years", "description": "Since the first day."},
    {"name": "colour", "type": "string", "categories": ["red", "blue"]},
]


def columns_graph():
    """Return a graph that doubles a number and ignores a text."""
    nodes = [
        helper.make_node("Mul", ["age", "two"], ["value"]),
        helper.make_node("Identity", ["colour"], ["same"]),
    ]
    graph = helper.make_graph(
        nodes,
        "columns",
        [
            helper.make_tensor_value_info("age", TensorProto.FLOAT, [None]),
            helper.make_tensor_value_info("colour", TensorProto.STRING, [None]),
        ],
        [
            helper.make_tensor_value_info("value", TensorProto.FLOAT, [None]),
            helper.make_tensor_value_info("same", TensorProto.STRING, [None]),
        ],
        [helper.make_tensor("two", TensorProto.FLOAT, [1], [2.0])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def image_graph():
    """Return a graph whose two scores are the mean of the red channel and what is left of 1."""
    nodes = [
        helper.make_node("ReduceMean", ["pixels"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("Gather", ["means", "first"], ["red"], axis=1),
        helper.make_node("Sub", ["one", "red"], ["rest"]),
        helper.make_node("Concat", ["red", "rest"], ["scores"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "image",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [None, 3, 4, 4])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 2])],
        [
            helper.make_tensor("first", TensorProto.INT64, [1], [0]),
            helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0]),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def picture(colour, *, size=(8, 8), noise=0):
    """Return a PNG; with noise it does not shrink."""
    made = Image.new("RGB", size, colour)
    if noise:
        made = Image.frombytes("RGB", (noise, noise), os.urandom(3 * noise * noise))
    target = io.BytesIO()
    made.save(target, "PNG")
    return target.getvalue()


@pytest.fixture
def table(model, package_writer):
    """Return the name of a model of named columns."""
    return model(
        package_writer(
            columns_graph(),
            labels=[],
            task="tabular-regression",
            preprocessing={"columns": COLUMNS},
            postprocessing={"output": "value", "unit": "years"},
            example={"age": 3, "colour": "red"},
        ),
        versions=1,
    )


@pytest.fixture
def red(model, package_writer):
    """Return the name of a model of pictures."""
    return model(
        package_writer(
            image_graph(),
            labels=["red", "other"],
            task="image-classification",
            preprocessing={"image": {"width": 4, "height": 4}},
            example={"image": base64.b64encode(picture("red")).decode()},
        ),
        versions=1,
    )


def test_a_text_is_tried(ada):
    """The form holds the example; the answer has a bar for each label, and the call in three languages."""
    form = ada.get("/console/models/words/try")
    assert re.search(r'<textarea id="i-1" name="input.text"[^>]*>\na good day</textarea>', form.text)
    shown = ada.post(
        "/console/models/words/try", {"input.text": "a bad day", "version": "1", "act": "predict"}
    )
    assert shown.status == 200
    assert shown.has("negative", "Version 1 on cpu", ">\na bad day</textarea>")
    bars = re.findall(r'<rect class="fill" width="([\d.]+)"', shown.text)
    assert len(bars) == 2
    assert float(bars[0]) > 80
    assert shown.has("client.predict('words', version=1, text='a bad day')", "requests.post(", "curl 'http")


def test_who_asked_why_sees_how_code_asks_it(ada):
    """Beside the call itself, with the same input; who only predicts does not."""
    sent = {"input.text": "a bad day", "version": "1"}
    shown = ada.post("/console/models/words/try", {**sent, "act": "explain"})
    assert shown.has("client.explain('words', version=1, text='a bad day')", "/versions/1/explain'")
    assert not ada.post("/console/models/words/try", {**sent, "act": "predict"}).has("client.explain(")


def test_the_requests_snippet_runs_as_it_stands(ada):
    """It is Python, with the address and the inputs of the call."""
    shown = ada.post("/console/models/words/try", {"input.text": 'it\'s "good"', "act": "predict"})
    (code,) = re.findall(r'aria-label="Python \(requests\)">(.*?)</pre>', shown.text, re.DOTALL)
    code = unescape(code)
    compile(code, "snippet", "exec")
    assert "/v1/models/words" in code
    assert repr({"text": 'it\'s "good"'}) in code


def test_a_row_is_tried(ada, table):
    """A number and a choice; what is no number is told at its field."""
    form = ada.get(f"/console/models/{table}/try")
    assert form.has('type="number"', "Since the first day. (years)", "<option selected>red</option>")
    shown = ada.post(f"/console/models/{table}/try", {"input.age": "2.5", "input.colour": "blue"})
    assert shown.has("5.0")
    wrong = ada.post(f"/console/models/{table}/try", {"input.age": "old", "input.colour": "blue"})
    assert wrong.status == 422
    assert wrong.has('value="old"', 'aria-invalid="true"', 'id="i-1-error"')
    unknown = ada.post(f"/console/models/{table}/try", {"input.age": "1", "input.colour": "green"})
    assert unknown.has('id="i-2-error"')


def test_a_picture_is_tried(ada, red):
    """From a file; without one the example is taken."""
    path = f"/console/models/{red}/try"
    sent = {"input.image": (io.BytesIO(picture("red")), "a.png"), "act": "predict"}
    assert ada.post(path, sent, content_type="multipart/form-data").has("red", "1.0")
    blue = {"input.image": (io.BytesIO(picture("blue")), "a.png")}
    assert ada.post(path, blue, content_type="multipart/form-data").has("other")
    assert ada.post(path, {}, content_type="multipart/form-data").has("red")
    damaged = {"input.image": (io.BytesIO(b"GIF89a"), "a.gif")}
    assert ada.post(path, damaged, content_type="multipart/form-data").status == 422


def test_a_large_picture_comes_through_the_front_for_who_has_logged_in(site, ada, red):
    """Strangers may send few bytes; a session's cookie lets as many in as its token would."""
    content = picture("red", noise=256)
    assert len(content) > 64 * 2**10
    boundary = "----x"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="form_token"\r\n\r\n{ada.token}\r\n'.encode(),
        f'--{boundary}\r\nContent-Disposition: form-data; name="input.image"; filename="a.png"\r\n'.encode(),
        b"Content-Type: image/png\r\n\r\n" + content + f"\r\n--{boundary}--\r\n".encode(),
    ]
    headers = {
        "content-type": f"multipart/form-data; boundary={boundary}",
        "origin": "http://a",
        "cookie": f"maas_session={ada.session}",
    }
    path, body = f"/console/models/{red}/try", b"".join(parts)
    answer = site.through_front("POST", path, headers=headers, body=body)
    assert answer.status == 200, answer.body[:300]
    assert b"red" in answer.body
    for cookie in ("", "maas_session=nonsense"):
        stranger = site.through_front("POST", path, headers={**headers, "cookie": cookie}, body=body)
        assert stranger.status == 413


def test_a_tensor_is_tried(ada, model, package_writer, onnx_model):
    """As JSON, which is told where it is none."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "same",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])],
    )
    graph = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    package = package_writer(graph, labels=[], task="tensor", example={"x": [1.0, 2.0]})
    path = f"/console/models/{model(package, versions=1)}/try"
    assert ada.get(path).has("[1.0,2.0]</textarea>")
    assert ada.post(path, {"input.x": "[3, 4.5]"}).has("[3.0,4.5]")
    wrong = ada.post(path, {"input.x": "[3,"})
    assert wrong.status == 422
    assert wrong.has("is no number and no JSON")


def test_trying_counts_as_every_call_does(make_server, tmp_path, text_package, visitor_of):
    """By the limits of the account, as its usage, and in the measured performance."""
    server = make_server(tmp_path / "data")
    try:
        header = server.register("ada")
        assert server.publish(header, "words", text_package).status == 201
        ada = visitor_of(server).log_in("ada")
        db = server.services.database
        accounts.set_limits(db, accounts.find(db, "ada").id, requests_per_minute=None, rows_per_day=2)
        server.services.authenticate.forget()
        form = {"input.text": "good", "act": "predict"}
        statuses = [ada.post("/console/models/words/try", form).status for _ in range(3)]
        assert statuses == [200, 200, 429]
        server.services.metrics.publish()
        Housekeeping(server.services)._store_counts()
        (entry,) = server.through_flask("GET", "/v1/usage", headers=header).json["data"]
        assert (entry["calls"], entry["rows"]) == (2, 2)
        assert ada.get("/console/usage").has("ada~words", "Rows by day")
    finally:
        server.close()


def test_rows_of_a_call_that_failed_are_given_back(make_server, tmp_path, package_writer, visitor_of):
    """As in the API: what came to nothing does not count."""
    graph = helper.make_graph(
        [helper.make_node("Reciprocal", ["x"], ["y"])],
        "reciprocal",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    package = package_writer(made, labels=[], task="tensor", example={"x": [1.0]})
    server = make_server(tmp_path / "data")
    try:
        assert server.publish(server.register("ada"), "one-by", package).status == 201
        ada = visitor_of(server).log_in("ada")
        db = server.services.database
        accounts.set_limits(db, accounts.find(db, "ada").id, requests_per_minute=None, rows_per_day=1)
        server.services.authenticate.forget()
        path = "/console/models/one-by/try"
        infinite = [ada.post(path, {"input.x": "[0]"}).status for _ in range(2)]
        assert infinite == [422, 422]
        assert [ada.post(path, {"input.x": "[2]"}).status for _ in range(2)] == [200, 429]
    finally:
        server.close()


def test_line_breaks_are_single_characters(ada):
    """Browsers send two, and a model would count both."""
    shown = ada.post("/console/models/words/try", {"input.text": "good\r\nday"})
    assert shown.has("text='good\\nday'")


def test_a_try_makes_the_span_of_a_call(site, ada):
    """With the stages under it and the browser's trace above it, as a call of the API does."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    site.services.tracing = Tracing(provider)
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    try:
        form = {"input.text": "good", "act": "predict"}
        assert ada.post("/console/models/words/try", form, headers={"traceparent": parent}).status == 200
    finally:
        site.services.tracing.close()
        site.services.tracing = None
    spans = {span.name: span for span in exporter.get_finished_spans()}
    own = spans["POST /v1/models/{model}/predict"]
    assert f"{own.context.trace_id:032x}" in parent
    assert own.attributes["http.response.status_code"] == 200
    assert {"decode", "queue", "compute", "encode"} <= spans.keys()
