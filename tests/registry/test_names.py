import itertools
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maas_client.types import (
    ACCOUNT_NAME,
    MODEL_NAME,
    HistoryQuery,
    ModelQuery,
    PageQuery,
    VersionUpdate,
)
from reference_server.errors import Conflict, Forbidden, NotFound, Unprocessable
from reference_server.registry import aliases, deletion, events, models, names, shares, states, versions

model_names = st.from_regex(MODEL_NAME, fullmatch=True)
account_names = st.from_regex(ACCOUNT_NAME, fullmatch=True)
almost_names = st.text(alphabet="aZ9._-~ \n/é٣", max_size=6) | st.text(max_size=6)
alphanumeric = string.ascii_letters + string.digits


def is_model_name(text):
    """Say in plain words what the pattern says."""
    return 1 <= len(text) <= 128 and text[0] in alphanumeric and not text.strip(alphanumeric + "._-")


def is_account_name(text):
    """Say in plain words what the pattern says."""
    lower = string.ascii_lowercase + string.digits
    return 1 <= len(text) <= 39 and text[0] in lower and text[-1] in lower and not text.strip(lower + "-")


@settings(derandomize=True, deadline=None)
@given(model_names)
def test_a_bare_name_names_no_account(name):
    """A bare name is read as it stands."""
    assert names.parse(name) == names.Reference(None, name)


@settings(derandomize=True, deadline=None)
@given(account_names, model_names, st.booleans())
def test_the_shortest_name_is_read_back(account, name, shadowed):
    """What the server calls a model is a name that it reads, exact where a bare one would mean another."""
    read = names.parse(names.shortest(name, account, shadowed=shadowed))
    assert read == names.Reference(account if shadowed else None, name)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(almost_names)
def test_a_name_is_read_whole_or_not_at_all(text):
    """Whatever is no name is not found; what is read holds every character that was written."""
    *account, name = text.split("~")
    valid = is_model_name(name) and (not account or (len(account) == 1 and is_account_name(account[0])))
    if valid:
        assert names.parse(text) == names.Reference(account[0] if account else None, name)
    else:
        with pytest.raises(NotFound) as caught:
            names.parse(text)
        assert caught.value.code == "model_not_found"


@pytest.mark.parametrize("text", ["a" * 128, "a" * 39 + "~" + "a" * 128])
def test_the_longest_names_are_read(text):
    """The limits themselves are within."""
    assert names.parse(text).name == "a" * 128


@pytest.mark.parametrize(
    "text", ["a" * 129, "a" * 40 + "~a", "a~b~c", "~a", "a~", "-a~b", "a-~b", "A~b", "a\n", "a~b\n"]
)
def test_what_is_just_no_name_is_not_found(text):
    """One character too many, or in the wrong place, is no name."""
    with pytest.raises(NotFound):
        names.parse(text)


def test_a_long_name_is_not_repeated_whole():
    """An answer does not grow with the request."""
    with pytest.raises(NotFound) as caught:
        names.parse("x" * 100_000)
    assert len(caught.value.message) < 500


@settings(derandomize=True, deadline=None, max_examples=200)
@given(model_names | almost_names)
def test_new_names_have_the_form_that_references_have(text):
    """A model can be made under exactly the bare names that can be read, less the reserved ones."""
    if is_model_name(text) and text != "stats":
        names.check_new_name(text)
    else:
        with pytest.raises(Unprocessable) as caught:
            names.check_new_name(text)
        assert (caught.value.code, caught.value.param) == ("invalid_model_name", "name")


def test_stats_is_no_models_name(registry, ada, package):
    """A name that the server needs for a path of its own is refused wherever a model could be made."""
    with pytest.raises(Unprocessable, match="stats"):
        models.create(registry.db, ada, name="stats", visibility="private")
    with pytest.raises(Unprocessable, match="stats"):
        registry.publish(ada, "stats", package())
    with pytest.raises(Unprocessable, match="stats"):
        registry.publish(ada, "ada~stats", package())


def make(registry, caller, name, visibility="private"):
    return models.create(registry.db, caller, name=name, visibility=visibility)


def reached(registry, caller, text):
    """Return the owner of the model that a name means, and what the model is called in the answer."""
    model = models.get(registry.db, caller, text)
    assert model.name == text.split("~")[-1]
    return model.owned_by, model.id


def test_a_bare_name_means_mine_first(registry, ada, bob):
    """One's own model hides the public one of its name, which stays in reach by its exact name."""
    make(registry, bob, "words", "public")
    assert reached(registry, ada, "words") == ("bob", "words")
    make(registry, ada, "words")
    assert reached(registry, ada, "words") == ("ada", "words")
    assert reached(registry, ada, "ada~words") == ("ada", "words")
    assert reached(registry, ada, "bob~words") == ("bob", "bob~words")
    assert reached(registry, bob, "words") == ("bob", "words")


