"""Sharing: who is let in, as what, what a bare name means then, and who is told of it."""

import pytest

from maas_client.types import HistoryQuery, ModelQuery, PageQuery, TrafficUpdate, UsageQuery, VersionUpdate
from reference_server.errors import Conflict, Forbidden, NotFound, Unprocessable
from reference_server.registry import (
    aliases,
    comparisons,
    deletion,
    events,
    models,
    packages,
    shares,
    states,
    traffic,
    usage,
    versions,
)
from reference_server.registry.export import export

ROLES = (None, "reader", "publisher", "owner")


@pytest.fixture
def words(registry, ada, bob, package):
    """Return a registry where ada has the private model `words` with two versions."""
    registry.ada, registry.bob = ada, bob
    registry.publish(ada, "words", package("one"))
    registry.publish(ada, "words", package("two"), set_default=True)
    return registry


def share(registry, account="bob", role="reader", model="words", by=None):
    return shares.put(registry.db, by or registry.ada, model, account, role=role)


def code(call):
    """Return the code of what a call raises, or None."""
    try:
        call()
    except (Conflict, Forbidden, NotFound, Unprocessable) as error:
        return error.code
    return None


ACTS = {
    # What is done, and the least role that may do it.
    "see": ("reader", lambda r, by, name: models.get(r.db, by, name)),
    "serve": ("reader", lambda r, by, name: versions.serving_target(r.db, by, name, None)),
    "publish": ("publisher", lambda r, by, name: r.publish(by, name, r.third)),
    "download": ("publisher", lambda r, by, name: packages.find(r.db, r.store, by, name, "1")),
    "compare": ("publisher", lambda r, by, name: comparisons.check(r.db, by, name)),
    "move": (
        "publisher",
        lambda r, by, name: aliases.move(
            r.db, by, name, "best", version=1, note="", expected_revision=None, force=False
        ),
    ),
    "roll back": (
        "publisher",
        lambda r, by, name: aliases.rollback(r.db, by, name, "default", note="", expected_revision=None),
    ),
    "split": (
        "publisher",
        lambda r, by, name: traffic.change(
            r.db,
            by,
            name,
            TrafficUpdate(splits=[{"version": 1, "weight": 1}, {"version": 2, "weight": 1}]),
            expected_revision=None,
        ),
    ),
    "withdraw": (
        "publisher",
        lambda r, by, name: traffic.withdraw(r.db, by, name, note="", expected_revision=None),
    ),
    "deprecate": (
        "publisher",
        lambda r, by, name: states.update(r.db, by, name, "1", VersionUpdate(state="deprecated")),
    ),
    "unload": ("owner", lambda r, by, name: models.set_unloaded(r.db, by, name, unloaded=True)),
    "show": ("owner", lambda r, by, name: models.update(r.db, by, name, visibility="public")),
    "list shares": ("owner", lambda r, by, name: shares.list_shares(r.db, by, name, PageQuery())),
    "share": ("owner", lambda r, by, name: shares.put(r.db, by, name, "carol", role="reader")),
    "shut out": ("owner", lambda r, by, name: shares.remove(r.db, by, name, "dan")),
    "delete version": ("owner", lambda r, by, name: deletion.delete_version(r.db, r.store, by, name, "1")),
    "delete": ("owner", lambda r, by, name: deletion.delete_model(r.db, r.store, by, name)),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("role", ROLES)
def test_each_role_may_what_it_says(words, package, act, role):
    """Each act needs a role: whoever has less sees no model, or is told what is missing."""
    needed, do = ACTS[act]
    words.account("carol")
    words.account("dan")
    share(words, "dan")
    words.third = package("three")
    if role is not None:
        share(words, role=role)
    raised = code(lambda: do(words, words.bob, "ada~words"))
    if role is None:
        assert raised == "model_not_found"
    elif ROLES.index(role) < ROLES.index(needed):
        assert raised == ("not_downloadable" if act == "download" else "missing_role")
    else:
        assert raised is None


def test_a_refusal_says_which_role_is_needed(words):
    """Whoever sees a model may be told what they are to it."""
    share(words)
    with pytest.raises(Forbidden, match=r"shared with you as 'reader'.*needs the role 'publisher'"):
        aliases.rollback(words.db, words.bob, "words", "default", note="", expected_revision=None)


def test_a_share_is_kept_and_a_repeat_changes_nothing(words):
    """The same role again is the same share, of the same time, and no event."""
    made = share(words)
    words.clock.advance(5)
    assert share(words) == made
    changed = share(words, role="publisher")
    assert (changed.role, changed.shared_at) == ("publisher", words.clock.now)
    assert shares.list_shares(words.db, words.ada, "words", PageQuery()).data == [changed]


def test_shares_come_in_pages_by_name(words, every_page):
    """A listing is read page by page."""
    for name in ("dan", "carol"):
        words.account(name)
    for name in ("dan", "bob", "carol"):
        share(words, name)
    pages = every_page(lambda q: shares.list_shares(words.db, words.ada, "words", q), limit=2)
    assert [[each.account for each in page] for page in pages] == [["bob", "carol"], ["dan"]]


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        ("nobody", "account_not_found"),
        ("No Name!", "account_not_found"),
        ("x" * 300, "account_not_found"),
        ("ada", "already_owner"),
    ],
)
def test_who_cannot_be_shared_with_is_refused(words, account, expected):
    """A share is for another account that there is."""
    assert code(lambda: share(words, account)) == expected


