"""Measure pages of a catalogue of 10,000 models: each order, each filter, the first page and deep ones.

    python benchmarks/catalogue.py [--models 10000] [--rounds 9]

Half of the models are public and of fifty accounts, half are the caller's own; with `--shares` so many of the
others' are private and shared with the caller. A page has 100 models, in brackets 20. Times are processor
time, system included, of the registry and of writing the reply as JSON, all in one thread; medians of
interleaved rounds.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pydantic_core
from sqlalchemy import insert, select, update

from maas_client.types import ModelQuery, ModelSort
from reference_server.registry import models
from reference_server.registry.database import Database, upgrade
from reference_server.registry.search import fold, searchable
from reference_server.registry.tables import AccountRow, AliasRow, ModelRow, ShareRow, VersionRow
from reference_server.security.callers import ALL_SCOPES, Caller

if TYPE_CHECKING:
    from collections.abc import Iterator

_START = datetime(2026, 1, 1, tzinfo=UTC)
_TASKS = ("text-classification", "embedding", "image-classification", "tabular-classification")
_WORDS = ("review", "film", "price", "house", "bird", "leaf", "voice", "word", "road", "river", "stone")
_OTHERS = 50
_LIMITS = (100, 20)
_CALLER = Caller("acc_000", "owner-000", "user", "ses", "session", ALL_SCOPES)
# Of each hundred models: how many lack an accuracy, and how many were never called.
_WITHOUT_ACCURACY, _WITHOUT_CALLS = 30, 60
_FILTERS: dict[str, dict[str, Any]] = {
    "task": {"task": "embedding"},
    "a common tag": {"tag": ["common"]},
    "a rare tag": {"tag": ["rare"]},
    "a licence": {"license": "MIT"},
    "owner=me": {"owner": "me"},
    "another owner": {"owner": "owner-007"},
    "shared with me": {"shared": True},
    "max_latency_ms": {"max_latency_ms": 5.0},
    "min_accuracy": {"min_accuracy": 0.9},
    "max_size_bytes": {"max_size_bytes": 1_000_000},
    "a common word": {"q": "review"},
    "a rare word": {"q": "needle"},
    "a word that is not there": {"q": "haystack"},
    "task, tag and accuracy": {"task": "embedding", "tag": ["common"], "min_accuracy": 0.9},
}


def main() -> None:
    """Make the catalogue, measure, print a table in Markdown."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    options.add_argument("--models", type=int, default=10_000)
    options.add_argument("--shares", type=int, default=0)
    options.add_argument("--rounds", type=int, default=9)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'maas.db'}"
        upgrade(url)
        db = Database(url)
        fill(db, given.models)
        share(db, given.shares)
        report(db, given.rounds, given.models)
        db.dispose()


def fill(db: Database, count: int) -> None:
    """Insert accounts, models, versions and aliases."""
    rng = random.Random(1)  # noqa: S311 - made-up models
    with db.write() as session:
        session.execute(insert(AccountRow), [_account(number) for number in range(_OTHERS + 1)])
        for start in range(0, count, 1000):
            made = [_model(number, rng) for number in range(start, min(start + 1000, count))]
            session.execute(insert(ModelRow), [model for model, _ in made])
            session.execute(insert(VersionRow), [version for _, version in made])
            session.execute(insert(AliasRow), [_alias(model["id"]) for model, _ in made])


def share(db: Database, count: int) -> None:
    """Let the others make models of their own private and share them with the caller."""
    if not count:
        return
    others = select(ModelRow.id).where(ModelRow.account_id != _CALLER.account_id).limit(count)
    with db.write() as session:
        ids = list(session.scalars(others))
        session.execute(update(ModelRow).where(ModelRow.id.in_(ids)).values(public_name=None))
        given = {"account_id": _CALLER.account_id, "role": "reader", "shared_at": _START}
        session.execute(insert(ShareRow), [{"model_id": model_id, **given} for model_id in ids])


def _account(number: int) -> dict[str, Any]:
    name = f"owner-{number:03}"
    return {
        "id": f"acc_{number:03}",
        "name": name,
        "email": f"{name}@example.com",
        "password_hash": "-",
        "role": "user",
        "disabled": False,
        "policy_version": "1",
        "created_at": _START,
    }


def _alias(model_id: str) -> dict[str, Any]:
    return {
        "model_id": model_id,
        "name": "default",
        "version": 1,
        "revision": 1,
        "note": "",
        "moved_by": "acc_000",
        "moved_at": _START,
    }


