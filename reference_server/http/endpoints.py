"""The table of endpoints: Flask's routes, access control, parsing and OpenAPI all come from it.

A handler states what it takes and returns in its annotations, once: parameters named in the path are strings,
`query` and `body` are request types (or `bytes`, or a file of an upload), the return type is the reply.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import IO, Any, Literal, TypeAlias, get_args, get_origin, get_type_hints

from pydantic import BaseModel, SecretStr

from maas_client.types import AuditAct, Reply, Request, Scope
from reference_server.http.exchange import Answer, Replied
from reference_server.http.inference import Pending
from reference_server.settings import Settings

Access: TypeAlias = Literal["open", "session", "operator"] | Scope
BodyKind: TypeAlias = Literal["none", "json", "raw", "upload"]
Handler = Callable[..., Any]

_PLACEHOLDER = re.compile(r"<(\w+)>")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method on one path.

    Args:
        access: `open`, `session` (a log-in session), `operator` (any credential of such an account), or the
            scope that a credential must carry.
        others: Statuses beside `status` that the handler itself answers, and what they mean.
        replayable: Whether it honours `Idempotency-Key`.
        one_transaction: Whether its effect, the reply that is kept for a repeat and its entry in the audit
            log are committed together.
        inference: Whether it runs a model: its handler returns a `Pending`, which a lane computes.
        instant: Whether it waits for nothing, so that it is answered even while every thread is taken.
        produces: The media type of what it answers, if that is no JSON.
        streamed: Of an upload, the media type of its body.
        holds: Of an upload of JSON, what it holds, for the documentation.
        limit: Of an upload, the setting that tells its most bytes.
        answers: What it replies by status, where the annotation of its handler cannot tell.
        audit: As what it stands in the audit log; None where nothing of it does but denials.
        template: The path as OpenAPI and the log write it: `/v1/models/{model}`.
        pattern: What matches its paths whole and names their parts.
    """

    method: str
    path: str
    template: str
    pattern: re.Pattern[str]
    tag: str
    access: Access
    handler: Handler
    status: int
    parameters: tuple[str, ...]
    query: type[Request] | None
    body: type[Request] | None
    body_kind: BodyKind
    reply: type[Reply] | None
    others: Mapping[int, str] = field(hash=False)
    replayable: bool
    one_transaction: bool
    inference: bool
    instant: bool
    produces: str | None
    streamed: str
    holds: type[Request] | None
    limit: str
    answers: Mapping[int, type[BaseModel]] = field(hash=False)
    audit: AuditAct | None

    @property
    def name(self) -> str:
        """A unique name: `keys.create`."""
        return f"{self.tag}.{self.handler.__name__}"

    def most_bytes(self, settings: Settings) -> int:
        """Return how many bytes an upload may have."""
        most: int = getattr(settings, self.limit)
        return most

    @property
    def has_ranges(self) -> bool:
        """Whether a part of what it answers can be asked for (RFC 9110, section 14)."""
        return HTTPStatus.PARTIAL_CONTENT in self.others

    @property
    def secret(self) -> bool:
        """Whether the reply shows a secret."""
        return self.reply is not None and any(
            field.annotation is SecretStr for field in self.reply.model_fields.values()
        )


class Routes:
    """Collects the endpoints of one noun.

    Args:
        tag: The noun, by which the documentation groups them.
    """

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.endpoints: list[Endpoint] = []

    def route(
        self,
        method: str,
        path: str,
        *,
        access: Access,
        status: int | None = None,
        others: Mapping[int, str] | None = None,
        replayable: bool | None = None,
        one_transaction: bool = False,
        inference: bool = False,
        instant: bool = False,
        produces: str | None = None,
        streamed: str = "application/zip",
        holds: type[Request] | None = None,
        limit: str = "max_package_bytes",
        answers: Mapping[int, type[BaseModel]] | None = None,
        audit: AuditAct | None = None,
        unaudited: str | None = None,
    ) -> Callable[[Handler], Handler]:
        """Register a handler; every POST that is no inference is replayable unless it says otherwise.

        Args:
            method: The HTTP method.
            path: The path, its parameters in angle brackets.
            access: The scope that is needed, a log-in session, or nothing.
            status: What success answers: 200 when left out, or 204 for a handler that returns nothing.
            others: The meanings of other statuses that the handler's own `Replied` may have.
            replayable: Whether it honours Idempotency-Key.
            one_transaction: Whether what it writes, the reply that is kept for a repeat and its entry in the
                audit log are committed together: for a handler that after its write does nothing slow and
                nothing outside the store.
            inference: Whether it runs a model, and so in a lane.
            instant: Whether it needs neither a credential nor a body and waits for nothing.
            produces: The media type of an `Answer` that is no JSON.
            streamed: The media type of the body of an upload, which is kept on disk while it is handled.
            holds: What that body holds, where it is JSON.
            limit: The setting that tells how many bytes that may have.
            answers: What it replies by status, where the annotation cannot tell.
            audit: As what it stands in the audit log. Every route that may change something needs this, or:
            unaudited: Why it does not stand there.

        Raises:
            TypeError: When the handler does not fit the path, or neither or both of the last two are given.
        """
        changes = method != "GET" and not inference
        if (changes and audit is None) == (unaudited is None):
            raise TypeError(
                f"{method} {path} {'changes something' if changes else 'changes nothing'}: say as what it is "
                "written into the audit log (audit=), or why it is not (unaudited=)"
            )

        def register(handler: Handler) -> Handler:
            hints = get_type_hints(handler)
            returned = hints.pop("return")
            body = hints.get("body")
            parameters = tuple(_PLACEHOLDER.findall(path))
            taken = [name for name in inspect.signature(handler).parameters if name not in ("query", "body")]
            if taken != ["call", *parameters]:
                raise TypeError(f"{handler.__name__} takes {taken}, its path gives {parameters}")
            self.endpoints.append(
                Endpoint(
                    method=method,
                    path=path,
                    template=_PLACEHOLDER.sub(r"{\1}", path),
                    pattern=re.compile(_PLACEHOLDER.sub(r"(?P<\1>[^/]+)", path)),
                    tag=self.tag,
                    access=access,
                    handler=handler,
                    status=status or (204 if returned is type(None) else 200),
                    parameters=parameters,
                    query=hints.get("query"),
                    body=body if isinstance(body, type) and issubclass(body, Request) else None,
                    body_kind=_body_kind(body),
                    reply=_reply_type(returned),
                    others=others or {},
                    replayable=method == "POST" and not inference if replayable is None else replayable,
                    one_transaction=one_transaction,
                    inference=inference,
                    instant=instant,
                    produces=produces,
                    streamed=streamed,
                    holds=holds,
                    limit=limit,
                    answers=answers or {},
                    audit=audit,
                )
            )
            return handler

        return register


def _body_kind(annotation: object) -> BodyKind:
    if annotation is None:
        return "none"
    if annotation is bytes:
        return "raw"
    return "upload" if get_origin(annotation) is IO or annotation == IO[bytes] else "json"


def _reply_type(annotation: object) -> type[Reply] | None:
    if get_origin(annotation) is Replied:
        (annotation,) = get_args(annotation)
    if annotation in (Answer, Pending, Answer | Pending) or annotation is type(None):
        return None
    if isinstance(annotation, type) and issubclass(annotation, Reply):
        return annotation
    raise TypeError(f"a handler cannot return {annotation!r}")
