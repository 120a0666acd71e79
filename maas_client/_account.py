# Made from _async_account.py by tools/make_sync_face.py: change that file, then run `make format`.
"""The asynchronous face of the account: itself, its sessions, its keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_client._listing import Listing
from maas_client._masking import Masked
from maas_client._operations import (
    accounts,
    erasures,
    keys,
    sessions,
)
from maas_client._resource import Resource

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from maas_client.types import (
        Account,
        AccountExport,
        Erasure,
        ErasurePlan,
        Key,
        KeyCreated,
        Scope,
        Session,
    )


class AccountResource(Resource):
    """One's own account; it needs a log-in session."""

    def get(self) -> Account:
        """Return the account."""
        return self._send(accounts.get())

    def change_password(self, *, current_password: str, new_password: str) -> Account:
        """Change the password, which ends every other session."""
        current_password, new_password = Masked(current_password), Masked(new_password)
        return self._send(
            accounts.change_password(current_password=current_password, new_password=new_password)
        )

    def export(self) -> AccountExport:
        """Return everything that the service holds about the account, without secrets."""
        return self._send(accounts.export())

    def erasure_plan(self) -> ErasurePlan:
        """Return what `delete` would take along, and whom else that concerns; changes nothing."""
        return self._send(erasures.plan())

    def delete(self, *, password: str) -> Erasure:
        """Erase the account with everything that is its, public models too; there is no way back.

        Args:
            password: The account's password, again.

        Returns:
            The erasure with its signed receipt; `service.erasure(id)` returns one that is still pending.
        """
        return self._send(erasures.erase_account(password=Masked(password)))


class SessionsResource(Resource):
    """One's log-in sessions."""

    def list(self, *, page_size: int | None = None) -> Listing[Session]:
        """List the sessions that hold."""
        return Listing(self._send, lambda cursor: sessions.list_page(limit=page_size, cursor=cursor))

    def end(self, session_id: str) -> None:
        """End a session; its token stops at once."""
        self._send(sessions.end(session_id))


class KeysResource(Resource):
    """One's API keys."""

    def list(self, *, page_size: int | None = None) -> Listing[Key]:
        """List the keys, without their secrets."""
        return Listing(self._send, lambda cursor: keys.list_page(limit=page_size, cursor=cursor))

    def get(self, key_id: str) -> Key:
        """Return one key, without its secret."""
        return self._send(keys.get(key_id))

    def create(
        self,
        name: str,
        *,
        scopes: Iterable[Scope] | None = None,
        expires_at: datetime | None = None,
        models: Iterable[str] | None = None,
        networks: Iterable[str] | None = None,
        requests_per_minute: int | None = None,
        rows_per_day: int | None = None,
    ) -> KeyCreated:
        """Make a key; its secret is in the result this once: `key.secret.get_secret_value()`.

        It can do no more than who makes it: a key that is made with a key has the maker's limits where it has
        none of its own, and counts with it.

        Args:
            name: What it is for, for your own eyes.
            scopes: What it may do, among what you may do; to read the catalogue and to predict by default.
            expires_at: When it stops, with an offset from UTC; never by default.
            models: The models that exist for it, such as `["sentiment-*", "ada~words"]`; a `*` stands for any
                characters. All that you may see by default.
            networks: Where it may be used from: addresses and networks such as `["203.0.113.7",
                "2001:db8::/32"]`. From anywhere by default.
            requests_per_minute: The most requests in a minute; as many as the account may by default.
            rows_per_day: The most instances that it may have predicted from midnight to midnight, UTC.

        Raises:
            PermissionDeniedError: It would be wider than who makes it; `param` tells in what.
        """
        return self._send(
            keys.create(
                name=name,
                scopes=scopes,
                expires_at=expires_at,
                models=models,
                networks=networks,
                requests_per_minute=requests_per_minute,
                rows_per_day=rows_per_day,
            )
        )

    def rotate(self, key_id: str, *, overlap_seconds: int = 0) -> KeyCreated:
        """Give a key a new secret; the old one holds for `overlap_seconds` more, at most a week."""
        return self._send(keys.rotate(key_id, overlap_seconds=overlap_seconds))

    def revoke(self, key_id: str) -> None:
        """End a key at once."""
        self._send(keys.revoke(key_id))
