"""Requests that wish ill: names in paths, encodings, numbers, nesting, and what can be read in two ways."""

import gzip
import json
import re
import time
import tracemalloc
import zlib
from urllib.parse import quote

import pytest

PREDICT = "/v1/models/words/predict"
INFER = "/v2/models/words/infer"
JSON = {"content-type": "application/json"}

NAMES = {
    "the folder above": "..",
    "this folder": ".",
    "folders above": "../../etc/passwd",
    "folders above, encoded twice": "%2e%2e%2fetc",
    "a slash": "a/b",
    "an encoded slash": "a%2fb",
    "a backslash": "a\\b",
    "NUL": "words\0",
    "NUL in the middle": "words\0.png",
    "a fragment": "words#1",
    "a query": "words?x=1",
    "full width, which NFKC folds": "\uff57\uff4f\uff52\uff44\uff53",
    "a combining accent, which NFC composes": "w\u006f\u0301rds",
    "Cyrillic": "w\u043erds",
    "written from right to left": "\u202esdrow",
    "a space of no width": "words\u200b",
    "a line break": "words\r\nX-Evil: 1",
    "a space": "words ",
    "a star": "*",
    "an SQL wildcard": "%",
    "SQL": "words' OR '1'='1",
    "a template": "{{7*7}}${7*7}",
    "a hundred thousand letters": "a" * 100_000,
    "no UTF-8": "%FF%FE",
    "half a character": "%ED%A0%80",
}
# Every route with a model, an alias or a version in its path.
ROUTES_WITH_NAMES = [
    ("GET", "/v1/models/{}"),
    ("PATCH", "/v1/models/{}"),
    ("DELETE", "/v1/models/{}"),
    ("POST", "/v1/models/{}/predict"),
    ("POST", "/v1/models/{}/versions"),
    ("GET", "/v1/models/words/versions/{}"),
    ("GET", "/v1/models/words/versions/{}/package"),
    ("POST", "/v1/models/words/versions/{}/predict"),
    ("GET", "/v1/models/words/aliases/{}"),
    ("PUT", "/v1/models/words/aliases/{}"),
    ("GET", "/v2/models/{}"),
    ("POST", "/v2/models/{}/infer"),
    ("GET", "/v1/keys/{}"),
    ("GET", "/v1/uploads/{}"),
    ("PUT", "/v1/uploads/x/chunks/{}"),
    ("DELETE", "/v1/sessions/{}"),
]
BODIES = {"PATCH": b'{"visibility": "public"}', "PUT": b'{"version": 1}', "POST": b'{"text": "good"}'}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_in_a_path_is_a_name_or_nothing(shared, name):
    """Through either door: a 4xx in the one shape; no file, no model and no other route is reached."""
    before = shared.through_flask("GET", "/v1/models", headers=shared.ada).json
    raw = NAMES[name]
    # What holds percents is sent as it is; everything else is encoded whole.
    segment = raw if raw.startswith("%") and len(raw) > 1 else quote(raw, safe="")
    for method, template in ROUTES_WITH_NAMES:
        headers = {**shared.ada, **(JSON if method in BODIES else {})}
        path = template.format(segment)
        for answer in (
            _raw(shared, method, path, headers, BODIES.get(method, b"")),
            shared.through_flask(method, path, headers=headers, body=BODIES.get(method, b"")),
        ):
            assert 400 <= answer.status < 500, (method, path[:100], answer.body[:300])
            assert answer.json["error"], path
            assert "x-evil" not in answer.headers
            assert len(answer.body) < 4096
    assert shared.through_flask("GET", "/v1/models", headers=shared.ada).json == before


def _raw(shared, method, path, headers, body):
    """Send a path to the front as it is."""
    lines = [f"{method} {path} HTTP/1.1", "Host: a", f"Content-Length: {len(body)}"]
    lines += [f"{key}: {value}" for key, value in headers.items()]
    with shared.connect() as client:
        client.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        return shared.receive(client, method)


@pytest.mark.parametrize("name", [each for each in NAMES.values() if len(each) < 1000])
def test_a_name_in_a_body_is_checked_as_well(shared, name):
    """No model, no key and no alias comes of it, or it is kept as it is where any text may stand."""
    body = json.dumps({"name": name}).encode()
    answer = shared.through_flask("POST", "/v1/models", headers={**JSON, **shared.ada}, body=body)
    assert (answer.status, answer.json["error"]["code"]) in (
        (422, "invalid_field"),
        (422, "invalid_model_name"),
    )


# --- bodies ---------------------------------------------------------------------------------------------

