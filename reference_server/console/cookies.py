"""The console's cookies (RFC 6265bis): which there are, and what keeps them from scripts and other sites."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from werkzeug.http import dump_cookie, parse_cookie

from reference_server.security import credentials

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reference_server.settings import Settings

_SESSION, _VISITOR, _LANGUAGE = "maas_session", "maas_visitor", "maas_language"
# No credential is longer, and no visitor's secret.
_MOST_CHARACTERS = 100
_LANGUAGE_SECONDS = 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Cookies:
    """How the console's cookies are named and sent.

    Args:
        secure: Whether browsers reach the service by TLS: then the names begin with `__Host-`, so that no
            other host of the same domain can set them, and nobody be made to work in another's session.
            Browsers take those for the path `/` alone, so that they come with calls of the API too, which
            read no cookie. `__Secure-` would go with `/console`, but keeps no other host out, and a path
            keeps nothing apart (RFC 6265, sections 8.5 and 8.6).
    """

    secure: bool

    @classmethod
    def of(cls, settings: Settings) -> Cookies:
        """Return those of a server; a proxy in front may be what ends TLS."""
        url = settings.public_url or ""
        return cls(
            bool(settings.tls_cert) or settings.insecure_behind_proxy or url.startswith("https://"),
        )

    def session(self, headers: Mapping[str, str]) -> str | None:
        """Return the session's token that a request brings."""
        return self._read(headers, _SESSION)

    def visitor(self, headers: Mapping[str, str]) -> str | None:
        """Return the secret that the forms of somebody without a session are bound to."""
        return self._read(headers, _VISITOR)

    def language(self, headers: Mapping[str, str]) -> str | None:
        """Return the language that was chosen."""
        return self._read(headers, _LANGUAGE)

    def new_session(self, token: str, *, seconds: int) -> str:
        """Return the header that begins a session in a browser."""
        return self._write(_SESSION, token, max_age=seconds)

    def no_session(self) -> str:
        """Return the header that makes a browser forget its session."""
        return self._write(_SESSION, "", max_age=0)

    def new_visitor(self) -> tuple[str, str]:
        """Return a visitor's new secret, and the header that keeps it until the browser is closed."""
        secret = secrets.token_urlsafe(24)
        return secret, self._write(_VISITOR, secret, max_age=None)

    def new_language(self, language: str) -> str:
        """Return the header that keeps a choice of language."""
        return self._write(_LANGUAGE, language, max_age=_LANGUAGE_SECONDS)

    def _name(self, name: str) -> str:
        return f"__Host-{name}" if self.secure else name

    def _read(self, headers: Mapping[str, str], name: str) -> str | None:
        value = parse_cookie(headers.get("cookie")).get(self._name(name))
        return value if value and len(value) <= _MOST_CHARACTERS else None

    def _write(self, name: str, value: str, *, max_age: int | None) -> str:
        return dump_cookie(
            self._name(name),
            value,
            max_age=max_age,
            path="/" if self.secure else "/console",
            secure=self.secure,
            httponly=True,
            samesite="Strict",
        )


def credential_of(settings: Settings, path: str, headers: Mapping[str, str]) -> str | None:
    """Return the `Authorization` that a request to the console stands for; None for any other request."""
    token = Cookies.of(settings).session(headers) if path.startswith("/console/") else None
    credential = None if token is None else credentials.parse(token)
    # An API key in the cookie's place is nobody.
    return f"Bearer {token}" if credential is not None and credential.kind == "session" else None
