"""Models of the catalogue."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, FiniteFloat, JsonValue, model_validator

from maas_client.types.base import PageQuery, Reply, Request
from maas_client.types.capture import CaptureNotice
from maas_client.types.fields import ModelName
from maas_client.types.packages import Metric, Tag
from maas_client.types.signatures import TaskSignature

Visibility: TypeAlias = Literal["private", "public"]


class ModelCreate(Request):
    """A model without versions yet, which claims its name."""

    name: ModelName
    visibility: Visibility = "private"


class ModelUpdate(Request):
    """A change of who sees a model and who downloads it; what is left out stays as it is."""

    visibility: Visibility | None = None
    downloadable: bool | None = Field(
        None, description="Whether everybody who may use the model may download its packages."
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.visibility is None and self.downloadable is None:
            raise ValueError("nothing to change; give visibility or downloadable")
        return self


class Performance(Reply):
    """What this server measured of a version on one device, over whole calls of any number of rows.

    Args:
        device: What ran it, such as `cpu` or `cuda:0`.
        calls: Predictions that were answered; evaluations are usage, and not measured here.
        rows: Their rows.
        failures: Predictions whose run failed.
        p50_ms: The median time of a call within the server, in milliseconds, to 2 %; None before the first.
        p95_ms: The time that 95 % of the calls took at most, likewise.
        rows_per_second: Rows for each second that the model computed; None before the first.
        since: When measuring began.
        updated_at: When it was last measured.
    """

    device: str
    calls: int
    rows: int
    failures: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    rows_per_second: float | None = None
    since: datetime
    updated_at: datetime


class ModelUsage(Reply):
    """What all accounts together asked of a model or a version in the last days; never who."""

    calls: int
    rows: int
    days: int


class Snippets(Reply):
    """An example call that is ready to paste: a Python program and a shell command.

    Args:
        explain_python: The same for why the model says that; None where it cannot be explained.
        explain_curl: Likewise.
    """

    python: str
    curl: str
    explain_python: str | None = None
    explain_curl: str | None = None


class Model(Reply):
    """A model in the catalogue; what describes its quality comes from the `default` version."""

    id: str = Field(description="The shortest name by which the caller reaches it: `name` or `account~name`.")
    object: str = "model"
    created: int = Field(description="Unix time in seconds.")
    owned_by: str = Field(description="The owning account's name.")
    name: str
    visibility: str = Field(
        description="`private`, `public`, or `shared`: private but for the accounts that it is shared with."
    )
    role: str | None = Field(
        None,
        description="What you are to it: `owner`, `publisher` or `reader`; null of what everybody sees.",
    )
    downloadable: bool = Field(
        default=False,
        description="Whether everybody who may use it may download its packages, and not its owners and "
        "publishers alone.",
    )
    task: str | None = None
    description: str = ""
    intended_use: str = ""
    limitations: str = ""
    license: str | None = None
    tags: list[str] = []
    labels: list[str] = []
    metrics: list[Metric] = Field(
        [], description="What its owner measured after the publish, then what the package says."
    )
    signature: TaskSignature | None = None
    example: dict[str, JsonValue] | None = None
    explainable: bool = Field(
        default=False, description="Whether `explain` says why it predicts what it does."
    )
    size: int | None = Field(None, description="Bytes of the stored package.")
    performance: list[Performance] = Field([], description="As measured here, the quickest device first.")
    usage: ModelUsage | None = None
    snippets: Snippets | None = Field(None, description="Left out of listings.")
    default_version: int | None = None
    latest_version: int | None = None
    state: str = Field(
        "active",
        description="Of the version that is described here, `default`'s or else the latest: `active`, "
        "`deprecated` or `retired`.",
    )
    sunset: datetime | None = Field(None, description="When that version is to be retired.")
    replacement: str | None = Field(
        None, description="What to use instead of it: a version of the same model, or another model."
    )
    updated_at: datetime
    captured: CaptureNotice | None = Field(
        None,
        description="That inputs and outputs of calls are stored for the model's owners; null where they are "
        "not.",
    )

    def _repr_html_(self) -> str:
        from maas_client import _cards

        return _cards.of_model(self)


ModelSort: TypeAlias = Literal[
    "name",
    "-name",
    "created",
    "-created",
    "updated",
    "-updated",
    "accuracy",
    "-accuracy",
    "latency",
    "-latency",
    "size",
    "-size",
    "usage",
    "-usage",
]


def _split_at_commas(values: object) -> object:
    texts = [values] if isinstance(values, str) else values
    if not isinstance(texts, list):
        return values
    return [part for text in texts for part in (text.split(",") if isinstance(text, str) else [text])]


class ModelQuery(PageQuery):
    """Filters of `GET /v1/models`; a filter by a figure leaves out models that lack it."""

    task: str | None = Field(None, max_length=64, description="Only models of this task.")
    q: str | None = Field(
        None, max_length=200, description="Words that name, description or tags must contain, all of them."
    )
    tag: Annotated[list[Tag], BeforeValidator(_split_at_commas)] = Field(
        [], max_length=16, description="Tags that a model must have, all of them: repeated or between commas."
    )
    license: str | None = Field(None, max_length=200, description="Only models of this licence.")
    owner: str | None = Field(None, max_length=64, description="Only this account's models; `me` is yours.")
    shared: bool = Field(False, description="Only models that others have shared with you.")
    max_latency_ms: FiniteFloat | None = Field(
        None, gt=0, description="The longest median time of a call, as measured here on the quickest device."
    )
    min_accuracy: FiniteFloat | None = Field(
        None, ge=0, le=1, description="The least `accuracy` that the publisher measured."
    )
    max_size_bytes: int | None = Field(None, ge=1, lt=2**63, description="The largest package.")
    sort: ModelSort = Field(
        "name", description="`-` reverses the order; models that lack the figure come last in both."
    )
