"""Where the client's settings come from: arguments, then the environment, then the profile file.

Read when a client is made, never at import. This is the only module that reads the environment or that file.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import tomllib
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from maas_client._masking import Masked
from maas_client.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_PROFILE = "default"
_PROFILE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ESCAPED = re.compile(r'["\\\x00-\x1f\x7f]')
# What an HTTP header can carry as one word.
_CREDENTIAL = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Profile:
    """One saved log-in."""

    base_url: str | None = None
    api_key: Masked | None = None
    key_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a client needs to know about where it calls and as whom."""

    base_url: str
    api_key: Masked | None
    profile: str
    verify: bool | str
    proxies: Mapping[str, str] = field(repr=False)


def resolve(
    *,
    api_key: Masked | None = None,
    base_url: str | None = None,
    profile: str | None = None,
    verify: bool | str | None = None,
    proxies: Mapping[str, str] | None = None,
    is_foreign: bool = False,
) -> Settings:
    """Return the settings for a client.

    An argument goes before the environment, and that before the profile file; a profile named by argument
    goes before the environment too. A saved key is only used with the host that it was saved for, and with
    `is_foreign`, for a server that is not ours, the environment's key only with the environment's host.

    Raises:
        ConfigurationError: There is no host, a value is malformed, or the profile file cannot be read.
    """
    name = profile or os.environ.get("MAAS_PROFILE") or DEFAULT_PROFILE
    saved = load_profile(name, required=bool(profile or os.environ.get("MAAS_PROFILE")))
    base_url = base_url or _first(
        saved.base_url, os.environ.get("MAAS_BASE_URL"), saved_goes_first=bool(profile)
    )
    if not base_url:
        raise ConfigurationError(
            "there is no host to call: set MAAS_BASE_URL, such as https://models.example.com, "
            "pass base_url=, or log in with `maas login`"
        )
    base_url = check_base_url(base_url)
    own = saved.api_key if saved.base_url and check_base_url(saved.base_url) == base_url else None
    from_environment = "" if is_foreign and not _is_environments(base_url) else _environments_key()
    key = api_key or _first(own, Masked(from_environment), saved_goes_first=bool(profile))
    return Settings(
        base_url=base_url,
        api_key=check_credential(Masked(key)) if key else None,
        profile=name,
        verify=_authorities() if verify is None else verify,
        proxies=_proxies(base_url) if proxies is None else dict(proxies),
    )


def _environments_key() -> str:
    return os.environ.get("MAAS_API_KEY", "").strip()


def _is_environments(base_url: str) -> bool:
    return base_url == os.environ.get("MAAS_BASE_URL", "").strip().rstrip("/")


def check_base_url(text: str) -> str:
    """Return a base URL without a slash at the end, when it can be one."""
    text = text.strip().rstrip("/")
    try:
        parts = urlsplit(text)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or not _CREDENTIAL.fullmatch(text):
        raise ConfigurationError(
            f"base_url is {text!r:.200}, expected a scheme and a host, such as https://models.example.com"
        )
    if parts.username is not None or parts.query or parts.fragment:
        raise ConfigurationError("base_url holds a user, a query or a fragment; pass the key as api_key=")
    return text


def check_credential(secret: Masked) -> Masked:
    """Return a key or a token when a header can carry it; the message does not show it."""
    if not _CREDENTIAL.fullmatch(secret.reveal()):
        raise ConfigurationError(
            "the API key holds spaces, line breaks or letters outside ASCII; copy it again, without quotes"
        )
    return secret


def config_file() -> Path:
    """Return where the profile file is: `MAAS_CONFIG_FILE`, else the platform's folder for settings."""
    if named := os.environ.get("MAAS_CONFIG_FILE"):
        return Path(named).expanduser()
    return _settings_folder(sys.platform, os.environ) / "maas" / "config.toml"


