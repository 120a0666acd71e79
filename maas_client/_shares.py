# Made from _async_shares.py by tools/make_sync_face.py: change that file, then run `make format`.
"""With whom a model is shared, and as what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_client._listing import Listing
from maas_client._operations import shares

if TYPE_CHECKING:
    from maas_client._listing import Send
    from maas_client.types import Share, ShareRole


class SharesResource:
    """The accounts that one model is shared with; its owners' to see and to change."""

    def __init__(self, send: Send, model: str) -> None:
        self._send = send
        self._model = model

    def list(self, *, page_size: int | None = None) -> Listing[Share]:
        """List the accounts by name, with their roles.

        Raises:
            PermissionDeniedError: You are no owner of the model.
        """
        return Listing(
            self._send, lambda cursor: shares.list_page(self._model, limit=page_size, cursor=cursor)
        )

    def put(self, account: str, role: ShareRole) -> Share:
        """Share the model with an account, or change as what; a repeat changes nothing.

        Args:
            account: The account's name.
            role: `reader` sees it, predicts, explains and evaluates; `publisher` also publishes and downloads
                packages, moves aliases, sets the traffic and deprecates; `owner` may do with it all that
                you may.

        Raises:
            NotFoundError: There is no such account.
            PermissionDeniedError: You are no owner of the model.
        """
        return self._send(shares.put(self._model, account, role=role))

    def remove(self, account: str) -> None:
        """Withdraw a share, within a second everywhere; your own name gives up what is shared with you.

        Raises:
            NotFoundError: The model is not shared with that account.
            PermissionDeniedError: You are no owner of the model.
        """
        self._send(shares.remove(self._model, account))
