"""Erasures: what was erased for good, and the receipts for it."""

from __future__ import annotations

from maas_client.types import Erasure
from reference_server.http.endpoints import Routes
from reference_server.http.exchange import Call, Replied
from reference_server.registry import erasures

routes = Routes("erasures")

PENDING = {202: "The keys are destroyed and the rows gone; the receipt follows at `Location`."}


@routes.route("GET", "/v1/erasures/<erasure>", access="open")
def get(call: Call, erasure: str) -> Erasure:
    """Return an erasure and, once it is done, its signed receipt; whoever knows its id may ask.

    After the erasure of an account nobody is left who could log in; the id is a secret of 80 random bits.
    """
    return erasures.get(call.services.database, erasure)


def told(erasure: Erasure) -> Replied[Erasure]:
    """Return the answer to who has erased something: 200 with the receipt, or 202 while that is pending."""
    if erasure.state == "done":
        return Replied(erasure)
    return Replied(erasure, status=202, headers={"location": f"/v1/erasures/{erasure.id}"})
