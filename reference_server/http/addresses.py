"""Where callers are, and where they reach this server, for what they are to paste."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from reference_server.security.limits import parse_address

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reference_server.http.exchange import Call
    from reference_server.security.limits import Network

# RFC 9110, section 7.2, without what no host of a URL in a shell command should hold.
_HOST = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
# More proxies than this stand in no row; who writes more entries makes us read no more.
_MOST_HOPS = 32


def base_url(call: Call) -> str:
    """Return the operator's `public_url`, else the address by which this request came."""
    settings = call.services.settings
    if settings.public_url is not None:
        return settings.public_url
    host = call.request.headers.get("host", "")
    scheme = "https" if settings.tls_cert else "http"
    return f"{scheme}://{host if _HOST.fullmatch(host) else f'{settings.host}:{settings.port}'}"


def client_address(peer: str, headers: Mapping[str, str], trusted: tuple[Network, ...]) -> str:
    """Return who called: the peer, or whom trusted proxies say that they called for.

    Each proxy appends to `X-Forwarded-For` whom it spoke with, so the header is read from its end, as long as
    those who wrote are trusted; what stands before that anyone can have written.

    Args:
        peer: The connection's other end.
        headers: By name in lower case; several of one name are joined by commas.
        trusted: The networks of the operator's own proxies; with none, the header says nothing.
    """
    if not trusted or not _is_in(peer, trusted):
        return peer
    address = peer
    for hop in reversed(headers.get("x-forwarded-for", "").split(",")[-_MOST_HOPS:]):
        said = _without_port(hop.strip())
        if parse_address(said) is None:
            break
        address = said
        if not _is_in(said, trusted):
            break
    return address


def _is_in(text: str, networks: tuple[Network, ...]) -> bool:
    address = parse_address(text)
    return address is not None and any(address in network for network in networks)


def _without_port(hop: str) -> str:
    """Return an entry's address; some proxies write `192.0.2.1:443` or `[2001:db8::1]:443`."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