DEEP = 1_000_000
BODIES_OF_ILL_WILL = {
    "a million brackets": (b'{"text": ' + b"[" * DEEP, 400, "invalid_json"),
    "a million brackets, closed": (b'{"text": ' + b"[" * DEEP + b"]" * DEEP + b"}", 400, "invalid_json"),
    "objects in objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, 400, "invalid_json"),
    "a number beyond floats": (b'{"text": 1e999}', 400, "invalid_json"),
    "a number of four hundred digits": (b'{"text": ' + b"9" * 400 + b"}", 400, "invalid_json"),
    "a number of a hundred thousand digits": (b'{"text": ' + b"9" * 100_000 + b"}", 400, "invalid_json"),
    "NaN": (b'{"text": NaN}', 400, "invalid_json"),
    "infinity": (b'{"text": -Infinity}', 400, "invalid_json"),
    "no UTF-8": (b'{"text": "\xff\xfe"}', 400, "invalid_json"),
    "overlong UTF-8": (b'{"text": "\xc0\xaf"}', 400, "invalid_json"),
    "half a character": (b'{"text": "\xed\xa0\x80"}', 400, "invalid_json"),
    "half a character, escaped": (b'{"text": "\\ud800"}', 400, "invalid_json"),
    "UTF-16": ('{"text": "good"}'.encode("utf-16"), 400, "invalid_json"),
    "a byte order mark": (b'\xef\xbb\xbf{"text": "good"}', 400, "invalid_json"),
    "NUL": (b'{"text": "good\0"}', 400, "invalid_json"),
    "a key of a hundred kilobytes": (b'{"' + b"k" * 100_000 + b'": 1}', 422, None),
    "ten thousand keys": (json.dumps({str(n): n for n in range(10_000)}).encode(), 422, None),
    "a list": (b"[]", 400, "invalid_json"),
    "nothing": (b"", 400, "empty_body"),
    "two values": (b'{"text": "good"} {"text": "bad"}', 400, "invalid_json"),
    "a comment": (b'{"text": "good" /* better */}', 400, "invalid_json"),
}


@pytest.fixture(scope="module")
def roomy(make_server, tmp_path_factory, text_package):
    """A server that takes bodies of some megabytes."""
    made = make_server(tmp_path_factory.mktemp("roomy") / "data", max_body_bytes=4_000_000)
    made.ada = made.register("ada")
    assert made.publish(made.ada, "words", text_package).status == 201
    yield made
    made.close()


@pytest.mark.parametrize("name", BODIES_OF_ILL_WILL)
def test_a_hostile_body_is_refused(roomy, name):
    """Soon, by a reason, and by both doors alike; nothing of the body's size comes back."""
    body, status, code = BODIES_OF_ILL_WILL[name]
    for way in (roomy.through_front, roomy.through_flask):
        started = time.process_time()
        answer = way("POST", PREDICT, headers={**JSON, **roomy.ada}, body=body)
        assert answer.status == status, answer.body[:500]
        assert code in (None, answer.json["error"]["code"])
        assert len(answer.body) < 4096 + 200 * 100
        assert time.process_time() - started < 3


@pytest.mark.parametrize("path", ["/v1/keys", "/v1/models", "/v1/accounts", "/v1/models/words/evaluate"])
@pytest.mark.parametrize("name", ["a million brackets", "no UTF-8", "half a character, escaped", "NaN"])
def test_a_hostile_body_is_refused_by_every_kind_of_route(roomy, path, name):
    """What is checked against a type is read by another parser, which refuses the same."""
    body = BODIES_OF_ILL_WILL[name][0]
    answer = roomy.through_front("POST", path, headers={**JSON, **roomy.ada}, body=body)
    assert answer.status in (400, 422), answer.body[:500]


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        ("UINT8", 256),
        ("UINT8", -1),
        ("INT8", 128),
        ("INT64", 2**63),
        pytest.param("INT32", 10**400, id="INT32, 400 digits"),
        ("UINT64", 2**64),
        pytest.param("FP32", 10**400, id="FP32, 400 digits"),
        ("FP16", 70_000),
        ("BOOL", 2),
        ("INT32", 1.5),
        ("BYTES", 1),
    ],
)
def test_a_number_beyond_its_datatype_is_refused(roomy, datatype, value):
    """It is neither cut nor wrapped around."""
    tensor = {"name": "text", "datatype": datatype, "shape": [1], "data": [value]}
    body = json.dumps({"inputs": [tensor]}).encode()
    answer = roomy.through_front("POST", INFER, headers={**JSON, **roomy.ada}, body=body)
    assert answer.status == 400, answer.body
    assert ("'text'" if abs(value) < 10**20 else "not JSON") in answer.json["error"]


# --- encodings ------------------------------------------------------------------------------------------

GOOD_INFER = json.dumps(
    {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a good day"]}]}
).encode()


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "identity, gzip", "x" * 500])
@pytest.mark.parametrize("path", [PREDICT, INFER, "/v1/keys", "/v1/models/words/versions"])
def test_an_encoding_that_is_not_read_is_415(roomy, path, encoding):
    """Nobody guesses what the bytes are."""
    kind = "application/zip" if path.endswith("versions") else "application/json"
    headers = {"content-type": kind, "content-encoding": encoding, **roomy.ada}
    answer = roomy.through_front("POST", path, headers=headers, body=GOOD_INFER)
    assert answer.status == 415, answer.body


