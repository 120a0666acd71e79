"""Evaluations: a form with rows and what is true of each, and the page of a job that has measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maas_client.types import Evaluation, JobReply, Model
from reference_server.console import labelled
from reference_server.console.api import Refused
from reference_server.console.table import Pages

if TYPE_CHECKING:
    from reference_server.console.visits import Visit
    from reference_server.http.exchange import Answer

pages = Pages()

KIND = "evaluate"
ROWS = "inputs"


@pages.get("/models/<model>/evaluate")
def form(visit: Visit, model: str) -> Answer:
    """Show the form."""
    return _render(visit, visit.api.ask("models.get", Model, model=model))


@pages.post("/models/<model>/evaluate")
def run(visit: Visit, model: str) -> Answer:
    """Let a job evaluate the model on the rows of the form, and go on to its page."""
    found = visit.api.ask("models.get", Model, model=model)
    form, version = visit.form, visit.form.optional("version")
    try:
        given = labelled.records(form.csv(ROWS), ROWS)
        rows = labelled.instances(given, found, form.optional("target") or "label", ROWS)
        body = {"inputs": rows.inputs, "targets": rows.targets, "background": True}
        if version is None:
            job = visit.api.ask("evaluate.evaluate", JobReply, body=body, model=model)
        else:
            job = visit.api.ask(
                "evaluate.evaluate_version", JobReply, body=body, model=model, version=version
            )
    except Refused as refused:
        return _render(visit, found, refused)
    return visit.go("jobs", job.id)


def shown(_visit: Visit, job: JobReply) -> dict[str, Any]:
    """Return what the page of an evaluation shows beside what every job's does."""
    return {"measured": None if job.result is None else Evaluation.model_validate(job.result)}


def _render(visit: Visit, model: Model, refused: Refused | None = None) -> Answer:
    columns = labelled.columns_of(model)
    return visit.render("evaluate.html", model=model, columns=columns, refused=refused)
