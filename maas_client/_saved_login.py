# Made from _async_saved_login.py by tools/make_sync_face.py: change that file, then run `make format`.
"""The log-in that outlives a process: an API key of its own in the profile file."""

from __future__ import annotations

import platform
from contextlib import suppress
from typing import TYPE_CHECKING

from maas_client._config import Profile, delete_profile, load_profile, save_profile
from maas_client._masking import Masked
from maas_client.errors import ArgumentError, NotFoundError
from maas_client.types import SCOPES

if TYPE_CHECKING:
    from maas_client._account import KeysResource
    from maas_client._config import Settings


def save(keys: KeysResource, settings: Settings) -> None:
    """Make a key, store it, and revoke the one that was stored for the same host before."""
    before = load_profile(settings.profile)
    key = keys.create(f"saved log-in on {platform.node() or 'this computer'}"[:100], scopes=SCOPES)
    secret = Masked(key.secret.get_secret_value())
    save_profile(settings.profile, Profile(settings.base_url, secret, key.id))
    if before.key_id and before.base_url == settings.base_url:
        # It may be gone already, or another account's.
        with suppress(NotFoundError):
            keys.revoke(before.key_id)


def forget(keys: KeysResource, settings: Settings) -> Masked | None:
    """Revoke the stored key, take it out of the profile file, and return it.

    Raises:
        ArgumentError: None is stored for this host.
    """
    saved = load_profile(settings.profile)
    if not saved.key_id or saved.base_url != settings.base_url:
        raise ArgumentError("there is no log-in to end: neither a session nor a saved key for this host")
    with suppress(NotFoundError):
        keys.revoke(saved.key_id)
    delete_profile(settings.profile)
    return saved.api_key
