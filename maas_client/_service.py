# Made from _async_service.py by tools/make_sync_face.py: change that file, then run `make format`.
"""The asynchronous face of the service: what it is, and whether it lives and is ready."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from maas_client._operations import (
    erasures,
    open_inference,
    service,
)
from maas_client._resource import Resource, holds
from maas_client.errors import (
    ArgumentError,
    InvalidReplyError,
    StatusError,
)

if TYPE_CHECKING:
    from maas_client._calls import Protocol
    from maas_client.types import (
        Erasure,
        Health,
        ServerMetadata,
        ServiceInfo,
    )


class ServiceResource(Resource):
    """The service itself; open to anyone."""

    def info(self) -> ServiceInfo:
        """Return the service's name, version and usage policy."""
        return self._send(service.info())

    def health(self) -> Health:
        """Return whether the service takes new work.

        Raises:
            UnavailableError: It is draining.
        """
        return self._send(service.health())

    def erasure(self, erasure_id: str) -> Erasure:
        """Return an erasure and, once it is done, its signed receipt; it needs no log-in."""
        return self._send(erasures.get(erasure_id))

    def metadata(self) -> ServerMetadata:
        """Return what the server says of itself in the Open Inference Protocol."""
        return self._send(open_inference.server_metadata())

    def live(self) -> bool:
        """Return whether the server runs, by the Open Inference Protocol."""
        return holds(self._send, open_inference.health("live"))

    def ready(self) -> bool:
        """Return whether the server and its models can be called, by the Open Inference Protocol."""
        return holds(self._send, open_inference.health("ready"))

    def protocol(self) -> Protocol:
        """Return what the server speaks: `maas`, which is ours, or `open-inference` alone.

        Raises:
            InvalidReplyError: It speaks neither.
        """
        with suppress(InvalidReplyError, StatusError, ArgumentError):
            self.info()
            return "maas"
        with suppress(InvalidReplyError, StatusError):
            self.metadata()
            return "open-inference"
        raise InvalidReplyError("the server answers neither GET / as ours do nor GET /v2 as others do")
