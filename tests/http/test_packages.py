import base64
import hashlib
import io
import socket
import time

import pytest
from sqlalchemy import select, update

from maas_client._package import open_package
from reference_server.registry.tables import ModelRow, VersionRow

PACKAGE = "/v1/models/words/versions/1/package"


@pytest.fixture
def content(shared):
    answer = shared.through_flask("GET", PACKAGE, headers=shared.ada)
    assert answer.status == 200
    return answer.body


def test_the_owner_downloads_what_was_published(shared, text_package):
    """The zip holds the content that the version's digest names, and every header says what it is."""
    answer = shared.through_front("GET", PACKAGE, headers=shared.ada)
    version = shared.through_flask("GET", "/v1/models/words/versions/1", headers=shared.ada).json
    with open_package(io.BytesIO(answer.body)) as stored, open_package(text_package) as published:
        assert stored.digest == published.digest == version["digest"]
    sha256 = hashlib.sha256(answer.body)
    assert len(answer.body) == version["size"]
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.headers["content-disposition"] == 'attachment; filename="words-1.zip"'
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["etag"] == f'"{sha256.hexdigest()}"'
    assert answer.headers["repr-digest"] == f"sha-256=:{base64.b64encode(sha256.digest()).decode()}:"


@pytest.mark.parametrize("selector", ["default", "latest", "1"])
def test_a_package_is_found_by_whatever_selects_its_version(shared, content, selector):
    """Number, alias and `latest` lead to the same bytes."""
    path = f"/v1/models/ada~words/versions/{selector}/package"
    assert shared.through_flask("GET", path, headers=shared.ada).body == content


@pytest.mark.parametrize("through", ["through_flask", "through_front"])
@pytest.mark.parametrize(("first", "last"), [(0, 0), (1, 10), (100, None), (7, 10**9)])
def test_a_range_comes_as_206_with_the_digest_of_the_whole(shared, content, through, first, last):
    """Both doors give the part that was asked for."""
    headers = {
        "range": f"bytes={first}-{'' if last is None else last}",
        "if-range": f'"{hashlib.sha256(content).hexdigest()}"',
    }
    answer = getattr(shared, through)("GET", PACKAGE, headers={**shared.ada, **headers})
    part = content[first : None if last is None else last + 1]
    assert (answer.status, answer.body) == (206, part)
    assert answer.headers["content-range"] == f"bytes {first}-{first + len(part) - 1}/{len(content)}"
    assert answer.headers["content-length"] == str(len(part))
    whole = base64.b64encode(hashlib.sha256(content).digest()).decode()
    assert answer.headers["repr-digest"] == f"sha-256=:{whole}:"


def test_a_range_beyond_the_end_is_416_in_our_shape(shared, content):
    """The answer says how many bytes there are."""
    answer = shared.through_front("GET", PACKAGE, headers={**shared.ada, "range": f"bytes={len(content)}-"})
    assert (answer.status, answer.json["error"]["code"]) == (416, "range_not_satisfiable")
    assert answer.headers["content-range"] == f"bytes */{len(content)}"


def test_a_range_of_another_content_gets_the_whole(shared, content):
    """`If-Range` with another ETag never mixes two packages."""
    headers = {**shared.ada, "range": "bytes=5-", "if-range": '"of-another"'}
    answer = shared.through_front("GET", PACKAGE, headers=headers)
    assert (answer.status, answer.body) == (200, content)


