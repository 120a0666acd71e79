"""The owner's work on versions over the SDK and the command, and what their callers see of it."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import warnings
from contextlib import aclosing

import pytest

import maas_client
from maas_client import _async_history, _deprecation, _history

FACTS = {"data": "sha256:ab", "steps": [1, 2]}


@pytest.fixture(scope="module")
def running(serving, tmp_path_factory):
    with serving(tmp_path_factory.mktemp("versions")) as made:
        yield made


@pytest.fixture
def words(three_versions):
    """A handle on a model with three versions, the last with its labels turned; `default` is 1."""
    return three_versions("positive", "negative")


def test_a_version_tells_where_it_comes_from(owner, words, another):
    """What publish was given is there, and the same content can be had twice."""
    made = another()
    first = words.versions.publish(made, parent=2, origin="trained", lineage=FACTS)
    assert (first.parent, first.origin, first.lineage) == (2, "trained", FACTS)
    assert words.versions.publish(made).version == first.version
    again = words.versions.publish(made, again=True)
    assert (again.version, again.digest) == (first.version + 1, first.digest)
    found = words.versions.get(first.version)
    assert found == first.model_copy(update={"aliases": [], "snippets": found.snippets})
    assert f"version={first.version}" in found.snippets.python


@pytest.mark.parametrize(
    "lineage", [{"a": float("nan")}, {"a": {1, 2}}, {"a": "x" * 20_000}, {"a": "\ud800"}]
)
def test_a_lineage_that_cannot_be_sent_is_told_at_once(owner, another, lineage):
    """Before the package is read."""
    with pytest.raises(maas_client.ArgumentError, match="lineage"):
        owner.models.publish("/none", name="words", lineage=lineage)


def test_callers_are_warned_and_then_refused(words, monkeypatch):
    """The warning names the replacement; so does the error when the version is retired."""
    monkeypatch.setattr(_deprecation, "_told", set())
    words.aliases.move("stable", version=2)
    changed = words.versions.deprecate(2, reason="Old.", replacement=1)
    assert (changed.state, changed.reason, changed.replacement) == ("deprecated", "Old.", "1")
    with pytest.warns(
        maas_client.ModelDeprecationWarning, match=r"version '2' .* use version '1' of the model 'words'"
    ):
        words.predict(text="good", version="stable")
    with pytest.raises(maas_client.ConflictError, match="the alias 'stable'") as conflict:
        words.versions.retire(2)
    assert conflict.value.code == "version_in_use"
    words.aliases.move("stable", version=1)
    assert words.versions.retire(2).reason == "Old."
    with pytest.raises(maas_client.GoneError, match="use version 1") as gone:
        words.predict(text="good", version=2)
    assert (gone.value.replacement, gone.value.code) == ("1", "version_retired")
    assert not words.ready(version=2)
    with pytest.raises(maas_client.GoneError):
        list(words.predict_many([{"text": "a"}], version=2))
    assert words.versions.restore(2).state == "active"
    assert words.predict(text="good", version=2).version == 2


def test_a_lost_race_is_told_with_what_won(words):
    """The error itself holds the alias as it is now."""
    now = words.aliases.move("stable", version=1)
    with pytest.raises(maas_client.PreconditionFailedError) as caught:
        words.aliases.move("stable", version=2, expected_revision=7)
    assert caught.value.current == now


def test_a_breaking_move_is_refused(words):
    """With every difference that breaks; `force` says that it is meant."""
    with pytest.raises(maas_client.ConflictError) as caught:
        words.aliases.move("default", version=3)
    assert [each.code for each in caught.value.errors] == ["labels_reordered"]
    assert words.aliases.move("default", version=3, force=True).version == 3
    with pytest.raises(maas_client.ConflictError):
        words.aliases.rollback("default")
    assert words.aliases.rollback("default", force=True).version == 1


def test_what_is_deleted_is_gone(owner, words):
    """A version, and then the model."""
    words.versions.delete(3)
    with pytest.raises(maas_client.NotFoundError):
        words.versions.get(3)
    with pytest.raises(maas_client.ArgumentError):
        words.versions.delete("latest")
    assert next(iter(words.history())).kind == "version_deleted"
    assert [each.version for each in words.history(kind="published")] == [3, 2, 1]
    words.delete()
    with pytest.raises(maas_client.NotFoundError):
        owner.models.get("words")


def test_a_pinned_handle_says_when_it_falls_behind(words):
    """Once for each newer default, from the answers themselves; the handle stays where it is."""
    pinned = words.pin(1)
    assert repr(pinned) == "ModelHandle('words', pin=1)"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pinned.predict(text="good").version == 1
        words.aliases.move("default", version=2)
        assert words.predict(text="good").version == 2
    with pytest.warns(
        maas_client.VersionWarning, match="pinned to version 1 .* version 2 is the default"
    ) as told:
        assert [pinned.predict(text="good").version for _ in range(3)] == [1, 1, 1]
    assert len(told) == 1
    assert told[0].filename == __file__
    words.aliases.move("default", version=3, force=True)
    with pytest.warns(maas_client.VersionWarning, match="version 3"):
        assert {each.result().version for each in pinned.predict_many([{"text": "a"}] * 5)} == {1}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pinned.predict(text="good").version == 1
        assert pinned.predict(text="good", version=3).version == 3
        assert words.pin(3).predict(text="good").version == 3
        assert words.pin(2).metadata().name == "words"


@pytest.mark.parametrize("pin", ["stable", 0, True, 1.5])
def test_a_pin_is_a_number(owner, pin):
    """An alias moves, which is what a pin is to prevent."""
    with pytest.raises(maas_client.ArgumentError):
        owner.model("words", pin=pin)


def test_a_model_is_followed(words, another, monkeypatch):
    """Every event once and in order, though several happen between two looks; and on from any of them."""
    actions = iter(
        [
            lambda: None,
            lambda: [words.versions.publish(another()), words.aliases.move("best", version=1)],
            lambda: words.versions.deprecate(2, replacement=1),
        ]
    )
    waited = []
    monkeypatch.setattr(_history, "pause", lambda seconds: (waited.append(seconds), next(actions)()))
    events = words.versions.watch(interval=7)
    told = list(itertools.islice(events, 3))
    assert [(event.kind, event.version) for event in told] == [
        ("published", 4),
        ("alias_moved", 1),
        ("deprecated", 2),
    ]
    assert waited == [7.0] * 3
    assert [event.seq for event in itertools.islice(words.versions.watch(after=told[0].seq), 2)] == [
        told[1].seq,
        told[2].seq,
    ]
    everything = list(itertools.islice(words.versions.watch(after=0), 7))
    assert [event.seq for event in everything] == list(range(1, 8))


def test_following_ends_after_its_time(words, monkeypatch):
    """The last look is at the end, so that nothing of the time is missed."""
    clock = [100.0]
    monkeypatch.setattr(_history, "monotonic", lambda: clock[0])

    def pause(seconds):
        clock[0] += seconds
        if clock[0] == 112:
            words.aliases.move("late", version=1)

    monkeypatch.setattr(_history, "pause", pause)
    assert [event.details["alias"] for event in words.versions.watch(interval=5, timeout=12)] == ["late"]


def test_following_under_asyncio(running, words, monkeypatch):
    """The other face does the same."""
    key = words._send.__self__.keys.create("k", scopes=["models:read", "models:write", "predict"])

    async def follow():
        async with maas_client.AsyncClient(key.secret.get_secret_value(), running.url) as client:
            handle = client.model("words")

            async def pause(_):
                await handle.aliases.move("best", version=2)

            monkeypatch.setattr(_async_history, "pause", pause)
            async with aclosing(handle.versions.watch()) as events:
                event = await anext(events)
            found = await handle.versions.diff(1, 2, graph=False)
            await handle.aliases.move("default", version=2)
            with pytest.warns(maas_client.VersionWarning):
                await handle.pin(1).predict(text="good")
            return event, found

    event, found = asyncio.run(follow())
    assert (event.kind, event.version) == ("alias_moved", 2)
    assert not found.breaking


@pytest.mark.parametrize("options", [{"interval": 0}, {"timeout": -1}, {"after": -1}, {"interval": "5"}])
def test_following_refuses_what_cannot_be(words, options):
    """Where the mistake stands, not at the first step."""
    with pytest.raises(maas_client.ArgumentError):
        words.versions.watch(**options)


def test_a_comparison_tells_what_differs(words):
    """Manifest, signature, graph and predictions; the number that the reader asked for first comes first."""
    diff = words.versions.diff(1, 3)
    assert (diff.before, diff.after, diff.same_content, diff.breaking) == (1, 3, False, True)
    assert [each.field for each in diff.manifest] == ["example.text"]
    assert [each.kind for each in diff.signature] == ["labels_reordered"]
    assert diff.graph.operators == {}
    assert diff.graph.before.parameters == 21
    assert diff.graph.before.operators["com.microsoft::Tokenizer"] == 1
    assert diff.graph.before.opsets["ai.onnx"] == 17
    assert [each.example_of for each in diff.predictions] == [1, 3]
    assert diff.predictions[0].before["label"] == "positive"
    assert diff.predictions[0].after["label"] == "negative"
    assert not diff.predictions[0].same
    for said in ("labels reordered", "breaking", "example.text", "predictions"):
        assert said in diff._repr_html_()
    same = words.versions.diff("default", 1)
    assert (same.same_content, same.manifest, same.signature, same.breaking) == (True, [], [], False)


def test_a_comparison_says_what_it_could_not_compare(running, owner, words, monkeypatch):
    """Another account's packages cannot be downloaded; a retired version predicts nothing."""
    owner.models.update("words", visibility="public")
    words.versions.retire(2)
    with running.account("other") as client:
        name = f"{owner.account.get().name}~words"
        diff = client.model(name).versions.diff(1, 2)
    assert "its owner and its publishers can download" in diff.graph_missing
    assert diff.graph is None
    assert diff.predictions[0].before is not None
    assert "retired" in diff.predictions[0].after_error
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert "maas-client[diff]" in words.versions.diff(1, 3, predictions=False).graph_missing
    owner.models.update("words", visibility="private")


