import itertools

import pytest

from maas_client.types import PageQuery
from reference_server.errors import Conflict, InvalidRequest, NotFound, PreconditionFailed, Unprocessable
from reference_server.registry import aliases, versions


@pytest.fixture
def words(registry, ada, package):
    """Return a registry whose model `words` has 3 versions of ada's."""
    for content in "123":
        registry.publish(ada, "words", package(content), notes=f"Note {content}.")
        registry.clock.advance(60)
    registry.ada = ada
    return registry


def move(registry, version, alias="stable", *, note="", expected=None):
    return aliases.move(
        registry.db, registry.ada, "words", alias, version=version, note=note, expected_revision=expected
    )


def rollback(registry, alias="stable", *, note="", expected=None):
    return aliases.rollback(registry.db, registry.ada, "words", alias, note=note, expected_revision=expected)


def history(registry, alias="stable"):
    return aliases.history(registry.db, registry.ada, "words", alias, PageQuery()).data


def test_a_first_move_makes_the_alias(words):
    """An alias comes to be by pointing somewhere, at revision 1."""
    made = move(words, 2, note="Best so far.")
    assert made.model_dump() == {
        "name": "stable",
        "version": 2,
        "revision": 1,
        "note": "Best so far.",
        "moved_by": "ada",
        "moved_at": words.clock.now,
    }
    assert aliases.get(words.db, words.ada, "words", "stable") == made
    assert versions.get(words.db, words.ada, "words", "stable").version == 2


def test_every_move_counts(words):
    """A move changes the version, the note, the time and the revision."""
    move(words, 1)
    words.clock.advance(1)
    moved = move(words, 3, note="Better.")
    assert (moved.version, moved.revision, moved.note, moved.moved_at) == (3, 2, "Better.", words.clock.now)
    assert versions.get(words.db, words.ada, "words", "stable").version == 3


def test_a_repeat_of_the_last_move_changes_nothing(words):
    """The same version with the same note, sent again, is the same move; another note is another."""
    first = move(words, 2, note="Best.")
    words.clock.advance(60)
    assert move(words, 2, note="Best.") == first
    assert len(history(words)) == 1
    assert move(words, 2, note="Still the best.").revision == 2
    assert [change.from_version for change in history(words)] == [2, None]


def test_a_move_can_depend_on_the_revision(words):
    """Compare-and-swap: whoever read an older revision loses, and nothing moves."""
    move(words, 1, expected=0)
    moved = move(words, 2, expected=1)
    assert moved.revision == 2
    for stale in (0, 1, 3):
        with pytest.raises(PreconditionFailed) as caught:
            move(words, 3, expected=stale)
        assert (caught.value.code, caught.value.param) == ("revision_mismatch", "If-Match")
        with pytest.raises(PreconditionFailed):
            rollback(words, expected=stale)
    assert aliases.get(words.db, words.ada, "words", "stable") == moved
    assert rollback(words, expected=2).version == 1


def test_a_repeat_whose_first_reply_was_lost_is_no_lost_race(words):
    """The same move from the same revision answers as the first did; another one has lost."""
    move(words, 1, expected=0)
    moved = move(words, 2, expected=1)
    assert move(words, 2, expected=1) == moved
    with pytest.raises(PreconditionFailed):
        move(words, 3, expected=1)
    move(words, 3, expected=2)
    with pytest.raises(PreconditionFailed):
        move(words, 2, expected=1)


def test_an_alias_that_is_not_there_has_revision_0(words):
    """Whoever expects a revision of an alias that is not there has lost it."""
    for call in (lambda: move(words, 1, expected=1), lambda: rollback(words, expected=1)):
        with pytest.raises(PreconditionFailed):
            call()
    with pytest.raises(NotFound):
        aliases.get(words.db, words.ada, "words", "stable")


def test_a_rollback_goes_back_and_is_remembered(words):
    """An alias returns to the version before, by a move like any other."""
    move(words, 1)
    move(words, 3)
    words.clock.advance(1)
    back = rollback(words, note="Worse than it seemed.")
    assert (back.version, back.revision, back.moved_at) == (1, 3, words.clock.now)
    newest = history(words)[0]
    assert (newest.from_version, newest.to_version, newest.note) == (3, 1, "Worse than it seemed.")


def test_a_second_rollback_undoes_the_first(words):
    """What was left by a rollback is the version before."""
    move(words, 1)
    move(words, 3)
    assert [rollback(words).version for _ in range(3)] == [1, 3, 1]


