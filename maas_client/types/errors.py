"""Error replies."""

from __future__ import annotations

from pydantic import Field, JsonValue

from maas_client.types.base import Reply


class ErrorDetail(Reply):
    """One of several faults in one request, such as one bad row of a batch."""

    code: str
    message: str
    param: str | None = None


class ErrorBody(Reply):
    """What went wrong, in the error shape of the OpenAI API."""

    type: str
    code: str
    message: str
    param: str | None = None
    request_id: str | None = None
    errors: list[ErrorDetail] | None = None
    current: dict[str, JsonValue] | None = Field(
        None, description="Of a 412: what the thing is now, which somebody else changed."
    )
    replacement: str | None = Field(None, description="Of a 410: what to use instead.")


class ErrorReply(Reply):
    """The body of every `/v1` answer whose status is 400 or above."""

    error: ErrorBody
