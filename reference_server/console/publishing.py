"""Publishing: a package as the next version of a model, which is made if there is none of its name."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from maas_client.types import Version
from reference_server.console.api import Refused
from reference_server.console.table import Pages

if TYPE_CHECKING:
    from reference_server.console.visits import Visit
    from reference_server.http.exchange import Answer

pages = Pages()

_TICKS = ("set_default", "force", "again")
_ZIP = {"content-type": "application/zip"}
_CREATED, _NOT_FOUND = 201, 404


@pages.get("/publish")
def form(visit: Visit) -> Answer:
    """Ask for the model's name, and then for the package."""
    return _render(visit, visit.query.get("model", "").strip())


@pages.post("/models/<model>/versions", takes_packages=True)
def publish(visit: Visit, model: str) -> Answer:
    """Publish the package of the form, and go on to the version."""
    form, package = visit.form, visit.form.packages.get("package")
    query = {name: form.optional(name) for name in ("notes", "visibility")}
    query |= {name: "true" for name in _TICKS if form.is_ticked(name)}
    path = {"model": model}
    try:
        answer = visit.api.send("versions.publish", query=query, body=package, headers=_ZIP, **path)
    except Refused as refused:
        if refused.status == _NOT_FOUND:
            raise
        return _render(visit, model, refused)
    version = Version.model_validate_json(answer.body)
    address = ("models", version.model, "versions", str(version.version))
    if answer.status == _CREATED:
        return visit.go(*address, said="published")
    return visit.go(*address, said="published_before")


def _render(visit: Visit, model: str, refused: Refused | None = None) -> Answer:
    url = f"{visit.base_url}/v1/models/{quote(model, safe='~')}/versions"
    return visit.render(
        "publish.html",
        model=model,
        most_bytes=visit.services.settings.max_package_bytes,
        python=(
            "import maas_client\n\n"
            f"client = maas_client.Client(base_url={visit.base_url!r})\n"
            f'print(client.models.publish("my-package/", name={model!r}))\n'
        ),
        curl=(
            f"curl '{url}' \\\n  -H \"Authorization: Bearer $MAAS_API_KEY\" \\\n"
            "  -H 'Content-Type: application/zip' \\\n  --data-binary @package.zip\n"
        ),
        refused=refused,
    )
