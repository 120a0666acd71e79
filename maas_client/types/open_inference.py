"""The Open Inference Protocol."""

from __future__ import annotations

from maas_client.types.base import Reply


class ServerMetadata(Reply):
    """What a server of the Open Inference Protocol says of itself; peers leave out any of it."""

    name: str | None = None
    version: str | None = None
    extensions: list[str] | None = None


class TensorMetadata(Reply):
    """One tensor of a model: its Open Inference datatype and shape, −1 where a dimension varies."""

    name: str
    datatype: str | None = None
    shape: list[int] | None = None


class ModelMetadata(Reply):
    """What a server of the Open Inference Protocol says of a model; peers leave out most of it."""

    name: str | None = None
    versions: list[str] | None = None
    platform: str | None = None
    inputs: list[TensorMetadata] | None = None
    outputs: list[TensorMetadata] | None = None


class RepositoryEntry(Reply):
    """One model, or one version of it, in a server's repository."""

    name: str
    version: str | None = None
    state: str | None = None
    reason: str | None = None
