"""`maas doctor` and completion: every failing layer is made for real, on loopback."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading

import pytest
import responses
import trustme
from click.testing import CliRunner

from maas_client._doctor import REFUSED, UNREACHABLE, WRONG, examine
from maas_client.cli import main
from maas_client.testing import FakeMaas

KEY = "maas_key_0123456789abcdefghijklmnopqrstuvwxyz"
INFO = {"name": "n", "version": "1", "usage_policy": {"version": "1", "text": "t"}}
EMPTY = {"object": "list", "data": [], "has_more": False}


@pytest.fixture(autouse=True)
def _no_authorities_of_the_machine(monkeypatch):
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def listening():
    """Accept connections and say nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def found(base_url, key=KEY, **options):
    os.environ.pop("MAAS_API_KEY", None)
    if key:
        os.environ["MAAS_API_KEY"] = key
    try:
        return {each.check: each for each in examine(base_url=base_url, profile=None, **options)}
    finally:
        os.environ.pop("MAAS_API_KEY", None)


@pytest.fixture
def ours(listening):
    """Answer as a server of ours, behind a real listening socket."""
    url = f"http://{listening}"
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.get(f"{url}/", json=INFO)
        mock.get(f"{url}/healthz", json={"status": "ok", "instance": "i"})
        mock.get(f"{url}/v1/models", json=EMPTY)
        mock.url = url
        yield mock


def test_a_good_set_up_is_good(ours):
    """Every layer says ok, and no key is shown whole."""
    checks = found(ours.url)
    assert {each.state for each in checks.values()} == {"ok"}
    assert list(checks)[-1] == "credential"
    assert checks["key"].told.startswith("maas_key_0123…wxyz")
    assert KEY not in repr(checks)


def test_no_host_is_a_setting():
    """The first thing that is missing is named with what to do."""
    checks = found(None)
    assert checks["settings"].code == WRONG
    assert "MAAS_BASE_URL" in checks["settings"].told


@pytest.mark.parametrize("end", ["v1", "v2"])
def test_a_version_in_the_host_is_told(listening, end):
    """The client adds it by itself; nothing further is tried."""
    checks = found(f"http://{listening}/{end}")
    assert checks["host"].code == WRONG
    assert "leave that out" in checks["host"].told
    assert list(checks)[-1] == "host"


def test_a_name_without_an_address():
    """The name layer, not the connection."""
    checks = found("http://nowhere.invalid")
    assert list(checks)[-1] == "name"
    assert checks["name"].code == UNREACHABLE


def test_a_port_where_nobody_listens(listening):
    """The connection layer."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    checks = found(f"http://127.0.0.1:{port}")
    assert list(checks)[-1] == "connection"
    assert "takes none" in checks["connection"].told


def test_no_tls_where_it_is_expected():
    """A plain HTTP server behind https:// is the TLS layer's to tell."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        checks = found(f"https://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()
    assert "no TLS is spoken there" in checks["TLS"].told
    assert checks["TLS"].code == UNREACHABLE


@pytest.fixture
def secure(tmp_path):
    """Speak TLS with a certificate of an authority of its own; give the address and that authority's file."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            connection, _ = listener.accept()
            listener.close()  # who calls again is refused at once
            with connection:
                try:
                    context.wrap_socket(connection, server_side=True).close()
                except (ssl.SSLError, OSError):
                    return

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}", tmp_path / "ca.pem"
        thread.join()


def test_an_authority_that_nobody_trusts(secure):
    """With the reason in OpenSSL's words, and where to name the authority."""
    checks = found(secure[0])
    assert "the certificate is refused" in checks["TLS"].told
    assert "REQUESTS_CA_BUNDLE" in checks["TLS"].told


def test_a_certificate_that_holds(secure, monkeypatch):
    """And for how long."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(secure[1]))
    checks = found(secure[0])
    assert checks["TLS"].state == "ok"
    assert "more days" in checks["TLS"].told


def test_another_server_is_named(ours):
    """One that speaks the Open Inference Protocol is told how to be called."""
    ours.replace(responses.GET, f"{ours.url}/", json={"status": "alive"})
    ours.get(f"{ours.url}/v2", json={"name": "kserve"})
    checks = found(ours.url)
    assert "kserve" in checks["server"].told
    assert "protocol='open-inference'" in checks["server"].told


def test_a_page_that_is_no_server_of_ours(ours):
    """HTML from a proxy, for example."""
    ours.replace(responses.GET, f"{ours.url}/", body="<html>", status=200)
    assert "no server of ours" in found(ours.url)["server"].told


def test_a_clock_that_is_off(ours):
    """Seen by the server's own Date."""
    ours.replace(responses.GET, f"{ours.url}/", json=INFO, headers={"Date": "Tue, 01 Jan 2019 00:00:00 GMT"})
    checks = found(ours.url)
    assert checks["clock"].state == "warn"
    assert "ahead of the server's" in checks["clock"].told


