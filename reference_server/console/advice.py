"""Advice: a form for what is to become better, the page of such a job, and the button that applies it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from maas_client.types import (
    Advice,
    AdviceObjective,
    AdviceProgress,
    AdviceRequest,
    AppliedAdvice,
    JobReply,
    Model,
)
from reference_server.console import labelled, snippets, variants
from reference_server.console.api import Refused
from reference_server.console.table import Pages

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from maas_client.types import AdviceVariant
    from reference_server.console.languages import Texts
    from reference_server.console.visits import Visit
    from reference_server.http.exchange import Answer

pages = Pages()

KIND, APPLYING = "advise", "apply-advice"
ROWS = "inputs"
_NUMBERS = ("max_quality_loss", "time_budget_seconds", "budget")
_MAY_PUBLISH = ("owner", "publisher")


@pages.get("/models/<model>/advise")
def form(visit: Visit, model: str) -> Answer:
    """Show the form."""
    return _render(visit, visit.api.ask("models.get", Model, model=model))


@pages.post("/models/<model>/advise")
def create(visit: Visit, model: str) -> Answer:
    """Let a job measure a version in other settings, and go on to its page."""
    found = visit.api.ask("models.get", Model, model=model)
    version = visit.form.optional("version")
    try:
        body = {**_asked(visit), **_sample(visit, found)}
        if version is None:
            job = visit.api.ask("advice.advise", JobReply, body=body, model=model)
        else:
            job = visit.api.ask("advice.advise_version", JobReply, body=body, model=model, version=version)
    except Refused as refused:
        return _render(visit, found, refused)
    return visit.go("jobs", job.id)


@pages.post("/jobs/<job>/apply")
def apply(visit: Visit, job: str) -> Answer:
    """Let another job publish a variant, and go on to that one's page."""
    form = visit.form
    body = {"variant": form.optional("variant"), "notes": form.text("notes")}
    return visit.go("jobs", visit.api.ask("advice.apply", JobReply, body=body, job=job).id)


def shown(visit: Visit, job: JobReply) -> dict[str, Any]:
    """Return what the page of an advice shows beside what every job's does."""
    advice = None if job.result is None else Advice.model_validate(job.result)
    measured = _measured(job)
    return {
        "advice": advice,
        "rows": rows(job, visit.texts),
        "picture": variants.picture(measured),
        "warnings": _progress(job).warnings if advice is None else advice.warnings,
        "choices": [(each.name, f"{each.name}: {each.title}") for each in measured if each.applicable],
        "may_apply": advice is not None and _may_publish(visit, job),
        "call": snippets.advise(job.model or "", job.request, visit.base_url, version=job.version),
    }


def shown_applied(_visit: Visit, job: JobReply) -> dict[str, Any]:
    """Return what the page of a job that applied an advice shows."""
    return {"applied": None if job.result is None else AppliedAdvice.model_validate(job.result)}


def rows(job: JobReply, texts: Texts) -> Sequence[Sequence[str]]:
    """Return the table of what was measured so far."""
    return variants.rows(_measured(job), texts)


def _measured(job: JobReply) -> Sequence[AdviceVariant]:
    if job.result is not None:
        return Advice.model_validate(job.result).variants
    return _progress(job).variants


def _progress(job: JobReply) -> AdviceProgress:
    return AdviceProgress.model_validate(job.interim or {})


def _may_publish(visit: Visit, job: JobReply) -> bool:
    """Tell whether the variants may be published; of a model that is gone they may not."""
    try:
        found = visit.api.ask("models.get", Model, model=job.model or "")
    except Refused:
        return False
    return found.role in _MAY_PUBLISH


def _asked(visit: Visit) -> dict[str, object]:
    """Return what was asked as the API takes it; what is empty is for the server to decide."""
    form = visit.form
    given: dict[str, object] = {"objective": form.optional("objective")}
    given |= {name: form.decimal(name) for name in ("max_quality_loss", "time_budget_seconds")}
    given["budget"] = form.number("budget")
    return {name: value for name, value in given.items() if value is not None}


def _sample(visit: Visit, model: Model) -> dict[str, object]:
    content = visit.form.csv(ROWS)
    if not content.strip():
        return {}
    given = labelled.records(content, ROWS)
    sample = labelled.instances(given, model, visit.form.optional("target"), ROWS)
    known = {} if sample.targets is None else {"targets": sample.targets}
    return {"inputs": sample.inputs, **known}


def _render(visit: Visit, model: Model, refused: Refused | None = None) -> Answer:
    form = visit.form
    defaults: Mapping[str, Any] = AdviceRequest.model_fields
    values = {name: form.text(name) if form.fields else f"{defaults[name].default:g}" for name in _NUMBERS}
    return visit.render(
        "advise.html",
        model=model,
        columns=labelled.columns_of(model),
        objectives=get_args(AdviceObjective),
        objective=form.text("objective") or defaults["objective"].default,
        values=values,
        call=snippets.advise(model.id, _asked(visit), visit.base_url),
        refused=refused,
    )