def test_a_public_name_means_the_same_to_everyone_else(registry, ada, bob):
    """Whoever has no model of that name reaches the public one, bare or exact."""
    make(registry, ada, "words", "public")
    carol = registry.account("carol")
    for caller in (bob, carol):
        assert reached(registry, caller, "words") == ("ada", "words")
        assert reached(registry, caller, "ada~words") == ("ada", "words")


def test_names_are_told_apart_by_case(registry, ada, bob):
    """`Words` and `words` are two models."""
    make(registry, ada, "words", "public")
    make(registry, bob, "Words", "public")
    assert reached(registry, ada, "Words") == ("bob", "Words")
    assert reached(registry, bob, "words") == ("ada", "words")


READS = {
    "models.get": models.get,
    "versions.get": lambda db, caller, name: versions.get(db, caller, name, "latest"),
    "versions.list": lambda db, caller, name: versions.list_versions(db, caller, name, PageQuery()),
    "versions.serving_target": lambda db, caller, name: versions.serving_target(db, caller, name, None),
    "aliases.get": lambda db, caller, name: aliases.get(db, caller, name, "default"),
    "aliases.list": lambda db, caller, name: aliases.list_aliases(db, caller, name, PageQuery()),
    "aliases.history": lambda db, caller, name: aliases.history(db, caller, name, "default", PageQuery()),
    "events.history": lambda db, caller, name: events.history(db, caller, name, HistoryQuery()),
}
WRITES = {
    "states.update": lambda db, caller, name: states.update(db, caller, name, "1", VersionUpdate()),
    "deletion.delete_version": lambda db, caller, name: deletion.delete_version(db, None, caller, name, "1"),
    "deletion.delete_model": lambda db, caller, name: deletion.delete_model(db, None, caller, name),
    "models.set_unloaded": lambda db, caller, name: models.set_unloaded(db, caller, name, unloaded=True),
    "models.update": lambda db, caller, name: models.update(db, caller, name, visibility="public"),
    "aliases.move": lambda db, caller, name: aliases.move(
        db, caller, name, "default", version=1, note="", expected_revision=None
    ),
    "aliases.rollback": lambda db, caller, name: aliases.rollback(
        db, caller, name, "default", note="", expected_revision=None
    ),
}


@pytest.mark.parametrize("call", [pytest.param(call, id=name) for name, call in (READS | WRITES).items()])
@pytest.mark.parametrize("text", ["secret", "ada~secret"])
def test_the_invisible_answers_like_the_absent(registry, bob, package, call, text):
    """Another's private model cannot be told from none, by any call and in any part of the answer."""
    with pytest.raises(NotFound) as absent:
        call(registry.db, bob, text)
    registry.publish(registry.account("ada"), "secret", package())
    with pytest.raises(NotFound) as invisible:
        call(registry.db, bob, text)
    assert absent.value.code == "model_not_found"
    assert str(invisible.value) == str(absent.value)
    assert vars(invisible.value) == vars(absent.value)


@pytest.mark.parametrize("call", [pytest.param(call, id=name) for name, call in WRITES.items()])
def test_what_one_only_sees_one_cannot_change(registry, ada, bob, package, call):
    """A public model is its owner's to change, and the answer says so."""
    registry.publish(ada, "words", package(), visibility="public")
    for text in ("words", "ada~words"):
        with pytest.raises(Forbidden) as caught:
            call(registry.db, bob, text)
        assert caught.value.code == "not_owner"


@pytest.mark.parametrize("call", [pytest.param(call, id=name) for name, call in READS.items()])
def test_what_is_public_anyone_reads(registry, ada, bob, package, call):
    """Every reading call finds another's public model."""
    registry.publish(ada, "words", package(), visibility="public")
    call(registry.db, bob, "words")
    call(registry.db, bob, "ada~words")


def test_a_conflict_never_speaks_of_a_private_model(registry, ada, bob):
    """A name that another uses in private is free, in private and in public."""
    make(registry, ada, "words")
    assert make(registry, bob, "words", "public").id == "words"
    assert make(registry, registry.account("carol"), "words").id == "words"


def test_a_conflict_with_a_model_of_ones_own(registry, ada):
    """A name is given once per account, whatever the visibility."""
    make(registry, ada, "words")
    for visibility in ("private", "public"):
        with pytest.raises(Conflict) as caught:
            make(registry, ada, "words", visibility)
        assert (caught.value.code, caught.value.param) == ("name_taken", "name")


def test_a_conflict_with_a_public_model(registry, ada, bob):
    """A public name is given once; in private everyone may use it."""
    make(registry, ada, "words", "public")
    with pytest.raises(Conflict) as caught:
        make(registry, bob, "words", "public")
    assert (caught.value.code, caught.value.param) == ("public_name_taken", "visibility")
    make(registry, bob, "words")
    with pytest.raises(Conflict) as caught:
        models.update(registry.db, bob, "words", visibility="public")
    assert caught.value.code == "public_name_taken"


