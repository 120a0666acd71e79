"""Fine-tunes: a form with rows and options, and the page of such a job, whose loss is seen to fall."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import orjson

from maas_client._labelled_rows import Meaning
from maas_client.types import (
    FineTune,
    FineTuneCreate,
    JobReply,
    LossName,
    Model,
    Page,
    TrainingProgress,
)
from reference_server.console import labelled, losses, snippets
from reference_server.console.api import Refused
from reference_server.console.table import Pages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reference_server.console.forms import Form
    from reference_server.console.losses import LossPicture
    from reference_server.console.visits import Visit
    from reference_server.http.exchange import Answer

pages = Pages()

KIND = "fine-tune"
_TEXTS = ("name", "base", "base_version", "loss", "optimizer", "schedule", "notes", "visibility")
_WHOLE = ("batch_size", "epochs", "patience", "seed")
_DECIMAL = ("learning_rate", "l2", "label_smoothing", "validation", "test")
_TICKS = ("early_stopping", "set_default")
_BALANCED = "balanced"
_OPTIMIZERS = ("sgd", "momentum", "adam")
_SCHEDULES = ("linear", "cosine", "constant")
_MOST_BASES, _SHOWN = 100, 20


@pages.get("/fine-tunes")
def form(visit: Visit) -> Answer:
    """Show the form and the account's fine-tunes."""
    return _render(visit)


@pages.post("/fine-tunes")
def create(visit: Visit) -> Answer:
    """Train on the rows of the form, and go on to the job's page."""
    options, meaning = _options(visit.form), _meaning(visit.form)
    try:
        rows = labelled.read(visit.form.csv(labelled.TRAIN), meaning)
        job = _asked(visit, options, {"inputs": rows.inputs, "targets": rows.targets})
    except Refused as refused:
        return _render(visit, refused=refused)
    return visit.go("jobs", job.id)


def shown(visit: Visit, job: JobReply) -> dict[str, Any]:
    """Return what the page of a fine-tune shows beside what every job's does."""
    result = None if job.result is None else FineTune.model_validate(job.result)
    options = job.request.get("options")
    return {
        "made": result,
        "picture": picture(job),
        "warnings": _progress(job).warnings if result is None else result.warnings,
        "call": snippets.fine_tune(
            {name: value for name, value in _asked_for(options).items() if value is not None},
            visit.base_url,
        ),
    }


def picture(job: JobReply) -> LossPicture:
    """Return the loss curve as far as it is known."""
    if job.result is not None:
        result = FineTune.model_validate(job.result)
        return losses.picture(result.curve, best_epoch=result.best_epoch)
    return losses.picture(_progress(job).curve)


def _progress(job: JobReply) -> TrainingProgress:
    return TrainingProgress.model_validate(job.interim or {})


def _asked_for(options: object) -> Mapping[str, object]:
    if not isinstance(options, dict):
        return {}
    return {name: value for name, value in options.items() if name in FineTuneCreate.model_fields}


def _asked(visit: Visit, options: Mapping[str, object], rows: Mapping[str, Any]) -> JobReply:
    count = len(rows["targets"])
    if count <= visit.services.settings.max_instances:
        return visit.api.ask("fine-tunes.create", JobReply, body={**options, "train": rows})
    query = {"rows": count, "options": orjson.dumps(options).decode()}
    return visit.api.ask("fine-tunes.create_large", JobReply, query=query, body={"train": rows})


def _options(form: Form) -> dict[str, object]:
    """Return what was typed in as the API takes it; what is empty is for the server to decide."""
    given: dict[str, object] = {name: form.optional(name) for name in _TEXTS}
    given |= {name: form.number(name) for name in _WHOLE}
    given |= {name: form.decimal(name) for name in _DECIMAL}
    given["class_weights"] = _BALANCED if form.is_ticked("class_weights") else None
    told = {name: value for name, value in given.items() if value is not None}
    return told | {name: form.is_ticked(name) for name in _TICKS}


def _meaning(form: Form) -> Meaning:
    return Meaning(
        text=form.optional("text"),
        label=form.optional("label") or "label",
        columns=form.words("columns"),
        loss="mse" if form.text("loss") == "mse" else "cross_entropy",
    )


def _render(visit: Visit, refused: Refused | None = None) -> Answer:
    api, form = visit.api, visit.form
    query = {"task": "embedding", "sort": "-usage", "limit": _MOST_BASES}
    options = _options(form) if form.fields else {}
    return visit.render(
        "fine_tunes.html",
        refused=refused,
        bases=[model.id for model in api.ask("models.list_models", Page[Model], query=query).data],
        found=api.ask("jobs.list_jobs", Page[JobReply], query={"kind": KIND, "limit": _SHOWN}).data,
        values=_values(visit),
        ticked={name: form.is_ticked(name) if form.fields else _default(name) for name in _TICKS},
        losses=get_args(LossName),
        optimizers=_OPTIMIZERS,
        schedules=_SCHEDULES,
        call=snippets.fine_tune(
            options, visit.base_url, label=form.optional("label") or "label", text=form.optional("text")
        ),
    )


def _values(visit: Visit) -> dict[str, str]:
    """Return what stands in each field: what was typed, and at first the defaults of the contract."""
    form, names = visit.form, (*_TEXTS, *_WHOLE, *_DECIMAL)
    if form.fields:
        return {name: form.text(name) for name in names}
    at_first = {name: _default(name) for name in names} | {"base": visit.query.get("base")}
    return {name: "" if value is None else str(value) for name, value in at_first.items()}


def _default(name: str) -> object:
    field = FineTuneCreate.model_fields[name]
    return None if field.is_required() else field.default
