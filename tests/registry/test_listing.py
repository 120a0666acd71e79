"""Pages of the catalogue: every order, every filter, missing figures, and how the database reads them."""

import random
from datetime import timedelta
from typing import get_args

import pytest
from sqlalchemy import delete, event, insert, update

from maas_client.types import ModelQuery, ModelSort
from reference_server.errors import InvalidRequest
from reference_server.registry import models
from reference_server.registry.pages import write_cursor
from reference_server.registry.tables import ModelRow, ShareRow

SORTS = get_args(ModelSort)
KEYS = {
    "name": "folded_name",
    "created": "created_at",
    "updated": "updated_at",
    "accuracy": "accuracy",
    "latency": "latency_ms",
    "size": "size",
    "usage": "recent_calls",
}


def row(registry, account, number, rng):
    """Return a model's row; figures are few, so that many are equal, and often missing."""
    name = f"{rng.choice('abAB')}-{number}"
    moment = registry.clock.now + timedelta(seconds=rng.randrange(5))
    return {
        "id": f"mdl_{rng.getrandbits(40):010x}",
        "account_id": account.account_id,
        "name": name,
        "public_name": f"{name}" if number % 3 else None,
        "versions_made": 0,
        "created_at": moment,
        "updated_at": moment,
        "folded_name": name.lower(),
        "task": rng.choice(["x", "y", None]),
        "license": rng.choice(["mit", "bsd", None]),
        "accuracy": rng.choice([None, 0.5, 0.75, 1.0]),
        "latency_ms": rng.choice([None, 1.5, 2.0]),
        "size": rng.choice([None, 10, 2**40]),
        "recent_calls": rng.choice([0, 7]),
        "tags": rng.choice(["", "\nt\n", "\nt\n\nu_v\n"]),
        "search": f"{name.lower()}\n{rng.choice(['lorem', 'ipsum'])}",
    }


@pytest.fixture(scope="module")
def shelf(open_registry, tmp_path_factory):
    """Return a registry with 240 models of three accounts, and their rows as `rows`."""
    registry, rng = open_registry(tmp_path_factory.mktemp("shelf")), random.Random(7)  # noqa: S311 - made-up models
    registry.ada, *others = (registry.account(name) for name in ("ada", "bob", "eve"))
    registry.rows = [
        row(registry, (registry.ada, *others)[number % 3 if number % 2 else 0], number, rng)
        for number in range(240)
    ]
    with registry.db.write() as session:
        session.execute(insert(ModelRow), registry.rows)
    yield registry
    registry.db.dispose()


def visible(shelf, rows):
    return [each for each in rows if each["public_name"] or each["account_id"] == shelf.ada.account_id]


def in_order(rows, sort):
    """Return names as the catalogue should have them: what lacks the figure last, ids between equals."""
    key, reverse = KEYS[sort.removeprefix("-")], sort.startswith("-")
    having = [each for each in rows if each[key] is not None]
    lacking = [each for each in rows if each[key] is None]
    having.sort(key=lambda each: (each[key], each["id"]), reverse=reverse)
    lacking.sort(key=lambda each: each["id"], reverse=reverse)
    return [each["name"] for each in having + lacking]


def listed(shelf, every_page, **query):
    pages = every_page(lambda q: models.list_models(shelf.db, shelf.ada, q), ModelQuery, **query)
    return [model.name for page in pages for model in page]


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_pages_are_in_order_and_whole(shelf, every_page, sort, limit):
    """Every visible model comes once, in its place, whatever the pages' size."""
    expected = in_order(visible(shelf, shelf.rows), sort)
    if limit == 1:
        first = models.list_models(shelf.db, shelf.ada, ModelQuery(sort=sort, limit=1))
        assert [model.name for model in first.data] == expected[:1]
        return
    assert listed(shelf, every_page, sort=sort, limit=limit) == expected


@pytest.mark.parametrize("sort", ["name", "-accuracy", "latency"])
@pytest.mark.parametrize(
    ("query", "keeps"),
    [
        ({"task": "x"}, lambda each: each["task"] == "x"),
        ({"license": "MIT"}, lambda each: each["license"] == "mit"),
        ({"tag": ["t"]}, lambda each: "\nt\n" in each["tags"]),
        ({"tag": ["T", "u_v"]}, lambda each: "u_v" in each["tags"]),
        ({"tag": ["uxv"]}, lambda each: False),
        ({"tag": "t,u_v"}, lambda each: "u_v" in each["tags"]),
        ({"max_latency_ms": 1.5}, lambda each: each["latency_ms"] == 1.5),
        ({"min_accuracy": 0.75}, lambda each: (each["accuracy"] or 0) >= 0.75),
        ({"max_size_bytes": 10}, lambda each: each["size"] == 10),
        ({"q": "LOREM"}, lambda each: "lorem" in each["search"]),
        ({"q": "lorem a-"}, lambda each: "lorem" in each["search"] and "a-" in each["search"]),
        (
            {"min_accuracy": 0.5, "task": "y", "tag": ["t"], "owner": "bob"},
            lambda each: (
                (each["accuracy"] or 0) >= 0.5
                and each["task"] == "y"
                and "\nt\n" in each["tags"]
                and each["account_id"].endswith("bob")
            ),
        ),
    ],
    # A function has another name in every process.
    ids=lambda value: "" if callable(value) else str(value),
)
def test_filters_keep_the_order(shelf, every_page, sort, query, keeps):
    """Each filter leaves what has the property, and models that lack the figure out."""
    owners = owner_ids(shelf)
    rows = visible(shelf, shelf.rows)
    if "owner" in query:
        rows = [each for each in rows if each["account_id"] == owners[query["owner"]]]
        kept = [each for each in rows if keeps({**each, "account_id": "bob"})]
    else:
        kept = [each for each in rows if keeps(each)]
    assert listed(shelf, every_page, sort=sort, limit=10, **query) == in_order(kept, sort)


