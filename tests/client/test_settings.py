from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas_client import Client, _config, errors
from maas_client._config import Profile, load_profile, parse, render, resolve, save_profile
from maas_client._masking import Masked

URL = "https://models.test"
SAVED = Profile(URL, Masked("maas_key_saved"), "key_1")


def revealed(settings):
    return settings.api_key.reveal() if settings.api_key is not None else None


def test_arguments_go_first(monkeypatch):
    """An argument is believed before the environment and the profile."""
    save_profile("default", SAVED)
    monkeypatch.setenv("MAAS_API_KEY", "from-environment")
    monkeypatch.setenv("MAAS_BASE_URL", "https://other.test")
    settings = resolve(api_key=Masked("given"), base_url="https://given.test/", proxies={})
    assert (settings.base_url, revealed(settings)) == ("https://given.test", "given")


def test_the_environment_goes_before_the_profile(monkeypatch):
    """A container's environment needs no file, and is not overruled by one."""
    save_profile("default", SAVED)
    monkeypatch.setenv("MAAS_API_KEY", " from-environment\n")
    settings = resolve(proxies={})
    assert (settings.base_url, revealed(settings)) == (URL, "from-environment")


def test_the_profile_is_used_when_nothing_else_is_said():
    """After `maas login`, `Client()` is enough."""
    save_profile("default", SAVED)
    settings = resolve(proxies={})
    assert (settings.base_url, revealed(settings)) == (URL, "maas_key_saved")


def test_a_profile_by_argument_goes_before_the_environment(monkeypatch):
    """Whoever names a profile means that one, not a key that happens to be set."""
    save_profile("work", SAVED)
    monkeypatch.setenv("MAAS_API_KEY", "from-environment")
    monkeypatch.setenv("MAAS_BASE_URL", "https://other.test")
    settings = resolve(profile="work", proxies={})
    assert (settings.base_url, revealed(settings)) == (URL, "maas_key_saved")


def test_a_saved_key_never_goes_to_another_host():
    """A changed base URL leaves the saved key at home."""
    save_profile("default", SAVED)
    assert revealed(resolve(base_url="https://elsewhere.test", proxies={})) is None
    assert revealed(resolve(base_url=f"{URL}:444", proxies={})) is None


def test_a_named_profile_must_exist(monkeypatch):
    """A misspelt MAAS_PROFILE is an error, not a silent default."""
    monkeypatch.setenv("MAAS_PROFILE", "wrok")
    with pytest.raises(errors.ConfigurationError, match=r"no profile 'wrok'.*maas login --profile wrok"):
        resolve(base_url=URL)


def test_a_missing_host_says_how_to_set_it():
    """The first error that most people see names every way out."""
    with pytest.raises(errors.ConfigurationError, match=r"MAAS_BASE_URL.*base_url=.*maas login"):
        Client("key")


def test_a_missing_key_says_how_to_set_it():
    """Without a key there is a client, for registering; a call that needs one says so before it is sent."""
    client = Client(base_url=URL, proxies={})
    with pytest.raises(errors.ConfigurationError, match=r"MAAS_API_KEY.*api_key=.*log in"):
        client.models.get("m")


@pytest.mark.parametrize(
    "url",
    [
        "models.test",
        "ftp://models.test",
        "https://",
        "https://user:secret@models.test",
        "https://models.test/?q=1",
        "https://models.test/#x",
        "https://models.test:0",
        "https://models.test:99999",
        "https://mod els.test",
        "https://[::1",
    ],
)
def test_what_cannot_be_a_base_url(url):
    """A mistaken address is told at once, and without what may be a password in it."""
    with pytest.raises(errors.ConfigurationError) as caught:
        Client("key", url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        (" https://models.test/ ", URL),
        ("http://[::1]:8000", "http://[::1]:8000"),
        (f"{URL}/api/", f"{URL}/api"),
    ],
)
def test_what_can_be_a_base_url(url, kept):
    """Slashes and spaces around it do not matter; a path is kept."""
    assert Client("key", url, proxies={}).base_url == kept


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "k\u00e9y", "\x00"])
def test_what_cannot_be_a_key(key):
    """A key that no header can carry is refused, and not shown."""
    with pytest.raises(errors.ConfigurationError) as caught:
        Client(key, URL)
    assert key not in str(caught.value)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), True, "5"])
