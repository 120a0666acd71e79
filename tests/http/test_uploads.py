import base64
import hashlib
import json
from pathlib import Path

import pytest

CHUNK = 1024
JSON = {"content-type": "application/json"}
BYTES = {"content-type": "application/octet-stream"}


def call(desk, method, path, *, who=None, headers=BYTES, body=b"", through="through_front", query=""):
    return getattr(desk, through)(
        method, path, headers={**(who or desk.ada), **headers}, body=body, query=query
    )


def begin(desk, content, *, who=None, prefix="", **declared):
    asked = {"size": len(content), "sha256": prefix + hashlib.sha256(content).hexdigest(), **declared}
    return call(desk, "POST", "/v1/uploads", who=who, headers=JSON, body=json.dumps(asked).encode())


def put(desk, upload, offset, chunk, *, headers=None, **options):
    path = f"/v1/uploads/{upload['id']}/chunks/{offset}"
    return call(desk, "PUT", path, headers={**BYTES, **(headers or {})}, body=chunk, **options)


def send_all(desk, upload, content, *, size=CHUNK):
    for offset in range(upload["received"], len(content), size):
        answer = put(desk, upload, offset, content[offset : offset + size])
        assert answer.status == 200, answer.body
    return answer.json


def publish(desk, upload, model, *, headers=None, body=b"", **options):
    path = f"/v1/models/{model}/versions"
    return call(
        desk, "POST", path, headers=headers or {}, body=body, query=f"upload={upload['id']}", **options
    )


def code(answer):
    return answer.status, answer.json["error"]["code"]


def test_a_package_in_chunks_is_published_as_one(desk, long_zip):
    """What was put together is the version that a single request would have made, and the chunks are gone."""
    content = long_zip()
    begun = begin(desk, content)
    assert begun.status == 201
    assert (begun.json["received"], begun.json["chunk_bytes"]) == (0, CHUNK)
    done = send_all(desk, begun.json, content)
    assert done["received"] == done["size"] == len(content)
    published = publish(desk, done, "in-chunks")
    assert published.status == 201
    assert code(call(desk, "GET", f"/v1/uploads/{done['id']}")) == (404, "upload_not_found")
    assert not list(Path(desk.services.settings.artifacts).glob("chunk-*"))
    headers = {"content-type": "application/zip"}
    again = call(desk, "POST", "/v1/models/in-chunks/versions", headers=headers, body=content)
    assert (again.status, again.json["digest"]) == (200, published.json["digest"])


@pytest.mark.parametrize("through", ["through_flask", "through_front"])
def test_both_doors_publish_what_was_uploaded(desk, long_zip, through):
    """An empty body needs no type, whichever server carries it."""
    content = long_zip()
    upload = begin(desk, content).json
    send_all(desk, upload, content, size=700)
    assert publish(desk, upload, through, through=through).status == 201


def test_an_unfinished_upload_is_found_by_its_content(desk, long_zip):
    """A client that remembers nothing goes on where it was; `sha256:` before the sum is the same."""
    content = long_zip()
    upload = begin(desk, content).json
    assert put(desk, upload, 0, content[:CHUNK]).json["received"] == CHUNK
    again = begin(desk, content, prefix="sha256:")
    assert again.status == 200
    assert (again.json["id"], again.json["received"]) == (upload["id"], CHUNK)
    assert call(desk, "GET", f"/v1/uploads/{upload['id']}").json == again.json
    other = begin(desk, content, size=len(content) + 1)
    assert other.json["id"] != upload["id"]
    for each in (upload, other.json):
        assert call(desk, "DELETE", f"/v1/uploads/{each['id']}").status == 204


def test_a_chunk_that_is_there_changes_nothing(desk, long_zip):
    """A repeat after a lost answer gets the present state, even with other bytes."""
    content = long_zip()
    upload = begin(desk, content).json
    put(desk, upload, 0, content[:CHUNK])
    put(desk, upload, CHUNK, content[CHUNK : 2 * CHUNK])
    for chunk in (content[:CHUNK], b"other bytes", b""):
        assert put(desk, upload, 0, chunk).json["received"] == 2 * CHUNK
    send_all(desk, {**upload, "received": 2 * CHUNK}, content)
    assert publish(desk, upload, "repeated").status == 201


@pytest.mark.parametrize("offset", [1, CHUNK - 1, CHUNK + 1, 2 * CHUNK, 10**17])
def test_a_chunk_elsewhere_is_a_conflict_that_says_where_to_go_on(desk, long_zip, offset):
    """Neither a hole nor an overlap is taken."""
    content = long_zip()
    upload = begin(desk, content).json
    put(desk, upload, 0, content[:CHUNK])
    answer = put(desk, upload, offset, content[:CHUNK])
    assert code(answer) == (409, "wrong_offset")
    assert f"begins at {CHUNK}, not at {offset}" in answer.json["error"]["message"]
    assert call(desk, "GET", f"/v1/uploads/{upload['id']}").json["received"] == CHUNK
    call(desk, "DELETE", f"/v1/uploads/{upload['id']}")


