"""Erasing: afterwards nothing of it is in any file, and a receipt says so that anybody can check."""

from __future__ import annotations

import base64
import hashlib
import json
import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest

from maas_client import ReceiptError, verify_receipt
from maas_client._receipts import ERASURE
from maas_client.types import Erasure, Receipt
from reference_server.registry import data_keys, erasures, job_runs, jobs
from reference_server.registry.database import Database
from reference_server.registry.jobs import NewJob
from reference_server.registry.sealed_artifacts import keep

PASSWORD = "correct horse battery"

# Long enough to be found by accident nowhere.
MARK = "zebra7quagga"
ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be")


def marked(what: str) -> str:
    """Return a text that is found again."""
    return f"{what}-{MARK}-{what}"


def forms(text: str) -> list[bytes]:
    """Return what a text may look like in a file: in clear, and in the encodings that programs use."""
    plain = text.encode()
    shifted = [base64.b64encode(b"x" * shift + plain)[4:-4] for shift in range(3)]
    return [
        *(text.encode(encoding) for encoding in ENCODINGS),
        plain.hex().encode(),
        plain.hex().upper().encode(),
        *shifted,
        *(each.translate(bytes.maketrans(b"+/", b"-_")) for each in shifted),
        plain[::-1],
    ]


def found_in(folder, text: str = MARK) -> dict[str, bytes]:
    """Return which files have a text in any form, and in which."""
    return {
        file.name: form
        for file in sorted(folder.rglob("*"))
        if file.is_file()
        for form in forms(text)
        if form in file.read_bytes().replace(b"\0" * 8, b"")
    }


def tables_with(folder, text: str) -> set[str]:
    """Return the tables of the database that have a text in some row."""
    with closing(sqlite3.connect(folder / "maas.db")) as connection:
        tables = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        return {
            table
            for table in tables
            if any(text in repr(row) for row in connection.execute(f'SELECT * FROM "{table}"'))  # noqa: S608 - our own tables
        }


@pytest.fixture(name="package")
def marked_package(package_writer, text_graph):
    """Return a package whose files are marked, and are stored as they are in its zip too."""
    folder = package_writer(text_graph())
    (folder / "README.md").write_text(marked("readme") * 50)
    manifest = folder / "maas.toml"
    manifest.write_text(manifest.read_text().replace('description = "', f'description = "{marked("told")} '))
    return folder


