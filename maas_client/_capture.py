# Made from _async_capture.py by tools/make_sync_face.py: change that file, then run `make format`.
"""What a model's owners capture of its calls: inputs and outputs, for a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_client._listing import Listing
from maas_client._operations import capture

if TYPE_CHECKING:
    from maas_client._listing import Send
    from maas_client.types import Capture, CapturedCall, Erasure


class CaptureResource:
    """Whether inputs and outputs of one model's calls are stored; everybody who sees the model is told."""

    def __init__(self, send: Send, model: str) -> None:
        self._send = send
        self._model = model

    def get(self) -> Capture:
        """Return whether calls are captured, since when and for how long, and to owners what there is."""
        return self._send(capture.get(self._model))

    def set(self, *, days: int | None = None, sample: float | None = None) -> Capture:
        """Switch capture on, or change how; it holds within a second, and callers see it in each answer.

        Args:
            days: How long a call is kept, 1 to 365; as it was when left out, 7 at first. Fewer days hold for
                what is there too, more only for calls from then on.
            sample: The fraction of the answered calls that is kept, above 0 and at most 1; as it was when
                left out, all at first.

        Raises:
            ArgumentError: A number lies outside its range.
            PermissionDeniedError: You are no owner of the model, or the operator allows no capture.

        Example:
            >>> client.model("text_classification_model").capture.set(days=7, sample=0.1).enabled
            True
        """
        return self._send(capture.change(self._model, enabled=True, days=days, sample=sample))

    def off(self) -> Capture:
        """Stop capturing; what is there stays until its days end, or until `captured.delete()`.

        Raises:
            PermissionDeniedError: You are no owner of the model.
        """
        return self._send(capture.change(self._model, enabled=False))


class CapturedResource:
    """The captured calls of one model; its owners' to read and to erase."""

    def __init__(self, send: Send, model: str) -> None:
        self._send = send
        self._model = model

    def list(self, *, version: int | None = None, page_size: int | None = None) -> Listing[CapturedCall]:
        """List the captured calls, oldest first; each iteration asks anew.

        A call that was changed in the server's store has a `fault`, and neither inputs nor predictions.

        Args:
            version: Only calls that this version answered.
            page_size: How many to fetch at a time, 1 to 1000; large calls come fewer at a time.

        Raises:
            PermissionDeniedError: You are no owner of the model.
        """
        return Listing(
            self._send,
            lambda cursor: capture.list_page(self._model, version=version, limit=page_size, cursor=cursor),
        )

    def delete(self) -> Erasure:
        """Erase all of them for good; capture goes on as it is set.

        Returns:
            The erasure with its signed receipt; `service.erasure(id)` returns one that is still pending.

        Raises:
            PermissionDeniedError: You are no owner of the model.
        """
        return self._send(capture.erase(self._model))
