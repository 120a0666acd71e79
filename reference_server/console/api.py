"""The API as the console calls it: in this process, through the same pipeline as every other call.

So access, limits, usage and the audit log are those of the API, and nothing of them is written again here.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlencode

import orjson
from pydantic import BaseModel

from maas_client.types import ErrorBody, ErrorReply
from reference_server.http import pipeline
from reference_server.http.exchange import Call
from reference_server.http.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reference_server.app import Services
    from reference_server.http.endpoints import Endpoint
    from reference_server.http.exchange import Answer, Request

ReplyT = TypeVar("ReplyT", bound=BaseModel)
_FIRST_FAILURE = 400
# Of a browser's headers: where it reached us, what it is, of which trace its request is a part, and what a
# stream of events has told it.
_KEPT = ("host", "user-agent", "traceparent", "tracestate", "last-event-id")


class Refused(Exception):  # noqa: N818 - named by what the API said
    """The API answered with a failure.

    Args:
        status: Its status.
        error: What it said.
        retry_after: In how many seconds a repeat may succeed, as it said that.
    """

    def __init__(self, status: int, error: ErrorBody, *, retry_after: str | None = None) -> None:
        super().__init__(error.message)
        self.status = status
        self.error = error
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Api:
    """Calls for one visit.

    Args:
        visit: The browser's request, from which address and program of the caller are taken.
        token: The session's.
    """

    services: Services
    visit: Request
    token: str | None

    def has(self, name: str) -> bool:
        """Tell whether this server has an endpoint."""
        return any(endpoint.name == name for endpoint in self.services.endpoints)

    def ask(
        self,
        name: str,
        reply: type[ReplyT],
        /,
        *,
        query: Mapping[str, object] | None = None,
        body: Mapping[str, object] | Spool | None = None,
        headers: Mapping[str, str] | None = None,
        **path: str,
    ) -> ReplyT:
        """Call an endpoint and return its reply.

        Args:
            name: The endpoint's name, such as `keys.create`.
            reply: The type of the reply.
            query: Parameters; those that are None or empty are left out.
            body: What is sent as JSON, or a file.
            headers: More of them.
            path: The parts of the path.

        Raises:
            Refused: The API said no.
        """
        return reply.model_validate_json(
            self.send(name, query=query, body=body, headers=headers, **path).body
        )

    def send(
        self,
        name: str,
        /,
        *,
        query: Mapping[str, object] | None = None,
        body: Mapping[str, object] | Spool | None = None,
        headers: Mapping[str, str] | None = None,
        **path: str,
    ) -> Answer:
        """Call an endpoint and return its answer; see `ask`."""
        endpoint = self._endpoint(name)
        if endpoint.body_kind == "upload" and not isinstance(body, Spool):
            most, source = endpoint.most_bytes(self.services.settings), io.BytesIO(_sent(body))
            with Spool(max_bytes=most, media_type=endpoint.streamed, source=source) as spool:
                return self.send(name, query=query, body=spool, headers=headers, **path)
        call = Call(
            self.services,
            endpoint,
            replace(
                self.visit,
                method=endpoint.method,
                path=endpoint.template.format(**path),
                query=_query(query or {}),
                headers={**self._headers(), **(headers or {})},
                received=self.services.timer(),
                body=body if isinstance(body, Spool) else _sent(body),
            ),
        )
        # Not `handle`: the page is one request, which is logged and counted once.
        answer = pipeline.compute(call, path)
        if self.services.tracing is not None:
            self.services.tracing.record(call, answer)
        answer = pipeline.settle(call, answer)
        if answer.status >= _FIRST_FAILURE:
            error = ErrorReply.model_validate_json(answer.body).error
            raise Refused(answer.status, error, retry_after=answer.headers.get("retry-after"))
        return answer

    def _endpoint(self, name: str) -> Endpoint:
        return next(endpoint for endpoint in self.services.endpoints if endpoint.name == name)

    def _headers(self) -> dict[str, str]:
        kept = {name: self.visit.headers[name] for name in _KEPT if name in self.visit.headers}
        if self.token is not None:
            kept["authorization"] = f"Bearer {self.token}"
        return {**kept, "content-type": "application/json"}


def _sent(body: Mapping[str, object] | None) -> bytes:
    return b"" if body is None else orjson.dumps(body)


def _query(parameters: Mapping[str, object]) -> str:
    given = {name: value for name, value in parameters.items() if value not in (None, "", [])}
    return urlencode(given, doseq=True)
