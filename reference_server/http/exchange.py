"""One request and one answer, free of any web framework."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from maas_client.types import Reply

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from concurrent.futures import Future

    from reference_server.app import Services
    from reference_server.http.endpoints import Endpoint
    from reference_server.http.limiting import Counted
    from reference_server.http.spool import Spool
    from reference_server.registry.capture import Capturing
    from reference_server.registry.in_force import Route
    from reference_server.runtime.pool import LoadedModel
    from reference_server.security.callers import Caller
    from reference_server.tracing import Stages

ReplyT = TypeVar("ReplyT", bound=Reply)


# These two are made for every request and not frozen: that would cost 2 µs for each.
@dataclass(slots=True)
class Request:
    """What came in.

    Args:
        method: In upper case.
        query: The raw query string.
        headers: Values by name in lower case.
        address: The caller's address, for throttling and for the limits of keys.
        received: When the body was complete, on the services' timer in seconds.
        body: The bytes, or what is or will be an upload's file.
    """

    id: str
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    address: str
    received: float
    body: bytes | bytearray | Spool = b""


@dataclass(slots=True)
class Answer:
    """What goes out; either `body` or, for what is large, `chunks`."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    chunks: Iterable[bytes] | None = None


@dataclass(frozen=True, slots=True)
class Replied(Generic[ReplyT]):
    """A handler's reply with a status or headers of its own."""

    reply: ReplyT
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Cold(Exception):  # noqa: N818 - no error: the caller comes again where it may wait
    """What is needed is not at hand, and this thread may not wait for it."""


class Loading(Exception):  # noqa: N818 - likewise
    """The model is being loaded.

    Args:
        model: What it will be.
    """

    def __init__(self, model: Future[LoadedModel]) -> None:
        super().__init__()
        self.model = model


@dataclass(slots=True)
class Call:
    """One request on its way through the pipeline, as the handlers see it.

    Args:
        may_wait: For what its thread may wait: an event loop for nothing (else `Cold` is raised), a thread of
            the front for the store (else `Loading`), any other for everything.
        is_counted: Whether it was counted by the limits of requests.
        counted: How the limits of its caller stand, where there are some.
        stages: What was measured, where calls are traced.
        route: By which a split or shadows concern the call.
        capture: How the call is captured once it is answered, where it is.
    """

    services: Services
    endpoint: Endpoint
    request: Request
    caller: Caller | None = None
    deadline: float | None = None
    may_wait: Literal["nothing", "store", "everything"] = "everything"
    is_counted: bool = False
    counted: Counted | None = None
    stages: Stages | None = None
    route: Route | None = None
    capture: Capturing | None = None

    @property
    def by(self) -> Caller:
        """The authenticated caller.

        Raises:
            RuntimeError: On an open endpoint, which has none; a defect of the handler.
        """
        if self.caller is None:
            raise RuntimeError(f"{self.endpoint.name} is open and has no caller")
        return self.caller