def _model(number: int, rng: random.Random) -> tuple[dict[str, Any], dict[str, Any]]:
    name = f"{rng.choice(_WORDS)}-{rng.choice(_WORDS)}-{number:05}"
    mine, percent = number % 2 == 0, number % 100
    accuracy = None if percent < _WITHOUT_ACCURACY else rng.random()
    called = percent >= _WITHOUT_CALLS
    tags = ["common"] * (rng.random() < 0.5) + ["rare"] * (number % 2000 == 1)  # noqa: PLR2004 - a half
    words = [rng.choice(_WORDS) for _ in range(40)] + ["needle"] * (number % 2000 == 3)  # noqa: PLR2004 - five of them
    manifest = _manifest(
        rng.choice(_TASKS), " ".join(words), tags, rng.choice(("MIT", "Apache-2.0")), accuracy
    )
    row = {
        "id": f"mdl_{rng.getrandbits(64):016x}",
        "account_id": "acc_000" if mine else f"acc_{1 + rng.randrange(_OTHERS):03}",
        "name": name,
        "public_name": None if mine else name,
        "versions_made": 1,
        "created_at": _START + timedelta(seconds=rng.randrange(10**6)),
        "updated_at": _START + timedelta(seconds=rng.randrange(10**6)),
        "folded_name": name,
        "listed_version": 1,
        "task": manifest["task"],
        "license": fold(manifest["license"]),
        "accuracy": accuracy,
        "latency_ms": rng.expovariate(0.1) if called else None,
        "size": rng.randrange(10**4, 10**8),
        "recent_calls": rng.randrange(10**6) if called else 0,
        "tags": "".join(f"\n{tag}\n" for tag in tags),
        "search": f"{name}\n{searchable(manifest['description'], tags)}",
    }
    return row, _version(row, manifest)


def _version(row: dict[str, Any], manifest: dict[str, Any]) -> dict[str, Any]:
    spec = {"name": "text", "type": "string", "description": "What is to be told apart."}
    return {
        "model_id": row["id"],
        "number": 1,
        "digest": f"sha256:{row['id']}",
        "artifact": f"{row['id']}.zip",
        "size": row["size"],
        "task": row["task"],
        "search": searchable(manifest["description"], manifest["tags"]),
        "notes": "",
        "author_id": row["account_id"],
        "created_at": row["created_at"],
        "manifest": manifest,
        "signature": {"inputs": [spec], "outputs": [{"name": "label", "type": "string"}]},
        "tensors": {"inputs": [], "outputs": []},
    }


def _manifest(
    task: str, description: str, tags: list[str], licence: str, accuracy: float | None
) -> dict[str, Any]:
    metric = {"name": "accuracy", "value": accuracy, "dataset": "held out", "rows": 1000, "split": "test"}
    return {
        "task": task,
        "description": description,
        "intended_use": "",
        "limitations": "",
        "license": licence,
        "tags": tags,
        "labels": ["negative", "positive"],
        "metrics": [] if accuracy is None else [metric],
        "example": {"text": "This is a sample text."},
    }


def report(db: Database, rounds: int, count: int) -> None:
    """Print what each order and each filter takes."""
    pages = dict(_pages(db, count))
    # A collection of garbage would be blamed on the page that happens to meet it.
    gc.disable()
    took: dict[tuple[str, int], list[float]] = {(name, limit): [] for name in pages for limit in _LIMITS}
    for _ in range(rounds):
        for (name, limit), values in took.items():
            values.append(_milliseconds(db, pages[name].model_copy(update={"limit": limit})))
    print(f"{count:,} models, median of {rounds} rounds\n\n| page | ms (of 20) |\n|---|---|")
    for name in pages:
        whole, short = (statistics.median(took[name, limit]) for limit in _LIMITS)
        print(f"| {name} | {whole:.1f} ({short:.1f}) |")


def _milliseconds(db: Database, query: ModelQuery) -> float:
    began = time.process_time()
    pydantic_core.to_json(models.list_models(db, _CALLER, query))
    return (time.process_time() - began) * 1000


def _pages(db: Database, count: int) -> Iterator[tuple[str, ModelQuery]]:
    for sort in get_args(ModelSort):
        yield f"`sort={sort}`", ModelQuery(sort=sort)
        yield f"`sort={sort}`, in the middle", ModelQuery(sort=sort, cursor=_middle(db, sort, count))
    for name, filters in _FILTERS.items():
        yield name, ModelQuery(**filters)
        yield f"{name}, `sort=-accuracy`", ModelQuery(**filters, sort="-accuracy")


def _middle(db: Database, sort: ModelSort, count: int) -> str | None:
    cursor = None
    for _ in range(max(1, count // 2000)):
        cursor = models.list_models(db, _CALLER, ModelQuery(sort=sort, limit=1000, cursor=cursor)).next_cursor
    return cursor


if __name__ == "__main__":
    main()