@pytest.mark.parametrize(
    ("chunk", "headers", "expected"),
    [
        (b"", {}, (400, "wrong_chunk_size")),
        (b"x" * 11, {}, (400, "wrong_chunk_size")),
        (b"x" * (CHUNK + 1), {}, (413, "body_too_large")),
        (b"x", {"content-type": "application/zip"}, (415, "unsupported_media_type")),
        (b"x", {"content-encoding": "gzip"}, (415, "unsupported_media_type")),
        (
            b"x",
            {"content-digest": "sha-256=:" + base64.b64encode(bytes(32)).decode() + ":"},
            (400, "digest_mismatch"),
        ),
        (b"x", {"content-digest": "md5=:AA==:"}, (400, "invalid_header")),
    ],
    ids=["empty", "beyond the end", "too large", "a zip", "compressed", "damaged", "another sum"],
)
def test_what_is_no_chunk_is_refused(desk, chunk, headers, expected):
    """A chunk is a known number of bytes, undamaged, within what was declared; nothing else counts."""
    upload = begin(desk, b"0123456789").json
    assert code(put(desk, upload, 0, chunk, headers=headers)) == expected
    assert call(desk, "GET", f"/v1/uploads/{upload['id']}").json["received"] == 0
    call(desk, "DELETE", f"/v1/uploads/{upload['id']}")


def test_a_chunk_that_fits_its_digest_is_taken(desk):
    """`Content-Digest` is verified when it is given."""
    upload = begin(desk, b"0123456789").json
    digest = base64.b64encode(hashlib.sha256(b"0123").digest()).decode()
    answer = put(desk, upload, 0, b"0123", headers={"content-digest": f"sha-256=:{digest}:"})
    assert answer.json["received"] == 4
    call(desk, "DELETE", f"/v1/uploads/{upload['id']}")


@pytest.mark.parametrize("offset", ["-1", "one", "1.0", "0x1", "1" * 19])
def test_an_offset_is_a_number(desk, offset):
    """Anything else is malformed."""
    upload = begin(desk, b"0123456789").json
    assert code(put(desk, upload, offset, b"x")) == (400, "invalid_offset")
    call(desk, "DELETE", f"/v1/uploads/{upload['id']}")


@pytest.mark.parametrize(
    "declared",
    [
        {"size": 0},
        {"size": -1},
        {"size": "10"},
        {"sha256": "abc"},
        {"sha256": "A" * 64},
        {"sha256": "md5:" + "0" * 64},
    ],
)
def test_what_is_declared_must_make_sense(desk, declared):
    """A size above 0, and a sha256 in small hexadecimal digits."""
    assert code(begin(desk, b"x", **declared)) == (422, "invalid_field")


def test_more_than_a_package_may_hold_is_refused_at_once(desk):
    """Before a byte is sent."""
    size = desk.services.settings.max_package_bytes
    assert code(begin(desk, b"x", size=size + 1)) == (413, "body_too_large")


def test_somebody_elses_upload_is_not_there(desk, long_zip):
    """Reading, adding, publishing and deleting answer as for an id that nobody has."""
    content = long_zip()
    upload = begin(desk, content).json
    eve = desk.register("eve-uploads")
    path = f"/v1/uploads/{upload['id']}"
    answers = [
        call(desk, "GET", path, who=eve),
        put(desk, upload, 0, content[:CHUNK], who=eve),
        call(desk, "DELETE", path, who=eve),
        publish(desk, upload, "stolen", who=eve),
        publish(desk, {"id": "upl_of_nobody"}, "stolen", who=eve),
    ]
    assert {code(answer) for answer in answers} == {(404, "upload_not_found")}
    assert begin(desk, content, who=eve).json["id"] != upload["id"]
    assert call(desk, "GET", path).json["received"] == 0
    call(desk, "DELETE", path)


def test_an_unfinished_upload_cannot_be_published(desk, long_zip):
    """The answer says how much is missing, and the upload stays."""
    content = long_zip()
    upload = begin(desk, content).json
    put(desk, upload, 0, content[:CHUNK])
    assert code(publish(desk, upload, "half")) == (409, "upload_incomplete")
    send_all(desk, {**upload, "received": CHUNK}, content)
    assert publish(desk, upload, "half").status == 201


def test_what_is_not_what_was_declared_is_forgotten(desk, long_zip):
    """A sha256 over the whole that does not fit publishes nothing, and the next upload begins at nothing."""
    content = long_zip()
    upload = begin(desk, content).json
    send_all(desk, upload, content[:-1] + b"?")
    assert code(publish(desk, upload, "tampered")) == (422, "digest_mismatch")
    assert code(call(desk, "GET", "/v1/models/tampered")) == (404, "model_not_found")
    again = begin(desk, content)
    assert (again.status, again.json["received"]) == (201, 0)
    call(desk, "DELETE", f"/v1/uploads/{again.json['id']}")


