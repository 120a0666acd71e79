"""Templates: escaped by themselves, strict about names, with the few filters that they need."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from reference_server.console.languages import Texts

_THOUSAND = 1000
_UNITS = ("B", "kB", "MB", "GB", "TB")
# An en dash, as tables show what is not there.
_NOTHING = "\N{EN DASH}"
_PACKAGE = "reference_server.console"


def render(template: str, **values: object) -> str:
    """Return a template's text."""
    return _environment().get_template(template).render(**values)


def asset(name: str) -> bytes:
    """Return the content of the style sheet or the script."""
    return _read(name)


def size(count: int | None) -> str:
    """Return a number of bytes for people: `1.2 MB`."""
    if count is None:
        return _NOTHING
    value, unit = float(count), 0
    while value >= _THOUSAND and unit < len(_UNITS) - 1:
        value, unit = value / _THOUSAND, unit + 1
    return f"{value:.1f} {_UNITS[unit]}" if unit else f"{count} B"


def moment(time: datetime | None) -> Markup:
    """Return a time in UTC, for people and programs."""
    if time is None:
        return Markup.escape(_NOTHING)
    at = time.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        f"{at:%Y-%m-%dT%H:%M:%SZ}", f"{at:%Y-%m-%d %H:%M} UTC"
    )


def figure(value: float | None) -> str:
    """Return a measured figure with four digits that count."""
    return _NOTHING if value is None else f"{value:.4g}"


def short(value: float) -> str:
    """Return a figure as short as the edge of a chart has room for."""
    return f"{value:.2g}"


def part(text: str) -> str:
    """Return a name as a part of a path."""
    return quote(text, safe="~")


def pairs(values: Iterable[str]) -> list[tuple[str, str]]:
    """Return the options of a choice that are shown as they are."""
    return [(value, value) for value in values]


def labelled(texts: Texts, part: str, values: Iterable[str]) -> list[tuple[str, str]]:
    """Return the options of a choice with what the texts call them, if they do."""
    return [(value, texts.or_else(f"{part}.{value}", value)) for value in values]


def _versioned(name: str) -> str:
    """Return the address of a file, which changes with what is in it, so that browsers may keep it."""
    return f"/console/{name}?v={hashlib.sha256(_read(name)).hexdigest()[:12]}"


@cache
def _read(name: str) -> bytes:
    return files(_PACKAGE).joinpath(name).read_bytes()


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(_PACKAGE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {
        "size": size,
        "moment": moment,
        "figure": figure,
        "short": short,
        "part": part,
    }
    environment.filters.update(filters)
    environment.globals.update(asset=_versioned, pairs=pairs, labelled=labelled)
    return environment
