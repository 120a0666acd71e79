"""Reads `maas.toml` within bounds: who sends it may wish to keep its reader busy, or the store unreadable.

TOML is read in one go by the standard library. It takes time with the square of a dotted key's parts, of
which 16 KB took it a second, and for each line under a table with the number of parts in that table's name.
"""

from __future__ import annotations

import math
import re
import tomllib
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from maas_client.errors import PackageError, describe_validation
from maas_client.types import Manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

MANIFEST = "maas.toml"
MAX_MANIFEST_BYTES = 2**20

# The deepest field that a manifest has lies four parts down.
_MOST_KEY_PARTS = 16
_MOST_DEPTH = 32
_INTEGER_BITS = 64
# Strings and comments, in which a dot means nothing; what ends a key; a dot; anything else. Quantifiers that
# never give back (`+` behind them) keep the reading linear.
_TOKEN = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*+"{3,5}'
    r"|'''(?:[^']|'(?!''))*+'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*+"'
    r"|'[^'\n]*+'"
    r"|\#[^\n]*+"
    r"|(?P<end>[\n=,\[\]{}]++)"
    r"|(?P<dot>\.)"
    r"|[^\n=,\[\]{}.\"'#]++",
    re.DOTALL,
)


def read_manifest(text: str) -> Manifest:
    """Return what a `maas.toml` says.

    Raises:
        PackageError: It is no TOML, a value is beyond what JSON and a store can hold, or a field is at fault.
    """
    _check_keys(text)
    try:
        values = tomllib.loads(text)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:  # a TOMLDecodeError, or a number of thousands of digits
        raise PackageError(f"{MANIFEST} is not TOML: {error}") from error
    for value, depth in _values(values):
        _check_value(value, depth)
    try:
        return Manifest.model_validate(values)
    except ValidationError as error:
        raise PackageError(f"{MANIFEST}: {describe_validation(error)}") from error


def _check_keys(text: str) -> None:
    parts, position = 1, 0
    # Where no token begins is a string without an end, at which the reader of TOML will stop as well.
    while (token := _TOKEN.match(text, position)) is not None:
        position = token.end()
        if token.lastgroup == "end":
            parts = 1
        elif token.lastgroup == "dot":
            parts += 1
            if parts > _MOST_KEY_PARTS:
                line = text.count("\n", 0, position) + 1
                raise PackageError(
                    f"{MANIFEST} has a key of more than {_MOST_KEY_PARTS} parts in line {line}; "
                    "no field lies that deep"
                )


def _values(root: dict[str, Any]) -> Iterator[tuple[object, int]]:
    """Yield every key and value with its depth."""
    stack: list[tuple[object, int]] = [(root, 1)]
    while stack:
        value, depth = stack.pop()
        yield value, depth
        if isinstance(value, dict):
            stack.extend((each, depth + 1) for pair in value.items() for each in pair)
        elif isinstance(value, list):
            stack.extend((each, depth + 1) for each in value)


def _check_value(value: object, depth: int) -> None:
    if depth > _MOST_DEPTH:
        raise _too_deep()
    if isinstance(value, float) and not math.isfinite(value):
        raise PackageError(f"{MANIFEST} holds {value}, which no field takes and JSON cannot carry")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise PackageError(f"{MANIFEST} holds an integer of more than {_INTEGER_BITS} bits")
    if isinstance(value, str) and "\0" in value:
        raise PackageError(f"{MANIFEST} holds a text with the character U+0000; take it out")


def _too_deep() -> PackageError:
    return PackageError(f"{MANIFEST} is nested more than {_MOST_DEPTH} levels deep; no field lies that deep")
