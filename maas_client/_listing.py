# Made from _async_listing.py by tools/make_sync_face.py: change that file, then run `make format`.
"""Listings that fetch their pages as they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Generic, Protocol, TypeAlias, TypeVar

from maas_client._calls import NOT_GIVEN
from maas_client.errors import InvalidReplyError

if TYPE_CHECKING:
    from maas_client._calls import Budget, Timeout
    from maas_client._operations._operation import Operation, Result
    from maas_client.types import Page

Item = TypeVar("Item")
AskPage: TypeAlias = "Callable[[str | None], Operation[Page[Item]]]"


class Send(Protocol):
    """Makes a call of the synchronous face."""

    def __call__(self, operation: Operation[Result], *, timeout: Timeout | Budget = NOT_GIVEN) -> Result:
        """Make a call and return its result."""


class Listing(Iterable[Item], Generic[Item]):
    """All items of a listing; each iteration asks anew, page by page, and only as far as it is read.

    Args:
        send: Makes a call.
        ask: Describes the call for the page at a cursor, None being the first.
    """

    def __init__(self, send: Send, ask: AskPage[Item]) -> None:
        # Described at once, so that a mistaken argument is told where it was given.
        self._first = ask(None)
        self._ask = ask
        self._send = send

    def __iter__(self) -> Iterator[Item]:
        for page in self.pages():
            yield from page.data

    def __repr__(self) -> str:
        return f"Listing({self._first.method} {self._first.template})"

    def _repr_html_(self) -> str:
        from maas_client import _display

        return _display.of_listing(self)

    def pages(self) -> Iterator[Page[Item]]:
        """Iterate over the pages instead of the items."""
        seen: set[str] = set()
        page = self._send(self._first)
        yield page
        while page.has_more and page.next_cursor:
            if page.next_cursor in seen:
                raise InvalidReplyError(f"the pages of {self._first.template} go in a circle")
            seen.add(page.next_cursor)
            page = self._send(self._ask(page.next_cursor))
            yield page