def test_the_command_does_it_too(running, owner, words):
    """History, states, differences and deletion at a prompt, each as JSON too."""
    key = owner.keys.create("k", scopes=["models:read", "models:write", "predict"])

    def maas(*arguments, code=0, text=None):
        done = running.run("maas", *arguments, text=text, MAAS_API_KEY=key.secret.get_secret_value())
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    first = maas("history", "words").splitlines()[1].split("\t")
    assert (first[0], first[3], first[4].split(",")[0]) == ("4", "published", "version 3: origin uploaded")
    assert len(json.loads(maas("history", "words", "--kind", "published", "--json"))) == 3
    told = maas("deprecate", "words", "2", "--replacement", "1", "--sunset", "2099-01-01", "--reason", "Old.")
    assert told == "words: version 2 is deprecated\n"
    assert "deprecated" in maas("versions", "words")
    assert json.loads(maas("retire", "words", "2", "--json"))["sunset"] == "2099-01-01T00:00:00Z"
    assert "is active" in maas("restore", "words", "2")
    shown = maas("diff", "words", "1", "3")
    assert "breaking: 1 difference that calls may notice" in shown
    assert "breaking\ttask\tlabels reordered\tlabels\tnegative, positive\tpositive, negative" in shown
    assert json.loads(maas("diff", "words", "1", "3", "--no-graph", "--json"))["breaking"] is True
    assert (
        "labels reordered"
        in running.run(
            "maas", "aliases", "move", "words", "default", "3", MAAS_API_KEY=key.secret.get_secret_value()
        ).stderr
    )
    maas("delete", "words:3", code=1, text="n\n")
    assert maas("delete", "words:3", text="y\n") == "Deleted version 3 of the model 'words'.\n"
    maas("delete", "words:latest", "--yes", code=2)
    maas("delete", "words:1", "--yes", code=1)
    assert maas("delete", "words", "--yes") == "Deleted the model 'words' with all its versions.\n"
    maas("history", "words", code=4)
