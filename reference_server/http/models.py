"""The catalogue."""

from __future__ import annotations

from maas_client._snippets import snippets
from maas_client.types import Erasure, Model, ModelCreate, ModelQuery, ModelUpdate, Page
from reference_server.http.addresses import base_url
from reference_server.http.endpoints import Routes
from reference_server.http.erasures import PENDING, told
from reference_server.http.exchange import Call, Replied
from reference_server.registry import deletion, models

routes = Routes("models")


@routes.route("GET", "/v1/models", access="models:read")
def list_models(call: Call, query: ModelQuery) -> Page[Model]:
    """List the models that the caller can see, in the list shape of the OpenAI API with more fields."""
    return models.list_models(call.services.database, call.by, query)


@routes.route(
    "POST", "/v1/models", access="models:write", status=201, one_transaction=True, audit="model_made"
)
def create(call: Call, body: ModelCreate) -> Model:
    """Claim a name for a model that has no versions yet."""
    return models.create(call.services.database, call.by, name=body.name, visibility=body.visibility)


@routes.route("GET", "/v1/models/<model>", access="models:read")
def get(call: Call, model: str) -> Model:
    """Return a model with what its default version says, how it was measured, and an example call."""
    found = models.get(call.services.database, call.by, model)
    if found.example is None:
        return found
    explained = found.task if found.explainable else None
    example = snippets(found.id, found.example, base_url(call), explained=explained)
    return found.model_copy(update={"snippets": example})


@routes.route(
    "PATCH", "/v1/models/<model>", access="models:write", one_transaction=True, audit="model_changed"
)
def update(call: Call, model: str, body: ModelUpdate) -> Model:
    """Change who sees a model, and whether everybody who may use it may download its packages."""
    updated = models.update(
        call.services.database, call.by, model, visibility=body.visibility, downloadable=body.downloadable
    )
    call.services.forget_targets()
    return updated


@routes.route("DELETE", "/v1/models/<model>", access="models:write", others=PENDING, audit="model_deleted")
def delete(call: Call, model: str) -> Replied[Erasure]:
    """Erase a model with all its versions, aliases and history; its name is free again."""
    services = call.services
    deleted = deletion.delete_model(services.database, services.artifacts, call.by, model)
    services.forget_contents(content.digest for content in deleted.contents)
    return told(deleted.erasure)
