import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maas_client._package import open_package
from maas_client.types import ModelQuery, PageQuery
from reference_server.errors import Conflict, InvalidRequest, NotFound, ServiceError
from reference_server.registry import aliases, models, versions


@pytest.fixture(scope="module")
def shelf(open_registry, tmp_path_factory, package):
    """Return a registry whose public model `words` has 12 versions, `default` 1 and `stable.x-1` 11."""
    registry = open_registry(tmp_path_factory.mktemp("shelf"))
    registry.ada, registry.bob = registry.account("ada"), registry.account("bob")
    registry.made = []
    for number in range(1, 13):
        registry.clock.advance(60)
        version, _ = registry.publish(
            registry.ada, "words", package(str(number)), visibility="public", notes=f"Note {number}."
        )
        registry.made.append(version)
    aliases.move(
        registry.db, registry.ada, "words", "stable.x-1", version=11, note="", expected_revision=None
    )
    models.create(registry.db, registry.ada, name="empty", visibility="public")
    yield registry
    registry.db.dispose()


def both(shelf, selector, *, caller=None, model="words"):
    """Return the answers of `get` and `serving_target`, which must be about the same version."""
    caller = caller or shelf.ada
    version = versions.get(shelf.db, caller, model, selector)
    target = versions.serving_target(shelf.db, caller, model, selector)
    assert (target.model, target.version, target.digest) == (version.model, version.version, version.digest)
    with shelf.open_package_of(target) as file, open_package(file) as stored:
        assert stored.digest == version.digest
    return version


def test_a_version_is_read_as_it_was_published(shelf):
    """What publishing answered stands, but for the aliases that have moved since."""
    for made in shelf.made:
        read = versions.get(shelf.db, shelf.ada, "words", str(made.version))
        assert read.model_copy(update={"aliases": made.aliases}) == made
    last = shelf.made[-1]
    assert (last.notes, last.author, last.task) == ("Note 12.", "ada", "text-classification")
    assert last.created_at == shelf.clock.now
    assert last.manifest.description == "Tells pleasant from unpleasant."
    assert [tensor.datatype for tensor in last.tensors.inputs] == ["BYTES"]


@pytest.mark.parametrize(
    ("selector", "number"),
    [("1", 1), ("9", 9), ("12", 12), ("default", 1), ("stable.x-1", 11), ("latest", 12)],
)
def test_a_selector_is_a_number_an_alias_or_latest(shelf, selector, number):
    """Each kind means one version, to the owner and to others, by the bare and by the exact name."""
    for caller in (shelf.ada, shelf.bob):
        for model in ("words", "ada~words"):
            version = both(shelf, selector, caller=caller, model=model)
            assert (version.version, version.model) == (number, "words")


def test_without_a_selector_default_is_meant(shelf):
    """A prediction that names no version runs the default one."""
    target = versions.serving_target(shelf.db, shelf.bob, "words", None)
    assert target == versions.serving_target(shelf.db, shelf.bob, "words", "default")
    assert target.version == 1


NO_SELECTORS = ["0", "00", "01", "-1", "+1", "1.0", "1e0", "1 ", " 1", "1\n", "\u0661", "\uff11", "_", "-"]
NO_SELECTORS += ["default\n", "default ", "dé", "a/b", "a~b", "%", "1a", "a" * 65, "1000000000", "9" * 5000]


@pytest.mark.parametrize(
    "selector", [*NO_SELECTORS, "13", "999999999", "Latest", "DEFAULT", "none", "a" * 64]
)
@pytest.mark.parametrize("read", [versions.get, versions.serving_target])
def test_a_selector_that_means_nothing_is_not_found(shelf, read, selector):
    """A version that is not there and a text that could not be one answer alike, and briefly."""
    with pytest.raises(NotFound) as caught:
        read(shelf.db, shelf.ada, "words", selector)
    assert (caught.value.code, caught.value.param) == ("version_not_found", "version")
    assert len(caught.value.message) < 400


@settings(derandomize=True, max_examples=100, deadline=None)
@given(
    st.sampled_from(["words", "ada~words", "bob~words", "none", "~"]),
    st.text(min_size=1, max_size=8)
    | st.integers(-2, 14).map(str)
    | st.sampled_from(["default", "latest", "stable.x-1"]),
)
def test_reading_and_serving_mean_the_same(shelf, model, selector):
    """Whatever the names, `serving_target` finds what `get` finds, or fails as it fails."""

    def answer(read):
        try:
            found = read(shelf.db, shelf.bob, model, selector)
        except ServiceError as error:
            return type(error), error.code
        return found.model, found.version, found.digest

    assert answer(versions.get) == answer(versions.serving_target)


def test_a_model_without_versions_says_so(shelf):
    """To run an empty model is a conflict with its state; to read a version of it finds none."""
    for selector in (None, "1", "default", "latest"):
        with pytest.raises(Conflict) as conflict:
            versions.serving_target(shelf.db, shelf.bob, "empty", selector)
        assert conflict.value.code == "no_version"
    with pytest.raises(NotFound) as missing:
        versions.get(shelf.db, shelf.bob, "empty", "latest")
    assert missing.value.code == "version_not_found"
    assert versions.list_versions(shelf.db, shelf.bob, "empty", PageQuery()).data == []


def test_what_is_served_is_called_by_the_name_that_reaches_it(registry, ada, bob, package):
    """A caller whose own model hides another's is answered with the exact name."""
    registry.publish(ada, "words", package("a"), visibility="public")
    registry.publish(bob, "bob~words", package("b"))
    mine = versions.serving_target(registry.db, bob, "words", None)
    theirs = versions.serving_target(registry.db, bob, "ada~words", None)
    assert (mine.model, theirs.model) == ("words", "ada~words")
    assert mine.digest != theirs.digest
    assert versions.get(registry.db, bob, "ada~words", "1").model == "ada~words"


def test_two_models_do_not_share_their_versions(registry, ada, package):
    """Number, alias and `latest` are looked up in the model that was named."""
    registry.publish(ada, "one", package("1"))
    registry.publish(ada, "two", package("2"))
    registry.publish(ada, "two", package("3"))
    aliases.move(registry.db, ada, "two", "best", version=2, note="", expected_revision=None)
    assert versions.get(registry.db, ada, "one", "latest").version == 1
    for selector in ("2", "best"):
        with pytest.raises(NotFound):
            versions.get(registry.db, ada, "one", selector)


@pytest.mark.parametrize("limit", [1, 5, 12, 13])
def test_versions_are_listed_newest_first(shelf, every_page, limit):
    """Each version comes once, by number and not by the digits' order, with the aliases that point to it."""
    pages = every_page(lambda query: versions.list_versions(shelf.db, shelf.bob, "words", query), limit=limit)
    found = [version for page in pages for version in page]
    assert [version.version for version in found] == list(range(12, 0, -1))
    assert {version.version: version.aliases for version in found if version.aliases} == {
        1: ["default"],
        11: ["stable.x-1"],
        12: ["latest"],
    }
    assert found == [versions.get(shelf.db, shelf.bob, "words", str(number)) for number in range(12, 0, -1)]


def test_a_cursor_of_a_catalogue_opens_no_list_of_versions(shelf):
    """A listing refuses cursors that it did not give."""
    cursor = models.list_models(shelf.db, shelf.ada, ModelQuery(limit=1)).next_cursor
    with pytest.raises(InvalidRequest) as caught:
        versions.list_versions(shelf.db, shelf.ada, "words", PageQuery(cursor=cursor))
    assert caught.value.code == "bad_cursor"