def test_a_model_is_shared_with_a_bounded_number_of_accounts(words, monkeypatch):
    """The largest number is taken, one more is not; a change of role is no new share."""
    monkeypatch.setattr(shares, "MOST_SHARES", 1)
    words.account("carol")
    share(words)
    assert code(lambda: share(words, "carol")) == "too_many_shares"
    assert share(words, role="owner").role == "owner"


def test_one_account_gives_another_a_bounded_number_of_models(words, monkeypatch, package):
    """It cannot fill the other's catalogue; what others share with that one is counted apart."""
    monkeypatch.setattr(shares, "MOST_OF_ONE_GIVER", 1)
    share(words)
    words.publish(words.ada, "second", package("second"))
    full = code(lambda: shares.put(words.db, words.ada, "second", "bob", role="reader"))
    assert full == "too_many_shares"
    assert share(words, role="owner").role == "owner"
    carol = words.account("carol")
    words.publish(carol, "third", package("third"))
    assert shares.put(words.db, carol, "third", "bob", role="reader").role == "reader"


def test_whom_it_is_shared_with_may_leave(words):
    """A reader gives up their own share, and nobody else's."""
    words.account("carol")
    share(words)
    share(words, "carol")
    assert code(lambda: shares.remove(words.db, words.bob, "words", "carol")) == "missing_role"
    assert code(lambda: shares.remove(words.db, words.bob, "words", "nobody")) == "missing_role"
    shares.remove(words.db, words.bob, "words", "bob")
    assert code(lambda: models.get(words.db, words.bob, "ada~words")) == "model_not_found"
    assert code(lambda: shares.remove(words.db, words.bob, "ada~words", "bob")) == "model_not_found"
    assert code(lambda: shares.remove(words.db, words.ada, "words", "bob")) == "share_not_found"


def test_owners_are_equals_but_the_account_stays(words):
    """A co-owner may end another's ownership; whose account's model it is cannot be shut out."""
    carol = words.account("carol")
    share(words, role="owner")
    share(words, "carol", "owner", model="ada~words", by=words.bob)
    assert code(lambda: shares.remove(words.db, carol, "ada~words", "ada")) == "share_not_found"
    shares.remove(words.db, carol, "ada~words", "bob")
    assert code(lambda: models.get(words.db, words.bob, "ada~words")) == "model_not_found"


def visibility(registry, caller, name="ada~words"):
    found = models.get(registry.db, caller, name)
    return found.visibility, found.role