class Owner:
    """An account with something of everything, all of it marked."""

    def __init__(self, server, package) -> None:
        self.server = server
        self.name = marked("ada")
        self.headers = server.register(self.name)
        published = server.publish(
            self.headers, marked("model"), package, query=f"visibility=public&notes={marked('notes')}"
        )
        assert published.status == 201, published.body
        self.id = server.through_flask("GET", "/v1/account", headers=self.headers).json["id"]
        key = {"name": marked("key"), "scopes": ["predict"]}
        made = server.post("/v1/keys", key, headers={**self.headers, "idempotency-key": marked("once")})
        self.key = {"authorization": f"Bearer {made.json['secret']}"}
        self._upload()
        self._job("ended")
        self._job("waiting")
        self._captured()

    def _captured(self) -> None:
        """Capture a call of the owner's own model, whose input is marked."""
        headers = {**self.headers, "content-type": "application/json"}
        path = f"/v1/models/{self.model}"
        on = self.server.through_flask("PUT", f"{path}/capture", headers=headers, body=b'{"enabled": true}')
        assert on.status == 200, on.body
        self.predict(self.headers, marked("input"))

    def predict(self, who, text: str) -> None:
        """Call the model as somebody, and store what was captured."""
        answer = self.server.post(f"/v1/models/{self.model}/predict", {"text": text}, headers=who)
        assert answer.headers["x-maas-capture"] == "days=7"
        self.server.services.captures.flush()

    def captured(self) -> list[str]:
        """Return the texts of what was captured."""
        path = f"/v1/models/{self.model}/captured"
        calls = self.server.through_flask("GET", path, headers=self.headers).json["data"]
        return [call["inputs"][0]["text"] for call in calls]

    @property
    def model(self) -> str:
        """The model's exact name."""
        return f"{self.name}~{marked('model')}"

    def _upload(self) -> None:
        upload = {"size": 10_000, "sha256": "0" * 64}
        begun = self.server.post("/v1/uploads", upload, headers=self.headers)
        chunk = self.server.through_flask(
            "PUT",
            f"/v1/uploads/{begun.json['id']}/chunks/0",
            headers={**self.headers, "content-type": "application/octet-stream"},
            body=(MARK * 50).encode(),
        )
        assert chunk.status == 200, chunk.body

    def _job(self, state: str) -> None:
        services, key = self.server.services, data_keys.fresh()
        jobs.create(
            services.database,
            self.id,
            NewJob(
                kind="test",
                request={"parameters": {"said": marked("asked")}},
                model=self.model,
                version=1,
                input=keep(services.artifacts, key.key, "job-input", MARK.encode() * 100),
                key=key,
            ),
            resumable=True,
            most_under_way=9,
            kept=timedelta(days=1),
        )
        if state == "ended":
            claim = job_runs.claim(services.database, "one", lease=timedelta(seconds=9))
            assert claim is not None
            now = services.database.clock()
            job_runs.add_lines(services.database, claim, [(now, marked("line"))])
            kept = keep(services.artifacts, claim.key, "job-checkpoint", MARK.encode())
            job_runs.save(services.database, services.artifacts, claim, artifact=kept, done=1)
            job_runs.succeed(services.database, services.artifacts, claim, {"label": marked("result")})

    def erase(self, *, password: str = PASSWORD, headers=None):
        """Ask for the erasure of the account."""
        return self.server.through_flask(
            "DELETE",
            "/v1/account",
            headers={"content-type": "application/json", **(headers or self.headers)},
            body=json.dumps({"password": password}).encode(),
        )


@pytest.fixture
def owner(server, package):
    """Return the account and its server."""
    return Owner(server, package)


def folder_of(owner):
    return owner.server.services.settings.data_dir


def checkpoint(owner) -> None:
    """Bring what the log has into the database's file."""
    assert owner.server.services.database.overwrite()


def test_what_is_sealed_is_in_no_file_even_before(owner) -> None:
    """Packages, uploads, what jobs were asked and made: only names, notes and what is listed is in clear."""
    folder = folder_of(owner)
    assert owner.captured() == [marked("input")]
    for what in ("readme", "asked", "line", "result", "input"):
        assert found_in(folder, marked(what)) == {}
    assert found_in(folder / "artifacts") == {}
    package = owner.server.through_flask(
        "GET", f"/v1/models/{owner.model}/versions/1/package", headers=owner.headers
    ).body
    stored = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    assert [at for at in range(0, len(package) - 16, 16) if package[at : at + 16] in stored] == []
    names = " ".join(file.name for file in (folder / "artifacts").iterdir())
    assert hashlib.sha256(package).hexdigest() not in names
    assert found_in(folder, marked("notes")) != {}


def test_after_an_erasure_no_byte_is_left(owner) -> None:
    """Nowhere under the data directory, in no encoding; others' things stay, without its name."""
    server = owner.server
    bob = server.register("bob")
    assert server.post(f"/v1/models/{owner.model}/predict", {"text": "good"}, headers=bob).status == 200
    bobs = server.through_flask("GET", "/v1/account", headers=bob).json["id"]
    about = NewJob(kind="test", model=owner.model, version=1)
    kept = {"resumable": False, "most_under_way": 9, "kept": timedelta(days=1)}
    job = jobs.create(server.services.database, bobs, about, **kept)
    checkpoint(owner)
    assert found_in(folder_of(owner)) != {}

    answer = owner.erase()
    assert answer.status == 200, answer.body
    assert found_in(folder_of(owner)) == {}
    assert [file.name for file in (folder_of(owner) / "artifacts").iterdir()] == []
    # Of the audit log its chain stays: what is personal in it was sealed with the key that is gone.
    assert tables_with(folder_of(owner), owner.id) == {"audit_entries", "erasures"}

    assert jobs.get(server.services.database, bobs, job.id).model is None
    for credential in (owner.headers, owner.key):
        assert server.through_flask("GET", "/v1/models", headers=credential).status == 401
    gone = server.post(f"/v1/models/{owner.model}/predict", {"text": "good"}, headers=bob)
    assert (gone.status, gone.json["error"]["code"]) == (404, "model_not_found")
    assert server.services.pool.digests == set()
    # The address is free again.
    assert server.register(owner.name)