def test_a_server_that_drains(ours):
    """It answers, but takes no work."""
    ours.replace(responses.GET, f"{ours.url}/healthz", json={"status": "draining"}, status=503)
    assert found(ours.url)["health"].code == UNREACHABLE


def test_a_key_that_does_not_hold(ours):
    """The last layer."""
    error = {"error": {"type": "authentication_error", "code": "invalid_key", "message": "unknown key"}}
    ours.replace(responses.GET, f"{ours.url}/v1/models", json=error, status=401)
    checks = found(ours.url)
    assert checks["credential"].code == REFUSED
    assert "unknown key" in checks["credential"].told


def test_no_key_at_all(ours):
    """The host works; what is missing is the key."""
    assert found(ours.url, key=None)["credential"].code == REFUSED


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_profile_file_that_others_can_read(ours, tmp_path, monkeypatch):
    """A warning with the command that mends it."""
    path = tmp_path / "config.toml"
    path.write_text("")
    path.chmod(0o644)
    monkeypatch.setenv("MAAS_CONFIG_FILE", str(path))
    with pytest.warns(UserWarning, match="chmod 600"):
        checks = found(ours.url)
    assert checks["profile file"].state == "warn"
    assert "chmod 600" in checks["profile file"].told


def test_the_command_prints_each_check_and_exits_with_the_code(ours, monkeypatch):
    """For people in lines, for scripts as JSON."""
    monkeypatch.setenv("MAAS_BASE_URL", ours.url)
    done = CliRunner().invoke(main, ["doctor"])
    assert done.exit_code == REFUSED
    assert "fail credential" in done.output
    as_json = CliRunner().invoke(main, ["doctor", "--json"])
    assert json.loads(as_json.output)[-1]["check"] == "credential"
    monkeypatch.setenv("MAAS_API_KEY", KEY)
    assert CliRunner().invoke(main, ["doctor"]).exit_code == 0


# --- completion -----------------------------------------------------------------------------------------


def completed(words, incomplete):
    """Return what the shell would be offered, by click's own protocol for bash."""
    environment = {
        "_MAAS_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["maas", *words, incomplete]),
        "COMP_CWORD": str(len(words) + 1),
    }
    done = CliRunner().invoke(main, [], prog_name="maas", env=environment)
    return [line.partition(",")[2] for line in done.output.splitlines() if line]


@pytest.fixture
def fake():
    made = FakeMaas()
    made.add_model("mood", labels=["a", "b"], answer="a", versions=2)
    made.add_model("monkeys", labels=["a", "b"], answer="a")
    made.add_model("tax", labels=["a", "b"], answer="a")
    with made.installed():
        yield made


def test_names_of_models_are_completed(fake):
    """From the server, those that begin so, in the catalogue's order."""
    assert completed(["predict"], "mo") == ["monkeys", "mood"]
    assert completed(["versions"], "t") == ["tax"]


def test_versions_are_completed(fake):
    """Of the model that stands before."""
    assert completed(["predict", "mood", "--version"], "") == ["2", "1"]


def test_completion_without_a_server_offers_nothing(monkeypatch):
    """And no traceback into the prompt."""
    monkeypatch.setenv("MAAS_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("MAAS_API_KEY", KEY)
    assert completed(["predict"], "mo") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_its_script(shell):
    """With the variable that the command looks for."""
    done = CliRunner().invoke(main, ["completion", shell])
    assert done.exit_code == 0
    assert "_MAAS_COMPLETE" in done.output


# --- predictions and explanations at the prompt ---------------------------------------------------------


def test_every_line_of_a_file_has_its_answer(fake, tmp_path):
    """In order; a bad one says so in its place, and the exit code tells that there was one."""
    rows = tmp_path / "rows.jsonl"
    rows.write_bytes(b'{"text": "x"}\nno json\n{"txt": "x"}\n{"text": "\xff"}\n{"text": "y"}\n')
    done = CliRunner().invoke(main, ["predict", "mood", "--file", str(rows)])
    lines = done.output.splitlines()
    assert done.exit_code == 1
    assert [line.partition("\t")[0] for line in lines[:5]] == ["a", "error", "error", "error", "a"]
    assert "'no json'" in lines[1]
    assert "3 of the lines could not be predicted" in lines[5]


def test_a_file_at_standard_input_and_a_checkpoint(fake, tmp_path):
    """The second run asks for nothing."""
    arguments = ["predict", "mood", "-f", "-", "--checkpoint", str(tmp_path / "done.jsonl"), "--json"]
    first = CliRunner().invoke(main, arguments, input='{"text": "x"}\n{"text": "y"}\n')
    calls = len(fake.calls)
    again = CliRunner().invoke(main, arguments, input='{"text": "x"}\n{"text": "y"}\n')
    assert first.exit_code == again.exit_code == 0
    assert [json.loads(line)["label"] for line in first.output.splitlines()] == ["a", "a"]
    assert (again.output, len(fake.calls)) == (first.output, calls)