def test_a_public_name_is_given_up(registry, ada, bob):
    """A model that turns private frees its public name and leaves the sight of others."""
    make(registry, ada, "words", "public")
    models.update(registry.db, ada, "words", visibility="private")
    with pytest.raises(NotFound):
        models.get(registry.db, bob, "words")
    make(registry, bob, "words", "public")
    assert reached(registry, ada, "bob~words") == ("bob", "bob~words")
    assert reached(registry, ada, "words") == ("ada", "words")


def test_a_public_name_is_claimed_once_at_the_same_time(registry, at_once):
    """Of many who claim a public name together exactly one gets it."""
    callers = [registry.account(f"u{n}") for n in range(6)]

    def claim(caller):
        try:
            return make(registry, caller, "words", "public").owned_by
        except Conflict as error:
            return error.code

    results = at_once(*(lambda caller=caller: claim(caller) for caller in callers))
    assert results.count("public_name_taken") == 5
    winner = next(result for result in results if result != "public_name_taken")
    assert reached(registry, callers[0], f"{winner}~words")[0] == winner


OWNERS, NAMES = ("ada", "bob", "carol"), ("one", "two")
gifts = st.tuples(st.sampled_from(OWNERS), st.sampled_from(NAMES), st.sampled_from(OWNERS))


class World:
    """Models, shares, and by plain rules what a name means to whom."""

    def __init__(self, registry):
        self.registry = registry
        self.callers = {name: registry.account(name) for name in OWNERS}
        self.models, self.public, self.shares, self.bare = {}, {}, set(), {}

    def make(self, owner, name, visibility):
        if visibility is None or (visibility == "public" and name in self.public):
            return
        make(self.registry, self.callers[owner], name, visibility)
        self.models[owner, name] = visibility
        if visibility == "public":
            self.public[name] = owner

    def share(self, owner, name, to):
        if owner == to or (owner, name) not in self.models or (owner, name, to) in self.shares:
            return
        shares.put(self.registry.db, self.callers[owner], f"{owner}~{name}", to, role="reader")
        self.shares.add((owner, name, to))
        if self.public.get(name) in (None, owner):
            self.bare.setdefault((to, name), owner)

    def show(self, owner, name):
        if (owner, name) in self.models and name not in self.public:
            models.update(self.registry.db, self.callers[owner], f"{owner}~{name}", visibility="public")
            self.models[owner, name], self.public[name] = "public", owner

    def visible(self, caller, owner, name):
        return (
            owner == caller
            or self.models.get((owner, name)) == "public"
            or (owner, name, caller) in self.shares
        )

    def meant(self, caller, text):
        owner, _, name = text.rpartition("~")
        if not owner:
            shown = self.bare.get((caller, name), self.public.get(name))
            owner = caller if (caller, name) in self.models else shown
        return owner if (owner, name) in self.models and self.visible(caller, owner, name) else None


@settings(derandomize=True, max_examples=25, deadline=None)
@given(
    st.fixed_dictionaries(
        dict.fromkeys(itertools.product(OWNERS, NAMES), st.sampled_from([None, "private", "public"]))
    ),
    st.lists(gifts, max_size=6),
    st.lists(st.sampled_from(OWNERS), max_size=2),
)
def test_every_world_resolves_by_the_rules(open_registry, tmp_path_factory, wanted, given_to, later):
    """Whatever models and shares there are, names mean what the rules say, and those listed work."""
    registry = open_registry(tmp_path_factory.mktemp("world"))
    world = World(registry)
    for (owner, name), visibility in wanted.items():
        world.make(owner, name, visibility)
    for gift in given_to:
        world.share(*gift)
    # What becomes public after a share takes no name from it.
    for owner in later:
        world.show(owner, "one")
    for caller, name in itertools.product(OWNERS, NAMES):
        for text in (name, *(f"{owner}~{name}" for owner in OWNERS)):
            expected = world.meant(caller, text)
            if expected is None:
                with pytest.raises(NotFound):
                    models.get(registry.db, world.callers[caller], text)
                continue
            shortest = name if world.meant(caller, name) == expected else f"{expected}~{name}"
            assert reached(registry, world.callers[caller], text) == (expected, shortest)
    for caller in OWNERS:
        listed = models.list_models(registry.db, world.callers[caller], ModelQuery()).data
        assert {(model.owned_by, model.name) for model in listed} == {
            key for key in world.models if world.visible(caller, *key)
        }
        assert [models.get(registry.db, world.callers[caller], model.id) for model in listed] == listed
    registry.db.dispose()
