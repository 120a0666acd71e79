"""Calls about the catalogue of models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_client._operations import _names
from maas_client._operations._contract import build, encode, reader
from maas_client._operations._operation import Operation, fill
from maas_client._operations.erasures import told
from maas_client.types import Model, ModelCreate, ModelQuery, ModelUpdate, Page

if TYPE_CHECKING:
    from maas_client.types import Erasure, Visibility

_MODELS = "/v1/models"
_MODEL = "/v1/models/{model}"


def list_page(query: ModelQuery) -> Operation[Page[Model]]:
    """Ask for a page of the catalogue."""
    return Operation(method="GET", template=_MODELS, path=fill(_MODELS, query), read=reader(Page[Model]))


def get(model: str) -> Operation[Model]:
    """Ask for one model."""
    path = fill(_MODEL, model=_names.model(model))
    return Operation(method="GET", template=_MODEL, path=path, read=reader(Model))


def create(*, name: str, visibility: Visibility) -> Operation[Model]:
    """Claim a name for a model without versions yet."""
    return Operation(
        method="POST",
        template=_MODELS,
        path=_MODELS,
        body=encode(build(ModelCreate, name=name, visibility=visibility)),
        read=reader(Model),
        keyed=True,
    )


def update(
    model: str, *, visibility: Visibility | None = None, downloadable: bool | None = None
) -> Operation[Model]:
    """Change who sees a model and who downloads it."""
    return Operation(
        method="PATCH",
        template=_MODEL,
        path=fill(_MODEL, model=_names.model(model)),
        body=encode(build(ModelUpdate, visibility=visibility, downloadable=downloadable)),
        read=reader(Model),
    )


def delete(model: str) -> Operation[Erasure | None]:
    """Delete a model with everything that it has."""
    path = fill(_MODEL, model=_names.model(model))
    return Operation(method="DELETE", template=_MODEL, path=path, read=told)
