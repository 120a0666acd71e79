"""Predictions and embeddings."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from maas_client.types.base import Reply, Request
from maas_client.types.usage import Usage


class Timing(Reply):
    """Where the server spent its time, in milliseconds."""

    queue_ms: float
    compute_ms: float


class PredictReply(Reply):
    """The answer to a predict call: one prediction per instance, in the same order."""

    id: str
    model: str
    version: int
    digest: str
    device: str
    predictions: list[dict[str, Any]]
    usage: Usage
    timing: Timing


class EmbeddingsRequest(Request):
    """Texts to embed, as the OpenAI API has them."""

    model: str = Field(min_length=1, max_length=200, description="A model of the task `embedding`.")
    input: Annotated[str, Field(min_length=1)] | Annotated[list[str], Field(min_length=1)]
    encoding_format: Literal["float", "base64"] = Field(
        "float", description="`base64` is that of little-endian float32."
    )
    dimensions: int | None = Field(
        None, ge=1, lt=2**31, description="What the model has; no model here shortens them."
    )
    user: str | None = Field(None, max_length=256, description="Taken for compatibility, and not kept.")