def test_a_rollback_passes_over_moves_to_the_same_version(words):
    """A new note is no version to go back from."""
    move(words, 1)
    move(words, 2)
    move(words, 2, note="Still.")
    assert rollback(words).version == 1


def test_without_an_earlier_version_there_is_no_way_back(words):
    """An alias that has pointed to one version only stays."""
    move(words, 2)
    move(words, 2, note="Still.")
    with pytest.raises(Conflict) as conflict:
        rollback(words)
    assert conflict.value.code == "no_earlier_version"
    with pytest.raises(NotFound) as missing:
        rollback(words, "none")
    assert (missing.value.code, missing.value.param) == ("alias_not_found", "alias")


def test_a_move_to_no_version_is_not_found(words):
    """An alias points to what is there, or stays as it was."""
    move(words, 2)
    for number in (4, 999_999_999, 10**12):
        with pytest.raises(NotFound) as caught:
            move(words, number)
        assert caught.value.code == "version_not_found"
    with pytest.raises(NotFound):
        move(words, 4, "new")
    assert [change.to_version for change in history(words)] == [2]
    assert [alias.name for alias in listed(words)] == ["default", "latest", "stable"]


def listed(registry):
    return aliases.list_aliases(registry.db, registry.ada, "words", PageQuery()).data


def test_latest_is_computed(words, package):
    """The newest version is `latest`, whoever points where."""
    latest = aliases.get(words.db, words.ada, "words", "latest")
    assert (latest.version, latest.revision, latest.note, latest.moved_by) == (3, 3, "Note 3.", "ada")
    words.publish(words.ada, "words", package("4"))
    assert aliases.get(words.db, words.ada, "words", "latest").version == 4


def test_latest_is_never_moved(words):
    """Neither a move nor a rollback nor a history is to be had of what is computed."""
    for call in (lambda: move(words, 1, "latest"), lambda: rollback(words, "latest")):
        with pytest.raises(Unprocessable) as caught:
            call()
        assert (caught.value.code, caught.value.param) == ("alias_is_computed", "alias")
    with pytest.raises(NotFound) as missing:
        history(words, "latest")
    assert missing.value.code == "alias_not_found"
    assert aliases.get(words.db, words.ada, "words", "latest").version == 3


@pytest.mark.parametrize("alias", ["", "1", "1a", "-a", "a b", "a/b", "é", "a\n", "a" * 65, "x" * 10_000])
def test_an_alias_has_a_form(words, alias):
    """A number cannot be an alias, nor what a path could not hold."""
    with pytest.raises(Unprocessable) as caught:
        move(words, 1, alias)
    assert caught.value.code == "invalid_alias"
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("alias", ["a", "Newest", "v1.0_rc-2", "a" * 64])
def test_any_other_name_may_be_an_alias(words, alias):
    """Aliases are the owner's to name, and told apart by case."""
    assert move(words, 2, alias).name == alias
    assert versions.get(words.db, words.ada, "words", alias).version == 2


def test_aliases_are_listed_by_name(words, every_page):
    """Each alias comes once, `latest` in its place, over any pages."""
    for alias in ("zoo", "alpha", "mid"):
        move(words, 1, alias)
    pages = every_page(lambda query: aliases.list_aliases(words.db, words.ada, "words", query), limit=2)
    assert [[alias.name for alias in page] for page in pages] == [
        ["alpha", "default"],
        ["latest", "mid"],
        ["zoo"],
    ]
    for page in pages:
        assert page == [aliases.get(words.db, words.ada, "words", alias.name) for alias in page]


def test_a_history_tells_every_move_newest_first(words, every_page):
    """Nothing is left out or told twice, over any pages; `from` is where the move before had gone."""
    for number in (1, 2, 3, 2, 1):
        move(words, number, note=f"To {number}.")
        words.clock.advance(1)
    pages = every_page(lambda query: aliases.history(words.db, words.ada, "words", "stable", query), limit=2)
    told = [change for page in pages for change in page]
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [(change.revision, change.from_version, change.to_version, change.note) for change in told] == [
        (5, 2, 1, "To 1."),
        (4, 3, 2, "To 2."),
        (3, 2, 3, "To 3."),
        (2, 1, 2, "To 2."),
        (1, None, 1, "To 1."),
    ]
    assert {change.moved_by for change in told} == {"ada"}
    assert [change.moved_at for change in told] == sorted((c.moved_at for c in told), reverse=True)