def test_a_model_says_what_it_is_and_what_one_is_to_it(words):
    """`shared` is private but for some; in public nobody sees that it is shared too."""
    carol = words.account("carol")
    assert visibility(words, words.ada) == ("private", "owner")
    share(words, role="publisher")
    assert visibility(words, words.ada) == ("shared", "owner")
    assert visibility(words, words.bob) == ("shared", "publisher")
    models.update(words.db, words.ada, "words", visibility="public")
    assert visibility(words, words.bob) == ("public", "publisher")
    assert visibility(words, carol) == ("public", None)
    shares.remove(words.db, words.ada, "words", "bob")
    assert visibility(words, words.bob) == ("public", None)


def test_who_has_access_is_told_to_owners_alone(words):
    """Sharing is in the history for owners; nobody else finds a word of it there."""
    carol = words.account("carol")
    share(words, "carol")
    share(words, role="publisher")
    share(words, role="owner")
    shares.remove(words.db, words.ada, "words", "bob")
    share(words, role="owner")

    def told(caller, **query):
        page = events.history(words.db, caller, "ada~words", HistoryQuery(**query))
        kinds = ("shared", "share_changed", "share_withdrawn")
        return [(each.kind, each.details) for each in page.data if each.kind in kinds]

    about_bob = [
        ("shared", {"account": "bob", "role": "owner"}),
        ("share_withdrawn", {"account": "bob", "role": "owner"}),
        ("share_changed", {"account": "bob", "role": "owner"}),
        ("shared", {"account": "bob", "role": "publisher"}),
        ("shared", {"account": "carol", "role": "reader"}),
    ]
    assert told(words.ada) == told(words.bob) == about_bob
    assert told(carol) == []
    assert told(carol, kind="shared") == []
    models.update(words.db, words.ada, "words", visibility="public")
    everything = events.history(words.db, words.account("dan"), "words", HistoryQuery()).model_dump_json()
    assert "bob" not in everything
    assert "carol" not in everything


def meant(registry, caller, name="words"):
    """Return the owner of what a bare name means, or None."""
    try:
        return models.get(registry.db, caller, name).owned_by
    except NotFound:
        return None


def test_a_bare_name_means_the_first_that_was_shared(words):
    """What another account shares later takes no name away; when the first is withdrawn it means nothing."""
    carol, dan = words.account("carol"), words.account("dan")
    models.create(words.db, carol, name="words", visibility="private")
    share(words, "dan")
    share(words, "dan", by=carol, model="carol~words")
    assert meant(words, dan) == "ada"
    assert models.get(words.db, dan, "carol~words").id == "carol~words"
    shares.remove(words.db, words.ada, "words", "dan")
    assert meant(words, dan) is None
    assert models.get(words.db, dan, "carol~words").id == "carol~words"


def test_a_share_takes_no_public_name_away(words):
    """Whoever calls a public model by its bare name goes on to get that one, whatever others share."""
    carol, dan = words.account("carol"), words.account("dan")
    models.create(words.db, carol, name="words", visibility="public")
    share(words, "dan", "owner")
    assert meant(words, dan) == "carol"
    assert models.get(words.db, dan, "ada~words").id == "ada~words"


def test_a_public_name_takes_no_share_away(words):
    """Whoever calls a shared model by its bare name goes on to get that one, whatever becomes public."""
    carol, dan = words.account("carol"), words.account("dan")
    share(words, "dan")
    models.create(words.db, carol, name="words", visibility="public")
    assert meant(words, dan) == "ada"
    assert models.get(words.db, dan, "carol~words").id == "carol~words"
    shares.remove(words.db, words.ada, "words", "dan")
    assert meant(words, dan) == "carol"


def test_ones_own_model_comes_first(words):
    """A model of one's own hides what is shared under its bare name."""
    share(words)
    models.create(words.db, words.bob, name="words", visibility="private")
    assert meant(words, words.bob) == "bob"
    assert models.get(words.db, words.bob, "ada~words").id == "ada~words"


