"""What is wrong with a set-up, layer by layer: settings, connection, certificate, server, credential."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import socket
import ssl
import statistics
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import urlsplit

from maas_client._client import Client
from maas_client._config import config_file, load_profile, resolve
from maas_client._deadline import tls_context
from maas_client.errors import (
    AuthenticationError,
    ConfigurationError,
    InvalidReplyError,
    MaasError,
    PermissionDeniedError,
    StatusError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maas_client._config import Settings
    from maas_client._masking import Masked

State: TypeAlias = Literal["ok", "warn", "fail"]

PACKAGES = ("maas-client", "requests", "pydantic", "tenacity", "httpx2", "numpy", "tqdm")
_LAYER_SECONDS = 5.0
_SOON_DAYS = 14
_CLOCK_SECONDS = 60.0
_SHOWN_BEGINNING, _SHOWN_END = 13, 4
# What tells a set-up that cannot work from one that cannot be reached and one that is not let in.
WRONG, REFUSED, UNREACHABLE = 2, 3, 5


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Args:
        check: What was looked at.
        state: `ok`, `warn` or `fail`.
        told: What was found, and what to do about it.
        code: The exit code that a failure stands for; 0 otherwise.
    """

    check: str
    state: State
    told: str
    code: int = 0

    def as_dict(self) -> dict[str, object]:
        """Return it as JSON has it."""
        return asdict(self)


def examine(*, base_url: str | None, profile: str | None) -> Iterator[Finding]:
    """Look at every layer in turn, down to the first that fails.

    Args:
        base_url: The host, where the caller was told one.
        profile: The profile, where the caller was told one.
    """
    yield _packages()
    yield from _profile_file()
    try:
        settings = resolve(base_url=base_url, profile=profile)
    except ConfigurationError as error:
        yield Finding("settings", "fail", str(error), WRONG)
        return
    looked_at = partial(_settings, base_url=base_url, profile=profile)
    for layer in (looked_at, _connection, _server, _credential):
        for finding in layer(settings):
            yield finding
            if finding.state == "fail":
                return


def _packages() -> Finding:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return Finding("packages", "ok", f"Python {platform.python_version()}, {', '.join(found)}")


def _profile_file() -> Iterator[Finding]:
    path = config_file()
    try:
        mode = path.stat().st_mode & 0o777
    except FileNotFoundError:
        yield Finding("profile file", "ok", f"none at {path}; `maas login` makes one")
        return
    except OSError as error:
        yield Finding("profile file", "fail", f"{path} cannot be looked at: {error.strerror}", WRONG)
        return
    if os.name == "posix" and mode & 0o077:
        yield Finding(
            "profile file",
            "warn",
            f"{path} has the mode {mode:04o}, so others on this machine may read its keys: chmod 600 it, and "
            "rotate the key if they are not yours",
        )
    else:
        yield Finding("profile file", "ok", str(path))


def _settings(settings: Settings, *, base_url: str | None, profile: str | None) -> Iterator[Finding]:
    saved = load_profile(settings.profile)
    in_environment = os.environ.get("MAAS_BASE_URL", "").strip().rstrip("/")
    if base_url:
        source = "given"
    elif in_environment == settings.base_url and not (profile and saved.base_url):
        source = "MAAS_BASE_URL"
    else:
        source = f"the profile {settings.profile!r}"
    last = settings.base_url.rpartition("/")[2]
    if last in ("v1", "v2"):
        yield Finding(
            "host",
            "fail",
            f"{settings.base_url} (from {source}) ends in /{last}, which is added to it: leave that out",
            WRONG,
        )
    else:
        yield Finding("host", "ok", f"{settings.base_url} (from {source})")
    yield _key(settings, saved_key=saved.api_key, saved_for=saved.base_url)
    if settings.proxies:
        proxies = ", ".join(sorted({_without_user(url) for url in settings.proxies.values()}))
        yield Finding("proxy", "ok", f"{proxies} (from the environment)")
    if isinstance(settings.verify, str):
        yield Finding("authorities", "ok", f"{settings.verify} (from the environment)")


def _key(settings: Settings, *, saved_key: Masked | None, saved_for: str | None) -> Finding:
    if settings.api_key is None:
        told = "none: set MAAS_API_KEY or `maas login`"
        if saved_key is not None:
            told = f"none for this host; the saved one is for {saved_for}: `maas login` to this host"
        return Finding("key", "warn", told)
    source = "the profile" if settings.api_key == saved_key else "MAAS_API_KEY"
    told = f"{_shown(settings.api_key)} (from {source})"
    if source == "MAAS_API_KEY" and saved_key is not None:
        return Finding("key", "warn", f"{told}; it goes before the saved one: unset it to use that")
    return Finding("key", "ok", told)


def _shown(key: Masked) -> str:
    text = key.reveal()
    if len(text) < 2 * (_SHOWN_BEGINNING + _SHOWN_END):
        return "a key"
    return f"{text[:_SHOWN_BEGINNING]}…{text[-_SHOWN_END:]}"


