from __future__ import annotations

import copy
import logging
import pickle
import socket
import threading
import traceback

import pytest
import requests

from maas_client import Client, errors
from maas_client._masking import MASK, Masked, scrub

KEY = "maas_key_0123456789abcdefghijklmnopqrstuvwxyz"
PASSWORD = "correct horse battery staple"
URL = "https://models.test"


def everything(error):
    """Return what an error reporter would record: the traceback with the locals of every frame."""
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


def test_a_masked_text_shows_a_mask_everywhere():
    """Reprs, format strings and logs show the mask; only `reveal` and `encode` give the text."""
    secret = Masked(KEY)
    assert {str(secret), f"{secret}", f"{secret!s}", f"{secret:>4}", repr(secret).strip("'")} == {MASK}
    assert KEY not in repr({"headers": [secret]})
    assert Masked(secret).reveal() == pickle.loads(pickle.dumps(secret)).reveal() == KEY
    assert secret.encode() == KEY.encode()


def test_short_secrets_do_not_blank_out_a_text():
    """A password of one letter must not replace that letter everywhere."""
    assert scrub("abc", [Masked("a")]) == "abc"


def test_the_client_does_not_show_its_key():
    """Neither its repr nor the state it pickles holds the key."""
    client = Client(KEY, URL, proxies={})
    assert KEY not in repr(client) + repr(vars(client)) + repr(client._settings)
    assert KEY.encode() not in pickle.dumps(client)


def test_a_pickled_client_carries_its_key_only_when_asked(monkeypatch):
    """By default the copy takes the key of where it wakes up."""
    monkeypatch.setenv("MAAS_API_KEY", "key-of-the-worker")
    woken = pickle.loads(pickle.dumps(Client(KEY, URL, timeout=3, proxies={})))
    assert woken._acting.credential.reveal() == "key-of-the-worker"
    assert (woken.base_url, woken._timeout) == (URL, 3.0)
    asked = pickle.loads(pickle.dumps(Client(KEY, URL, pickle_api_key=True, proxies={})))
    assert asked._acting.credential.reveal() == KEY


def test_a_copied_client_keeps_its_key_and_pool():
    """A copy within the process is not a pickle."""
    client = Client(KEY, URL, proxies={})
    for other in (copy.copy(client), copy.deepcopy(client)):
        assert other._acting.credential.reveal() == KEY
        assert other._transport is client._transport


def test_a_broken_send_shows_no_secret_in_any_frame():
    """The HTTP libraries hold headers and body in their locals; their frames do not come through."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)

        def hang_up():
            for _ in range(2):
                sock, _ = listener.accept()
                # A reset before the first byte would count as never sent.
                sock.recv(100)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                sock.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with Client(
            KEY, f"http://127.0.0.1:{listener.getsockname()[1]}", max_retries=0, proxies={}
        ) as client:
            with pytest.raises(errors.DroppedError) as dropped:
                client.predict("m", text="x" * 5_000_000)
            with pytest.raises(errors.DroppedError) as login:
                client.login("a@b.test", PASSWORD)
        thread.join()
    # This frame's own locals are the test's; what matters is every frame below it.
    for caught in (dropped, login):
        caught.value.__traceback__ = caught.value.__traceback__.tb_next
        text = everything(caught.value)
        assert KEY not in text
        assert PASSWORD not in text


@pytest.mark.parametrize("failure", [KeyboardInterrupt, MemoryError, RuntimeError])
def test_foreign_failures_lose_their_frames_too(server, client, failure):
    """An interrupt in the middle of sending passes through, without the libraries' locals."""

    def fail(_):
        raise failure("stop")

    server.add_callback("GET", f"{URL}/v1/models/m", fail)
    with pytest.raises(failure) as caught:
        client.models.get("m")
    files = [frame.filename for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert not any("urllib3" in file or "responses" in file for file in files)
    caught.value.__traceback__ = caught.value.__traceback__.tb_next
    assert client._acting.credential.reveal() not in everything(caught.value)


@pytest.mark.parametrize("password", ["short", "\ud800" * 12])
def test_a_refused_password_is_not_shown(client, password):
    """Validation errors name the field, not its value."""
    with pytest.raises(errors.ArgumentError) as caught:
        client.register("a@b.test", password, accept_policy="1")
    caught.value.__traceback__ = caught.value.__traceback__.tb_next
    assert repr(password)[1:-1] not in everything(caught.value)


def test_a_refused_key_is_not_shown():
    """A key with a line break is refused without being repeated."""
    key = f"{KEY}\nmore"
    with pytest.raises(errors.ConfigurationError) as caught:
        Client(key, URL)
    caught.value.__traceback__ = caught.value.__traceback__.tb_next
    assert KEY not in everything(caught.value)


def test_logs_show_method_template_status_and_no_secret(server, client, caplog):
    """One line per attempt, from the one logger; the names in the path stay out of it."""
    caplog.set_level(logging.DEBUG)
    server.get(f"{URL}/v1/models/my-model", status=404, headers={"X-Request-Id": "req_7"})
    with pytest.raises(errors.NotFoundError):
        client.models.get("my-model")
    (line,) = [record.getMessage() for record in caplog.records if record.name == "maas_client"]
    assert line.startswith("GET /v1/models/{model}: 404, attempt 1, ")
    assert line.endswith(" ms, request req_7")
    assert KEY not in caplog.text


def test_an_echoed_password_does_not_come_back(server, client):
    """A server that repeats the request in its error does not make us show it."""
    server.post(f"{URL}/v1/sessions", status=400, body=f"cannot read: {PASSWORD} {KEY}")
    with pytest.raises(errors.BadRequestError) as caught:
        client.login("a@b.test", PASSWORD)
    assert PASSWORD not in f"{caught.value} {caught.value.body}"
    assert KEY not in f"{caught.value} {caught.value.body}"


def test_netrc_does_not_replace_the_key(monkeypatch, tmp_path, live_server):
    """A `.netrc` entry for the host, which plain requests would use, changes nothing."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert requests.utils.get_netrc_auth(live_server.url) == ("someone", "else")
    with Client(KEY, live_server.url, proxies={}) as client:
        client.predict("m", text="x")
    assert live_server.seen[0][1]["Authorization"] == f"Bearer {KEY}"


def test_the_key_stays_on_its_host(server, client):
    """A redirect to another host is an error, and nothing is sent there."""
    server.get(f"{URL}/v1/models/m", status=302, headers={"Location": "https://evil.test/v1/models/m"})
    with pytest.raises(errors.RedirectError, match=r"redirects .* to https://evil\.test") as caught:
        client.models.get("m")
    assert caught.value.status == 302
    assert [call.request.url for call in server.calls] == [f"{URL}/v1/models/m"]


@pytest.mark.parametrize("place", ["http://models.test/v1/models/m", "https://models.test:444/", "//x.test/"])
def test_another_scheme_or_port_is_another_host(server, client, place):
    """The key given for HTTPS does not follow to plain HTTP."""
    server.get(f"{URL}/v1/models/m", status=308, headers={"Location": place})
    with pytest.raises(errors.RedirectError):
        client.models.get("m")


def test_a_post_does_not_follow_a_redirect(server, client):
    """What is sent goes where it was meant to go, or nowhere."""
    server.post(f"{URL}/v1/models/m/predict", status=307, headers={"Location": "/v1/models/n/predict"})
    with pytest.raises(errors.RedirectError):
        client.predict("m", text="x")
