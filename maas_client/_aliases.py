# Made from _async_aliases.py by tools/make_sync_face.py: change that file, then run `make format`.
"""The asynchronous face of a model's aliases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_client._listing import Listing
from maas_client._operations import (
    aliases,
)
from maas_client._resource import OfModel

if TYPE_CHECKING:
    from maas_client.types import (
        Alias,
        AliasChange,
    )


class AliasesResource(OfModel):
    """The aliases of one model: names that point to a version and remember where they pointed before."""

    def list(self, *, page_size: int | None = None) -> Listing[Alias]:
        """List the aliases."""
        return Listing(
            self._send, lambda cursor: aliases.list_page(self._model, limit=page_size, cursor=cursor)
        )

    def get(self, alias: str) -> Alias:
        """Return where an alias points, and since when."""
        return self._send(aliases.get(self._model, alias))

    def move(
        self,
        alias: str,
        *,
        version: int,
        note: str = "",
        expected_revision: int | None = None,
        force: bool = False,
    ) -> Alias:
        """Point an alias to a version; it is made if it does not exist.

        Args:
            alias: Its name, such as `default`.
            version: The version's number.
            note: Why, for its history.
            expected_revision: The `revision` that you saw; another's move since then is an error.
            force: Move `default` even where the version's signature breaks calls that work now.

        Raises:
            PreconditionFailedError: The alias is no longer at the expected revision; see `.current`.
            ConflictError: The version is retired, or breaks calls; `.errors` tells which.
        """
        return self._send(
            aliases.move(
                self._model,
                alias,
                version=version,
                note=note,
                expected_revision=expected_revision,
                force=force,
            )
        )

    def rollback(
        self, alias: str, *, note: str = "", expected_revision: int | None = None, force: bool = False
    ) -> Alias:
        """Point an alias back to the version it pointed to before; arguments as in `move`."""
        return self._send(
            aliases.rollback(self._model, alias, note=note, expected_revision=expected_revision, force=force)
        )

    def history(self, alias: str, *, page_size: int | None = None) -> Listing[AliasChange]:
        """List an alias's moves, newest first."""
        return Listing(
            self._send,
            lambda cursor: aliases.history_page(self._model, alias, limit=page_size, cursor=cursor),
        )
