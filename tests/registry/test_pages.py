import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maas_client.types import ModelQuery
from reference_server.errors import InvalidRequest
from reference_server.registry import models

TIME, ID = "2030-01-01T12:00:00+00:00", "mdl_1"


def encode(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.fixture(scope="module")
def shelf(open_registry, tmp_path_factory):
    """Return a registry with the models `a`, `b` and `c` of ada's."""
    registry = open_registry(tmp_path_factory.mktemp("shelf"))
    registry.ada = registry.account("ada")
    for name in "abc":
        models.create(registry.db, registry.ada, name=name, visibility="private")
    yield registry
    registry.db.dispose()


def page(shelf, cursor, sort="name"):
    return models.list_models(shelf.db, shelf.ada, ModelQuery(cursor=cursor, sort=sort, limit=1))


@pytest.mark.parametrize("sort", ["name", "-name", "created", "-created"])
def test_a_cursor_leads_on_and_only_in_its_own_order(shelf, sort):
    """A cursor opens the next page in the order that gave it, and is refused in every other."""
    first = page(shelf, None, sort)
    second = page(shelf, first.next_cursor, sort)
    assert second.data[0].name == "b"
    for other in {"name", "-name", "created", "-created"} - {sort}:
        with pytest.raises(InvalidRequest) as caught:
            page(shelf, first.next_cursor, other)
        assert (caught.value.code, caught.value.param) == ("bad_cursor", "cursor")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "=",
        "!!!!",
        "é",
        encode("models by name"),
        encode([]),
        encode({"models by name": 1}),
        encode(["models by name"]),
        encode(["models by name", "a"]),
        encode(["models by name", "a", ID, ID]),
        encode(["models by name", "a", 1]),
        encode(["models by name", None, ID]),
        encode(["models by name", True, ID]),
        encode(["models by name", ["a"], ID]),
        encode(["models by name", "a\0", ID]),
        encode(["models by name", "\ud800", ID]),
        encode(["keys", TIME, ID]),
        base64.urlsafe_b64encode(b"[" * 300).decode(),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
        base64.urlsafe_b64encode(b"9" * 380).decode(),
    ],
)
def test_a_cursor_by_name_that_no_page_gave_is_refused(shelf, cursor):
    """Whatever is no cursor of this listing is the caller's error, never the database's."""
    with pytest.raises(InvalidRequest) as caught:
        page(shelf, cursor)
    assert caught.value.code == "bad_cursor"


@pytest.mark.parametrize(
    "time",
    [0, None, "", "yesterday", "2030-02-30T00:00:00+00:00", "0001-01-01T00:00:00+23:59"],
)
def test_a_cursor_by_age_that_no_page_gave_is_refused(shelf, time):
    """A time that is none, or that cannot be told in UTC, is the caller's error."""
    with pytest.raises(InvalidRequest) as caught:
        page(shelf, encode(["models by created", time, ID]), "created")
    assert caught.value.code == "bad_cursor"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@settings(derandomize=True, max_examples=150, deadline=None)
@given(
    st.text(max_size=30)
    | st.builds(lambda values: encode(["models by created", *values]), st.lists(anything, max_size=3))
    | st.builds(
        lambda *values: encode(["models by created", *values]), st.datetimes().map(str), st.text(max_size=9)
    )
)
def test_any_text_is_a_page_or_a_bad_cursor(shelf, text):
    """No cursor, however it was made up, fails in any other way."""
    try:
        answer = len(page(shelf, text, "created").data)
    except InvalidRequest as error:
        answer = error.code
    assert answer in (0, 1, "bad_cursor")


def test_the_last_page_says_so(shelf):
    """After the last item there is no cursor to follow."""
    last = models.list_models(shelf.db, shelf.ada, ModelQuery(limit=3))
    assert [model.name for model in last.data] == ["a", "b", "c"]
    assert (last.has_more, last.next_cursor) == (False, None)