@pytest.mark.parametrize("role", ["publisher", "owner"])
def test_a_package_goes_to_another_account_by_its_exact_name_alone(words, package, role):
    """Else whoever shares a model of the name that somebody is about to use would be handed their package."""
    share(words, role=role)
    assert code(lambda: words.publish(words.bob, "words", package("secret"))) == "exact_name_needed"
    version, new = words.publish(words.bob, "ada~words", package("three"))
    assert (version.version, version.author, new) == (3, "bob", True)
    own, _ = words.publish(words.bob, "bob~words", package("secret"))
    assert own.version == 1
    assert len(versions.list_versions(words.db, words.ada, "words", PageQuery()).data) == 3


def test_a_role_that_is_withdrawn_while_a_package_is_tried_publishes_nothing(words, package):
    """The role is asked for again in the transaction that makes the version."""
    share(words, role="publisher")

    def inspect(content):
        shares.remove(words.db, words.ada, "words", "bob")
        return words.inspect(content)

    assert (
        code(lambda: words.publish(words.bob, "ada~words", package("three"), inspect=inspect))
        == "model_not_found"
    )
    assert len(versions.list_versions(words.db, words.ada, "words", PageQuery()).data) == 2


def listed(registry, caller, **query):
    return [each.id for each in models.list_models(registry.db, caller, ModelQuery(**query)).data]


def test_what_is_shared_is_listed(words):
    """It is in the catalogue, among the sharer's models, and by itself; for nobody else."""
    carol = words.account("carol")
    models.create(words.db, words.bob, name="zoo", visibility="private")
    models.create(words.db, carol, name="open", visibility="public")
    assert listed(words, words.bob) == ["open", "zoo"]
    share(words)
    assert listed(words, words.bob) == ["open", "words", "zoo"]
    assert listed(words, words.bob, owner="ada") == listed(words, words.bob, shared=True) == ["words"]
    assert listed(words, words.bob, shared=True, owner="ada") == ["words"]
    for owner in ("me", "bob", "carol", "nobody"):
        assert listed(words, words.bob, shared=True, owner=owner) == []
    assert listed(words, carol) == ["open"]
    assert listed(words, carol, owner="ada") == listed(words, carol, shared=True) == []
    models.update(words.db, words.ada, "words", visibility="public")
    assert listed(words, words.bob) == ["open", "words", "zoo"]
    assert listed(words, words.bob, shared=True) == ["words"]


def test_the_repository_lists_what_is_shared(words):
    """`/v2` sees the same models."""
    assert versions.index(words.db, words.bob) == []
    share(words)
    assert {target.exact for target in versions.index(words.db, words.bob)} == {"ada~words"}


def test_usage_of_what_is_not_visible_is_asked_of_nobody(words):
    """A filter by a model that was withdrawn answers like one by a model that never was."""
    share(words)
    assert usage.list_usage(words.db, words.bob, UsageQuery(model="ada~words")).data == []
    shares.remove(words.db, words.ada, "words", "bob")
    assert (
        code(lambda: usage.list_usage(words.db, words.bob, UsageQuery(model="ada~words")))
        == "model_not_found"
    )


def test_an_export_tells_of_shares_on_both_sides(words):
    """One's account knows whom one's models are shared with, and what is shared with one."""
    made = share(words)
    mine = export(words.db, words.ada.account_id)
    theirs = export(words.db, words.bob.account_id)
    assert (mine.shares, mine.shared_with_me) == ({"words": [made]}, [])
    assert theirs.shares == {}
    assert [(each.model, each.role) for each in theirs.shared_with_me] == [("ada~words", "reader")]


def test_shares_go_with_the_model(words, package):
    """A model that is made again under the name of a deleted one is shared with nobody."""
    share(words, role="owner")
    deletion.delete_model(words.db, words.store, words.bob, "ada~words")
    words.publish(words.ada, "words", package("one"))
    assert code(lambda: models.get(words.db, words.bob, "ada~words")) == "model_not_found"