def test_an_erasure_is_told_before_and_needs_the_password(owner) -> None:
    """A dry run says what goes; a key, a wrong password or none erases nothing."""
    plan = owner.server.through_flask("GET", "/v1/account/erasure", headers=owner.headers)
    assert plan.json["models"] == plan.json["public_models"] == [owner.model]
    counts = {"models": 1, "versions": 1, "keys": 1, "sessions": 1, "uploads": 1, "jobs": 2, "usage_days": 0}
    counts["captured_calls"] = 1
    assert plan.json["counts"] == counts
    refused = [
        owner.erase(password="another password").status,
        owner.erase(headers=owner.key).status,
        owner.server.through_flask("DELETE", "/v1/account", headers=owner.headers).status,
    ]
    assert refused[:2] == [401, 403]
    assert refused[2] in (400, 415, 422)
    assert owner.server.through_flask("GET", "/v1/account", headers=owner.headers).status == 200
    erased = Erasure.model_validate_json(owner.erase().body)
    assert (erased.what, erased.counts) == ("account", counts)


def test_the_receipt_is_the_servers_and_says_what_it_says(owner) -> None:
    """It holds under the key that `GET /` tells, for what its holder knows; changed, it does not."""
    key = owner.server.through_flask("GET", "/").json["receipt_key"]
    receipt = Erasure.model_validate_json(owner.erase().body).receipt
    assert receipt is not None
    statement = verify_receipt(receipt, key=key, name=f"{owner.name}@example.com")
    assert (statement.what, statement.object) == ("account", owner.id)
    assert statement.requested_at <= statement.erased_at
    assert any("backups" in each for each in statement.not_covered)
    with pytest.raises(ReceiptError, match="not about"):
        verify_receipt(receipt, key=key, name="somebody@example.com")
    with pytest.raises(ReceiptError, match="does not hold"):
        verify_receipt(receipt, key=base64.b64encode(bytes(31) + b"\1").decode())
    said = json.loads(base64.b64decode(receipt.payload))
    said["counts"]["versions"] = 0
    forged = receipt.model_copy(update={"payload": base64.b64encode(json.dumps(said).encode()).decode()})
    with pytest.raises(ReceiptError, match="does not hold"):
        verify_receipt(forged, key=key)
    with pytest.raises(ReceiptError, match="does not hold"):
        verify_receipt(receipt.model_copy(update={"payloadType": f"{ERASURE}2"}), key=key)
    with pytest.raises(ReceiptError, match="no receipt"):
        verify_receipt(Receipt(payloadType=ERASURE, payload="e30=", signatures=[]), key=key)


