"""Receipts of erasures, for whoever has their id: after that of an account nobody can log in."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from maas_client.types import Erasure, ErasureStatement
from reference_server.console.table import Pages
from reference_server.http.exchange import Answer

if TYPE_CHECKING:
    from reference_server.console.visits import Visit

pages = Pages()


@pages.get("/erasures/<erasure>", access="open")
def show(visit: Visit, erasure: str) -> Answer:
    """Show an erasure and what its receipt says."""
    found = visit.api.ask("erasures.get", Erasure, erasure=erasure)
    return visit.render("erasure.html", erasure=found, statement=_statement(found))


@pages.get("/erasures/<erasure>/receipt", access="open")
def download(visit: Visit, erasure: str) -> Answer:
    """Hand out the erasure with its receipt as a file, as `maas verify-receipt` reads it."""
    answer = visit.api.send("erasures.get", erasure=erasure)
    name = visit.api.ask("erasures.get", Erasure, erasure=erasure).id
    kept = {"content-type": "application/json", "cache-control": "no-store"}
    return Answer(200, {**kept, "content-disposition": f'attachment; filename="{name}.json"'}, answer.body)


def _statement(erasure: Erasure) -> ErasureStatement | None:
    if erasure.receipt is None:
        return None
    return ErasureStatement.model_validate_json(base64.b64decode(erasure.receipt.payload))
