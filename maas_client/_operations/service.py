"""Calls about the service itself."""

from __future__ import annotations

from maas_client._operations._contract import reader
from maas_client._operations._operation import Operation
from maas_client.types import Health, ServiceInfo


def info() -> Operation[ServiceInfo]:
    """Ask for the service's name, version and usage policy."""
    return Operation(method="GET", template="/", path="/", read=reader(ServiceInfo), credential="none")


def health() -> Operation[Health]:
    """Ask whether the service takes new work."""
    return Operation(
        method="GET", template="/healthz", path="/healthz", read=reader(Health), credential="none"
    )