def load_profile(name: str, *, required: bool = False) -> Profile:
    """Return a saved profile, or an empty one where there is none and none is required."""
    path = config_file()
    profiles = _read(path)
    if (saved := profiles.get(_checked_name(name))) is None:
        if required:
            raise ConfigurationError(
                f"there is no profile {name!r} in {path}; log in with `maas login --profile {name}`"
            )
        return Profile()
    key = saved.get("api_key")
    return Profile(saved.get("base_url"), Masked(key) if key else None, saved.get("key_id"))


def save_profile(name: str, profile: Profile) -> Path:
    """Write a profile, leaving the others as they are; returns the file."""
    values = {
        "base_url": profile.base_url,
        "api_key": profile.api_key.reveal() if profile.api_key is not None else None,
        "key_id": profile.key_id,
    }
    path = config_file()
    kept = {key: value for key, value in values.items() if value is not None}
    _write(path, _read(path) | {_checked_name(name): kept})
    return path


def delete_profile(name: str) -> None:
    """Take a profile out of the file, if it is there."""
    path = config_file()
    profiles = _read(path)
    if profiles.pop(_checked_name(name), None) is not None:
        _write(path, profiles)


def _first(saved: str | None, environment: str | None, *, saved_goes_first: bool) -> str | None:
    return (saved or environment) if saved_goes_first else (environment or saved)


def _checked_name(name: str) -> str:
    if not _PROFILE_NAME.fullmatch(name):
        raise ConfigurationError(f"{name!r:.100} cannot be a profile's name: letters, digits, '_' and '-'")
    return name


def _settings_folder(platform: str, environ: Mapping[str, str]) -> Path:
    """Return the folder by the rules of XDG, Apple's file system guide and Windows' known folders."""
    if platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    if platform == "win32":
        return Path(environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    configured = Path(environ.get("XDG_CONFIG_HOME") or "")
    return configured if configured.is_absolute() else Path.home() / ".config"


def _read(path: Path) -> dict[str, dict[str, str]]:
    try:
        with path.open("rb") as file:
            if os.name == "posix" and os.fstat(file.fileno()).st_mode & 0o077:
                warnings.warn(f"others can read the keys in {path}; run: chmod 600 {path}", stacklevel=2)
            return parse(file.read().decode("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, TypeError) as error:
        # The parser's words are safe to show: they name a line and a column, not what stands there.
        raise ConfigurationError(
            f"the profile file {path} cannot be read: {error}; mend or remove it"
        ) from None


def parse(text: str) -> dict[str, dict[str, str]]:
    """Return the profiles in the text of a profile file."""
    profiles = tomllib.loads(text).get("profiles", {})
    if not isinstance(profiles, dict) or not all(isinstance(saved, dict) for saved in profiles.values()):
        raise TypeError("expected tables [profiles.NAME]")
    for name, saved in profiles.items():
        if not all(isinstance(value, str) for value in saved.values()):
            raise TypeError(f"expected texts in [profiles.{name}]")
    return profiles


def render(profiles: Mapping[str, Mapping[str, str]]) -> str:
    """Return profiles as the text of a profile file."""
    lines = ["# Saved log-ins of `maas login`. Keep this file to yourself."]
    for name, saved in sorted(profiles.items()):
        lines += ["", f"[profiles.{_quoted(name)}]"]
        lines += [f"{_quoted(key)} = {_quoted(value)}" for key, value in saved.items()]
    return "\n".join([*lines, ""])


def _quoted(text: str) -> str:
    """Return a basic string of TOML 1.0: quotes, backslashes and control characters escaped."""
    return '"' + _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + '"'


def _write(path: Path, profiles: Mapping[str, Mapping[str, str]]) -> None:
    """Replace the file in one step, readable by its owner only from the first byte on."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".config-", suffix=".tmp")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                file.write(render(profiles))
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigurationError(f"the profile file {path} cannot be written: {error}") from error


def _authorities() -> bool | str:
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True


def _proxies(base_url: str) -> dict[str, str]:
    # Asking at each call would cost some 110 µs; a client keeps what it found.
    from requests.utils import get_environ_proxies

    return dict(get_environ_proxies(base_url))
