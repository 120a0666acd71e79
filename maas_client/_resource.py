# Made from _async_resource.py by tools/make_sync_face.py: change that file, then run `make format`.
"""What the classes that hang off a client share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_client.errors import (
    BadRequestError,
    GoneError,
    NotFoundError,
    UnavailableError,
)

if TYPE_CHECKING:
    from maas_client._listing import Send
    from maas_client._operations._operation import Operation


class Resource:
    def __init__(self, send: Send) -> None:
        self._send = send


def holds(send: Send, operation: Operation[None]) -> bool:
    """Tell whether a state holds: other servers answer 200, or 4xx or 503 when it does not."""
    try:
        send(operation)
    except (NotFoundError, BadRequestError, GoneError, UnavailableError):
        return False
    return True


class OfModel(Resource):
    def __init__(self, send: Send, model: str) -> None:
        super().__init__(send)
        self._model = model
