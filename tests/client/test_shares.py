"""Sharing from the client's side: what is sent, what is read, what the command prints."""

import asyncio
import json

import pytest
from click.testing import CliRunner

from maas_client import errors
from maas_client.cli import main
from maas_client.testing import FakeMaas

SHARES, SHARE = "/v1/models/{model}/shares", "/v1/models/{model}/shares/{account}"
BOB = {"account": "bob", "role": "reader", "shared_at": "2026-11-27T09:30:00Z"}


@pytest.fixture
def fake():
    made = FakeMaas()
    made.add_model("mood", role="publisher", visibility="shared")
    made.reply(f"GET {SHARES}", {"data": [BOB]})
    made.reply(f"PUT {SHARE}", BOB)
    made.reply(f"DELETE {SHARE}", None, status=204)
    return made


def test_shares_are_sent_as_the_contract_has_them(fake):
    """By the account's name and the role; the reply is typed."""
    with fake.client() as client:
        shares = client.model("ada~mood").shares
        assert shares.put("bob", "reader").role == "reader"
        assert (fake.calls[-1].route, fake.calls[-1].json) == (f"PUT {SHARE}", {"role": "reader"})
        assert fake.calls[-1].parts == {"model": "ada~mood", "account": "bob"}
        assert [each.account for each in shares.list(page_size=5)] == ["bob"]
        assert fake.calls[-1].query == {"limit": "5"}
        assert shares.remove("bob") is None
        assert fake.calls[-1].route == f"DELETE {SHARE}"


def test_the_asynchronous_face_shares_too(fake):
    """The same calls, awaited."""

    async def use():
        async with fake.async_client() as client:
            shares = client.model("mood").shares
            await shares.put("bob", "reader")
            listed = [each async for each in shares.list()]
            await shares.remove("bob")
            return listed

    assert [each.role for each in asyncio.run(use())] == ["reader"]
    assert [call.method for call in fake.calls] == ["PUT", "GET", "DELETE"]


@pytest.mark.parametrize("account", ["", "Bob", "a/b", "../x", "-a", "a" * 40, None])
def test_what_cannot_be_an_account_is_never_sent(fake, account):
    """A name becomes part of a path, and is checked before that is built."""
    with fake.client() as client:
        for call in (lambda: client.model("mood").shares.put(account, "reader"),
                     lambda: client.model("mood").shares.remove(account)):  # fmt: skip
            with pytest.raises(errors.ArgumentError, match="account's name"):
                call()
    assert fake.calls == []


def test_a_role_that_is_none_is_never_sent(fake):
    """The roles are three."""
    with fake.client() as client, pytest.raises(errors.ArgumentError, match="role"):
        client.model("mood").shares.put("bob", "king")
    assert fake.calls == []


def test_the_catalogue_is_asked_for_what_is_shared(fake):
    """A filter like any other, and left out when it is not asked for."""
    with fake.client() as client:
        list(client.models.list(shared=True))
        assert fake.calls[-1].query["shared"] == "true"
        list(client.models.list())
        assert "shared" not in fake.calls[-1].query
        assert client.models.get("mood").role == "publisher"


def test_the_shares_commands(fake):
    """List, put, remove, for people and for scripts."""

    def maas(*command, code=0):
        with fake.installed():
            done = CliRunner().invoke(main, command)
        assert done.exit_code == code, done.output
        return done.output

    assert "bob\treader\t2026-11-27 09:30" in maas("shares", "list", "mood")
    assert json.loads(maas("shares", "list", "mood", "--json")) == [BOB]
    assert maas("shares", "put", "mood", "bob", "reader") == "mood is shared with bob as reader\n"
    assert json.loads(maas("shares", "put", "mood", "bob", "reader", "--json")) == BOB
    maas("shares", "put", "mood", "bob", "king", code=2)
    assert maas("shares", "remove", "mood", "bob") == "mood is not shared with bob any more\n"
    assert json.loads(maas("shares", "remove", "mood", "bob", "--json")) == {
        "model": "mood",
        "account": "bob",
    }
    maas("models", "--shared")
    assert fake.calls[-1].query["shared"] == "true"
    assert "publisher" in maas("model", "mood")
