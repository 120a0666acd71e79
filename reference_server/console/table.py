"""The table of the console's pages: who may open each, as the table of endpoints says it of the API."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from reference_server.http.exchange import Answer

Access: TypeAlias = Literal["open", "session"]
Show: TypeAlias = "Callable[..., Answer]"

_PLACEHOLDER = re.compile(r"<(\w+)>")


@dataclass(frozen=True, slots=True)
class Page:
    """One method on one path of the console; every POST also needs a token of this browser's forms.

    Args:
        access: `session` needs a log-in session, `open` does not.
        show: Takes a `Visit` and the parts of the path.
        takes_packages: Whether its form brings files as large as packages, which lie on the disk meanwhile.
        template: The path as the log writes it: `/console/models/{model}`.
    """

    method: Literal["GET", "POST"]
    path: str
    access: Access
    show: Show
    takes_packages: bool = False

    @property
    def template(self) -> str:
        """The path with its parts in braces."""
        return _PLACEHOLDER.sub(r"{\1}", self.path)

    @property
    def name(self) -> str:
        """A unique name: `keys_create`."""
        return f"{self.show.__module__.rpartition('.')[2]}_{self.show.__name__}"


class Pages:
    """Collects the pages of one part of the console."""

    def __init__(self) -> None:
        self.pages: list[Page] = []

    def get(self, path: str, *, access: Access = "session") -> Callable[[Show], Show]:
        """Register what shows a page."""
        return self._register("GET", path, access)

    def post(
        self, path: str, *, access: Access = "session", takes_packages: bool = False
    ) -> Callable[[Show], Show]:
        """Register what a form is sent to."""
        return self._register("POST", path, access, takes_packages=takes_packages)

    def _register(
        self, method: Literal["GET", "POST"], path: str, access: Access, *, takes_packages: bool = False
    ) -> Callable[[Show], Show]:
        def register(show: Show) -> Show:
            self.pages.append(Page(method, f"/console{path}", access, show, takes_packages))
            return show

        return register
