from __future__ import annotations

import asyncio
import threading

import pytest

import maas_client
from maas_client import AsyncClient, Client
from maas_client.testing import FakeMaas
from maas_client.types import Key

pytest_plugins = ["pytester"]


def mood(inputs):
    return "glad" if "!" in inputs["text"] else "sad"


@pytest.fixture
def fake():
    made = FakeMaas()
    made.add_model("mood", labels=["sad", "glad"], answer=mood, versions=2, description="Tells moods.")
    return made


@pytest.fixture
def make(fake, face):
    """Make a client of each face in turn."""
    return fake.client if face is Client else fake.async_client


def test_both_faces_predict(fake, make, ask):
    """The answer is typed as a server's is, and the call is recorded."""
    result = ask(make(), lambda client: client.predict("mood", text="Good morning!"))
    assert isinstance(result, maas_client.ClassificationPrediction)
    assert (result.label, result.scores) == ("glad", pytest.approx({"sad": 0.1, "glad": 0.9}))
    assert (result.model, result.version) == ("mood", 2)
    (call,) = fake.calls
    assert (call.route, call.json) == ("POST /v1/models/{model}/predict", {"text": "Good morning!"})
    assert call.parts == {"model": "mood"}


def test_a_batch_an_older_version_and_the_catalogue(fake):
    """Versions, aliases and listings know the models that were added."""
    client = fake.client()
    rows = client.predict_batch("mood", [{"text": "Oh."}, {"text": "Ah!"}], version=1)
    assert ([row.label for row in rows], rows.version) == (["sad", "glad"], 1)
    assert [model.description for model in client.models.list(task="text-classification")] == ["Tells moods."]
    assert list(client.models.list(task="embedding")) == []
    handle = client.model("mood")
    assert [version.version for version in handle.versions.list()] == [2, 1]
    handle.aliases.move("default", version=1, note="Back.")
    assert handle.predict(text="!").version == handle.aliases.get("default").version == 1
    assert handle.get().default_version == 1
    assert handle.versions.get("latest").version == 2


def test_what_a_server_refuses_is_refused(fake):
    """A misspelt input, an unknown model and an unknown version raise what they raise in earnest."""
    client = fake.client()
    with pytest.raises(maas_client.UnprocessableError, match="'text' is missing"):
        client.predict("mood", txt="x")
    with pytest.raises(maas_client.UnprocessableError) as caught:
        client.predict_batch("mood", [{"text": "x"}, {"tex": "x"}])
    assert {fault.param for fault in caught.value.errors} == {"instances[1].text", "instances[1].tex"}
    with pytest.raises(maas_client.NotFoundError, match="no model 'moods'"):
        client.predict("moods", text="x")
    with pytest.raises(maas_client.NotFoundError, match="no version '3'"):
        client.predict("mood", text="x", version=3)


def test_what_the_sdk_repeats_it_repeats(fake, make, ask):
    """Two failures that allow a repeat are followed by the answer; three attempts are recorded."""
    decisions = []
    fake.fail(maas_client.UnavailableError("full", retry_after=0), times=2)
    result = ask(make(on_retry=decisions.append), lambda client: client.predict("mood", text="!"))
    assert result.label == "glad"
    assert len(fake.calls) == 3
    assert [decision.wait for decision in decisions] == [0, 0]


def test_what_the_sdk_does_not_repeat_it_raises(fake):
    """A failure meant for one route leaves the others alone."""
    client = fake.client()
    fake.fail(maas_client.PermissionDeniedError("not yours"), route="GET /v1/models/{model}")
    assert client.predict("mood", text="!").label == "glad"
    with pytest.raises(maas_client.PermissionDeniedError, match="not yours"):
        client.models.get("mood")
    assert client.models.get("mood").name == "mood"


def test_any_route_can_be_scripted(fake):
    """With dicts, with objects of the contract, and with errors as they travel."""
    client = fake.client()
    key = Key(
        id="key_1", name="k", prefix="maas_key_", last4="abcd", scopes=[], created_at="2026-01-01T00:00:00Z"
    )
    fake.reply("GET /v1/keys", {"object": "list", "data": [key], "has_more": False, "next_cursor": None})
    assert [listed.id for listed in client.keys.list()] == ["key_1"]
    fake.reply("GET /v1/keys", {"error": {"type": "t", "code": "c", "message": "No."}}, status=403)
    with pytest.raises(maas_client.PermissionDeniedError, match=r"No\."):
        list(client.keys.list())


