"""What an owner captures of the calls of a model, and what callers are told of it."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field, JsonValue

from maas_client.types.base import PageQuery, Reply, Request

MAX_CAPTURE_DAYS = 365


class CaptureUpdate(Request):
    """Whether calls of a model are captured from now on; what is left out stays as it was.

    Args:
        enabled: False stops writing and keeps what is there.
        days: How long a record is kept: 1 to 365 days, 7 where nothing was said before. Fewer days hold for
            what is there too; more do not.
        sample: The fraction of the answered calls that is captured, above 0 and at most 1; 1 where nothing
            was said before. Which calls they are is a hash of their request ids.
    """

    enabled: bool
    days: int | None = Field(None, ge=1, le=MAX_CAPTURE_DAYS)
    sample: float | None = Field(None, gt=0, le=1)


class CaptureNotice(Reply):
    """That calls of a model may be captured: their inputs and outputs are kept for the model's owners.

    Args:
        since: When it was switched on.
        days: How long a call's record is kept, unless its owner erases it before.
        sample: The fraction of the answered calls that is kept.
    """

    since: datetime
    days: int
    sample: float


class Capture(Reply):
    """Whether calls of a model are captured; what there is of them is told to its owners alone.

    Args:
        enabled: Whether it is switched on.
        since: When it was switched on; null while it is off.
        days: How long a call's record is kept, unless it is erased before.
        sample: The fraction of the answered calls that is kept.
        notice: The same in words, with what becomes of what is there.
        records: How many calls there are.
        bytes: What they take, sealed.
        most_bytes: What they may take; beyond it the oldest go.
        oldest_at: When the oldest of them was made.
        dropped: How many calls were not written since the set was begun: more came within a second than a
            worker holds, or one alone was too large.
    """

    enabled: bool
    since: datetime | None = None
    days: int
    sample: float
    notice: str
    records: int | None = None
    bytes: int | None = None
    most_bytes: int | None = None
    oldest_at: datetime | None = None
    dropped: int | None = None


class CapturedQuery(PageQuery):
    """Which captured calls to list."""

    version: int | None = Field(None, ge=1, le=999_999_999, description="Only calls that this one answered.")


class CapturedCall(Reply):
    """A call as it was answered, with status 200.

    Args:
        seq: Its number in the model's set; numbers grow and are never used again.
        at: When it was answered.
        version: The version that answered.
        account: The opaque id of the account that called.
        request_id: Its `X-Request-Id`.
        route: `predict`, `embeddings` or `infer`.
        inputs: The instances as they were sent, in JSON; an image that was the body itself as its base64.
            Of `infer` the input tensors with name, datatype, shape and `data` as it was sent; a binary one
            has `base64` instead, of its bytes as the protocol lays them out.
        parameters: The options that were sent.
        predictions: What was answered for each instance; of `infer` the output tensors, in the same form.
        fault: Why there is nothing of it: what is stored was changed, and its seal does not open.
    """

    seq: int
    at: datetime
    version: int
    account: str
    request_id: str
    route: str
    inputs: list[JsonValue] | None = None
    parameters: dict[str, JsonValue] = {}
    predictions: list[JsonValue] | None = None
    fault: str | None = None
