"""What tells a form of ours from one on another site: a token in the form, and the origin of the request.

The token is an HMAC under a secret that only the browser's cookie holds (OWASP, signed double-submit cookie,
bound to the session), so that it says nothing of the cookie, and no page can be made without that.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

FIELD = "form_token"
_PURPOSE = b"maas console form"


def token(secret: str) -> str:
    """Return the token of the forms that a session's or a visitor's secret stands behind."""
    digest = hmac.digest(secret.encode(), _PURPOSE, hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def is_ours(secret: str | None, given: str) -> bool:
    """Tell whether a form came with the token of this browser; in constant time."""
    return secret is not None and hmac.compare_digest(token(secret).encode(), given.encode())


def is_same_origin(headers: Mapping[str, str], public_url: str | None) -> bool:
    """Tell whether a request was made by a page of this host.

    Browsers send `Origin` with every POST (Fetch, section 3.1); `Sec-Fetch-Site` stands in for it where a
    proxy has dropped it. A request that has neither is no browser's form.

    Args:
        headers: By name in lower case.
        public_url: Where callers reach this server, should a proxy have changed `Host`.
    """
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site") == "same-origin"
    if public_url is not None and origin == public_url.rstrip("/"):
        return True
    scheme, _, host = origin.partition("://")
    return scheme in ("http", "https") and bool(host) and host == headers.get("host")
