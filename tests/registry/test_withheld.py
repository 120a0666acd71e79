"""Versions that hold a base which their maker may use but not download: no way leads out of the store."""

from __future__ import annotations

import pytest

from reference_server.errors import Forbidden, NotFound
from reference_server.registry import account_erasure, aliases, deletion, models, packages, shares, versions
from reference_server.registry.export import export


@pytest.fixture
def world(registry, ada, bob, package):
    """Return a registry where ada's public `base` may be used, and bob's `mine` was trained on it."""
    registry.ada, registry.bob = ada, bob
    registry.publish(ada, "base", package("base"), visibility="public")
    registry.base = base_of(registry, ada, "base")
    registry.publish(bob, "mine", package("head on base"), base=registry.base)
    return registry


def base_of(registry, caller, model, number=1):
    target = versions.serving_target(registry.db, caller, model, str(number))
    return target.model_id, number


def refused(registry, caller, model="mine", selector="1"):
    """Tell whether a download is refused, which is the only other outcome than a package."""
    try:
        packages.find(registry.db, registry.store, caller, model, selector)
    except Forbidden as error:
        return error.code == "not_downloadable"
    return False


def move(registry, caller, alias, version):
    aliases.move(
        registry.db, caller, "mine", alias, version=version, note="", expected_revision=None, force=True
    )


def test_it_serves_and_its_owner_does_not_get_the_package(world):
    """Neither by number, by `latest`, by `default`, by an alias of their own, nor with their export."""
    assert versions.serving_target(world.db, world.bob, "mine", None).version == 1
    move(world, world.bob, "best", 1)
    assert all(refused(world, world.bob, selector=each) for each in ("1", "latest", "default", "best"))
    assert all(refused(world, world.bob, model=each) for each in ("bob~mine", "mine"))
    version = versions.get(world.db, world.bob, "mine", "1")
    assert version.withheld
    assert "head on base" not in export(world.db, world.bob.account_id).model_dump_json()


def test_an_owner_cannot_let_it_out_by_what_models_are_marked_with(world, package):
    """Neither by the mark `downloadable`, nor by making it public, nor by sharing it in any role."""
    carol = world.account("carol")
    models.update(world.db, world.bob, "mine", visibility="public", downloadable=True)
    for role in ("reader", "publisher", "owner"):
        shares.put(world.db, world.bob, "mine", "carol", role=role)
        assert refused(world, carol, "bob~mine")
    assert refused(world, world.bob)
    world.publish(world.bob, "mine", package("of bob's own"), set_default=True)
    assert not refused(world, world.bob, selector="default")
    move(world, world.bob, "default", 1)
    assert refused(world, world.bob, selector="default")


def test_it_is_inherited(world, package):
    """What is trained on it, in any account, is withheld for the sake of the first base and of this one."""
    derived = base_of(world, world.bob, "mine")
    world.publish(world.bob, "second", package("head on head"), base=derived)
    assert refused(world, world.bob, "second")
    carol = world.account("carol")
    models.update(world.db, world.bob, "second", visibility="public")
    world.publish(carol, "third", package("and so on"), base=base_of(world, world.bob, "second"))
    assert refused(world, carol, "third")
    models.update(world.db, world.bob, "second", downloadable=True)
    assert refused(world, carol, "third")
    models.update(world.db, world.ada, "base", downloadable=True)
    assert not refused(world, carol, "third")
    models.update(world.db, world.bob, "second", downloadable=False)
    assert refused(world, carol, "third")


def test_what_the_maker_could_download_is_not_withheld(world, package):
    """Their own, a publisher's and what is marked: it stays theirs whatever becomes of the base."""
    carol = world.account("carol")
    shares.put(world.db, world.ada, "base", "carol", role="publisher")
    world.publish(carol, "hers", package("by a publisher"), base=world.base)
    shares.remove(world.db, world.ada, "base", "carol")
    models.update(world.db, world.ada, "base", downloadable=True)
    world.publish(world.bob, "later", package("when it was marked"), base=world.base)
    models.update(world.db, world.ada, "base", downloadable=False)
    world.publish(world.ada, "own", package("of her own"), base=world.base)
    deletion.delete_model(world.db, world.store, world.ada, "base")
    for caller, name in ((carol, "hers"), (world.bob, "later"), (world.ada, "own")):
        assert not refused(world, caller, name)
        assert not versions.get(world.db, caller, name, "1").withheld


def test_a_base_that_becomes_downloadable_lets_it_go_while_it_is(world):
    """And so does the role of a publisher on the base, for those who have it and may download the version."""
    carol = world.account("carol")
    shares.put(world.db, world.bob, "mine", "carol", role="publisher")
    models.update(world.db, world.ada, "base", downloadable=True)
    assert not refused(world, world.bob)
    assert not refused(world, carol, "bob~mine")
    models.update(world.db, world.ada, "base", downloadable=False)
    assert refused(world, world.bob)
    shares.put(world.db, world.ada, "base", "carol", role="publisher")
    assert not refused(world, carol, "bob~mine")
    assert refused(world, world.bob)
    # The base's owner has no more of bob's model than everybody.
    with pytest.raises(NotFound):
        packages.find(world.db, world.store, world.ada, "bob~mine", "1")


@pytest.mark.parametrize("gone", ["private", "deleted", "its account is deleted"])
def test_a_base_that_goes_leaves_it_serving_and_withheld(world, package, gone):
    """For good where it was deleted: nobody can download that, whoever takes its name."""
    models.update(world.db, world.ada, "base", downloadable=True)
    if gone == "private":
        models.update(world.db, world.ada, "base", visibility="private")
    elif gone == "deleted":
        deletion.delete_model(world.db, world.store, world.ada, "base")
        world.publish(world.ada, "base", package("base"), visibility="public")
        models.update(world.db, world.ada, "base", downloadable=True)
    else:
        account_erasure.erase(world.db, world.ada.account_id)
    assert refused(world, world.bob)
    assert versions.serving_target(world.db, world.bob, "mine", "1").version == 1


def test_a_base_that_is_gone_before_the_publish_ends_it(world, package):
    """In the very transaction: nothing is published whose base nobody can be asked about."""
    deletion.delete_model(world.db, world.store, world.ada, "base")
    with pytest.raises(NotFound):
        world.publish(world.bob, "late", package("too late"), base=world.base)
    with pytest.raises(NotFound):
        models.get(world.db, world.bob, "late")


def test_the_same_content_published_again_stays_withheld(world, package):
    """The version there is, is returned; `again` from a job makes another of its kind."""
    version, is_new = world.publish(world.bob, "mine", package("head on base"), base=world.base)
    assert (version.version, version.withheld, is_new) == (1, True, False)
    version, is_new = world.publish(world.bob, "mine", package("head on base"), base=world.base, again=True)
    assert (version.version, version.withheld, is_new) == (2, True, True)
    assert refused(world, world.bob, selector="2")