def test_what_is_no_package_is_refused_and_forgotten(desk):
    """As a single request's body would be."""
    content = b"this is no zip" * 100
    upload = begin(desk, content).json
    send_all(desk, upload, content)
    assert code(publish(desk, upload, "nonsense")) == (422, "invalid_package")
    assert code(call(desk, "GET", f"/v1/uploads/{upload['id']}")) == (404, "upload_not_found")


def test_an_upload_survives_a_refusal_that_is_not_about_it(desk, long_zip):
    """Another account's model refuses the caller, and the content waits for a better name."""
    assert desk.post("/v1/models", {"name": "taken", "visibility": "public"}, headers=desk.ada).status == 201
    bob, content = desk.register("bob-uploads"), long_zip()
    upload = begin(desk, content, who=bob).json
    for offset in range(0, len(content), CHUNK):
        put(desk, upload, offset, content[offset : offset + CHUNK], who=bob)
    assert code(publish(desk, upload, "taken", who=bob)) == (403, "not_owner")
    assert publish(desk, upload, "free", who=bob).status == 201


def test_a_body_beside_an_upload_is_refused(desk, long_zip):
    """Which of the two is meant, nobody could tell."""
    content = long_zip()
    upload = begin(desk, content).json
    headers = {"content-type": "application/zip"}
    assert code(publish(desk, upload, "both", headers=headers, body=content)) == (400, "invalid_request")
    call(desk, "DELETE", f"/v1/uploads/{upload['id']}")


def test_no_body_and_no_upload_is_no_package(desk):
    """An empty request is told what to send."""
    answer = call(desk, "POST", "/v1/models/nothing/versions", headers={})
    assert code(answer) == (415, "unsupported_media_type")


def test_a_publish_is_replayed_by_its_idempotency_key(desk, long_zip):
    """A repeat after a lost answer gets it again, although the upload is gone by then."""
    content = long_zip()
    upload = begin(desk, content).json
    send_all(desk, upload, content)
    key = {"idempotency-key": "publish-once"}
    first, second = (publish(desk, upload, "replayed", headers=key) for _ in range(2))
    assert (first.status, first.body) == (second.status, second.body) == (201, first.body)


def test_an_account_has_a_bounded_number_of_unfinished_uploads(desk):
    """The eleventh is refused, and the answer says what to do; a deleted one makes room."""
    many = desk.register("many-uploads")
    made = [begin(desk, bytes([number]), who=many).json["id"] for number in range(10)]
    refused = begin(desk, b"one more", who=many)
    assert code(refused) == (409, "too_many_uploads")
    assert made[0] in refused.json["error"]["message"]
    assert begin(desk, bytes([3]), who=many).json["id"] == made[3]
    assert call(desk, "DELETE", f"/v1/uploads/{made[5]}", who=many).status == 204
    assert begin(desk, b"one more", who=many).status == 201


def test_another_store_than_a_folder_takes_chunks_and_gives_ranges(tmp_path, long_zip, make_server):
    """Nothing here depends on files: chunks, whole packages and ranges pass through any artifact store."""
    made = make_server(tmp_path / "data", upload_chunk_bytes=CHUNK, artifacts_url=f"memory://{tmp_path.name}")
    try:
        made.ada, content = made.register("ada"), long_zip()
        upload = begin(made, content).json
        send_all(made, upload, content)
        assert publish(made, upload, "elsewhere").status == 201
        path = "/v1/models/elsewhere/versions/1/package"
        whole = call(made, "GET", path, headers={})
        part = call(made, "GET", path, headers={"range": "bytes=100-"})
        assert whole.headers["etag"] == f'"{hashlib.sha256(whole.body).hexdigest()}"'
        assert (part.status, part.body) == (206, whole.body[100:])
    finally:
        made.close()


def test_the_documentation_says_what_goes_in_and_out(desk):
    """Chunks are bytes, packages are zips, and ranges are told."""
    paths = desk.through_flask("GET", "/openapi.json").json["paths"]
    chunk = paths["/v1/uploads/{upload}/chunks/{offset}"]["put"]
    assert list(chunk["requestBody"]["content"]) == ["application/octet-stream"]
    assert "Content-Digest" in [parameter["name"] for parameter in chunk["parameters"]]
    package = paths["/v1/models/{model}/versions/{version}/package"]["get"]
    assert {status for status in package["responses"] if status < "400"} == {"200", "206"}
    assert list(package["responses"]["206"]["content"]) == ["application/zip"]
    assert {"Range", "If-Range"} <= {parameter["name"] for parameter in package["parameters"]}
