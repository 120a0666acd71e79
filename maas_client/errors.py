"""Everything that the SDK raises, under one root; nothing of the libraries below it reaches a caller.

MaasError
├── ConfigurationError               no key, no host, a profile file that cannot be read
├── ArgumentError                    an argument that cannot be sent; also a ValueError
├── PackageError                     a model package that cannot be published; also a ValueError
├── ReceiptError                     a receipt of an erasure that does not hold; also a ValueError
├── ConnectionFailedError            no whole answer came back
│   ├── NotSentError                 refused, unknown host, TLS, proxy: the server saw nothing
│   └── DroppedError                 sent, then the connection broke
├── DeadlineError                    the call's time ran out; also a TimeoutError
├── InvalidReplyError                an answer that is not what the service promises
├── RedirectError                    the server points elsewhere, and a credential stays here
├── JobError                         a job ended without a result; its own code and message
│   ├── JobFailedError               for reasons of the work itself
│   ├── JobCancelledError            somebody asked it to stop
│   └── JobInterruptedError          the server ended under it, and it could not go on
└── StatusError                      the server answered with a failure
    ├── BadRequestError              400  malformed
    ├── AuthenticationError          401  no credential, or one that does not hold
    ├── PermissionDeniedError        403  a scope or a role is missing
    ├── NotFoundError                404  absent, or not visible to this account
    ├── ConflictError                409  a name taken, a request under way; see `.errors`
    ├── GoneError                    410  a version that was retired; see `.replacement`
    ├── PreconditionFailedError      412  somebody else changed it first; see `.current`
    ├── TooLargeError                413  more than the server takes
    ├── UnsupportedMediaTypeError    415  a kind of body that the server does not read
    ├── UnprocessableError           422  against the signature or the rules; see `.errors`
    ├── RateLimitError               429  too many requests; see `.retry_after`
    └── ServerError                  5xx  the server's own failure
        ├── UnavailableError         503  loading, full or draining; see `.retry_after`
        └── GatewayTimeoutError      504  the server's time ran out; also a TimeoutError
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pydantic

    from maas_client.types import Alias, ErrorDetail, Traffic

MAX_BODY_CHARACTERS = 2_000
_MAX_LINE_CHARACTERS = 1_000
_MAX_FAULTS_SHOWN = 10
# Where the service's own code tells more than the status.
_ADVICE_BY_CODE: dict[str | None, str] = {
    "missing_scope": "use a key with the scope that this needs",
    "route_not_found": "this server does not have it, or base_url holds a path that does not belong there",
}


class MaasError(Exception):
    """The root of the SDK's errors; every attribute is always there, and None where it does not apply.

    Args:
        message: What was wrong and what was expected.
        status: The HTTP status of the answer.
        code: The service's stable identifier of the failure, such as `model_not_found`.
        type: The service's class of failure, such as `invalid_request_error`.
        param: The input at fault, such as `instances[17].text`.
        request_id: The `X-Request-Id` to quote to whoever runs the service.
        retry_after: Seconds after which the server expects that a repeat may succeed.
        should_retry: Whether the server knows a repeat to be right or wrong; None when it does not say.
        body: The beginning of the answer's body, at most `MAX_BODY_CHARACTERS` long.
        errors: The single faults, when the answer lists several.
        current: What the alias or the traffic is now that somebody else changed it, if the answer tells.
        replacement: What to use instead of what is gone: a version's number, or a model's name.
    """

    default_status: ClassVar[int | None] = None
    advice: ClassVar[str] = ""

    def __init__(
        self,
        message: str = "",
        *,
        status: int | None = None,
        code: str | None = None,
        type: str | None = None,  # noqa: A002 - the wire's own name
        param: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        should_retry: bool | None = None,
        body: str | None = None,
        errors: Iterable[ErrorDetail] = (),
        current: Alias | Traffic | None = None,
        replacement: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = self.default_status if status is None else status
        self.code = code
        self.type = type
        self.param = param
        self.request_id = request_id
        self.retry_after = retry_after
        self.should_retry = should_retry
        self.body = body if body is None else body[:MAX_BODY_CHARACTERS]
        self.errors = list(errors)
        self.current = current
        self.replacement = replacement

    def __str__(self) -> str:
        message = str(self.message) or type(self).__name__
        text = f"{message}{_bracket(self._facts())}"
        advice = _ADVICE_BY_CODE.get(self.code, self.advice)
        return one_line(f"{text}: {advice}" if advice else text)

    def _facts(self) -> list[str]:
        facts = [f"HTTP {self.status}" if self.status else "", self.code or "", self.param or ""]
        if self.retry_after is not None:
            facts.append(f"repeat after {self.retry_after:g} s")
        if self.request_id:
            facts.append(f"request {self.request_id}")
        return [fact for fact in facts if fact]


class ConfigurationError(MaasError):
    """The client cannot be set up: no key, no host, or a profile file that cannot be read."""


class ArgumentError(MaasError, ValueError):
    """An argument that cannot be sent; nothing was."""


class PackageError(MaasError, ValueError):
    """A model package that cannot be published; the message names the file and the field."""


class ReceiptError(MaasError, ValueError):
    """A receipt of an erasure that does not hold: it was changed, or signed by another key."""


class ConnectionFailedError(MaasError):
    """No whole answer came back."""

    advice = "check that the server runs and that base_url points to it"


class NotSentError(ConnectionFailedError):
    """The request never left: refused, an unknown host, a TLS failure, a proxy that will not."""


class DroppedError(ConnectionFailedError):
    """The request was sent and the connection broke before the whole answer was there."""

    advice = "it may have been carried out; repeat it if that does no harm"


class DeadlineError(MaasError, TimeoutError):
    """The call's total time ran out: connecting, every attempt, every wait and the body together."""

    advice = "pass a larger timeout= (seconds in total)"


