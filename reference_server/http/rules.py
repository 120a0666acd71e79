"""Rules of URLs that are matched, and from which no URL is ever built."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from werkzeug.routing import Rule

if TYPE_CHECKING:
    from collections.abc import Callable


class MatchedRule(Rule):
    """A rule without what builds URLs: to compile that took most of the time of making an application."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:  # noqa: ARG002, FBT001, FBT002 - Werkzeug's signature
        return _build


def _build(*_: object, **__: object) -> NoReturn:
    raise RuntimeError("this application builds no URLs from its rules")
