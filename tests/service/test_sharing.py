"""Sharing on a real server with two workers: by the SDK and by the command."""

import json
import time

import pytest

import maas_client


@pytest.fixture(scope="module")
def office(serving, tmp_path_factory, text_package):
    """A server with two workers, and clients of ada, who owns `words`, and of bob."""
    with (
        serving(tmp_path_factory.mktemp("sharing"), "--workers", "2") as running,
        running.account("ada") as ada,
        running.account("bob") as bob,
    ):
        ada.models.publish(text_package, name="words")
        running.ada, running.bob = ada, bob
        running.names = {client: client.account.get().name for client in (ada, bob)}
        yield running


def test_a_share_is_made_used_and_withdrawn(office, text_package, tmp_path):
    """From a reader to a publisher to nobody, as each of them sees it."""
    ada, bob = office.ada, office.bob
    exact, name = f"{office.names[ada]}~words", office.names[bob]
    with pytest.raises(maas_client.NotFoundError):
        bob.predict(exact, text="good")
    shares = ada.model("words").shares
    shares.put(name, "reader")
    assert bob.predict("words", text="good").label == "positive"
    found = bob.models.get("words")
    assert (found.id, found.visibility, found.role) == ("words", "shared", "reader")
    assert [model.id for model in bob.models.list(shared=True)] == ["words"]
    with pytest.raises(maas_client.PermissionDeniedError, match="not downloaded"):
        bob.model(exact).versions.download(1, tmp_path)
    with pytest.raises(maas_client.PermissionDeniedError, match="'publisher'"):
        bob.model(exact).versions.publish(text_package)
    shares.put(name, "publisher")
    bob.model(exact).versions.download(1, tmp_path)
    assert bob.model(exact).versions.publish(text_package, again=True).author == name
    with pytest.raises(maas_client.PermissionDeniedError):
        list(bob.model(exact).shares.list())
    assert [(each.account, each.role) for each in shares.list()] == [(name, "publisher")]
    shares.remove(name)
    gone = time.monotonic() + 1
    # Connections of a client go to either worker.
    while time.monotonic() < gone + 0.2:
        try:
            bob.predict("words", text="good")
        except maas_client.NotFoundError:
            continue
        assert time.monotonic() < gone, "a worker still serves what was withdrawn a second ago"
    kinds = [event.kind for event in ada.model("words").history()]
    assert kinds[:1] == ["share_withdrawn"]
    assert {"shared", "share_changed"} <= set(kinds)


def test_the_command_shares(office):
    """`maas shares` puts, lists and removes."""
    key = office.ada.keys.create("shell", scopes=["models:read", "models:write"])
    name, variables = office.names[office.bob], {"MAAS_API_KEY": key.secret.get_secret_value()}
    made = office.run("maas", "shares", "put", "words", name, "reader", "--json", **variables)
    assert made.returncode == 0, made.stderr
    listed = office.run("maas", "shares", "list", "words", "--json", **variables)
    assert json.loads(listed.stdout) == [json.loads(made.stdout)]
    office.run("maas", "shares", "remove", "words", name, **variables)
    again = office.run("maas", "shares", "remove", "words", name, **variables)
    assert (again.returncode, "not shared with" in again.stderr) == (4, True)
