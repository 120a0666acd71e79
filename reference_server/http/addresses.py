"""Where callers reach this server, for what they are to paste."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reference_server.http.exchange import Call

# RFC 9110, section 7.2, without what no host of a URL in a shell command should hold.
_HOST = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


def base_url(call: Call) -> str:
    """Return the operator's `public_url`, else the address by which this request came."""
    settings = call.services.settings
    if settings.public_url is not None:
        return settings.public_url
    host = call.request.headers.get("host", "")
    scheme = "https" if settings.tls_cert else "http"
    return f"{scheme}://{host if _HOST.fullmatch(host) else f'{settings.host}:{settings.port}'}"
