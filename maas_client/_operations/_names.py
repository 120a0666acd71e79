"""Names that become parts of a path, checked before the path is built."""

from __future__ import annotations

import re

from maas_client.errors import ArgumentError
from maas_client.types import ACCOUNT_NAME, ALIAS_NAME, MODEL_NAME, RESERVED_MODEL_NAMES, VERSION_NUMBER

_MODEL = re.compile(rf"(?:{ACCOUNT_NAME}~)?({MODEL_NAME})")
_ACCOUNT = re.compile(ACCOUNT_NAME)
_ALIAS = re.compile(ALIAS_NAME)
_SELECTOR = re.compile(rf"{VERSION_NUMBER}|{ALIAS_NAME}")
_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,128}")


def model(name: object) -> str:
    """Return a model's name, `name` or `account~name`, when it can be one."""
    match = _MODEL.fullmatch(name) if isinstance(name, str) else None
    if match is None or match[1] in RESERVED_MODEL_NAMES:
        raise ArgumentError(
            f"{name!r:.200} cannot be a model's name: 1 to 128 letters, digits, '.', '_' and '-', a letter "
            "or digit first, with 'account~' before it for another account's model"
        )
    return match[0]


def account(name: str) -> str:
    """Return an account's name when it can be one."""
    return _checked(
        _ACCOUNT, name, "an account's name: up to 39 small letters, digits and hyphens, none at the ends"
    )


def alias(name: str) -> str:
    """Return an alias when it can be one."""
    return _checked(_ALIAS, name, "an alias: up to 64 letters, digits, '.', '_', '-', a letter first")


def selector(version: int | str) -> str:
    """Return what selects a version: its number or an alias."""
    text = str(version) if isinstance(version, int) and not isinstance(version, bool) else version
    return _checked(
        _SELECTOR, text, "a version: a number from 1 up, such as 3, or an alias, such as 'default'"
    )


def number(version: object) -> str:
    """Return a version's number when it can be one; an alias could mean another version by now."""
    if not isinstance(version, int) or isinstance(version, bool):
        raise ArgumentError(f"{version!r:.200} is no version's number, such as 3")
    return selector(version)


def identifier(value: str) -> str:
    """Return the id of a key or a session when it can be one."""
    return _checked(_IDENTIFIER, value, "an id: take it from the `id` of what was listed")


def _checked(form: re.Pattern[str], value: object, what: str) -> str:
    if not isinstance(value, str) or form.fullmatch(value) is None:
        raise ArgumentError(f"{value!r:.200} cannot be {what}")
    return value
