"""What anyone may ask: what this service is, whether it is well, and how it is used."""

from __future__ import annotations

from importlib.metadata import version

from pydantic import JsonValue  # noqa: TC002 - pydantic reads annotations at run time

from maas_client.types import Health, Reply, ServiceInfo, UsagePolicy
from reference_server.http import documentation
from reference_server.http.endpoints import Routes
from reference_server.http.exchange import Answer, Call, Replied

routes = Routes("service")


class OpenApi(Reply):
    """A description of this service, as OpenAPI 3.1 has it."""

    openapi: str
    info: dict[str, JsonValue]
    servers: list[dict[str, JsonValue]]
    security: list[dict[str, JsonValue]]
    paths: dict[str, JsonValue]
    components: dict[str, JsonValue]


@routes.route("GET", "/", access="open")
def info(call: Call) -> ServiceInfo:
    """Return the service's name, version and usage policy, and who may register."""
    settings = call.services.settings
    return ServiceInfo(
        name="Model as a Service",
        version=version("maas-client"),
        receipt_key=call.services.receipt_key,
        usage_policy=UsagePolicy(version=settings.policy_version, text=settings.policy_text),
        registration=settings.registration,
    )


@routes.route(
    "GET",
    "/healthz",
    access="open",
    instant=True,
    others={503: "It is about to stop, or all its lanes hang."},
)
def health(call: Call) -> Replied[Health]:
    """Tell whether the server takes new work: 200 `ok`, or 503 `draining` or `stuck`."""
    status = _status(call)
    reply = Health(status=status, instance=call.services.instance)
    if status == "ok":
        return Replied(reply)
    return Replied(reply, status=503, headers={"retry-after": "1"})


@routes.route("GET", "/openapi.json", access="open", answers={200: OpenApi})
def openapi(call: Call) -> Answer:
    """Return the OpenAPI 3.1 description of this service."""
    return Answer(
        200, {"content-type": "application/json"}, documentation.openapi_json(call.services.endpoints)
    )


@routes.route("GET", "/docs", access="open", produces="text/html")
def docs(call: Call) -> Answer:
    """Show the same as a page that needs no script and no outside host."""
    return documentation.page(call.services.endpoints)


def _status(call: Call) -> str:
    if call.services.draining.is_set():
        return "draining"
    return "stuck" if call.services.lanes.are_all_overdue else "ok"