def test_who_may_use_a_model_may_not_download_it(shared, text_package):
    """A public model's package is refused, a private model's is not there."""
    eve = shared.register("eve-downloads")
    refused = shared.through_flask("GET", "/v1/models/ada~words/versions/1/package", headers=eve)
    assert (refused.status, refused.json["error"]["code"]) == (403, "not_downloadable")
    assert shared.publish(shared.ada, "hidden", text_package).status in (200, 201)
    hidden = shared.through_flask("GET", "/v1/models/ada~hidden/versions/1/package", headers=eve)
    assert (hidden.status, hidden.json["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize("version", ["9", "nothing", "0", "-1"])
def test_a_version_that_is_not_there_has_no_package(shared, version):
    """As for the version itself."""
    path = f"/v1/models/words/versions/{version}/package"
    answer = shared.through_flask("GET", path, headers=shared.ada)
    assert (answer.status, answer.json["error"]["code"]) == (404, "version_not_found")


def test_a_version_of_before_the_sum_was_kept_is_measured_once(server, text_package, monkeypatch):
    """The first download reads it through and keeps what it found."""
    ada = server.register("ada")
    assert server.publish(ada, "words", text_package).status == 201
    before = server.through_flask("GET", PACKAGE, headers=ada)
    with server.services.database.write() as session:
        session.execute(update(VersionRow).values(artifact_sha256=None, size=0))
    opened = []
    open_reader = server.services.artifacts.open_reader
    monkeypatch.setattr(
        server.services.artifacts, "open_reader", lambda name: opened.append(name) or open_reader(name)
    )
    answers = [server.through_flask("GET", PACKAGE, headers=ada) for _ in range(2)]
    assert len(opened) == 3
    for answer in answers:
        assert (answer.status, answer.body) == (200, before.body)
        assert answer.headers["repr-digest"] == before.headers["repr-digest"]


@pytest.fixture
def long(server, package_writer, text_graph, monkeypatch):
    """A server with a package of some megabytes, which counts what it opens."""
    server.ada = server.register("ada")
    folder = package_writer(text_graph())
    (folder / "README.md").write_bytes(base64.b64encode(hashlib.shake_128(b"x").digest(2**23)))
    assert server.publish(server.ada, "words", folder).status == 201
    server.opened = []
    open_reader = server.services.artifacts.open_reader

    def remember(name):
        server.opened.append(open_reader(name))
        return server.opened[-1]

    monkeypatch.setattr(server.services.artifacts, "open_reader", remember)
    return server


def test_a_large_package_comes_in_pieces_and_whole(long):
    """Beyond a megabyte the front sends what it reads, a part or all, and keeps nothing open."""
    whole = long.through_front("GET", PACKAGE, headers=long.ada)
    assert len(whole.body) == int(whole.headers["content-length"]) > 2**20
    part = long.through_front("GET", PACKAGE, headers={**long.ada, "range": "bytes=1000000-2500000"})
    assert (part.status, part.body) == (206, whole.body[1_000_000:2_500_001])
    long.wait_for(lambda: [file.closed for file in long.opened] == [True, True])


def test_a_package_is_read_no_faster_than_its_client_reads(long):
    """A client that does not read makes the server wait, not fill its memory; then it gets all."""
    whole = long.through_front("GET", PACKAGE, headers=long.ada).body
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(long.address)
        long.send(client, "GET", PACKAGE, long.ada)
        long.wait_for(lambda: len(long.opened) == 2 and not long.opened[-1].closed and long.opened[-1].tell())
        read = -1
        while read != (read := long.opened[-1].tell()):
            time.sleep(0.1)
        assert read < len(whole)
        assert long.receive(client).body == whole


def test_a_client_that_leaves_lets_go_of_the_artifact(long):
    """What is behind a download is closed when nobody reads it any more."""
    with long.connect() as client:
        long.send(client, "GET", PACKAGE, long.ada)
        assert client.recv(1000)
    long.wait_for(lambda: [file.closed for file in long.opened] == [True])


def test_what_is_marked_downloadable_is_downloaded_by_whoever_may_use_it(server, text_package):
    """Its readers get the very bytes while the mark stands; whoever cannot see the model learns nothing."""
    ada, bob, eve = (server.register(name) for name in ("ada", "bob", "eve"))
    assert server.publish(ada, "words", text_package).status == 201
    json_type = {"content-type": "application/json"}
    share = server.through_flask(
        "PUT", "/v1/models/words/shares/bob", headers={**ada, **json_type}, body=b'{"role": "reader"}'
    )
    assert share.status == 200

    def mark(body, by=ada):
        return server.through_flask("PATCH", "/v1/models/ada~words", headers={**by, **json_type}, body=body)

    def download(by):
        return server.through_flask("GET", "/v1/models/ada~words/versions/1/package", headers=by)

    assert download(bob).status == 403
    assert mark(b'{"downloadable": true}', by=bob).status == 403
    shown = mark(b'{"downloadable": true}').json
    assert (shown["downloadable"], shown["visibility"]) == (True, "shared")
    assert (download(bob).status, download(bob).body) == (200, download(ada).body)
    assert (download(eve).status, download(eve).json["error"]["code"]) == (404, "model_not_found")
    assert mark(b'{"downloadable": false}').json["downloadable"] is False
    assert download(bob).json["error"]["code"] == "not_downloadable"


@pytest.mark.parametrize("body", [b"{}", b'{"visibility": null}'])
def test_a_change_that_changes_nothing_says_what_can_be(shared, body):
    """Neither is a model's visibility taken away by null."""
    headers = {**shared.ada, "content-type": "application/json"}
    answer = shared.through_flask("PATCH", "/v1/models/words", headers=headers, body=body)
    assert answer.status == 422
    assert "give visibility or downloadable" in answer.json["error"]["message"]


@pytest.mark.parametrize("through", ["through_flask", "through_front"])
def test_what_is_withheld_is_not_downloaded_by_its_owner(shared, text_package, through):
    """Whole, a range, by alias, and after the model was marked; the version says that it is so."""
    name, json_type = f"kept-{through.replace('_', '-')}", {"content-type": "application/json"}
    assert shared.publish(shared.ada, name, text_package).status == 201
    with shared.services.database.write() as session:
        of_model = select(ModelRow.id).where(ModelRow.name == name).scalar_subquery()
        session.execute(
            update(VersionRow).where(VersionRow.model_id == of_model).values(withheld_by=["mdl_x"])
        )
    send = getattr(shared, through)
    marked = send(
        "PATCH", f"/v1/models/{name}", headers={**shared.ada, **json_type}, body=b'{"downloadable": true}'
    )
    assert marked.status == 200
    for selector in ("1", "default", "latest"):
        for more in ({}, {"range": "bytes=0-9"}):
            path = f"/v1/models/{name}/versions/{selector}/package"
            answer = send("GET", path, headers={**shared.ada, **more})
            assert (answer.status, answer.json["error"]["code"]) == (403, "not_downloadable")
    assert send("GET", f"/v1/models/{name}/versions/1", headers=shared.ada).json["withheld"] is True
    said = send(
        "POST",
        f"/v1/models/{name}/predict",
        headers={**shared.ada, **json_type},
        body=b'{"text": "a good day"}',
    )
    assert said.status == 200
