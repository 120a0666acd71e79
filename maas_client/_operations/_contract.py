"""Requests of the contract on their way out, and replies on their way in: what needs pydantic."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, SecretStr, ValidationError

from maas_client._masking import Masked
from maas_client._operations._operation import unexpected
from maas_client.errors import ArgumentError, describe_validation
from maas_client.types import Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from maas_client._operations._operation import Answer

Sent = TypeVar("Sent", bound=Request)
Received = TypeVar("Received", bound=BaseModel)


def build(kind: type[Sent], /, **fields: object) -> Sent:
    """Return a request of the contract; a field that is None is left out.

    Raises:
        ArgumentError: A field breaks the contract. The value itself is not shown: it may be a secret.
    """
    given = {name: _plain(value) for name, value in fields.items() if value is not None}
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise ArgumentError(describe_validation(error)) from None


def encode(request: Request) -> bytes:
    """Return a request as JSON, its secrets in clear: these bytes are for the wire only."""
    # What was not said is left to the server, which may be older and not know it.
    fields = request.model_dump(mode="json", exclude_none=True, exclude_unset=True)
    # Masked here too: a traceback may show these locals.
    revealed = {
        name: Masked(value.get_secret_value()) for name, value in request if isinstance(value, SecretStr)
    }
    try:
        return json.dumps(fields | revealed, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ArgumentError("a text holds half of a surrogate pair, which UTF-8 cannot carry") from None


def secrets_of(request: Request) -> tuple[Masked, ...]:
    """Return the secret fields of a request, masked."""
    return tuple(Masked(value.get_secret_value()) for _, value in request if isinstance(value, SecretStr))


def reader(kind: type[Received]) -> Callable[[Answer], Received]:
    """Return a function that reads an answer as one type of the contract."""

    def read(answer: Answer) -> Received:
        try:
            return kind.model_validate_json(answer.body)
        except ValidationError as error:
            raise unexpected(describe_validation(error), answer) from None

    return read


def _plain(value: object) -> object:
    if isinstance(value, Masked):
        return SecretStr(value.reveal())
    is_series = isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
    return list(value) if is_series else value  # type: ignore[call-overload]
