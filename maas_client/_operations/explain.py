"""Calls that explain predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from maas_client._operations import _names
from maas_client._operations._contract import build, reader
from maas_client._operations._operation import Operation, fill
from maas_client._operations.predict import as_json, instance_json
from maas_client.errors import ArgumentError
from maas_client.explanations import Explanation
from maas_client.types import ExplainOptions, ExplanationsQuery, JobReply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maas_client._operations._operation import Answer
    from maas_client.types import ExplainMethod

_EXPLAIN = "/v1/models/{model}/explain"
_EXPLAIN_VERSION = "/v1/models/{model}/versions/{version}/explain"
_EXPLANATIONS = "/v1/models/{model}/explanations"
_read_reply = reader(Explanation)
_read_job = reader(JobReply)

# Some hundred evaluations of the model take longer than one.
EXPLAIN_TIMEOUT = 300.0
MOST_ROWS = 10_000
_SHORTEST_SECONDS, _LONGEST_SECONDS = 0.001, 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to explain; `AsyncClient.explain` says what each of them is."""

    target: str | None
    method: ExplainMethod
    budget: int
    time_budget: float | None
    seed: int
    against: Mapping[str, object] | str | None
    faithfulness: bool
    parameters: Mapping[str, object] | None

    def as_json(self, inputs: Mapping[str, object]) -> bytes:
        """Return them as the fields of a JSON object, its last brace included.

        Args:
            inputs: An instance, whose only input a plain text in `against` is for.

        Raises:
            ArgumentError: One cannot be.
        """
        checked = build(
            ExplainOptions,
            target=self.target,
            method=self.method,
            budget=self.budget,
            time_budget_ms=_milliseconds(self.time_budget),
            seed=self.seed,
            faithfulness=self.faithfulness,
        )
        told = checked.model_dump(mode="json", exclude_none=True, exclude={"parameters"})
        fields = as_json(told | {"parameters": dict(self.parameters or {})}, "parameters")
        if self.against is None:
            return fields[1:]
        return b'"against":' + instance_json(_named(self.against, inputs), what="against") + b"," + fields[1:]

    @property
    def timeout(self) -> float:
        """Seconds that a call may take where nothing else is said."""
        return EXPLAIN_TIMEOUT + (self.time_budget or 0.0)


def explain(
    model: str, inputs: Mapping[str, object], options: Options, *, version: int | str | None
) -> Operation[Explanation]:
    """Ask why a model says what it says about one instance."""
    body = b'{"inputs":' + instance_json(inputs, what="the input") + b"," + options.as_json(inputs)
    template = _EXPLAIN if version is None else _EXPLAIN_VERSION
    selector = "" if version is None else _names.selector(version)

    def read(answer: Answer) -> Explanation:
        return _read_reply(answer).of(inputs)

    return Operation(
        method="POST",
        template=template,
        path=fill(template, model=_names.model(model), version=selector),
        body=body,
        read=read,
        timeout=options.timeout,
    )


def explain_many(
    model: str, inputs: Sequence[Mapping[str, object]], options: Options, *, version: int | str | None
) -> Operation[JobReply]:
    """Have many instances explained by a job."""
    if not 1 <= len(inputs) <= MOST_ROWS:
        raise ArgumentError(
            f"inputs has {len(inputs):,} instances, expected 1 to {MOST_ROWS:,}; explain a sample of them"
        )
    rows = [instance_json(row, what=f"inputs[{index}]") for index, row in enumerate(inputs)]
    query = build(
        ExplanationsQuery, rows=len(rows), version=None if version is None else _names.selector(version)
    )
    return Operation(
        method="POST",
        template=_EXPLANATIONS,
        path=fill(_EXPLANATIONS, query, model=_names.model(model)),
        body=b'{"inputs":[' + b",".join(rows) + b"]," + options.as_json(inputs[0]),
        read=_read_job,
        repeatable=False,
        keyed=True,
        timeout=EXPLAIN_TIMEOUT,
    )


def _milliseconds(seconds: float | None) -> float | None:
    if seconds is None:
        return None
    if not _SHORTEST_SECONDS <= seconds <= _LONGEST_SECONDS:
        raise ArgumentError(
            f"time_budget is {seconds!r}, expected seconds from {_SHORTEST_SECONDS:g} to {_LONGEST_SECONDS:g}"
        )
    return seconds * 1000


def _named(against: Mapping[str, object] | str, inputs: Mapping[str, object]) -> Mapping[str, object]:
    if isinstance(against, Mapping):
        return against
    if len(inputs) != 1:
        raise ArgumentError(
            f"against is a text and the instance has {len(inputs)} inputs; pass them by name: against={{…}}"
        )
    return dict.fromkeys(inputs, against)