def test_a_history_is_of_one_alias(words):
    """Other aliases' moves are their own; what is not there has none."""
    move(words, 1)
    move(words, 2, "other")
    assert [change.alias for change in history(words)] == ["stable"]
    with pytest.raises(NotFound):
        history(words, "none")


def test_a_cursor_of_one_listing_opens_no_other(words):
    """A cursor of the aliases is none of a history."""
    cursor = aliases.list_aliases(words.db, words.ada, "words", PageQuery(limit=1)).next_cursor
    with pytest.raises(InvalidRequest) as caught:
        aliases.history(words.db, words.ada, "words", "default", PageQuery(cursor=cursor))
    assert caught.value.code == "bad_cursor"


def test_moves_at_once_lose_nothing(words, at_once):
    """Every one of many concurrent moves has its revision, and each goes on from the one before."""

    def move_often(who):
        return lambda: [move(words, number, note=f"{who}.{n}") for n, number in enumerate((1, 2, 3, 1))]

    at_once(*(move_often(who) for who in range(4)))
    told = history(words)
    assert [change.revision for change in told] == list(range(16, 0, -1))
    assert {change.note for change in told} == {f"{who}.{n}" for who in range(4) for n in range(4)}
    for later, earlier in itertools.pairwise(told):
        assert later.from_version == earlier.to_version
    alias = aliases.get(words.db, words.ada, "words", "stable")
    assert (alias.revision, alias.version, alias.note) == (16, told[0].to_version, told[0].note)


def test_of_swaps_at_once_one_wins(words, at_once):
    """Of many who read the same revision exactly one moves the alias."""
    move(words, 1)

    def swap(who):
        try:
            return move(words, 2, note=str(who), expected=1).note
        except PreconditionFailed as error:
            return error.code

    results = at_once(*(lambda who=who: swap(who) for who in range(6)))
    assert results.count("revision_mismatch") == 5
    winner = next(result for result in results if result != "revision_mismatch")
    assert [(change.revision, change.note) for change in history(words)] == [(2, winner), (1, "")]


def test_a_lost_race_tells_where_the_alias_is_now(words):
    """Whoever loses needs no second question; of an alias that is not there nothing can be told."""
    moved = move(words, 2)
    with pytest.raises(PreconditionFailed) as caught:
        move(words, 3, expected=7)
    assert (caught.value.current, caught.value.etag) == (moved, '"1"')
    with pytest.raises(PreconditionFailed) as caught:
        move(words, 3, "other", expected=7)
    assert (caught.value.current, caught.value.etag) == (None, None)


def test_default_does_not_move_to_what_breaks_calls(registry, ada, package):
    """Neither forth nor back, unless it is meant; any other alias may."""
    registry.ada = ada
    registry.publish(ada, "words", package("1"))
    registry.publish(ada, "words", package("2", labels=["positive", "negative"]))
    registry.publish(ada, "words", package("3", labels=["negative", "positive", "none"]))
    with pytest.raises(Conflict) as caught:
        move(registry, 2, "default")
    assert caught.value.code == "breaking_signature"
    assert [each.code for each in caught.value.details] == ["labels_reordered"]
    assert "negative, positive → positive, negative" in caught.value.message
    move(registry, 2, "stable")
    move(registry, 3, "default")
    with pytest.raises(Conflict) as caught:
        rollback(registry, "default")
    assert [each.param for each in caught.value.details] == ["none"]
    forced = aliases.rollback(
        registry.db, ada, "words", "default", note="", expected_revision=None, force=True
    )
    assert forced.version == 1


@pytest.mark.parametrize("alias", ["DEFAULT", "Default", "Latest", "LATEST"])
def test_a_new_alias_is_not_taken_for_a_reserved_one(words, alias):
    """One that differs in case only would be another alias that looks the same."""
    with pytest.raises(Unprocessable, match=f"`{alias.lower()}`") as caught:
        move(words, 2, alias)
    assert caught.value.code == "confusing_alias"


def test_one_that_was_made_before_can_still_be_moved(words):
    """Else it would hold its version for ever."""
    with words.db.write() as session:
        aliases.record_move(
            session,
            aliases.names.visible(session, words.ada, "words").row.id,
            "DEFAULT",
            version=1,
            note="",
            by=words.ada,
            at=words.clock.now,
        )
    assert move(words, 2, "DEFAULT").version == 2
