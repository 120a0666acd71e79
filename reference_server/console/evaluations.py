"""Evaluations: a form with rows and what is true of each, and the page of a job that has measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from maas_client.types import Evaluation, JobReply, Model
from reference_server.console import labelled
from reference_server.console.api import Refused
from reference_server.console.table import Pages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maas_client._labelled_files import Records
    from maas_client.types import InputSpec
    from reference_server.console.visits import Visit
    from reference_server.http.exchange import Answer

pages = Pages()

KIND = "evaluate"
ROWS = "inputs"
# What a cell of a table can hold.
_CELLS = ("string", "number")


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows as the contract has them, `inputs[i]` with `targets[i]`."""

    inputs: list[dict[str, object]]
    targets: list[object]


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
        rows = _rows(labelled.records(form.csv(ROWS), ROWS), found, form.optional("target") or "label")
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
    inputs = model.signature.inputs if model.signature else []
    return visit.render(
        "evaluate.html",
        model=model,
        inputs=inputs,
        can_be_cells=bool(inputs) and all(each.type in _CELLS for each in inputs),
        refused=refused,
    )


def _rows(given: Records, model: Model, target: str) -> Rows:
    """Return the cells as the model takes them.

    Raises:
        Refused: A column is missing, or a cell holds no number where one is expected.
    """
    inputs = model.signature.inputs if model.signature else []
    for name in (*(each.name for each in inputs), target):
        if name not in given.names:
            there = ", ".join(given.names)[:300]
            raise labelled.refused(f"there is no column {name!r}; the columns are {there}", ROWS)
    is_regression = (model.task or "").endswith("regression")
    read = []
    targets: list[object] = []
    for row, place in zip(given.rows, given.places, strict=True):
        read.append({each.name: _cell(row, each, place) for each in inputs})
        targets.append(_number(row, target, place) if is_regression else row.get(target, ""))
    return Rows(read, targets)


def _cell(row: Mapping[str, object], spec: InputSpec, place: str) -> object:
    return _number(row, spec.name, place) if spec.type == "number" else row.get(spec.name, "")


def _number(row: Mapping[str, object], name: str, place: str) -> float:
    cell = str(row.get(name, ""))
    try:
        return float(cell)
    except ValueError as error:
        raise labelled.refused(
            f"{place}: the column {name!r} holds {cell[:50]!r}, a number is expected", ROWS
        ) from error