def test_while_a_reader_holds_the_log_an_erasure_is_pending(owner) -> None:
    """The keys are gone at once; the receipt comes when the log has been emptied."""
    server, folder = owner.server, folder_of(owner)
    with closing(sqlite3.connect(folder / "maas.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM accounts").fetchall()
        answer = owner.erase()
        assert answer.status == 202
        assert answer.json["receipt"] is None
        where = answer.headers["location"]
        assert server.through_flask("GET", where).json["state"] == "pending"
        assert erasures.finish_pending(server.services.database, server.services.artifacts) == 0
        assert found_in(folder) != {}
    assert erasures.finish_pending(server.services.database, server.services.artifacts) == 1
    assert found_in(folder) == {}
    assert server.through_flask("GET", where).json["receipt"]["signatures"]


@pytest.mark.parametrize("what", ["model", "version"])
def test_a_model_and_a_version_are_erased_with_a_receipt(owner, package, what: str) -> None:
    """What was theirs is in no file then, and no copy of a package opens any more."""
    server, path = owner.server, f"/v1/models/{marked('model')}"
    (package / "README.md").write_text(marked("second"))
    second = server.publish(owner.headers, marked("model"), package, query=f"notes={marked('later')}")
    assert second.status == 201
    path = path if what == "model" else f"{path}/versions/2"
    checkpoint(owner)
    assert found_in(folder_of(owner), marked("later")) != {}
    answer = server.through_flask("DELETE", path, headers=owner.headers)
    assert answer.status == 200
    receipt = Receipt.model_validate(answer.json["receipt"])
    named = owner.model if what == "model" else f"{owner.model} version 2"
    assert verify_receipt(receipt, name=named).what == what
    if what == "model":
        for gone in ("later", "notes", "told"):
            assert found_in(folder_of(owner), marked(gone)) == {}
    assert server.through_flask("DELETE", path, headers=owner.headers).status == 404


def test_of_captured_calls_no_byte_is_left(owner) -> None:
    """Neither in clear nor sealed: the bytes as they lay in the database are in no file any more."""
    server, folder = owner.server, folder_of(owner)
    with closing(sqlite3.connect(folder / "maas.db")) as connection:
        sealed = [row for (row,) in connection.execute("SELECT sealed FROM captured_calls")]
        keys = [
            row for (row,) in connection.execute("SELECT wrapped FROM data_keys WHERE purpose = 'capture'")
        ]
    checkpoint(owner)
    assert len(sealed) == len(keys) == 1
    assert all(files_with(folder, each) for each in (*sealed, *keys))
    path = f"/v1/models/{marked('model')}/captured"
    assert server.through_flask("DELETE", path, headers=owner.headers).status == 200
    assert not any(files_with(folder, each) for each in (*sealed, *keys))
    assert owner.captured() == []


def files_with(folder, content: bytes) -> list[str]:
    """Return the files that hold some part of what lay in the database."""
    parts = [content[at : at + 16] for at in range(0, len(content) - 16, 16)]
    return [
        file.name
        for file in sorted(folder.rglob("*"))
        if file.is_file() and any(part in file.read_bytes() for part in parts)
    ]


def test_a_callers_erasure_reaches_what_others_captured(owner) -> None:
    """Their calls go from the owner's set; nobody else's do."""
    bob = owner.server.register("bob")
    owner.predict(bob, marked("bobs"))
    assert owner.captured() == [marked("input"), marked("bobs")]
    bobs = owner.server.through_flask("GET", "/v1/account", headers=bob).json["id"]
    with closing(sqlite3.connect(folder_of(owner) / "maas.db")) as connection:
        ((sealed,),) = connection.execute(
            "SELECT sealed FROM captured_calls WHERE account_id = ?", (bobs,)
        ).fetchall()
    assert owner.erase(headers=bob).json["counts"]["captured_calls"] == 1
    assert owner.captured() == [marked("input")]
    assert files_with(folder_of(owner), sealed) == []


def test_receipts_are_kept_for_a_while_and_found_by_their_id(owner) -> None:
    """By nobody who does not know it, and not for ever."""
    server = owner.server
    erased = owner.erase().json
    assert server.through_flask("GET", f"/v1/erasures/{erased['id']}").json == erased
    assert server.through_flask("GET", "/v1/erasures/era_0").json["error"]["code"] == "erasure_not_found"
    database = server.services.database
    later = Database(
        server.services.settings.database,
        clock=lambda: database.clock() + timedelta(days=91),
    )
    erasures.finish_pending(later, server.services.artifacts)
    later.dispose()
    assert server.through_flask("GET", f"/v1/erasures/{erased['id']}").status == 404