class InvalidReplyError(MaasError):
    """The answer is not what the service promises: not JSON, or of another shape."""

    advice = "check that base_url points to the service itself and that client and server fit together"


class RedirectError(MaasError):
    """The server points to another place; credentials do not follow."""

    advice = "set base_url to the final address if you trust it"


class JobError(MaasError):
    """A job ended without a result; `code` and the message are its own."""


class JobFailedError(JobError):
    """The job failed for reasons of the work itself."""


class JobCancelledError(JobError):
    """The job was cancelled."""


class JobInterruptedError(JobError):
    """The server ended while the job ran, and the job could not go on from where it was."""

    advice = "create it again"


class StatusError(MaasError):
    """The server answered with a failure; the subclasses tell which."""


class ModelDeprecationWarning(FutureWarning):
    """A model or a version that was called is deprecated; the message tells since when and what to use."""


class VersionWarning(UserWarning):
    """A handle is pinned to a version, and `default` points to a newer one; the message tells to which."""


class BadRequestError(StatusError):
    """400: the request is malformed."""

    default_status = 400


class AuthenticationError(StatusError):
    """401: there was no credential, or it does not hold."""

    default_status = 401
    advice = "check MAAS_API_KEY or log in again"


class PermissionDeniedError(StatusError):
    """403: the credential lacks a scope or a role."""

    default_status = 403


class NotFoundError(StatusError):
    """404: absent, or not visible to this account; the two look the same."""

    default_status = 404
    advice = "check the name, and that this account may see it"


class ConflictError(StatusError):
    """409: the request does not fit the present state."""

    default_status = 409


class GoneError(StatusError):
    """410: the version was retired and is not run any more; `.replacement` tells what to use instead."""

    default_status = 410
    advice = "use another version"


class PreconditionFailedError(StatusError):
    """412: somebody else changed it first; `.current` is what it is now, where the server tells."""

    default_status = 412
    advice = "read it again and repeat the change on what it is now"


class TooLargeError(StatusError):
    """413: the body is larger than the server takes."""

    default_status = 413
    advice = "send less at once"


class UnsupportedMediaTypeError(StatusError):
    """415: the body is of a kind that the server does not read."""

    default_status = 415


class UnprocessableError(StatusError):
    """422: well-formed, but against the signature or the rules; `.errors` lists each fault."""

    default_status = 422


class RateLimitError(StatusError):
    """429: too many requests."""

    default_status = 429
    advice = "slow down, or raise max_retries and timeout"


class ServerError(StatusError):
    """5xx: the server's own failure."""

    default_status = 500
    advice = "quote the request id to whoever runs the service"


class UnavailableError(ServerError):
    """503: the server is loading, full or draining."""

    default_status = 503
    advice = "repeat later, or raise max_retries and timeout"


class GatewayTimeoutError(ServerError, TimeoutError):
    """504: the server's own time ran out."""

    default_status = 504
    advice = "pass a larger timeout= or send less at once"


_BY_STATUS: dict[int | None, type[StatusError]] = {
    kind.default_status: kind
    for kind in (
        BadRequestError,
        AuthenticationError,
        PermissionDeniedError,
        NotFoundError,
        ConflictError,
        GoneError,
        PreconditionFailedError,
        TooLargeError,
        UnsupportedMediaTypeError,
        UnprocessableError,
        RateLimitError,
        UnavailableError,
        GatewayTimeoutError,
    )
}


def class_for_status(status: int) -> type[StatusError]:
    """Return the class of error that stands for an HTTP status of 400 or above."""
    return _BY_STATUS.get(status) or (ServerError if status >= 500 else StatusError)  # noqa: PLR2004 - RFC 9110


def describe_validation(error: pydantic.ValidationError) -> str:
    """Return what pydantic found wrong as one line, without the values, which may be secret."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    shown = "; ".join(
        _fault(fault["loc"], fault["type"], fault["msg"]) for fault in faults[:_MAX_FAULTS_SHOWN]
    )
    more = len(faults) - _MAX_FAULTS_SHOWN
    return f"{shown}; and {more} more" if more > 0 else shown


def one_line(text: str) -> str:
    """Return text as one printable line of bounded length."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * _MAX_LINE_CHARACTERS]).split())
    return line if len(line) <= _MAX_LINE_CHARACTERS else f"{line[: _MAX_LINE_CHARACTERS - 1]}…"


def _bracket(facts: list[str]) -> str:
    return f" ({', '.join(facts)})" if facts else ""


_PLAIN_WORDS = {"missing": "is required", "extra_forbidden": "is not a known field; check the spelling"}


def _fault(location: tuple[int | str, ...], kind: str, message: str) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    words = _PLAIN_WORDS.get(kind, message.removeprefix("Value error, "))
    return f"{path}: {words}" if path else words
