"""One logical call: its budget, its idempotency key, and the headers of each of its attempts."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeAlias

from maas_client._masking import Masked
from maas_client._operations._operation import Answer, Operation, Result
from maas_client.errors import ArgumentError, ConfigurationError

if TYPE_CHECKING:
    from maas_client.errors import MaasError


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """What was decided after a failed attempt; `on_retry` gets one each time.

    Args:
        attempt: The attempt that failed, from 1.
        error: Why it failed.
        wait: Seconds until the next attempt; None when there is none and the error is raised.
        operation: Method and path template, such as `POST /v1/models/{model}/predict`.
    """

    attempt: int
    error: MaasError
    wait: float | None
    operation: str


@dataclass(frozen=True, slots=True)
class RawResponse:
    """The answer behind a result, as it came; `client.with_raw_response()` keeps it.

    Args:
        status: The HTTP status.
        headers: The headers, read without regard to case.
        body: The body, decompressed.
        attempts: How many attempts the call took.
        seconds: How long it took in all, waits included.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    attempts: int
    seconds: float

    @property
    def request_id(self) -> str | None:
        """What to quote to whoever runs the service."""
        return self.headers.get("X-Request-Id")


class NotGiven(Enum):
    """Tells an argument that was left out from None, which means no limit."""

    NOT_GIVEN = "not given"


NOT_GIVEN: Final = NotGiven.NOT_GIVEN
Timeout: TypeAlias = float | NotGiven | None


@dataclass(slots=True)
class Budget:
    """The seconds that several calls may take together; the first of them starts the clock.

    Args:
        timeout: As the caller gave it.
        default: Seconds, where neither the caller nor the client says otherwise.
    """

    timeout: Timeout
    default: float
    ends_at: float | None = None

    def start(self, client_timeout: Timeout) -> tuple[float | None, float]:
        """Return the seconds in total and when they end, a point of `time.monotonic`."""
        seconds = self._seconds(client_timeout)
        if self.ends_at is None:
            self.ends_at = math.inf if seconds is None else monotonic() + seconds
        return seconds, self.ends_at

    def left(self) -> float | None:
        """Return the seconds that are left, or None for no limit."""
        if self.ends_at is None or self.ends_at == math.inf:
            return None
        return max(0.001, self.ends_at - monotonic())

    def _seconds(self, client_timeout: Timeout) -> float | None:
        for given in (checked_timeout(self.timeout), client_timeout):
            if not isinstance(given, NotGiven):
                return given
        return self.default


OnRetry: TypeAlias = Callable[[RetryDecision], None]


DEFAULT_RETRIES = 2
_MOST_STICKY_CHARACTERS = 200
Protocol: TypeAlias = Literal["maas", "open-inference"]
_PROTOCOLS: Final = ("maas", "open-inference")
# Of what `/v1` alone has, what to use instead of another server's.
_INSTEAD = {
    "/v1/models/{model}/predict": "client.model(name).infer({'input': array})",
    "/v1/models/{model}/versions/{version}/predict": "client.model(name).infer({'input': array}, version=…)",
    "/v1/models": "client.models.index()",
    "/v1/models/{model}": "client.model(name).metadata()",
    "/v1/models/{model}/versions": "client.model(name).metadata().versions",
    "/": "client.service.metadata()",
    "/healthz": "client.service.ready()",
}


@dataclass(slots=True)
class Peer:
    """What is known of the server: shared by a client and those made from it.

    Args:
        protocol: What it was said to speak; None where nothing was said.
        takes_binary: Whether it takes binary tensors; None until that has been tried.
    """

    protocol: Protocol | None = None
    takes_binary: bool | None = None

    def check(self, operation: Operation[Any]) -> None:
        """Refuse what a server of another protocol does not have.

        Raises:
            ArgumentError: Naming what to use instead.
        """
        if self.protocol != "open-inference" or operation.template.startswith("/v2"):
            return
        instead = _INSTEAD.get(operation.template)
        raise ArgumentError(
            f"{operation.method} {operation.template} is no part of the Open Inference Protocol, which this "
            f"client was told to speak; {f'use {instead}' if instead else 'only servers of ours have it'}"
        )


@dataclass(slots=True)
class Acting:
    """As whom a client and those made from it call: a log-in session goes before a key."""

    api_key: Masked | None
    token: Masked | None = None
    saved: bool = False

    @property
    def credential(self) -> Masked | None:
        """What goes into the header."""
        return self.token or self.api_key