def _without_user(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"


def _connection(settings: Settings) -> Iterator[Finding]:
    parts = urlsplit(settings.base_url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if settings.proxies:
        yield Finding("connection", "ok", "left to the proxy")
        return
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        yield Finding("name", "fail", f"{host} has no address: {error}; check the spelling", UNREACHABLE)
        return
    yield Finding("name", "ok", f"{host} is {', '.join(dict.fromkeys(str(each[4][0]) for each in found))}")
    try:
        sock = socket.create_connection((host, port), timeout=_LAYER_SECONDS)
    except OSError as error:
        told = f"{host}:{port} takes none: {error}; check that the server runs, the port, and firewalls"
        yield Finding("connection", "fail", told, UNREACHABLE)
        return
    with sock:
        yield Finding("connection", "ok", f"{host}:{port} takes connections")
        if parts.scheme == "https":
            yield _certificate(sock, host, settings)


def _certificate(sock: socket.socket, host: str, settings: Settings) -> Finding:
    try:
        with tls_context(settings.verify).wrap_socket(sock, server_hostname=host) as secure:
            certificate, version = secure.getpeercert(), secure.version()
    except ssl.SSLCertVerificationError as error:
        told = (
            f"the certificate is refused: {error.verify_message}; name its authority's file in "
            "REQUESTS_CA_BUNDLE, or have the certificate mended"
        )
        return Finding("TLS", "fail", told, UNREACHABLE)
    except (ssl.SSLError, OSError) as error:
        told = f"no TLS is spoken there: {error}; check https:// and the port"
        return Finding("TLS", "fail", told, UNREACHABLE)
    ends = certificate.get("notAfter") if certificate else None
    if not isinstance(ends, str):
        return Finding("TLS", "warn", f"{version}, and the certificate is not checked")
    days = (ssl.cert_time_to_seconds(ends) - time.time()) / 86_400
    state: State = "warn" if days < _SOON_DAYS else "ok"
    return Finding("TLS", state, f"{version}, the certificate holds for {days:.0f} more days")


def _server(settings: Settings) -> Iterator[Finding]:
    with _client(settings) as client:
        raw = client.with_raw_response()
        try:
            info = raw.service.info()
        except (InvalidReplyError, StatusError) as error:
            yield _foreign(client, error)
            return
        except MaasError as error:
            yield Finding("server", "fail", str(error), UNREACHABLE)
            return
        yield Finding("server", "ok", f"{info.name} {info.version}")
        yield from _clock(raw.last_response.headers.get("Date"))
        waits = []
        for _ in range(3):
            started = time.perf_counter()
            try:
                client.service.health()
            except MaasError as error:
                yield Finding("health", "fail", str(error), UNREACHABLE)
                return
            waits.append(time.perf_counter() - started)
        yield Finding("latency", "ok", f"{statistics.median(waits) * 1000:.0f} ms for a call")


def _foreign(client: Client, error: MaasError) -> Finding:
    try:
        other = client.service.metadata()
    except MaasError:
        told = f"what answers is no server of ours: {error}"
        return Finding("server", "fail", told, UNREACHABLE)
    told = (
        f"{other.name or 'a server'} of the Open Inference Protocol, not ours: use "
        "Client(base_url=…, protocol='open-inference')"
    )
    return Finding("server", "fail", told, WRONG)


def _clock(date: str | None) -> Iterator[Finding]:
    if date is None:
        return
    try:
        ahead = (datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds()
    except (ValueError, TypeError):
        return
    if abs(ahead) > _CLOCK_SECONDS:
        way = "ahead of" if ahead > 0 else "behind"
        told = (
            f"this machine's is {abs(ahead):.0f} s {way} the server's: set it, or keys expire early or late"
        )
        yield Finding("clock", "warn", told)
    else:
        yield Finding("clock", "ok", "agrees with the server's")


def _credential(settings: Settings) -> Iterator[Finding]:
    if settings.api_key is None:
        yield Finding("credential", "fail", "there is none to try: set MAAS_API_KEY or `maas login`", REFUSED)
        return
    with _client(settings) as client:
        try:
            models = next(iter(client.models.list(page_size=1).pages()))
        except AuthenticationError as error:
            told = f"{error.message}; `maas login` again, or make another key"
            yield Finding("credential", "fail", told, REFUSED)
        except PermissionDeniedError as error:
            # A key for predictions alone is a good one.
            yield Finding("credential", "warn", f"accepted, but not for the catalogue: {error.message}")
        except MaasError as error:
            yield Finding("credential", "fail", str(error), UNREACHABLE)
        else:
            seen = f"{models.data[0].id} and more" if models.has_more else f"{len(models.data)} models"
            yield Finding("credential", "ok", f"accepted; it sees {seen}")


def _client(settings: Settings) -> Client:
    key = settings.api_key.reveal() if settings.api_key is not None else None
    return Client(
        key, settings.base_url, verify=settings.verify, proxies=settings.proxies, timeout=10, max_retries=0
    )
