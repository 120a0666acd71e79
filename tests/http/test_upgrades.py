"""The server on a store that its first release has left."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from maas_client._package import open_package, write_zip
from reference_server.registry import database

FIRST = Path(__file__).parents[1] / "registry" / "first_store.json"
KEY = {"authorization": "Bearer maas_key_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA49v2ga"}
SESSION = {"authorization": "Bearer maas_ses_BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB2ZsuPP"}
PASSWORD = "correct horse battery"


def put(package, folder, name):
    """Put a package into a store's folder; return what the store's rows say of it."""
    with open_package(package) as opened, (folder / name).open("wb") as file:
        write_zip(opened, file)
        return opened.digest


@pytest.fixture(scope="module")
def digests(text_package, token_package, tmp_path_factory):
    """Return the folder of a data directory as the first release left it, and its packages' digests."""
    folder = tmp_path_factory.mktemp("first") / "data"
    (folder / "artifacts").mkdir(parents=True)
    digests = [
        put(package, folder / "artifacts", name)
        for package, name in ((text_package, "one.zip"), (token_package, "two.zip"))
    ]
    stands_for = {
        "{now}": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.000000}",
        "{digest_1}": digests[0],
        "{digest_2}": digests[1],
        "{artifact_1}": "one.zip",
        "{artifact_2}": "two.zip",
    }
    engine = create_engine(f"sqlite:///{folder / 'maas.db'}")
    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", database._MIGRATIONS)
        command.upgrade(config, "0001")
    engine.dispose()
    with closing(sqlite3.connect(folder / "maas.db")) as connection, connection:
        for table, rows in json.loads(FIRST.read_text(encoding="utf-8")).items():
            for row in rows:
                values = [
                    bytes.fromhex(each["hex"]) if isinstance(each, dict) else stands_for.get(each, each)
                    for each in row.values()
                ]
                places = ", ".join("?" * len(row))
                connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", values)  # noqa: S608
    return folder, digests


@pytest.fixture(scope="module")
def old(digests, make_server):
    """Return a server of today on that data directory."""
    made = make_server(digests[0])
    yield made
    made.close()


def get(server, path):
    answer = server.through_flask("GET", path, headers=KEY)
    assert answer.status == 200, answer.body
    return answer


def test_credentials_of_then_hold(old):
    """A key, a log-in session and a password are still their owner's, and a disabled account stays shut."""
    assert old.through_flask("GET", "/v1/account", headers=SESSION).json["name"] == "ada"
    session = old.post("/v1/sessions", {"email": "ada@example.com", "password": PASSWORD})
    assert session.status == 201
    (key,) = old.through_flask("GET", "/v1/keys", headers=SESSION).json["data"]
    assert (key["name"], key["last4"], key["scopes"]) == (
        "notebook",
        "v2ga",
        ["models:read", "models:write", "predict"],
    )


def test_models_of_then_predict(old, digests):
    """Each version runs, and `default` is where it was moved to."""
    _, (one, two) = digests
    for path, version, digest in (
        ("/v1/models/words/predict", 1, one),
        ("/v1/models/words/versions/stable/predict", 2, two),
    ):
        answer = old.post(path, {"text": "a good day"}, headers=KEY)
        assert answer.status == 200, answer.body
        assert answer.json["predictions"][0]["label"] == "positive"
        assert (answer.json["version"], answer.json["digest"]) == (version, digest)


def test_versions_and_their_history_are_shown(old, digests):
    """What was written down about versions and aliases reads as it did."""
    listed = get(old, "/v1/models/words/versions").json["data"]
    assert [(each["version"], each["notes"], each["digest"]) for each in listed] == [
        (2, "note 2", digests[1][1]),
        (1, "note 1", digests[1][0]),
    ]
    assert listed[1]["manifest"]["metrics"][0]["value"] == 0.75
    history = get(old, "/v1/models/words/aliases/default/history").json["data"]
    assert [(each["revision"], each["from_version"], each["to_version"]) for each in history] == [
        (3, 2, 1),
        (2, 1, 2),
        (1, None, 1),
    ]
    assert get(old, "/v1/models/words").json["visibility"] == "public"
    assert old.through_flask("GET", "/v1/models/hidden", headers=KEY).status == 404


def test_a_package_of_then_can_be_downloaded(old):
    """Its sha256, which was not kept then, is found out."""
    answer = get(old, "/v1/models/words/versions/1/package")
    assert answer.headers["etag"] == f'"{hashlib.sha256(answer.body).hexdigest()}"'


def test_a_stored_reply_is_sent_again(old):
    """A POST of before the upgrade is not carried out twice after it."""
    headers = {**KEY, "idempotency-key": "a-key-of-then"}
    answer = old.post("/v1/models", {"name": "claimed"}, headers=headers)
    assert (answer.status, answer.json["answered"]) == (201, "then")


def test_the_store_goes_on(old, text_package, token_package):
    """Moves and versions of today follow those of then."""
    moved = old.through_flask(
        "POST",
        "/v1/models/words/aliases/default/rollback",
        headers={**KEY, "content-type": "application/json"},
        body=b"{}",
    )
    assert (moved.status, moved.json["version"], moved.json["revision"]) == (200, 2, 4)
    assert old.publish(KEY, "words", text_package).status == 200  # that content is version 1
