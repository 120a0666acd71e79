"""`maas-server accounts` and `maas`, as people type them."""

import json
import re

import pytest

PASSWORD = "correct horse battery"
MODEL = "text_classification_model"


@pytest.fixture
def person(demo, tmp_path):
    """Run `maas` in a profile of one's own, as a new account that is logged in."""
    email = f"{tmp_path.name.replace('_', '-')}@example.com"
    profile = str(tmp_path / "config.toml")

    def maas(*command, text=None, code=0):
        done = demo.run("maas", *command, text=text, MAAS_CONFIG_FILE=profile)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    maas("register", "--email", email, "--accept-policy", "--password-stdin", text=PASSWORD)
    maas("login", "--email", email, "--password-stdin", text=PASSWORD)
    return maas


def test_an_operator_is_made_on_the_servers_own_command_line(serve):
    """The password that is shown logs in; a reset ends it; a disabled account is shut out."""
    with serve() as running:

        def accounts(*command):
            done = running.run("maas-server", "accounts", *command, "--data-dir", running.folder / "data")
            assert done.returncode == 0, done.stderr
            return done.stdout + done.stderr

        made = accounts("create", "boss@example.com", "--name", "boss", "--operator")
        password = re.search(r"password[^:]*: (\S+)", made, re.IGNORECASE)[1]
        with running.client() as client:
            client.login(email="boss@example.com", password=password)
            assert client.account.get().role == "operator"
        assert "boss@example.com" in accounts("list")
        accounts("reset-password", "boss")
        accounts("disable", "boss")
        done = running.run("maas", "login", "--email", "boss@example.com", "--password-stdin", text=password)
        assert done.returncode == 3
        assert password not in done.stdout + done.stderr


def test_a_person_at_a_prompt_walks_the_four_steps(person):
    """models, model, predict, versions, keys; then log out, after which nothing works."""
    assert MODEL in person("models").stdout
    assert "labels" in person("model", MODEL).stdout
    assert person("predict", MODEL, "I love it").stdout.startswith("positive")
    answer = json.loads(person("predict", MODEL, "-", "--json", text="I hate it").stdout)
    assert answer["label"] == "negative"
    assert person("versions", MODEL).stdout.splitlines()[1].startswith("2\t")
    assert "models:read" in person("keys", "list").stdout
    person("logout")
    assert "maas login" in person("models", code=2).stderr


def test_a_person_publishes_and_moves_default(person, text_package, tmp_path):
    """Publish, publish again, move the alias, move it back."""
    made = person("publish", text_package, "--name", "mood", "--lineage", '{"data": "sha256:ab"}', "--json")
    assert (json.loads(made.stdout)["version"], json.loads(made.stdout)["lineage"]) == (
        1,
        {"data": "sha256:ab"},
    )
    assert person("predict", "mood", "a good day").stdout.startswith("positive")
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "good"}\n{"text": "bad"}\n')
    lines = person("predict", "mood", "--file", rows).stdout.splitlines()
    assert [line.split("\t")[0] for line in lines][-2:] == ["positive", "negative"]
    assert "default" in person("aliases", "list", "mood").stdout
    person("aliases", "move", "mood", "stable", "1", "--note", "tried for a week")
    assert "nothing to go back to" in person("aliases", "rollback", "mood", "stable", code=1).stderr


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        (("predict", "nothing_here", "text"), 4, "nothing_here"),
        (("predict", MODEL, "--version", "99", "text"), 4, "99"),
        (("publish", "no/such/folder", "--name", "x"), 2, "no/such/folder"),
        (("publish", ".", "--name", "x", "--lineage", "{data"), 2, "this is no JSON"),
        (("publish", ".", "--name", "x", "--lineage", "[1]"), 2, "a JSON object"),
        (("frobnicate",), 2, "frobnicate"),
    ],
)
def test_what_goes_wrong_is_said_and_coded(person, command, code, says):
    """The exit code tells the kind, standard error the reason, and there is no traceback."""
    done = person(*command, code=code)
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_input_that_is_no_text_is_named(demo):
    """Bytes outside UTF-8 are told with their place, and nothing is sent."""
    command = "printf 'caf\\351' | maas predict text_classification_model -"
    done = demo.run("sh", "-c", command, MAAS_API_KEY=demo.ready["api_key"])
    assert done.returncode == 2
    assert "standard input is not UTF-8 at byte 3" in done.stderr


def test_no_server_is_exit_code_five(demo):
    """Nobody listens there."""
    done = demo.run("maas", "models", MAAS_BASE_URL="http://127.0.0.1:9", MAAS_API_KEY=demo.ready["api_key"])
    assert done.returncode == 5
