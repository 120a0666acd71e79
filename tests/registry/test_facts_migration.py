"""An upgrade of a store from before the catalogue kept its own columns."""

import json
import sqlite3
from contextlib import closing

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from maas_client.types import ModelQuery
from reference_server.registry import database, models
from reference_server.registry.database import Database, upgrade
from reference_server.security.callers import ALL_SCOPES, Caller

ADA = Caller("acc_a", "ada", "user", "ses", "session", ALL_SCOPES)
MOMENT = "2026-01-01 00:00:00.000000"
MANIFEST = {
    "description": "Straßen",
    "license": "MIT",
    "tags": ["Old"],
    "labels": [],
    "metrics": [{"name": "Accuracy", "value": 0.75, "dataset": "d", "rows": 9}],
    "example": {"text": "x"},
    "intended_use": "",
    "limitations": "",
}


def at_revision(file, revision):
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", database._MIGRATIONS)
        command.upgrade(config, revision)
    engine.dispose()


def insert(connection, table, **values):
    marks = ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", [*values.values()])  # noqa: S608 - the test's own names


def version(connection, model, number, **manifest):
    insert(
        connection,
        "versions",
        model_id=model,
        number=number,
        digest=f"sha256:{model}{number}",
        artifact="x",
        size=10 * number,
        task="embedding",
        search=f"strassen{number}\nold",
        notes="",
        author_id="acc_a",
        created_at=MOMENT,
        manifest=json.dumps({**MANIFEST, **manifest}),
        signature='{"inputs": [], "outputs": []}',
        tensors="{}",
    )


def test_an_upgrade_fills_what_the_catalogue_sorts_by(tmp_path):
    """Models of before are found and sorted by the version behind `default`, or the newest without one."""
    file = tmp_path / "maas.db"
    at_revision(file, "0003")
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        account = {"email": "a@b.c", "password_hash": "x", "role": "user", "policy_version": "1"}
        insert(connection, "accounts", id="acc_a", name="ada", disabled=0, created_at=MOMENT, **account)
        for model in ("Behind", "Newest", "Empty"):
            insert(
                connection,
                "models",
                id=model,
                account_id="acc_a",
                name=model,
                versions_made=2,
                unloaded=0,
                created_at=MOMENT,
                updated_at=MOMENT,
            )
        for model in ("Behind", "Newest"):
            version(connection, model, 1)
            version(connection, model, 2, metrics=[], license="BSD")
        alias = {"revision": 1, "note": "", "moved_by": "acc_a", "moved_at": MOMENT}
        insert(connection, "aliases", model_id="Behind", name="default", version=1, **alias)
    upgrade(f"sqlite:///{file}")
    db = Database(f"sqlite:///{file}")

    def found(**query):
        return [model.name for model in models.list_models(db, ADA, ModelQuery(**query)).data]

    assert found() == ["Behind", "Empty", "Newest"]
    assert found(sort="-accuracy") == ["Behind", "Newest", "Empty"]
    assert found(license="mit", tag=["old"], min_accuracy=0.75) == ["Behind"]
    assert found(license="bsd", max_size_bytes=20, task="embedding") == ["Newest"]
    assert found(q="STRASSEN2") == found(q="newest") == ["Newest"]
    db.dispose()
