"""Servers that may not do everything: write their data, open files."""

import ctypes
import os
import resource
import sys
from contextlib import ExitStack

import pytest
import requests

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")

# prctl(2) and capabilities(7): root without these is refused like everybody else.
_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 24, 1, 2
FILES = 200


def obey_rights():
    """Take from root, in a process that is about to become another program, what lets it write everywhere."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
            if libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
                os._exit(77)


def few_files():
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))


def test_a_data_directory_that_cannot_be_written_is_told(
    serve_anew, launch, text_package, token_package, tmp_path
):
    """While it serves, publishing is 503 and predictions go on; a start on it ends with what to do."""
    with serve_anew(before=obey_rights) as running, running.account("ada") as client:
        client.models.publish(text_package, name="words")
        artifacts = running.folder / "data" / "artifacts"
        artifacts.chmod(0o500)
        try:
            with running.client(api_key=key_of(client), max_retries=0) as once:
                with pytest.raises(Exception, match="cannot write to its store") as refused:
                    once.models.publish(token_package, name="words")
                assert refused.value.status == 503
                assert refused.value.code == "store_read_only"
                assert once.predict("words", text="good").label == "positive"
        finally:
            artifacts.chmod(0o700)
        assert "let this user write to the data directory" in running.output()
        assert client.models.publish(token_package, name="words").version == 2
    (tmp_path / "server" / "data").chmod(0o500)
    (tmp_path / "server" / "data" / "maas.db").chmod(0o400)
    try:
        process = launch(before=obey_rights)
        assert process.wait(60) not in (0, None)
    finally:
        (tmp_path / "server" / "data").chmod(0o700)
    output = (tmp_path / "server" / "out.txt").read_text()
    assert "the store cannot be opened" in output
    assert "data directory" in output
    assert "Traceback" not in output


def key_of(client):
    made = client.keys.create("k", scopes=["predict", "models:read", "models:write"])
    return made.secret.get_secret_value()


@pytest.mark.long
def test_a_low_limit_of_open_files_is_told_and_survived(serve_anew, text_package):
    """The start says what to raise; beyond it clients are told to come again, and who is there goes on."""
    with serve_anew(before=few_files) as running, running.account("ada") as client, ExitStack() as stack:
        client.models.publish(text_package, name="words")
        assert "LimitNOFILE" in running.output()
        crowd, refused = [], 0
        for _ in range(FILES):
            session = stack.enter_context(requests.Session())
            session.trust_env = False
            try:
                reply = session.get(running.url + "/healthz", timeout=20)
                refused += reply.status_code == 503
            except requests.ConnectionError:
                refused += 1
            crowd.append(session)
        assert 0 < refused < FILES
        assert crowd[0].get(running.url + "/healthz", timeout=20).status_code == 200
        # On the connection that it has had since before the crowd came.
        assert client.predict("words", text="good").label == "positive"
        for session in crowd:
            session.close()
        assert client.service.health().status == "ok"
        assert "Too many open files" not in running.output()
