"""Make each change and die at each of its steps; `test_deaths.py` runs it as a process.

A step is a statement of a writer's transaction, its commit, or what is done to a file. For every one of them
a child of this process starts from the same store, dies there, and another makes the same change again. What
both have left is printed as JSON.

Usage: die_at_each_step.py FOLDER
"""

from __future__ import annotations

import gc
import hashlib
import io
import json
import os
import shutil
import sqlite3
import sys
import zipfile
from contextlib import closing
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from maas_client.types import PublishQuery, TaskSignature, TensorSignature
from reference_server.errors import ServiceError
from reference_server.http import idempotency
from reference_server.http.exchange import Answer
from reference_server.registry import accounts, aliases, erasures, models, publishing, receipts, uploads
from reference_server.registry.artifacts import ArtifactStore
from reference_server.registry.database import Database, upgrade
from reference_server.security.callers import ALL_SCOPES, Caller
from reference_server.security.encryption import DataKey
from reference_server.security.master_keys import MasterKeys

KILLED = 9
idempotency._LEASE_SECONDS = 0.0
# One for all folders, each in its turn the current one, so that statements are compiled once.
MASTER_KEYS = MasterKeys({"mk_tests": DataKey(bytes(32))})
DATABASE = Database("sqlite:///file:maas.db?uri=true", master_keys=MASTER_KEYS, clock=lambda: NOW)
NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
CHUNK = 200
TWO_HOURS = 7200


def package(content):
    """Return the zip of a package; its graph is never run here, so its content is only a mark."""
    target = io.BytesIO()
    manifest = 'task = "tensor"\ndescription = "d"\nlicense = "MIT"\n[example]\nx = [1.0]\n'
    with zipfile.ZipFile(target, "w") as archive:
        for name, text in (("maas.toml", manifest), ("model.onnx", content)):
            archive.writestr(zipfile.ZipInfo(name), text)
    return target.getvalue()


class Place:
    """A store in a folder, and the account that changes it."""

    def __init__(self, folder):
        self.folder = folder
        os.chdir(folder)
        self.db = DATABASE
        self.store = ArtifactStore(str(folder / "artifacts"))
        found = accounts.find(self.db, "ada")
        self.ada = Caller(found.id, found.name, found.role, "ses_of_ada", "session", ALL_SCOPES)
        known = folder / "uploads.json"
        self.half, self.whole = json.loads(known.read_text()) if known.exists() else ("", "")

    def publish(self, file, **query):
        publishing.publish(
            self.db,
            self.store,
            self.ada,
            "words",
            file,
            query=PublishQuery(**query),
            inspect=lambda package: SimpleNamespace(
                signature=TaskSignature(inputs=[], outputs=[]),
                tensors=TensorSignature(inputs=[], outputs=[]),
                batch_invariant=True,
            ),
            max_bytes=2**20,
        )

    def upload(self, content):
        """Begin an upload; return its id."""
        sha256 = hashlib.sha256(content).hexdigest()
        size = len(content)
        begun = uploads.begin(self.db, self.ada.account_id, size=size, sha256=sha256, chunk_bytes=CHUNK)
        return begun[0].id

    def add_chunk(self, upload, content, number):
        uploads.add_chunk(
            self.db,
            self.store,
            self.ada.account_id,
            upload,
            offset=number * CHUNK,
            chunk=content[number * CHUNK : (number + 1) * CHUNK],
            chunk_bytes=CHUNK,
        )

    def move(self, alias, version, expected=None):
        aliases.move(
            self.db, self.ada, "words", alias, version=version, note="moved", expected_revision=expected
        )


HALF, WHOLE = package("half" * 99), package("whole" * 99)


