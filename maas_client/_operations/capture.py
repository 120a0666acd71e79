"""Calls about what a model's owners capture of its calls."""

from __future__ import annotations

from maas_client._operations import _names
from maas_client._operations._contract import build, encode, reader
from maas_client._operations._operation import Operation, fill
from maas_client.types import Capture, CapturedCall, CapturedQuery, CaptureUpdate, Erasure, Page

_CAPTURE = "/v1/models/{model}/capture"
_CAPTURED = "/v1/models/{model}/captured"


def get(model: str) -> Operation[Capture]:
    """Ask whether calls of a model are captured."""
    path = fill(_CAPTURE, model=_names.model(model))
    return Operation(method="GET", template=_CAPTURE, path=path, read=reader(Capture))


def change(
    model: str, *, enabled: bool, days: int | None = None, sample: float | None = None
) -> Operation[Capture]:
    """Switch the capture of a model's calls on or off."""
    return Operation(
        method="PUT",
        template=_CAPTURE,
        path=fill(_CAPTURE, model=_names.model(model)),
        body=encode(build(CaptureUpdate, enabled=enabled, days=days, sample=sample)),
        read=reader(Capture),
    )


def list_page(
    model: str, *, version: int | None = None, limit: int | None = None, cursor: str | None = None
) -> Operation[Page[CapturedCall]]:
    """Ask for a page of the captured calls."""
    query = build(CapturedQuery, version=version, limit=limit, cursor=cursor)
    path = fill(_CAPTURED, query, model=_names.model(model))
    return Operation(method="GET", template=_CAPTURED, path=path, read=reader(Page[CapturedCall]))


def erase(model: str) -> Operation[Erasure]:
    """Erase the captured calls."""
    path = fill(_CAPTURED, model=_names.model(model))
    return Operation(method="DELETE", template=_CAPTURED, path=path, read=reader(Erasure))
