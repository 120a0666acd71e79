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
    from maas_client._async_listing import AsyncSend
    from maas_client._operations._operation import Operation


class AsyncResource:
    def __init__(self, send: AsyncSend) -> None:
        self._send = send


async def holds(send: AsyncSend, operation: Operation[None]) -> bool:
    """Tell whether a state holds: other servers answer 200, or 4xx or 503 when it does not."""
    try:
        await send(operation)
    except (NotFoundError, BadRequestError, GoneError, UnavailableError):
        return False
    return True


class AsyncOfModel(AsyncResource):
    def __init__(self, send: AsyncSend, model: str) -> None:
        super().__init__(send)
        self._model = model
