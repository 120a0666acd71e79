"""Trying a model: a form from its task signature, the answer as bars, and why it is that."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import orjson

from maas_client._snippets import snippets, with_requests
from maas_client.types import VERSION_NUMBER, ErrorBody, ExplainReply, Model, PredictReply
from reference_server.console import charts, heat_map
from reference_server.console.api import Refused
from reference_server.console.table import Pages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maas_client.types import InputSpec
    from reference_server.console.charts import Bar
    from reference_server.console.forms import Form
    from reference_server.console.visits import Visit
    from reference_server.http.exchange import Answer

pages = Pages()

EXPLAIN = "explain.explain"
_PREFIX = "input."
_MOST_SCORES, _MOST_NUMBERS = 20, 16
_MOST_EVALUATIONS = 256
_NUMBER = re.compile(VERSION_NUMBER)

Control: TypeAlias = Literal["text", "line", "number", "choice", "picture", "json"]


@dataclass(frozen=True, slots=True)
class Field:
    """One input of the form.

    Args:
        value: What stands in it.
    """

    name: str
    spec: InputSpec
    control: Control
    value: str

    @property
    def id(self) -> str:
        """The field's name in the form."""
        return f"{_PREFIX}{self.name}"


@dataclass(frozen=True, slots=True)
class Answered:
    """A prediction as the page shows it.

    Args:
        bars: The highest scores.
        vector: The beginning of an embedding; None where there is none.
        dimensions: How long all of it is.
        rest: What else the prediction says, by name.
    """

    bars: list[Bar]
    vector: list[float] | None
    dimensions: int
    rest: Mapping[str, str]


@pages.get("/models/<model>/try")
def form(visit: Visit, model: str) -> Answer:
    """Show the form, filled in with the model's example."""
    found = visit.api.ask("models.get", Model, model=model)
    version = visit.query.get("version", "")
    return _render(visit, found, version=version, values=found.example or {})


@pages.post("/models/<model>/try")
def run(visit: Visit, model: str) -> Answer:
    """Ask the model, and with the other button also why it answers so."""
    found = visit.api.ask("models.get", Model, model=model)
    version = visit.form.text("version").strip()
    inputs: dict[str, object] = {}
    try:
        inputs = _inputs(visit.form, found)
        answered = _ask(visit, "predict.predict", model, version, inputs)
        reply = PredictReply.model_validate_json(answered.body)
        explained = None
        if visit.form.text("act") == "explain":
            body = {"inputs": inputs, "budget": _MOST_EVALUATIONS}
            explained = ExplainReply.model_validate_json(_ask(visit, EXPLAIN, model, version, body).body)
    except Refused as refused:
        return _render(visit, found, version=version, values=inputs, refused=refused)
    return _render(visit, found, version=version, values=inputs, reply=reply, explained=explained)


def _ask(visit: Visit, name: str, model: str, version: str, body: Mapping[str, object]) -> Answer:
    if version:
        return visit.api.send(f"{name}_version", body=body, model=model, version=version)
    return visit.api.send(name, body=body, model=model)


def _render(
    visit: Visit,
    model: Model,
    *,
    version: str,
    values: Mapping[str, object],
    refused: Refused | None = None,
    reply: PredictReply | None = None,
    explained: ExplainReply | None = None,
) -> Answer:
    called = values or model.example or {}
    number = int(version) if _NUMBER.fullmatch(version) else None
    url, can_explain = visit.base_url, visit.api.has(EXPLAIN)
    task = model.task if can_explain and model.explainable else None
    return visit.render(
        "try.html",
        model=model,
        version=version,
        fields=_fields(visit.form, model, values),
        can_explain=can_explain,
        reply=reply,
        answers=[] if reply is None else _answers(reply),
        explained=explained,
        shown=None if explained is None else heat_map.shown(explained, values),
        curves=None if explained is None else charts.curves(explained),
        sdk=snippets(model.id, called, url, version=number, explained=task),
        requests=with_requests(model.id, called, url, version=number),
        refused=refused,
    )


def _fields(form: Form, model: Model, values: Mapping[str, object]) -> list[Field]:
    if model.signature is None:
        return []
    fields = []
    for spec in model.signature.inputs:
        control = _control(spec, model.task or "")
        typed = form.fields.get(f"{_PREFIX}{spec.name}")
        value = typed if typed is not None else _typed(values.get(spec.name), control)
        fields.append(Field(spec.name, spec, control, value))
    return fields


def _control(spec: InputSpec, task: str) -> Control:
    if spec.type == "image":
        return "picture"
    if spec.type == "number":
        return "number"
    if spec.type != "string":
        return "json"
    if spec.categories:
        return "choice"
    return "line" if task.startswith("tabular") else "text"


def _typed(value: object, control: Control) -> str:
    """Return an example's value as it would have been typed in."""
    if value is None or control == "picture":
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _inputs(form: Form, model: Model) -> dict[str, object]:
    """Return what was typed in as the API takes it; a picture that was not chosen is the example's.

    Raises:
        Refused: It cannot be read.
    """
    inputs: dict[str, object] = {}
    for spec in model.signature.inputs if model.signature else ():
        name = f"{_PREFIX}{spec.name}"
        control, typed = _control(spec, model.task or ""), form.text(name)
        if control == "picture":
            picture = form.files.get(name)
            example = (model.example or {}).get(spec.name)
            inputs[spec.name] = base64.b64encode(picture).decode() if picture else example
        elif control in ("number", "json"):
            inputs[spec.name] = _json(spec.name, typed)
        else:
            # Browsers send line breaks as two characters (HTML, section 4.10.22), and models count them.
            inputs[spec.name] = typed.replace("\r\n", "\n")
    return inputs


def _json(name: str, typed: str) -> object:
    try:
        return orjson.loads(typed)
    except orjson.JSONDecodeError as error:
        message = f"{name}: {typed[:50]!r} is no number and no JSON: {error}"
        body = ErrorBody(type="invalid_request_error", code="invalid_json", message=message, param=name)
        raise Refused(422, body) from error


def _answers(reply: PredictReply) -> list[Answered]:
    """Return each prediction's scores as bars, its vector's beginning, and what else it says."""
    shown = []
    for prediction in reply.predictions:
        scores = prediction.get("scores")
        vector = prediction.get("embedding")
        rest = {name: value for name, value in prediction.items() if name not in ("scores", "embedding")}
        shown.append(
            Answered(
                bars=charts.bars(scores, _MOST_SCORES) if isinstance(scores, dict) else [],
                vector=vector[:_MOST_NUMBERS] if isinstance(vector, list) else None,
                dimensions=len(vector) if isinstance(vector, list) else 0,
                rest={name: _told(value) for name, value in rest.items()},
            )
        )
    return shown


def _told(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()[:2000]
