"""Calls that hold a model's answers against what is true."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING

from maas_client._operations import _names
from maas_client._operations._contract import build, reader
from maas_client._operations._operation import Answer, Operation, fill
from maas_client._operations.predict import as_json, instance_json
from maas_client.errors import ArgumentError
from maas_client.types import Evaluation, EvaluationQuery, JobReply

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from maas_client.types import TaskSignature

_EVALUATE = "/v1/models/{model}/evaluate"
_EVALUATIONS = "/v1/models/{model}/evaluations"
_EVALUATE_VERSION = "/v1/models/{model}/versions/{version}/evaluate"
TIMEOUT = 300.0
# What a call does within seconds; more is a job, whose progress can be watched.
MOST_ROWS_AT_ONCE = 2_000
# Servers hold the body of a call in memory, this one up to 8 MiB; more they take as a stream, for a job.
MOST_BYTES_AT_ONCE = 4 * 2**20
_read_evaluation = reader(Evaluation)
_read_job = reader(JobReply)


def evaluate(
    model: str,
    inputs: Sequence[Mapping[str, object]],
    targets: Iterable[object],
    *,
    version: int | str | None,
    parameters: Mapping[str, object] | None,
    background: bool,
) -> Operation[Evaluation | JobReply]:
    """Evaluate a model; the answer is a job where there is much to send or `background` was asked for."""
    rows = [instance_json(row, what=f"inputs[{index}]") for index, row in enumerate(inputs)]
    if not rows:
        raise ArgumentError("inputs is empty; pass at least one, such as [{'text': '…'}]")
    told = list(targets)
    if len(told) != len(rows):
        raise ArgumentError(
            f"there are {len(rows):,} inputs and {len(told):,} targets; pass one for each input"
        )
    options = as_json({"parameters": dict(parameters or {}), "background": background}, "parameters")
    body = b'{"inputs":[' + b",".join(rows) + b'],"targets":' + as_json(told, "targets") + b"," + options[1:]
    if len(body) > MOST_BYTES_AT_ONCE:
        return _evaluate_many(model, body, version, rows=len(rows))
    template = _EVALUATE if version is None else _EVALUATE_VERSION
    selector = "" if version is None else _names.selector(version)
    return Operation(
        method="POST",
        template=template,
        path=fill(template, model=_names.model(model), version=selector),
        body=body,
        read=_read,
        # Doing it twice changes nothing, unless it makes a job each time.
        repeatable=not background,
        keyed=background,
        timeout=TIMEOUT,
    )


def _evaluate_many(
    model: str, body: bytes, version: int | str | None, *, rows: int
) -> Operation[Evaluation | JobReply]:
    query = build(EvaluationQuery, rows=rows, version=None if version is None else _names.selector(version))
    return Operation(
        method="POST",
        template=_EVALUATIONS,
        path=fill(_EVALUATIONS, query, model=_names.model(model)),
        body=body,
        read=_read,
        repeatable=False,
        keyed=True,
        timeout=TIMEOUT,
    )


def needs_signature(inputs: Sequence[object]) -> bool:
    """Tell whether inputs are plain values, whose name only the model's signature knows."""
    return any(not isinstance(row, Mapping) for row in inputs)


def named(inputs: Sequence[object], signature: TaskSignature | None) -> list[Mapping[str, object]]:
    """Return inputs by name: plain values are those of the only input that the model has.

    Raises:
        ArgumentError: The model has several inputs, or none is known.
    """
    if not needs_signature(inputs):
        return [row for row in inputs if isinstance(row, Mapping)]
    names = [spec.name for spec in signature.inputs] if signature else []
    if len(names) != 1:
        takes = f"the model takes {', '.join(names)}" if names else "the model has no version yet"
        raise ArgumentError(f"inputs are plain values, and {takes}; pass dicts, with the inputs by name")
    return [row if isinstance(row, Mapping) else {names[0]: row} for row in inputs]


def _read(answer: Answer) -> Evaluation | JobReply:
    return _read_job(answer) if answer.status == HTTPStatus.ACCEPTED else _read_evaluation(answer)
