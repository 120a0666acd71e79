"""What one API call is, as data: how to ask, how to read the answer, whether it may be repeated."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeAlias, TypeVar
from urllib.parse import quote, urlencode

from maas_client.errors import InvalidReplyError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from maas_client._masking import Masked
    from maas_client.types import Request

Result = TypeVar("Result")
Body: TypeAlias = bytes | IO[bytes]
Credential: TypeAlias = Literal["required", "optional", "none"]
Method: TypeAlias = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

DEFAULT_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole successful reply; `headers` is read without regard to case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Sink(Protocol):
    """Where a transport puts the body of a successful answer, piece by piece, instead of into memory."""

    @property
    def received(self) -> int:
        """How many bytes it holds."""

    def headers(self) -> Mapping[str, str]:
        """Return what the attempt that starts now asks with, which is for the rest of the body."""

    def begin(self, answer: Answer) -> None:
        """Get ready for the body of an answer that has begun; its own `body` is empty."""

    def write(self, chunk: bytes) -> None:
        """Take the next bytes; this may block."""

    def advance(self, count: int) -> None:
        """Tell whoever watches of the bytes just written; the caller's own thread does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Generic[Result]):
    """One API call, described and not yet made.

    Args:
        method: The HTTP method.
        template: The path with the names of its parts, which is what logs show.
        path: The path itself, quoted.
        read: Turns the answer into the result.
        body: JSON as bytes, or a seekable file that is streamed.
        content_type: What the body is.
        headers: Further headers.
        repeatable: Whether doing it twice does no more than doing it once.
        keyed: Whether it carries an `Idempotency-Key`, which makes it repeatable.
        credential: Whether it needs one, takes one, or carries none.
        secrets: What an answer must not echo into an error.
        timeout: Seconds in total, where neither the call nor the client says otherwise.
        sink: Where a successful answer's body goes; `read` then gets an answer without it.
    """

    method: Method
    template: str
    path: str
    read: Callable[[Answer], Result]
    body: Body | None = field(default=None, repr=False)
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True
    keyed: bool = False
    credential: Credential = "required"
    secrets: tuple[Masked, ...] = ()
    timeout: float = DEFAULT_TIMEOUT
    sink: Sink | None = field(default=None, repr=False)


def fill(template: str, query: Request | None = None, **parts: str) -> str:
    """Return the path for a template, its parts quoted, with what of the query is not the default."""
    path = template.format(**{name: quote(part, safe="~") for name, part in parts.items()})
    asked = query.model_dump(mode="json", exclude_defaults=True) if query else {}
    return f"{path}?{urlencode({name: _text(value) for name, value in asked.items()})}" if asked else path


def nothing(_: Answer) -> None:
    """Read an answer that has no content."""


def unexpected(fault: str, answer: Answer) -> InvalidReplyError:
    """Return the error for an answer that the contract does not know."""
    return InvalidReplyError(
        f"the answer is not what this call promises: {fault}",
        status=answer.status,
        request_id=answer.headers.get("X-Request-Id"),
        body=_beginning(answer.body),
    )


def _beginning(body: bytes) -> str:
    from maas_client._masking import scrub
    from maas_client.errors import MAX_BODY_CHARACTERS

    return scrub(body[: 4 * MAX_BODY_CHARACTERS].decode("utf-8", "replace"))


def _text(value: Any) -> str:  # noqa: ANN401 - JSON scalars, lists of them, and objects
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
