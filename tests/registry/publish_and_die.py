"""Publish the package on standard input and die on the way; `test_crashes.py` runs it as a process.

Each death is a fork's, so that what they need is loaded once. How each ended is printed as JSON.

Usage: publish_and_die.py (DATABASE_URL ARTIFACTS STEP)...
"""

from __future__ import annotations

import gc
import io
import json
import os
import sys
from types import SimpleNamespace

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from maas_client.types import PublishQuery, TaskSignature, TensorSignature
from reference_server.registry import accounts, publishing
from reference_server.registry.artifacts import ArtifactStore
from reference_server.registry.database import Database
from reference_server.security.callers import ALL_SCOPES, Caller
from reference_server.security.encryption import DataKey
from reference_server.security.master_keys import MasterKeys


def die(*_args, **_options):
    """End as by a power cut, as far as a process can: nothing is flushed, closed or rolled back."""
    os._exit(9)


def die_at_fsync(number):
    """Let all fsyncs before the given one happen."""
    fsync, left = os.fsync, iter(range(number - 1))

    def count(file):
        if next(left, None) is None:
            die()
        fsync(file)

    os.fsync = count


def die_after(table):
    """Die inside the transaction, when a row of a table has been written."""

    def look(connection, cursor, statement, *rest):
        if statement.startswith(f"INSERT INTO {table} "):
            die()

    event.listen(Engine, "after_cursor_execute", look)


STEPS = {
    "file not synced": lambda: die_at_fsync(1),
    "not renamed": lambda: setattr(os, "replace", die),
    "folder not synced": lambda: die_at_fsync(2),
    "no model row": lambda: event.listen(Session, "after_begin", die_in_the_writer),
    "no version row": lambda: die_after("models"),
    "no alias": lambda: die_after("versions"),
    "no history": lambda: die_after("aliases"),
    "no commit": lambda: event.listen(Engine, "commit", die),
    "committed": lambda: event.listen(Session, "after_commit", die),
    "answered": lambda: None,
}


# Those of `conftest.py`.
MASTER_KEYS = MasterKeys({"mk_tests": DataKey(bytes(range(32)))})


def die_in_the_writer(session, transaction, connection):
    """Die when the one transaction that writes begins."""
    if connection.get_execution_options().get("maas_writes"):
        die()


def main():
    """Let one process after the other die."""
    content, words = sys.stdin.buffer.read(), sys.argv[1:]
    gc.freeze()
    ended = []
    for url, folder, step in zip(words[::3], words[1::3], words[2::3], strict=True):
        child = os.fork()
        if child == 0:
            publish(url, folder, step, content)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        ended.append(os.waitstatus_to_exitcode(status))
    json.dump(ended, sys.stdout)


def publish(url, folder, step, content):
    """Publish as ada, the one account there is."""
    db, store = Database(url, master_keys=MASTER_KEYS), ArtifactStore(folder)
    ada = accounts.find(db, "ada")
    STEPS[step]()
    publishing.publish(
        db,
        store,
        Caller(ada.id, ada.name, ada.role, "ses_of_ada", "session", ALL_SCOPES),
        "words",
        io.BytesIO(content),
        query=PublishQuery(),
        inspect=lambda package: SimpleNamespace(
            signature=TaskSignature(inputs=[], outputs=[]),
            tensors=TensorSignature(inputs=[], outputs=[]),
            batch_invariant=True,
        ),
        max_bytes=2**20,
    )


if __name__ == "__main__":
    main()
