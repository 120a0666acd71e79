"""Names, numbers and texts that several objects of the contract hold, with what each may be."""

from __future__ import annotations

import ipaddress
import json
import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    Json,
    JsonValue,
    SecretStr,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    StringConstraints,
    WithJsonSchema,
    WrapSerializer,
)

# Anchored with `$`: the engine behind pydantic, like ECMA 262, lets it match at the very end only.
MODEL_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
ACCOUNT_NAME = r"[a-z0-9](?:[a-z0-9-]{0,37}[a-z0-9])?"
ALIAS_NAME = r"[A-Za-z][A-Za-z0-9._-]{0,63}"
VERSION_NUMBER = r"[1-9][0-9]{0,8}"
_TOO_HIGH = 10**9
RESERVED_MODEL_NAMES = frozenset({"stats"})
RESERVED_INPUT_NAMES = frozenset({"instances", "parameters"})
MAX_LABELS = 100_000
MAX_LABEL_CHARACTERS = 200
MAX_LINEAGE_BYTES = 16 * 2**10
# In each part of a pattern of model names: what holds a name against more takes longer than its length.
MAX_STARS = 2
# C0, DEL and C1, as in a class of a regular expression: they do harm in terminals, logs and databases.
_CONTROLS = r"\x00-\x08\x0b-\x1f\x7f-\x9f"


def _not_reserved(name: str) -> str:
    if name in RESERVED_MODEL_NAMES:
        raise ValueError(f"the model name {name!r} is reserved, choose another")
    return name


def _reveal(value: SecretStr, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> object:
    context = info.context
    revealed = isinstance(context, dict) and context.get("reveal") is True
    return value.get_secret_value() if revealed else handler(value)


def _in_utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError("with its offset it lies outside the years 1 to 9999") from None


def _no_controls(text: str) -> str:
    found = re.search(f"[{_CONTROLS}]", text)
    if found is not None:
        raise ValueError(
            f"it holds the control character U+{ord(found[0]):04X} at position {found.start()}; newlines and "
            "tabs are the only ones that are taken"
        )
    return text


def _number_as_text(value: object) -> object:
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    # As a text, 0 could be the name of a model.
    if not 1 <= value < _TOO_HIGH:
        raise ValueError(f"a version's number is 1 to {_TOO_HIGH - 1:,}")
    return str(value)


def _small_facts(facts: dict[str, JsonValue]) -> dict[str, JsonValue]:
    size = len(json.dumps(facts, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode())
    if size > MAX_LINEAGE_BYTES:
        raise ValueError(f"it is {size:,} bytes of JSON, and at most {MAX_LINEAGE_BYTES:,} are kept")
    return facts


def _few_stars(pattern: str) -> str:
    if any(part.count("*") > MAX_STARS for part in pattern.split("~")):
        raise ValueError(
            f"{pattern!r} has more than {MAX_STARS} stars; such as sentiment-* or *-en are enough"
        )
    return pattern


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise ValueError(
            f"{error}; expected an address or a network, such as 203.0.113.7, 10.0.0.0/8 or 2001:db8::/32"
        ) from None


ModelName = Annotated[
    str,
    StringConstraints(pattern=rf"^{MODEL_NAME}$"),
    AfterValidator(_not_reserved),
]
AccountName = Annotated[str, StringConstraints(pattern=rf"^{ACCOUNT_NAME}$")]
# `name` or `account~name`; a star stands for any characters of its part.
ModelPattern = Annotated[
    str,
    StringConstraints(pattern=r"^(?:[a-z0-9*-]{1,39}~)?[A-Za-z0-9._*-]{1,128}$"),
    AfterValidator(_few_stars),
]
# An address, or a network in CIDR notation (RFC 4632, RFC 4291).
Network = Annotated[str, StringConstraints(max_length=64), AfterValidator(_network)]
Email = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, to_lower=True, max_length=254, pattern=r"^[^\s@]{1,64}@[^\s@]+\.[^\s@]+$"
    ),
]
Password = Annotated[SecretStr, Field(min_length=10, max_length=1024)]
# As many digits as `VERSION_NUMBER` has.
VersionNumber = Annotated[int, Field(ge=1, lt=10**9)]
Notes = Annotated[
    str,
    StringConstraints(max_length=4000),
    AfterValidator(_no_controls),
    WithJsonSchema({"type": "string", "maxLength": 4000, "pattern": f"^[^{_CONTROLS}]*$"}),
]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Origin = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
# An aware time that is also one of UTC, whatever its offset.
Instant = Annotated[AwareDatetime, AfterValidator(_in_utc)]
Lineage = Annotated[Json[dict[str, JsonValue]], AfterValidator(_small_facts)]
_REPLACEMENT = rf"^(?:{VERSION_NUMBER}|(?:{ACCOUNT_NAME}~)?{MODEL_NAME})$"
# The version of the same model, by its number, or a model.
Replacement = Annotated[
    str,
    StringConstraints(pattern=_REPLACEMENT, max_length=200),
    BeforeValidator(_number_as_text),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": _REPLACEMENT, "maxLength": 200},
                {"type": "integer", "minimum": 1, "exclusiveMaximum": _TOO_HIGH},
            ]
        }
    ),
]
# It becomes part of a header: no spaces, no quotes, no angle brackets.
PageAddress = Annotated[str, StringConstraints(pattern=r"^https?://[!#-;=?-~]+$", max_length=500)]

# Masked in every dump unless its writer says `context={"reveal": True}`: the transport and the server do.
Secret = Annotated[SecretStr, WrapSerializer(_reveal), WithJsonSchema({"type": "string"})]
