"""What reaches a `FakeMaas` in the place of a socket, and what goes back."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import BaseModel
from requests.structures import CaseInsensitiveDict

from maas_client import _transport
from maas_client._operations._operation import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from maas_client._calls import Call


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """One attempt that reached the fake.

    Args:
        method: The HTTP method.
        template: The path with the names of its parts, such as `/v1/models/{model}/predict`.
        path: The path itself, quoted, with its query.
        parts: The parts of the path by name, such as `{"model": "mood"}`.
        query: The query by name.
        json: The body, if it is JSON; None otherwise.
        content: The body as bytes.
        headers: The headers, the credential masked.
    """

    method: str
    template: str
    path: str
    parts: Mapping[str, str]
    query: Mapping[str, str]
    json: Any
    content: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    @property
    def route(self) -> str:
        """Method and template, as `FakeMaas.reply` and `FakeMaas.fail` take them."""
        return f"{self.method} {self.template}"


class FakeTransport(_transport.Transport):
    """A transport whose answers a function gives."""

    def __init__(self, base_url: str, answer: Callable[[Call[Any], str], Answer]) -> None:
        super().__init__(base_url)
        self._fake_answer = answer

    def _send(self, call: Call[Any], url: str) -> Answer:
        return self._fake_answer(call, url)


def async_transport(base_url: str, answer: Callable[[Call[Any], str], Answer]) -> object:
    """Return the same for `AsyncClient`, whose library is asked for only here."""
    from maas_client._async_transport import AsyncTransport

    class FakeAsyncTransport(AsyncTransport):
        async def _send(self, call: Call[Any], url: str) -> Answer:
            return answer(call, url)

    return FakeAsyncTransport(base_url)


def recorded(call: Call[Any], url: str) -> RecordedCall:
    """Return what a call to an address asks."""
    operation, parts = call.operation, urlsplit(url)
    names = re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(operation.template)))
    found = names.fullmatch(parts.path)
    content = _content(operation.body)
    return RecordedCall(
        method=operation.method,
        template=operation.template,
        path=f"{parts.path}?{parts.query}" if parts.query else parts.path,
        parts={name: unquote(part) for name, part in found.groupdict().items()} if found else {},
        query=dict(parse_qsl(parts.query)),
        json=json.loads(content) if content and operation.content_type == "application/json" else None,
        content=content,
        headers=call.headers(),
    )


def answered(status: int, body: bytes, headers: Mapping[str, str] = MappingProxyType({})) -> Answer:
    """Return an answer as it comes from a socket."""
    own = {"X-Request-Id": "req_fake", "Content-Type": "application/json"}
    return Answer(status, CaseInsensitiveDict({**own, **headers}), body)


def as_json(body: object) -> bytes:
    """Write dicts, lists, and objects of `maas_client.types` as JSON."""

    def plain(value: object) -> object:
        if isinstance(value, BaseModel):
            return value.model_dump(mode="json")
        raise TypeError(
            f"{type(value).__name__} is no JSON; give dicts, lists or objects of maas_client.types"
        )

    return json.dumps(body, default=plain).encode()


def page(items: Iterable[object]) -> dict[str, object]:
    """Return wire objects as a listing's only page."""
    return {"object": "list", "data": list(items), "has_more": False, "next_cursor": None}


def _content(body: bytes | IO[bytes] | None) -> bytes:
    if body is None or isinstance(body, bytes):
        return body or b""
    body.seek(0)
    return body.read()
