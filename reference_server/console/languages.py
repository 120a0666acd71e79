"""The console's texts, one file for each language; what a browser asks for, and what was chosen."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

if TYPE_CHECKING:
    from collections.abc import Mapping

# The first is for whoever asks for none of them. Each is named in itself.
LANGUAGES = {"en": "English", "zh": "中文"}


@dataclass(frozen=True, slots=True)
class Texts:
    """All texts of one language.

    Args:
        language: Its tag (BCP 47).
        by_key: The texts; what stands in braces is filled in.
    """

    language: str
    by_key: Mapping[str, str]

    def __call__(self, key: str, **values: object) -> str:
        """Return a text, filled in."""
        return self.by_key[key].format(**values) if values else self.by_key[key]

    def or_else(self, key: str, otherwise: str) -> str:
        """Return a text if there is one, for what newer servers may name."""
        return self.by_key.get(key, otherwise)

    def has(self, key: str) -> bool:
        """Tell whether there is such a text."""
        return key in self.by_key


@cache
def texts(language: str) -> Texts:
    """Return a language's texts; each table of the file is a part of the console."""
    content = files("reference_server.console").joinpath("texts", f"{language}.toml").read_text("utf-8")
    return Texts(
        language,
        {
            f"{part}.{name}": text
            for part, some in tomllib.loads(content).items()
            for name, text in some.items()
        },
    )


def chosen(cookie: str | None, accept: str | None) -> str:
    """Return the language of a page: what was chosen, else what the browser likes best."""
    if cookie in LANGUAGES:
        return cookie
    liked = parse_accept_header(accept, LanguageAccept).best_match(LANGUAGES)
    return liked or next(iter(LANGUAGES))
