"""Pages, each under a policy that lets in nothing but what it brings (W3C, Content Security Policy 3)."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from reference_server.http.exchange import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEADERS = {
    "content-type": "text/html; charset=utf-8",
    # For browsers that know no `frame-ancestors`.
    "x-frame-options": "DENY",
    # A model's name in an address is nobody else's business.
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def page(html: str, *, style: str = "", sources: Mapping[str, str] | None = None) -> Answer:
    """Return a page as an answer; scripts may only come from files of this server, and only if it says so.

    Args:
        html: All of it.
        style: What stands between its `<style>` tags, as it stands there; nothing else may style it.
        sources: More directives of the policy by name, such as `{"script-src": "'self'"}`.
    """
    policy = {"default-src": "'none'", "base-uri": "'none'", "form-action": "'none'", **(sources or {})}
    if style:
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        policy["style-src"] = f"'sha256-{digest}'"
    # Last, so that no caller of this can let the page into a frame.
    policy["frame-ancestors"] = "'none'"
    text = "; ".join(f"{name} {value}" for name, value in policy.items())
    return Answer(200, {**_HEADERS, "content-security-policy": text}, html.encode())