@dataclass(slots=True, kw_only=True)
class Call(Generic[Result]):
    """An operation under way; `ends_at` is a point of `time.monotonic`.

    `forgiven` counts the attempts before the last one that brought something; they do not count as retries.
    """

    operation: Operation[Result]
    timeout: float | None
    ends_at: float
    max_retries: int
    on_retry: OnRetry | None = None
    credential: Masked | None = None
    sticky_id: str | None = None
    attempt: int = 0
    forgiven: int = 0
    answer: Answer | None = None
    trace: Mapping[str, str] = field(default_factory=dict)
    started: float = field(default_factory=monotonic, init=False)
    # Replies that hold a secret are sealed under this key on the server, so it is one too.
    idempotency_key: Masked | None = field(init=False)

    def __post_init__(self) -> None:
        self.idempotency_key = Masked(str(uuid.uuid4())) if self.operation.keyed else None
        if self.operation.credential == "required" and self.credential is None:
            raise ConfigurationError(
                f"{self.name} needs a credential and there is none: set MAAS_API_KEY, pass api_key=, "
                "or log in with client.login(...) or `maas login`"
            )

    @property
    def name(self) -> str:
        """Method and path template: what a log may show."""
        return f"{self.operation.method} {self.operation.template}"

    @property
    def repeatable(self) -> bool:
        """Whether a request that may have been carried out may be sent again."""
        return self.operation.repeatable or self.operation.keyed

    @property
    def secrets(self) -> tuple[Masked, ...]:
        """What no error may show."""
        own = (self.credential, self.idempotency_key)
        return (*self.operation.secrets, *(secret for secret in own if secret is not None))

    def raw_response(self) -> RawResponse | None:
        """Return the last answer, if there was one."""
        if self.answer is None:
            return None
        return RawResponse(
            status=self.answer.status,
            headers=self.answer.headers,
            body=self.answer.body,
            attempts=self.attempt,
            seconds=monotonic() - self.started,
        )

    def headers(self) -> dict[str, str]:
        """Return the headers of the attempt that starts now."""
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            **self.trace,
            **self.operation.headers,
        }
        if self.operation.sink is not None:
            headers.update(self.operation.sink.headers())
        if self.operation.body is not None:
            headers["Content-Type"] = self.operation.content_type
        if self.ends_at != math.inf:
            headers["X-Request-Timeout-Ms"] = str(max(1, int((self.ends_at - monotonic()) * 1000)))
        if self.sticky_id is not None:
            headers["X-Sticky-Id"] = self.sticky_id
        if self.idempotency_key is not None:
            headers["Idempotency-Key"] = self.idempotency_key
        if self.operation.credential != "none" and self.credential is not None:
            headers["Authorization"] = Masked(f"Bearer {self.credential.reveal()}")
        return headers


def checked_protocol(protocol: Protocol | None) -> Protocol | None:
    """Return a protocol that a client can speak.

    Raises:
        ArgumentError: It is none.
    """
    if protocol is not None and protocol not in _PROTOCOLS:
        raise ArgumentError(f"protocol is {protocol!r:.50}, expected 'maas', 'open-inference' or None")
    return protocol


def checked_timeout(timeout: Timeout) -> Timeout:
    """Return a timeout that a call can have.

    Raises:
        ArgumentError: It is no number of seconds above 0.
    """
    if timeout is None or isinstance(timeout, NotGiven):
        return timeout
    if not _is_number(timeout, float) or not 0 < timeout < math.inf:
        raise ArgumentError(f"timeout is {timeout!r:.50}, expected seconds above 0, or None for no limit")
    return float(timeout)


def checked_seconds(seconds: float, name: str) -> float:
    """Return a duration.

    Raises:
        ArgumentError: It is no number of seconds above 0.
    """
    if not _is_number(seconds, float) or not 0 < seconds < math.inf:
        raise ArgumentError(f"{name} is {seconds!r:.50}, expected seconds above 0")
    return float(seconds)


def checked_retries(retries: int) -> int:
    """Return a number of retries that a call can have.

    Raises:
        ArgumentError: It is no whole number from 0 up.
    """
    if not _is_number(retries, int) or retries < 0:
        raise ArgumentError(f"max_retries is {retries!r:.50}, expected a whole number from 0 up")
    return retries


def checked_sticky_id(sticky_id: str | None) -> str | None:
    """Return what a header can carry to tell callers apart.

    Raises:
        ArgumentError: It is no text of 1 to 200 printable ASCII characters.
    """
    if sticky_id is None:
        return None
    given: object = sticky_id
    fits = isinstance(given, str) and given.isascii() and given.isprintable()
    if not fits or not 0 < len(sticky_id) <= _MOST_STICKY_CHARACTERS or sticky_id != sticky_id.strip():
        raise ArgumentError(
            f"sticky_id is {sticky_id!r:.50}, expected 1 to {_MOST_STICKY_CHARACTERS} printable ASCII "
            "characters without spaces around them; hash what is longer or in other letters"
        )
    return sticky_id


def checked_count(count: int, name: str, *, most: int | None = None) -> int:
    """Return a number of things that there can be.

    Raises:
        ArgumentError: It is no whole number from 1 to `most`.
    """
    if not _is_number(count, int) or count < 1 or (most is not None and count > most):
        upper = "up" if most is None else f"to {most}"
        raise ArgumentError(f"{name} is {count!r:.50}, expected a whole number from 1 {upper}")
    return count


def _is_number(value: object, kind: type[int | float]) -> bool:
    return isinstance(value, int | kind) and not isinstance(value, bool)
