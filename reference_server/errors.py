"""Every failure that a caller may see, each with its HTTP status; `http/errors.py` alone serialises them.

ServiceError
├── InvalidRequest        400   malformed: not JSON, a bad header, NaN
├── Unauthenticated       401   no credential, or one that does not hold
├── Forbidden             403   a known caller without the scope or role
├── NotFound              404   absent, or not visible to the caller
├── MethodNotAllowed      405
├── Conflict              409   a name taken, a request under way
├── Gone                  410   a version that was retired
├── PreconditionFailed    412   a lost compare-and-swap
├── TooLarge              413
├── UnsupportedMediaType  415
├── RangeNotSatisfiable   416   a range that begins after the end
├── Unprocessable         422   well-formed, but against the signature or the rules
├── TooManyRequests       429
├── Unavailable           503   loading, full, draining
├── DeadlineExceeded      504
└── StorageFull           507
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maas_client.types import ErrorDetail, Reply


class ServiceError(Exception):
    """A failure with an answer for the caller.

    Args:
        message: What was wrong, what was expected and what to do; shown to the caller.
        code: A stable identifier for programs, in snake case.
        param: The input at fault, such as `email` or `instances[17].text`.
        details: The single faults, when there are several.
        retry_after: Seconds after which a repeat may succeed.
        should_retry: Whether a repeat is known to be right or wrong; None when it is not known.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    default_code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        details: Sequence[ErrorDetail] = (),
        retry_after: float | None = None,
        should_retry: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.param = param
        self.details = tuple(details)
        self.retry_after = retry_after
        self.should_retry = should_retry


class InvalidRequest(ServiceError):
    """The request is malformed."""

    status = 400
    type = "invalid_request_error"
    default_code = "invalid_request"


class Unauthenticated(ServiceError):
    """There is no credential, or it does not hold."""

    status = 401
    type = "authentication_error"
    default_code = "invalid_credential"


class Forbidden(ServiceError):
    """The caller is known but lacks a scope or a role."""

    status = 403
    type = "permission_error"
    default_code = "forbidden"


class NotFound(ServiceError):
    """The thing is absent, or not visible to the caller: the two look the same."""

    status = 404
    type = "not_found_error"
    default_code = "not_found"


class MethodNotAllowed(ServiceError):
    """The route exists, with other methods.

    Args:
        allowed: Those methods, for the header `Allow`.
    """

    status = 405
    type = "invalid_request_error"
    default_code = "method_not_allowed"

    def __init__(self, message: str, *, allowed: Sequence[str]) -> None:
        super().__init__(message)
        self.allowed = tuple(allowed)


class Conflict(ServiceError):
    """The request does not fit the present state."""

    status = 409
    type = "conflict_error"
    default_code = "conflict"


class Gone(ServiceError):
    """What was asked for was here and will not be again.

    Args:
        replacement: What to use instead; None where nothing is known.
    """

    status = 410
    type = "gone_error"
    default_code = "gone"

    def __init__(self, message: str, *, code: str, param: str, replacement: str | None) -> None:
        super().__init__(message, code=code, param=param, should_retry=False)
        self.replacement = replacement


class PreconditionFailed(ServiceError):
    """A compare-and-swap was lost.

    Args:
        current: What the thing is now; None where there is none.
        etag: Its tag, for the header `ETag`.
    """

    status = 412
    type = "conflict_error"
    default_code = "precondition_failed"

    def __init__(
        self,
        message: str,
        *,
        code: str,
        param: str = "If-Match",
        current: Reply | None = None,
        etag: str | None = None,
    ) -> None:
        super().__init__(message, code=code, param=param)
        self.current = current
        self.etag = etag


class TooLarge(ServiceError):
    """The body is larger than the route takes."""

    status = 413
    type = "invalid_request_error"
    default_code = "body_too_large"


class UnsupportedMediaType(ServiceError):
    """The body is of a kind that the route does not read."""

    status = 415
    type = "invalid_request_error"
    default_code = "unsupported_media_type"


class RangeNotSatisfiable(ServiceError):
    """The range that was asked for holds no byte.

    Args:
        size: Bytes that there are, for the header `Content-Range`.
    """

    status = 416
    type = "invalid_request_error"
    default_code = "range_not_satisfiable"

    def __init__(self, message: str, *, size: int) -> None:
        super().__init__(message, param="Range")
        self.size = size


class Unprocessable(ServiceError):
    """The request is well-formed but breaks a signature or a rule."""

    status = 422
    type = "invalid_request_error"
    default_code = "unprocessable"


class TooManyRequests(ServiceError):
    """A limit was reached."""

    status = 429
    type = "rate_limit_error"
    default_code = "rate_limited"


class Unavailable(ServiceError):
    """The server cannot take this now: loading, full or draining."""

    status = 503
    type = "unavailable_error"
    default_code = "unavailable"


class DeadlineExceeded(ServiceError):
    """The caller's time ran out."""

    status = 504
    type = "timeout_error"
    default_code = "deadline_exceeded"


class StorageFull(ServiceError):
    """There is no room for what the request would keep (RFC 4918, section 11.5)."""

    status = 507
    type = "server_error"
    default_code = "storage_full"
