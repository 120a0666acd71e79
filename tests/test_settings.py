from pathlib import Path

import pytest
from pydantic import ValidationError

from reference_server import settings as settings_module
from reference_server.settings import Settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    monkeypatch.delenv("MAAS_SERVER_CONFIG", raising=False)


def test_flags_win_over_variables_and_those_over_the_file(monkeypatch, tmp_path):
    """The documented order holds, setting by setting."""
    config = tmp_path / "server.toml"
    config.write_text("port = 1111\nlanes = 3\nqueue_limit = 7\n")
    monkeypatch.setenv("MAAS_SERVER_CONFIG", str(config))
    monkeypatch.setenv("MAAS_SERVER_PORT", "2222")
    monkeypatch.setenv("MAAS_SERVER_LANES", "4")
    settings = Settings(port=3333)
    assert (settings.port, settings.lanes, settings.queue_limit) == (3333, 4, 7)


def test_an_unknown_setting_in_the_file_is_an_error(monkeypatch, tmp_path):
    """A misspelt line does not silently leave the default."""
    config = tmp_path / "server.toml"
    config.write_text("prot = 1111\n")
    monkeypatch.setenv("MAAS_SERVER_CONFIG", str(config))
    with pytest.raises(ValidationError, match="prot"):
        Settings()


def test_a_config_file_that_is_not_there_is_named(monkeypatch):
    """A wrong path is an error and not an empty configuration."""
    monkeypatch.setenv("MAAS_SERVER_CONFIG", "nowhere.toml")
    with pytest.raises(ValueError, match=r"nowhere\.toml"):
        Settings()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "models.example.com"])
def test_plain_http_is_refused_beyond_loopback(host):
    """Passwords never travel in clear over a network, unless a proxy in front ends TLS."""
    with pytest.raises(ValidationError, match="in clear"):
        Settings(host=host)
    assert Settings(host=host, insecure_behind_proxy=True).host == host
    assert Settings(host=host, tls_cert=Path("c.pem"), tls_key=Path("k.pem")).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_plain_http_is_allowed_on_loopback(host):
    """The own machine needs no TLS."""
    assert Settings(host=host).host == host


def test_half_of_a_certificate_is_refused():
    """A certificate without its key is a mistake."""
    with pytest.raises(ValidationError, match="go together"):
        Settings(tls_cert=Path("c.pem"))


def test_the_embedded_store_lies_in_the_data_directory(tmp_path):
    """Without URLs, database and artifacts are files below the data directory."""
    settings = Settings(data_dir=tmp_path)
    assert settings.database == f"sqlite:///{tmp_path / 'maas.db'}"
    assert settings.artifacts == str(tmp_path / "artifacts")


@pytest.mark.parametrize(
    ("cores", "given", "lanes", "threads"),
    [
        (1, {}, 1, 1),
        (2, {}, 2, 1),
        (8, {}, 8, 1),
        (32, {}, 8, 4),
        (32, {"workers": 4}, 8, 1),
        (2, {"workers": 8}, 1, 1),
        (8, {"lanes": 2}, 2, 4),
        (8, {"lanes": 16}, 16, 1),
        (8, {"lanes": 0, "intra_op_threads": "0"}, 8, 1),
        (8, {"lanes": 2, "intra_op_threads": 1}, 2, 1),
    ],
)
def test_lanes_and_threads_share_the_cores(monkeypatch, cores, given, lanes, threads):
    """A lane for each core of a worker, up to eight; what lanes leave idle goes into the single runs."""
    monkeypatch.setattr(settings_module, "usable_cores", lambda: cores)
    settings = Settings(**given)
    assert (settings.lanes, settings.intra_op_threads) == (lanes, threads)


def test_settings_that_are_wrong_are_named_alone():
    """What depends on a wrong setting adds no second complaint."""
    with pytest.raises(ValidationError) as caught:
        Settings(workers=0)
    assert [error["loc"] for error in caught.value.errors()] == [("workers",)]
