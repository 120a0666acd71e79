# Made from _async_pins.py by tools/make_sync_face.py: change that file, then run `make format`.
"""Calls of a handle that is pinned to a version, which learn from the answers that `default` has moved on."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from maas_client._calls import NOT_GIVEN
from maas_client._deprecation import frames_of_ours
from maas_client._operations import _names
from maas_client.errors import VersionWarning

if TYPE_CHECKING:
    from collections.abc import Callable

    from maas_client._calls import Budget, Timeout
    from maas_client._listing import Send
    from maas_client._operations._operation import Answer, Operation, Result

_DEFAULT = "X-Maas-Default-Version"


class PinnedSend:
    """Makes calls as a client does, and warns once of each newer version that becomes `default`.

    Args:
        send: The client's own.
        model: The model's name.
        pin: The version that the calls are for.
    """

    def __init__(self, send: Send, model: str, pin: int) -> None:
        self._send = send
        self._model = model
        self._pin = int(_names.number(pin))
        self._newest = self._pin

    def __call__(self, operation: Operation[Result], *, timeout: Timeout | Budget = NOT_GIVEN) -> Result:
        """Make a call and return its result."""
        watched = replace(operation, read=partial(self._read, operation.read))
        return self._send(watched, timeout=timeout)

    def _read(self, read: Callable[[Answer], Result], answer: Answer) -> Result:
        default = answer.headers.get(_DEFAULT, "")
        if default.isascii() and default.isdecimal() and int(default[:9]) > self._newest:
            self._newest = int(default[:9])
            warnings.warn(
                f"this handle is pinned to version {self._pin} of the model {self._model!r}, and version "
                f"{self._newest} is the default now; "
                f"client.model({self._model!r}).versions.diff({self._pin}, {self._newest}) tells what is new",
                VersionWarning,
                stacklevel=frames_of_ours(),
            )
        return read(answer)
