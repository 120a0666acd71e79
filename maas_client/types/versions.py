"""Versions of a model, and their uploads."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

from pydantic import Field, JsonValue

from maas_client.types.base import Reply, Request
from maas_client.types.fields import Instant, Lineage, Notes, Origin, PageAddress, Replacement, VersionNumber
from maas_client.types.models import ModelUsage, Performance, Snippets, Visibility
from maas_client.types.packages import Manifest, Metric, PossibleMetric
from maas_client.types.signatures import TaskSignature, TensorSignature

VersionState: TypeAlias = Literal["active", "deprecated", "retired"]


class Version(Reply):
    """One version of a model: immutable but for its state."""

    model: str
    version: int
    digest: str = Field(description="`sha256:` and the content digest of the package's files.")
    task: str
    size: int = Field(description="Bytes of the stored package.")
    notes: str = ""
    author: str
    created_at: datetime
    aliases: list[str] = []
    manifest: Manifest
    signature: TaskSignature
    tensors: TensorSignature
    measured_metrics: list[Metric] = Field(
        [], description="What its owner measured of it after it was published, beside `manifest.metrics`."
    )
    batch_invariant: bool | None = Field(
        None,
        description="Whether a row's result is the same in any company; if not, rows are run one by one.",
    )
    withheld: bool = Field(
        default=False,
        description="Whether it holds the weights of a base that its maker could not download: its package "
        "goes only to those who may download that too.",
    )
    origin: str = Field("uploaded", description="How it was made: `uploaded`, `trained`, `quantized`, ….")
    parent: int | None = Field(
        None, description="The version of the same model that it was made from; that may be deleted since."
    )
    lineage: dict[str, JsonValue] = Field({}, description="What else is told about how it was made.")
    state: str = Field("active", description="`active`, `deprecated`, or `retired`, which is not run.")
    state_since: datetime | None = Field(None, description="None if it was never another.")
    reason: str = Field("", description="Why it is deprecated or retired.")
    replacement: str | None = Field(None, description="A version of the same model, or another model.")
    sunset: datetime | None = Field(None, description="When it is to be retired.")
    documentation: str | None = Field(None, description="The address of a page that tells more.")
    performance: list[Performance] = Field([], description="As measured here, the quickest device first.")
    usage: ModelUsage | None = None
    snippets: Snippets | None = Field(None, description="Left out of listings.")


class VersionUpdate(Request):
    """What its owner says of a version. What is left out stays as it is; a null takes it away.

    A version that is made active again has no reason, replacement, sunset and documentation.
    """

    state: VersionState | None = None
    reason: Notes | None = Field(None, description="Why.")
    replacement: Replacement | None = Field(
        None,
        description="What to use instead: the number of a version of this model, as a number or a text, or a "
        "model's name.",
    )
    sunset: Instant | None = Field(None, description="When it is to be retired; RFC 3339, with an offset.")
    documentation: PageAddress | None = Field(None, description="The address of a page that tells more.")
    metrics: list[PossibleMetric] | None = Field(
        None, max_length=100, description="What was measured of it; takes the place of what was said before."
    )


class UploadCreate(Request):
    """A package that is to come in chunks: the size and the sha256 of its zip."""

    size: int = Field(ge=1, lt=2**63, description="Bytes of the zip.")
    sha256: str = Field(
        pattern=r"^(?:sha256:)?[0-9a-f]{64}$", description="Of the zip's bytes, in hexadecimal."
    )


class Upload(Reply):
    """A package that comes in chunks, as far as it has."""

    id: str
    size: int = Field(description="Bytes that it will have.")
    received: int = Field(ge=0, description="Bytes that are there; the next chunk begins with this one.")
    chunk_bytes: int = Field(ge=1, description="The largest chunk that is taken.")
    expires_at: datetime = Field(description="When it is forgotten, unless a chunk comes before.")


class PublishQuery(Request):
    """Query parameters of a publish, whose body is the package's zip, or empty with `upload`."""

    upload: str | None = Field(
        None,
        max_length=128,
        description="The id of an upload that holds the package; the body is empty then.",
    )
    notes: Notes = Field("", description="What is new in this version.")
    visibility: Visibility | None = Field(
        None, description="For a model that this creates (`private` when left out); others keep theirs."
    )
    set_default: bool = Field(False, description="Move the alias `default` to the new version.")
    parent: VersionNumber | None = Field(
        None, description="The version of the same model that this one was made from."
    )
    origin: Origin = Field("uploaded", description="How it was made: `uploaded`, `trained`, `quantized`, ….")
    lineage: Lineage = Field(
        {}, description="A JSON object of what else is to be known about how it was made; at most 16 KiB."
    )
    again: bool = Field(False, description="Make a new version even of content that the model has already.")
    force: bool = Field(
        False, description="With `set_default`: even if the signature breaks that of the version before."
    )
