"""What an answer tells beside its result: that its version ends, and that `default` is another by now."""

from __future__ import annotations

from email.utils import format_datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reference_server.registry.versions import Deprecation, ServingTarget


def notices_of(target: ServingTarget) -> dict[str, str]:
    """Return the headers that every answer of a version has beside its own; mostly none.

    They are `Deprecation` (RFC 9745), `Sunset` (RFC 8594) and `Link` with `successor-version` (RFC 5829) and
    `deprecation` (RFC 9745), with model and version, since a path need not name them; and, for who named the
    version by its number, the one that `default` points to.
    """
    headers = {} if target.deprecation is None else _deprecation(target, target.deprecation)
    if target.default is not None:
        headers["x-maas-default-version"] = str(target.default)
    return headers


def with_notices(headers: Mapping[str, str], target: ServingTarget) -> Mapping[str, str]:
    """Return an answer's headers with the notices of its version."""
    return {**headers, **target.notices} if target.notices else headers


def _deprecation(target: ServingTarget, deprecation: Deprecation) -> dict[str, str]:
    headers = {
        "deprecation": f"@{int(deprecation.since.timestamp())}",
        "x-maas-model": target.model,
        "x-maas-version": str(target.version),
    }
    if deprecation.sunset is not None:
        headers["sunset"] = format_datetime(deprecation.sunset, usegmt=True)
    if links := ", ".join(_links(target, deprecation)):
        headers["link"] = links
    return headers


def _links(target: ServingTarget, deprecation: Deprecation) -> list[str]:
    links = []
    if (instead := deprecation.replacement) is not None:
        path = f"{quote(target.model)}/versions/{instead}" if instead.isdecimal() else quote(instead)
        links.append(f'</v1/models/{path}>; rel="successor-version"')
    if deprecation.documentation is not None:
        links.append(f'<{deprecation.documentation}>; rel="deprecation"')
    return links