def test_what_was_not_scripted_fails_the_test(fake):
    """Not with an error of the SDK, which the code under test might swallow."""
    with pytest.raises(AssertionError, match="no answer to GET /v1/account; say one"):
        fake.client().account.get()


def test_a_wrong_label_in_a_test_is_told(fake):
    """A fake that contradicts itself is a mistake in the test."""
    fake.add_model("broken", labels=["a", "b"], answer="c")
    with pytest.raises(AssertionError, match="none of the model's labels"):
        fake.client().predict("broken", text="x")


def test_outputs_of_any_task(fake):
    """A model of another task says its outputs itself."""
    fake.add_model(
        "house", task="tabular-regression", inputs=["rooms"], answer=lambda row: {"value": row["rooms"] * 2.0}
    )
    assert fake.client().predict("house", rooms=3)["value"] == 6.0


def test_no_secret_is_recorded_in_clear(fake):
    """Recorded headers mask the key, as everything does."""
    fake.client(api_key="maas_key_of_somebody").predict("mood", text="x")
    assert "maas_key_of_somebody" not in repr(dict(fake.calls[0].headers))


def test_threads_share_it(fake):
    """Every call is recorded."""
    client = fake.client()
    threads = [
        threading.Thread(target=client.predict, args=("mood",), kwargs={"text": "x"}) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fake.calls) == 16


def test_the_fixture_serves_clients_that_the_code_makes(fake_maas, monkeypatch):
    """Code that calls `maas_client.Client()` by itself needs no change to be tested."""
    fake_maas.add_model("mood", labels=["sad", "glad"], answer="glad")
    assert Client().predict("mood", text="x").label == "glad"
    assert Client("a-key-of-its-own", "https://models.example.com").predict("mood", text="x").label == "glad"

    async def main():
        async with AsyncClient() as client:
            return await client.predict("mood", text="x")

    assert asyncio.run(main()).label == "glad"
    assert len(fake_maas.calls) == 3


def test_afterwards_clients_are_real_again(fake):
    """The fake ends with its block."""
    with fake.installed():
        pass
    client = Client("a-key-of-its-own", "http://127.0.0.1:9", proxies={}, max_retries=0)
    with pytest.raises(maas_client.NotSentError):
        client.predict("mood", text="x")


def test_pytest_finds_the_fixture(pytester):
    """In a project that only has maas-client installed."""
    pytester.makepyfile("def test_it(fake_maas):\n    assert fake_maas.calls == []\n")
    pytester.runpytest_inprocess().assert_outcomes(passed=1)


def test_a_pinned_handle_falls_behind(make, ask):
    """As at a server: the version stays, and a newer default makes one warning."""

    def act(client):
        return client.model("mood", pin=1).predict(text="!")

    with pytest.warns(maas_client.VersionWarning, match="version 2 is the default"):
        assert ask(make(), act).version == 1


def test_a_pinned_handle_evaluates_its_own_version(make, ask, fake):
    """As it predicts with it, whatever `default` is by now; a version that is named goes before."""
    measured = {
        "model": "mood",
        "version": 1,
        "digest": "sha256:" + "0" * 64,
        "device": "cpu",
        "task": "text-classification",
        "rows": 1,
        "metrics": [],
        "resamples": 1000,
        "seed": 0,
    }
    route = "POST /v1/models/{model}/versions/{version}/evaluate"
    fake.reply(route, measured, headers={"X-Maas-Default-Version": "2"})

    def pinned(client):
        return client.model("mood", pin=1).evaluate(["!"], ["glad"])

    with pytest.warns(maas_client.VersionWarning, match="version 2 is the default"):
        assert ask(make(), pinned).version == 1
    assert (fake.calls[-1].route, fake.calls[-1].parts["version"]) == (route, "1")

    def named(client):
        return client.model("mood", pin=1).evaluate([{"text": "!"}], ["glad"], version=2)

    with pytest.warns(maas_client.VersionWarning):
        ask(make(), named)
    assert fake.calls[-1].parts["version"] == "2"