def prepare(folder):
    """Make a store with a model, its history, an upload that has begun and one that is whole."""
    folder.mkdir()
    upgrade(f"sqlite:///{folder / 'maas.db'}")
    os.chdir(folder)
    accounts.create(
        DATABASE,
        email="ada@example.com",
        password_hash="$argon2id$of-ada",
        name="ada",
        role="user",
        policy_version="2030-01",
    )
    receipts.prepare(DATABASE)
    place = Place(folder)
    for content in ("one", "two", "three"):
        place.publish(io.BytesIO(package(content)))
    place.move("default", 2)
    half, whole = place.upload(HALF), place.upload(WHOLE)
    place.add_chunk(half, HALF, 0)
    for number in range(-(-len(WHOLE) // CHUNK)):
        place.add_chunk(whole, WHOLE, number)
    (folder / "uploads.json").write_text(json.dumps([half, whole]))
    place.db.dispose()
    with closing(sqlite3.connect(folder / "maas.db")) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")  # one file, to be copied


def publish_upload(place):
    with uploads.whole(place.db, place.store, place.ada.account_id, place.whole) as file:
        place.publish(file, set_default=True)


def roll_back(place, expected=2):
    aliases.rollback(place.db, place.ada, "words", "default", note="back", expected_revision=expected)


def roll_back_under_a_key(place):
    """Roll back as the endpoint does for a call with an Idempotency-Key; its lease is over at once."""

    def run():
        roll_back(place, expected=None)
        return Answer(200, {}, b"{}")

    idempotency.once(
        run,
        database=place.db,
        claims=idempotency.Claims(place.db),
        key="a-key",
        owner=place.ada.account_id,
        fingerprint=b"rollback",
        one_transaction=True,
    )


CHANGES = {
    "publish": lambda place: place.publish(io.BytesIO(package("four")), set_default=True),
    "make an alias": lambda place: place.move("stable", 3),
    "move": lambda place: place.move("default", 3, 2),
    "rollback": roll_back,
    "rollback under a key": roll_back_under_a_key,
    "add a chunk": lambda place: place.add_chunk(place.half, HALF, 1),
    "publish an upload": publish_upload,
    "give an upload up": lambda place: uploads.delete(
        place.db, place.store, place.ada.account_id, place.half
    ),
    "show": lambda place: models.update(place.db, place.ada, "words", visibility="public"),
}

# Where this server can delete.
if find_spec("reference_server.registry.deletion"):
    from reference_server.registry import deletion

    CHANGES["delete a version"] = lambda place: deletion.delete_version(
        place.db, place.store, place.ada, "words", "1"
    )
    CHANGES["delete a model"] = lambda place: deletion.delete_model(place.db, place.store, place.ada, "words")


class Steps:
    """Counts the steps of a change, and dies at one of them if it is told to.

    Args:
        fatal: The number of the step, from 1; 0 for none.
    """

    def __init__(self, fatal=0):
        self._fatal = fatal
        self.names = []
        self.commits = 0
        event.listen(Engine, "before_cursor_execute", self._before_statement)
        event.listen(Engine, "commit", self._before_commit)
        event.listen(Session, "after_commit", self._after_commit)
        for name in ("fsync", "replace", "remove"):
            self._watch(name)

    def _watch(self, name):
        real = getattr(os, name)

        def watched(*arguments, **options):
            self._step(name)
            return real(*arguments, **options)

        setattr(os, name, watched)

    def _step(self, name):
        self.names.append((name, self.commits))
        if len(self.names) == self._fatal:
            os._exit(KILLED)

    def _before_statement(self, connection, cursor, statement, *rest):
        # What only reads leaves what was there before it.
        if connection.get_execution_options().get("maas_writes") and not statement.startswith("SELECT"):
            self._step(" ".join(statement.split()[:3]))

    def _before_commit(self, connection):
        if connection.get_execution_options().get("maas_writes"):
            self._step("COMMIT")

    def _after_commit(self, session):
        if session.get_bind().get_execution_options().get("maas_writes"):
            self.commits += 1
            self._step("committed")
            self.after_commit()

    def after_commit(self):
        """Do what a caller wants done then."""


KEYS_BY_THING = """
SELECT data_keys.purpose, versions.model_id, versions.number, uploads.id
FROM data_keys
LEFT JOIN versions ON versions.data_key = data_keys.id
LEFT JOIN uploads ON uploads.data_key = data_keys.id
ORDER BY 1, 2, 3, 4
"""


def state(folder):
    """Return every row of every table; artifacts and keys, named anew each time, by what has them."""
    with closing(sqlite3.connect(folder / "maas.db")) as connection:
        tables = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        rows = {}
        for table in tables:
            found = connection.execute(f'SELECT * FROM "{table}"')  # noqa: S608 - our own tables
            rows[table] = sorted(map(repr, found))
        rows["upload_chunks"] = list(
            connection.execute('SELECT upload_id, "offset" FROM upload_chunks ORDER BY 1, 2')
        )
        rows["account_keys"] = list(connection.execute("SELECT account_id FROM account_keys ORDER BY 1"))
        rows["data_keys"] = list(connection.execute(KEYS_BY_THING))
        rows["store_keys"] = list(connection.execute("SELECT name FROM store_keys ORDER BY 1"))
        rows["erasures"] = list(connection.execute("SELECT what, object, finished_at FROM erasures"))
        for table in ("versions", "uploads", "idempotency"):
            names = [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")]
            shown = ", ".join(f'"{name}"' for name in names if name not in ("artifact", "data_key", "body"))
            rows[table] = sorted(map(repr, connection.execute(f"SELECT {shown} FROM {table}")))  # noqa: S608 - our own tables
        rows["integrity"] = list(connection.execute("PRAGMA integrity_check"))
        rows["references"] = list(connection.execute("PRAGMA foreign_key_check"))
        return rows


def in_child(folder, act, *, fatal=0):
    """Run a function of a place and its steps in a child; return its status and what it returned."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        result = act(Place(folder), Steps(fatal))
        os.write(writer, json.dumps(result).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as told:
        result = told.read()
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), json.loads(result or b"null")


def whole(change):
    """Return what makes a change to its end, and tells its steps and the state after each commit."""

    def run(place, steps):
        file = place.folder.with_suffix(".states")
        states = []
        steps.after_commit = lambda: states.append(state(place.folder))
        change(place)
        file.write_text(json.dumps(states))
        return steps.names

    return run


def again(change, folder):
    """Make a change after a death, and tell why not; then sweep, and tell what lies around."""
    place, error = Place(folder), None
    try:
        change(place)
    except ServiceError as refusal:
        error = refusal.code
    # What housekeeping does of itself.
    erasures.finish_pending(place.db, place.store)
    for file in (folder / "artifacts").iterdir():
        long_ago = file.stat().st_mtime - TWO_HOURS
        os.utime(file, (long_ago, long_ago))
    swept = publishing.sweep(place.db, place.store)
    place.db.dispose()
    return {
        "error": error,
        "swept": swept,
        "left": sorted(file.name for file in (folder / "artifacts").iterdir()),
    }


def deaths_of(change, before, folder, every):
    """Return how a change goes when nobody dies, and what deaths in it leave: at each so-many-th step."""
    folder.mkdir()
    complete = folder / "complete"
    shutil.copytree(before, complete)
    status, steps = in_child(complete, whole(change))
    states = [state(before), *json.loads(complete.with_suffix(".states").read_text())]
    return {
        "status": status,
        "states": states,
        "deaths": [
            death_at(change, before, folder, number, step)
            for number, step in enumerate(steps, 1)
            if number % every == 0 or number in (1, len(steps))
        ],
    }


def death_at(change, before, folder, number, step):
    """Return what a death at a step leaves, and what the same change does then."""
    there = folder / str(number)
    shutil.copytree(before, there)
    status, _ = in_child(there, lambda place, _: change(place), fatal=number)
    left = state(there)
    repeat = again(change, there)
    name, commits = step
    return {
        "step": name,
        "commits": commits,
        "status": status,
        "left": left,
        "repeat": repeat,
        "after": state(there),
        "referenced": referenced(there),
    }


def referenced(folder):
    """Return the artifacts that some row refers to."""
    with closing(sqlite3.connect(folder / "maas.db")) as connection:
        rows = connection.execute("SELECT artifact FROM versions UNION SELECT artifact FROM upload_chunks")
        return sorted(name for (name,) in rows)


def main():
    """Go through all changes."""
    folder, every = Path(sys.argv[1]).absolute(), int(sys.argv[2])
    before = folder / "before"
    prepare(before)
    gc.freeze()
    found = {}
    for number, (name, change) in enumerate(CHANGES.items()):
        found[name] = deaths_of(change, before, folder / f"change-{number}", every)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