def test_what_cannot_be_a_timeout(timeout):
    """A timeout is a number of seconds above zero, or None."""
    with pytest.raises(errors.ArgumentError, match="timeout is"):
        Client("key", URL, timeout=timeout)


@pytest.mark.parametrize("retries", [-1, 1.5, True, None])
def test_what_cannot_be_a_number_of_retries(retries):
    """A number of retries is a whole number from zero up."""
    with pytest.raises(errors.ArgumentError, match="max_retries is"):
        Client("key", URL, max_retries=retries)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(st.dictionaries(texts, st.dictionaries(texts, texts, max_size=3), max_size=3))
def test_profiles_survive_the_file_format(profiles):
    """Whatever texts they hold, profiles read back as they were written, also by the standard TOML reader."""
    assert parse(render(profiles)) == profiles
    assert tomllib.loads(render(profiles)).get("profiles", {}) == profiles


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such modes; its user folder is private")
def test_the_profile_file_is_private():
    """The file is 0600 and its folder 0700, and no other file is left beside it."""
    path = save_profile("default", SAVED)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such modes")
def test_a_profile_file_that_others_can_read_is_told():
    """A warning says how to close the file."""
    path = save_profile("default", SAVED)
    path.chmod(0o644)
    with pytest.warns(UserWarning, match=f"chmod 600 {path}"):
        load_profile("default")


def test_saving_and_deleting_leave_other_profiles_alone():
    """One profile changes, the others stay."""
    save_profile("a", SAVED)
    save_profile("b", Profile("https://b.test"))
    _config.delete_profile("a")
    assert load_profile("a") == Profile()
    assert load_profile("b") == Profile("https://b.test")


def test_a_failed_write_leaves_the_old_file(monkeypatch):
    """The file is replaced in one step or not at all."""
    path = save_profile("default", SAVED)
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(_config.os, "fsync", fail)
    with pytest.raises(errors.ConfigurationError, match="disk full"):
        save_profile("default", Profile(URL))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("text", [b"not toml", b"profiles = 3", b"[profiles.default]\napi_key = 5", b"\xff"])
def test_a_damaged_profile_file_is_told(text):
    """The message names the file and does not show what is in it."""
    path = save_profile("default", SAVED)
    path.write_bytes(text)
    with pytest.raises(errors.ConfigurationError, match=r"config\.toml cannot be read"):
        load_profile("default")


@pytest.mark.parametrize(
    ("platform", "environ", "folder"),
    [
        ("linux", {}, Path.home() / ".config"),
        ("linux", {"XDG_CONFIG_HOME": "/etc/me"}, Path("/etc/me")),
        ("linux", {"XDG_CONFIG_HOME": "relative"}, Path.home() / ".config"),
        ("darwin", {}, Path.home() / "Library" / "Application Support"),
        ("win32", {"APPDATA": "/roaming"}, Path("/roaming")),
        ("win32", {}, Path.home() / "AppData" / "Roaming"),
    ],
)
def test_where_each_platform_keeps_settings(platform, environ, folder):
    """The XDG rules, Apple's and Windows' folders."""
    assert _config._settings_folder(platform, environ) == folder


def test_proxies_and_authorities_come_from_the_environment_once(monkeypatch):
    """They are looked up when the client is made, not at each call."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv("NO_PROXY", "inside.test")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/ca.pem")
    settings = resolve(base_url=URL)
    assert settings.proxies["https"] == "http://proxy.test:3128"
    assert settings.verify == "/ca.pem"
    assert resolve(base_url="https://inside.test").proxies == {}
