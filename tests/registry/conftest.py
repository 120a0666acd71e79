"""A registry of each test's own: an SQLite file, a clock that the test moves, and a folder of packages."""

from __future__ import annotations

import io
import json
import shutil
import threading
import zipfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from maas_client.types import ModelQuery, PageQuery, PublishQuery, TaskSignature, TensorSignature
from reference_server.registry import accounts, models, publishing
from reference_server.registry.artifacts import ArtifactStore
from reference_server.registry.database import Database
from reference_server.registry.packages import open_package_file
from reference_server.security.callers import ALL_SCOPES, Caller
from reference_server.security.encryption import DataKey
from reference_server.security.master_keys import MasterKeys

if TYPE_CHECKING:
    from pathlib import Path

MASTER_KEYS = MasterKeys({"mk_tests": DataKey(bytes(range(32)))})
START = datetime(2030, 1, 1, 12, tzinfo=UTC)


@dataclass
class Clock:
    """The registry's time, which stands still until a test moves it."""

    now: datetime = START

    def __call__(self):
        return self.now

    def advance(self, seconds):
        self.now += timedelta(seconds=seconds)


@dataclass(frozen=True)
class Inspection:
    """What a trial run would find; the registry keeps it and never looks into it."""

    signature: TaskSignature
    tensors: TensorSignature
    batch_invariant: bool = True


INSPECTION = Inspection(
    TaskSignature(inputs=[{"name": "text", "type": "string"}], outputs=[]),
    TensorSignature(inputs=[{"name": "text", "datatype": "BYTES", "shape": [-1]}], outputs=[]),
)


@dataclass
class Registry:
    """A database and an artifact store, with what tests do to them most."""

    url: str
    folder: Path
    db: Database
    store: ArtifactStore
    clock: Clock = field(default_factory=Clock)

    def account(self, name):
        """Make an account and return it as a caller that is logged in."""
        made = accounts.create(
            self.db,
            email=f"{name}@example.com",
            password_hash="$argon2id$of-" + name,
            name=name,
            role="user",
            policy_version="2030-01",
        )
        return Caller(made.id, made.name, made.role, "ses_of_" + name, "session", ALL_SCOPES)

    def inspect(self, package):
        """Find every package good."""
        return INSPECTION

    def publish(self, caller, model, content, *, inspect=None, base=None, **query):
        """Publish a package's zip and return what `publishing.publish` returns."""
        return publishing.publish(
            self.db,
            self.store,
            caller,
            model,
            io.BytesIO(content),
            query=PublishQuery(**query),
            inspect=inspect or self.inspect,
            max_bytes=2**20,
            base=base,
        )

    def open_package_of(self, target):
        """Open the package of what a prediction would run."""
        return open_package_file(
            self.db,
            self.store,
            target.artifact,
            target.data_key,
            model_id=target.model_id,
            number=target.version,
        )

    @property
    def artifacts(self):
        """The names of everything in the store's folder."""
        return sorted(file.name for file in self.folder.iterdir())


def package(content="one", *, compression=zipfile.ZIP_DEFLATED, **manifest):
    """Return the zip of a package; its graph is never run here, so its content is only a mark."""
    target = io.BytesIO()
    known = {
        "task": "text-classification",
        "description": "Tells pleasant from unpleasant.",
        "license": "Apache-2.0",
        "labels": ["negative", "positive"],
        **manifest,
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in known.items()]
    with zipfile.ZipFile(target, "w", compression) as archive:
        archive.writestr("maas.toml", "\n".join([*lines, "[example]", 'text = "a good day"']))
        archive.writestr("model.onnx", content)
    return target.getvalue()


def at_once(*calls):
    """Run calls in threads that start together; return their results in order, or raise what one raised."""
    barrier, results = threading.Barrier(len(calls)), [None] * len(calls)

    def run(index, call):
        barrier.wait(10)
        try:
            results[index] = call()
        except BaseException as error:  # noqa: BLE001 - raised again in the test's own thread
            results[index] = error

    threads = [threading.Thread(target=run, args=item) for item in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


def every_page(read, query_type=PageQuery, **query):
    """Follow the cursors of a listing and return its pages' items."""
    pages, cursor = [], None
    while True:
        page = read(query_type(cursor=cursor, **query))
        pages.append(page.data)
        cursor = page.next_cursor
        assert page.has_more == (cursor is not None)
        if cursor is None:
            return pages


@pytest.fixture(scope="session")
def open_registry(empty_database):
    """Return a function that opens a new registry in a folder."""

    def make(folder):
        shutil.copy(empty_database, folder / "maas.db")
        clock, url = Clock(), f"sqlite:///{folder / 'maas.db'}"
        store = ArtifactStore(str(folder / "artifacts"))
        return Registry(
            url, folder / "artifacts", Database(url, master_keys=MASTER_KEYS, clock=clock), store, clock
        )

    return make


@pytest.fixture
def registry(tmp_path, open_registry):
    """Return a registry without accounts."""
    made = open_registry(tmp_path)
    yield made
    made.db.dispose()


@pytest.fixture(scope="session")
def master_keys():
    """Return what the registries are opened with."""
    return MASTER_KEYS


@pytest.fixture(name="package", scope="session")
def package_builder():
    """Return `package`."""
    return package


@pytest.fixture(name="at_once", scope="session")
def at_once_runner():
    """Return `at_once`."""
    return at_once


@pytest.fixture(name="every_page", scope="session")
def every_page_reader():
    """Return `every_page`."""
    return every_page


@pytest.fixture(scope="session")
def every_model(every_page):
    """Return a function that lists a caller's models by the names that reach them, page after page."""

    def read(registry, caller, **query):
        pages = every_page(lambda q: models.list_models(registry.db, caller, q), ModelQuery, **query)
        return [model.id for page in pages for model in page]

    return read


@pytest.fixture
def ada(registry):
    """Return a caller who owns nothing yet."""
    return registry.account("ada")


@pytest.fixture
def bob(registry):
    """Return another one."""
    return registry.account("bob")