def owner_ids(shelf):
    from sqlalchemy import select

    from reference_server.registry.tables import AccountRow

    with shelf.db.read() as session:
        return dict(session.execute(select(AccountRow.name, AccountRow.id)).all())


@pytest.mark.parametrize("sort", SORTS)
def test_models_that_come_meanwhile_shift_no_page(registry, ada, sort):
    """What was there when the first page was read comes exactly once, though others come before and after."""
    rng = random.Random(3)  # noqa: S311 - made-up models
    rows = [row(registry, ada, number, rng) for number in range(30)]
    with registry.db.write() as session:
        session.execute(insert(ModelRow), rows)
    seen, cursor = [], None
    for number in range(1000, 1100):
        page = models.list_models(registry.db, ada, ModelQuery(sort=sort, limit=4, cursor=cursor))
        seen += [model.name for model in page.data]
        if (cursor := page.next_cursor) is None:
            break
        with registry.db.write() as session:
            session.execute(insert(ModelRow), [row(registry, ada, number, rng)])
    before = [name for name in seen if int(name.partition("-")[2]) < 1000]
    assert sorted(before) == sorted(each["name"] for each in rows)
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize(
    ("sort", "values"),
    [
        ("name", (None, "mdl_1")),
        ("accuracy", ("0.5", "mdl_1")),
        ("accuracy", (True, "mdl_1")),
        ("accuracy", (10**320, "mdl_1")),
        ("accuracy", (0.5, None)),
        ("accuracy", (0.5,)),
        ("size", (1.5, "mdl_1")),
        ("usage", (None, "mdl_1")),
        ("latency", (float("nan"), "mdl_1")),
        ("latency", (float("inf"), "mdl_1")),
    ],
)
def test_a_cursor_that_no_page_gave_is_refused(shelf, sort, values):
    """A missing figure is a position only in an order by something that may be missing."""
    cursor = write_cursor(f"models by {sort}", values)
    with pytest.raises(InvalidRequest) as caught:
        models.list_models(shelf.db, shelf.ada, ModelQuery(sort=sort, cursor=cursor))
    assert caught.value.code == "bad_cursor"


def plans(shelf, query):
    """Return how SQLite reads the statements of a page: those of the page alone, not of its models."""
    statements = []

    def note(_connection, _cursor, statement, parameters, _context, _many):
        statements.append((statement, parameters))

    engine = shelf.db._reader
    event.listen(engine, "before_cursor_execute", note)
    try:
        models.list_models(shelf.db, shelf.ada, query)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    with engine.connect() as connection:
        return [
            [line[3] for line in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            for statement, parameters in statements
            if '"key"' in statement
        ]


@pytest.fixture
def received(shelf):
    """Let bob and eve make five of their models private and share them with ada; return their rows."""
    rows = [each for each in shelf.rows if each["account_id"] != shelf.ada.account_id][:5]
    for each in rows:
        each["public_name"] = None
    theirs = ModelRow.id.in_([each["id"] for each in rows])
    with shelf.db.write() as session:
        session.execute(update(ModelRow).where(theirs).values(public_name=None))
        session.execute(
            insert(ShareRow),
            [
                {
                    "account_id": shelf.ada.account_id,
                    "model_id": each["id"],
                    "role": "reader",
                    "shared_at": shelf.clock.now,
                }
                for each in rows
            ],
        )
    yield rows
    for each in rows:
        each["public_name"] = each["name"]
    with shelf.db.write() as session:
        session.execute(delete(ShareRow))
        session.execute(update(ModelRow).where(theirs).values(public_name=ModelRow.name))


@pytest.mark.parametrize("sort", SORTS)
def test_what_is_shared_has_its_place_in_each_order(shelf, every_page, received, sort):
    """Among one's own and the public ones, whatever the pages' size; and by itself."""
    expected = in_order([*visible(shelf, shelf.rows), *received], sort)
    for limit in (7, 1000):
        assert listed(shelf, every_page, sort=sort, limit=limit) == expected
    assert listed(shelf, every_page, sort=sort, limit=2, shared=True) == in_order(received, sort)


@pytest.mark.parametrize("query", [{}, {"shared": True}, {"owner": "bob"}, {"shared": True, "owner": "bob"}])
@pytest.mark.parametrize("sort", ["name", "-accuracy"])
def test_what_is_shared_is_found_by_its_ids(shelf, received, sort, query):
    """No model is looked at for it but those that are shared, or the one owner's."""
    for plan in plans(shelf, ModelQuery(sort=sort, limit=5, **query)):
        assert not [line for line in plan if line.startswith("SCAN models") and "INDEX" not in line], plan


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("owner", ["me", "bob", None])
def test_a_page_is_a_range_of_an_index(shelf, sort, owner):
    """Nothing is scanned whole or sorted, but for the two sides' pages when they are merged into one."""
    cursor = models.list_models(shelf.db, shelf.ada, ModelQuery(sort=sort, owner=owner, limit=5)).next_cursor
    for query in (
        ModelQuery(sort=sort, owner=owner, limit=5),
        ModelQuery(sort=sort, owner=owner, limit=5, cursor=cursor),
    ):
        found = plans(shelf, query)
        assert found
        for plan in found:
            # "SCAN models USING INDEX" goes along an index and stops where the page is full.
            assert not [line for line in plan if line.startswith("SCAN models") and "INDEX" not in line], plan
            assert all("ix_models_" in line for line in plan if " models " in f"{line} "), plan
            sorts = [line for line in plan if "TEMP B-TREE" in line]
            assert len(sorts) == (0 if owner else 2), plan
