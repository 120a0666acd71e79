from contextlib import suppress

import pytest
from sqlalchemy import func, select

from maas_client.types import VersionUpdate
from reference_server.errors import Conflict, Forbidden, NotFound, Unavailable, Unprocessable
from reference_server.registry import aliases, deletion, erasures, models, states, versions
from reference_server.registry.data_keys import KeyDestroyedError
from reference_server.registry.tables import Base, DataKeyRow


@pytest.fixture
def words(registry, ada, package):
    """Return a registry whose public model `words` has 3 versions of ada's; `default` is 1."""
    for content in "123":
        registry.publish(ada, "words", package(content), visibility="public")
    registry.ada = ada
    return registry


def delete(registry, version, caller=None):
    deleted = deletion.delete_version(registry.db, registry.store, caller or registry.ada, "words", version)
    return deleted.contents


def rows(registry):
    """Return how many rows each table of models has."""
    names = ("models", "versions", "aliases", "alias_changes", "model_events")
    with registry.db.read() as session:
        return {
            name: session.scalar(select(func.count()).select_from(Base.metadata.tables[name]))
            for name in names
        }


def test_a_deleted_version_is_gone_and_so_is_its_package(words):
    """Neither read nor served, and its number is never used again."""
    (held,) = delete(words, "3")
    assert held.artifact not in words.artifacts
    assert len(words.artifacts) == 2
    for read in (versions.get, versions.serving_target):
        with pytest.raises(NotFound):
            read(words.db, words.ada, "words", "3")
    assert versions.get(words.db, words.ada, "words", "latest").version == 2


def test_a_number_is_never_used_again(words, package):
    """Not even by the same content, which is a new version then."""
    delete(words, "3")
    version, new = words.publish(words.ada, "words", package("3"))
    assert (version.version, new) == (4, True)


def test_the_same_content_of_another_version_stays(words, bob, package):
    """Of another model, or of the same one: each has a package and a key of its own."""
    words.publish(bob, "mine", package("3"))
    words.publish(words.ada, "words", package("2"), again=True)
    others = [(bob, "mine", None), (words.ada, "words", "4")]
    kept = [versions.serving_target(words.db, *other) for other in others]
    delete(words, "3")
    delete(words, "2")
    for target in kept:
        with words.open_package_of(target) as file:
            assert file.read(2) == b"PK"
    assert len(words.artifacts) == 3


def test_with_a_version_goes_its_key(words):
    """So that no copy of its package opens, wherever it lies; so with a model go all."""
    target = versions.serving_target(words.db, words.ada, "words", "3")
    copy = (words.folder / target.artifact).read_bytes()
    delete(words, "3")
    (words.folder / target.artifact).write_bytes(copy)
    with pytest.raises(KeyDestroyedError):
        words.open_package_of(target)
    deletion.delete_model(words.db, words.store, words.ada, "words")
    with words.db.read() as session:
        assert session.scalar(select(func.count()).select_from(DataKeyRow)) == 0


def test_what_an_alias_points_to_is_not_deleted(words):
    """The answer names each of them; after they have moved it is deleted."""
    for alias in ("stable", "best"):
        aliases.move(words.db, words.ada, "words", alias, version=3, note="", expected_revision=None)
    before = rows(words)
    with pytest.raises(Conflict) as caught:
        delete(words, "3")
    assert caught.value.code == "version_in_use"
    assert "the alias 'best', the alias 'stable'" in caught.value.message
    assert rows(words) == before
    for alias in ("stable", "best"):
        aliases.move(words.db, words.ada, "words", alias, version=2, note="", expected_revision=None)
    delete(words, "3")


def test_a_rollback_to_what_was_deleted_says_so(words):
    """The history still tells where the alias pointed; going there is refused."""
    aliases.move(words.db, words.ada, "words", "best", version=3, note="", expected_revision=None)
    aliases.move(words.db, words.ada, "words", "best", version=2, note="", expected_revision=None)
    delete(words, "3")
    with pytest.raises(Conflict) as caught:
        aliases.rollback(words.db, words.ada, "words", "best", note="", expected_revision=None)
    assert "version 3" in caught.value.message
    assert "deleted" in caught.value.message


@pytest.mark.parametrize("selector", ["latest", "default"])
def test_a_version_is_deleted_by_its_number_alone(words, selector):
    """A repeated request must not delete the next one."""
    with pytest.raises(Unprocessable):
        delete(words, selector)


def test_only_the_owner_deletes(words, bob):
    """Neither a version nor the model."""
    with pytest.raises(Forbidden):
        delete(words, "3", caller=bob)
    with pytest.raises(Forbidden):
        deletion.delete_model(words.db, words.store, bob, "words")


def test_a_deleted_model_leaves_nothing(words, bob, package):
    """No version, no alias, no history, no package; and the public name is free."""
    states.update(words.db, words.ada, "words", "3", VersionUpdate(state="deprecated", reason="x"))
    words.publish(words.ada, "words", package("4"), parent=3)
    held = deletion.delete_model(words.db, words.store, words.ada, "words").contents
    assert len(held) == 4
    assert set(rows(words).values()) == {0}
    assert words.artifacts == []
    version, _ = words.publish(bob, "words", package("1"), visibility="public")
    assert (version.version, models.get(words.db, words.ada, "words").owned_by) == (1, "bob")


def test_what_comes_in_between_leaves_an_erasure_that_is_pending(words, monkeypatch):
    """The version is gone for everybody; the package goes with the next round, which gives the receipt."""
    monkeypatch.setattr(words.store, "delete", lambda name: (_ for _ in ()).throw(OSError("no disk")))
    deleted = deletion.delete_version(words.db, words.store, words.ada, "words", "3")
    assert (deleted.erasure.state, deleted.erasure.receipt) == ("pending", None)
    monkeypatch.undo()
    assert deleted.contents[0].artifact in words.artifacts
    assert [erasures.finish_pending(words.db, words.store) for _ in range(2)] == [1, 0]
    assert deleted.contents[0].artifact not in words.artifacts
    assert erasures.get(words.db, deleted.erasure.id).receipt is not None


def test_the_same_content_published_meanwhile_keeps_its_package(words, package, at_once):
    """Whoever comes first, no version is left without its package."""
    for _ in range(5):
        number = str(versions.get(words.db, words.ada, "words", "latest").version)

        def publish():
            with suppress(Unavailable):  # deleted between the upload and its row: the caller repeats it
                return words.publish(words.ada, "words", package("3"), again=True)
            return words.publish(words.ada, "words", package("3"), again=True)

        at_once(lambda n=number: delete(words, n), publish)
        target = versions.serving_target(words.db, words.ada, "words", "latest")
        assert target.artifact in words.artifacts


def test_deleting_twice_finds_nothing(words):
    """As of anything that is not there."""
    delete(words, "3")
    with pytest.raises(NotFound):
        delete(words, "3")


def test_what_is_in_use_is_told_by_content(words, package):
    """A worker learns which of its models nobody can call any more."""
    digests = {n: versions.serving_target(words.db, words.ada, "words", n).digest for n in "123"}
    states.update(words.db, words.ada, "words", "2", VersionUpdate(state="retired"))
    delete(words, "3")
    assert versions.digests_in_use(words.db, set(digests.values())) == {digests["1"]}
