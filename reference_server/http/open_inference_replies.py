"""What `/v2` answers, for OpenAPI: the Open Inference Protocol's objects and Triton's extensions of it."""

from __future__ import annotations

from typing import TypeAlias

from pydantic import RootModel

from maas_client.types import ModelMetadata, Reply, RepositoryEntry, ServerMetadata

__all__ = [
    "Index",
    "InferReply",
    "Live",
    "ModelConfiguration",
    "ModelMetadata",
    "ModelReady",
    "ModelStatistics",
    "Nothing",
    "Ready",
    "ServerMetadata",
]

# An element of a tensor, or a list of them, in the shape's own nesting or flat.
Element: TypeAlias = bool | int | float | str
Parameter: TypeAlias = bool | int | float | str


class Live(Reply):
    """The server runs."""

    live: bool


class Ready(Reply):
    """The server takes new work."""

    ready: bool


class ModelReady(Reply):
    """A model can be called."""

    name: str
    version: str
    ready: bool


class Nothing(Reply):
    """It is done, and there is nothing to tell."""


class Index(RootModel[list[RepositoryEntry]]):
    """Every version that the caller may see."""


class OutputTensor(Reply):
    """One tensor of an answer; a binary one has `binary_data_size` in the place of its data."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Parameter] | None = None
    data: list[Element] | None = None


class InferReply(Reply):
    """The tensors that a model computed."""

    model_name: str
    model_version: str
    id: str | None = None
    parameters: dict[str, Parameter] | None = None
    outputs: list[OutputTensor]


class Duration(Reply):
    """How often something happened, and how long it took in all, in nanoseconds."""

    count: int
    ns: int


class InferenceDurations(Reply):
    """How long the parts of a model's calls took."""

    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration
    cache_hit: Duration
    cache_miss: Duration


class BatchDurations(Reply):
    """How long runs of one number of rows took."""

    batch_size: int
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration


class VersionStatistics(Reply):
    """What was counted for one version; `last_inference` is in milliseconds since 1970."""

    name: str
    version: str
    last_inference: int
    inference_count: int
    execution_count: int
    inference_stats: InferenceDurations
    batch_stats: list[BatchDurations]


class ModelStatistics(Reply):
    """What was counted for each version."""

    model_stats: list[VersionStatistics]


class ConfiguredTensor(Reply):
    """One tensor as Triton describes it; a dimension that varies is -1."""

    name: str
    data_type: str
    dims: list[int]


class InstanceGroup(Reply):
    """Where a model runs, and in how many lanes."""

    name: str
    kind: str
    count: int


class SpecificVersions(Reply):
    """Versions by their numbers."""

    versions: list[int]


class VersionPolicy(Reply):
    """Which versions a configuration is of."""

    specific: SpecificVersions


class DynamicBatching(Reply):
    """How long a run waits for company."""

    max_queue_delay_microseconds: int


class ModelConfiguration(Reply):
    """How a version is run, in Triton's form."""

    name: str
    platform: str
    backend: str
    version_policy: VersionPolicy
    max_batch_size: int
    input: list[ConfiguredTensor]
    output: list[ConfiguredTensor]
    instance_group: list[InstanceGroup]
    dynamic_batching: DynamicBatching | None = None