@pytest.mark.parametrize("path", [PREDICT, "/v1/keys"])
def test_what_takes_no_encoding_says_so(roomy, path):
    """Gzip where it is not taken is 415 too, and not a body that is no JSON."""
    headers = {**JSON, "content-encoding": "gzip", **roomy.ada}
    answer = roomy.through_front("POST", path, headers=headers, body=gzip.compress(b"{}"))
    assert answer.status == 415


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_body_unpacks_to_no_more_than_may_be_sent(roomy, encoding, pack):
    """What a bomb would unpack to is never made: beyond the limit for bodies the rest is not unpacked."""
    headers = {**JSON, "content-encoding": encoding, **roomy.ada}
    assert roomy.through_front("POST", INFER, headers=headers, body=pack(GOOD_INFER)).status == 200
    bomb = pack(bytes(2**25))
    tracemalloc.start()
    try:
        answer = roomy.through_front("POST", INFER, headers=headers, body=bomb)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert answer.status == 413
    assert most < 4 * 4_000_000


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x1f\x8b",
        gzip.compress(GOOD_INFER)[:-4],
        gzip.compress(GOOD_INFER) + b"more",
        gzip.compress(GOOD_INFER) * 2,
        gzip.compress(gzip.compress(GOOD_INFER)),
        b"\0" * 1000,
    ],
    ids=["nothing", "two bytes", "cut", "more behind", "two streams", "twice", "zeros"],
)
def test_a_damaged_encoding_is_refused(roomy, body):
    """Half a stream is no body."""
    headers = {**JSON, "content-encoding": "gzip", **roomy.ada}
    assert roomy.through_front("POST", INFER, headers=headers, body=body).status == 400


# --- one connection, two readings -----------------------------------------------------------------------

SMUGGLED = b"GET /v1/models/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = "POST /v1/keys HTTP/1.1\r\nHost: a\r\n"
# P. Ratazzi's and J. Kettle's variants of what a proxy and a server could take for different lengths.
AMBIGUOUS = {
    "both lengths": "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "identity and chunked": "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
    "chunked is not last": "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "an encoding that is not undone": "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "an encoding nobody knows": "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a vertical tab": "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "a folded line": "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "two lengths": "Content-Length: 0\r\nContent-Length: 50\r\n\r\n",
    "a list of lengths": "Content-Length: 0, 50\r\n\r\n",
    "a signed length": "Content-Length: +0\r\n\r\n",
    "a hexadecimal length": "Content-Length: 0x0\r\n\r\n",
    "a length with a space": "Content-Length: 0 0\r\n\r\n",
    "an empty length": "Content-Length:\r\n\r\n",
    "a length of another script": "Content-Length: \u0660\r\n\r\n",
    "a lone line feed": "X: a\n\r\nContent-Length: 0\r\n\r\n",
    "a lone carriage return": "X: a\rContent-Length: 0\r\n\r\n",
    "a header without a name": ": a\r\n\r\n",
    "a header without a colon": "Content-Length\r\n\r\n",
    "NUL in a header": "X: a\0b\r\n\r\n",
    "a chunk of negative size": "Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    "a chunk of endless size": "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    "a chunk that is longer than it says": "Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
    "a chunk of size 0x0": "Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_what_could_be_read_in_two_ways_ends_the_connection(shared, name):
    """Nothing that follows it is ever read as a request."""
    with shared.connect() as client:
        client.sendall((HEAD + AMBIGUOUS[name]).encode() + SMUGGLED)
        received = b""
        try:
            while chunk := client.recv(65536):
                received += chunk
        except ConnectionResetError:
            pass
    assert received.startswith((b"HTTP/1.1 400", b"HTTP/1.1 401")), received[:300]
    assert len(re.findall(rb"HTTP/1\.1 \d{3} ", received)) == 1, received
    assert b"smuggled" not in received


def test_a_body_that_never_ends_is_given_up(shared):
    """Sent a byte at a time, it is heard for the time that bodies have and no longer."""
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: a\r\nAuthorization: {shared.ada['authorization']}\r\n"
    started = time.monotonic()
    with shared.connect() as client:
        client.sendall((head + "Content-Length: 1000\r\n\r\n").encode())
        client.settimeout(0.05)
        received = b""
        while not received and time.monotonic() - started < 20:
            client.sendall(b" ")
            try:
                received = client.recv(65536)
            except TimeoutError:
                continue
    assert received.startswith(b"HTTP/1.1 400"), received
    assert b"body_too_slow" in received
    assert time.monotonic() - started < 15
