"""Calls that explain a prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_client._operations import _names
from maas_client._operations._contract import build, reader
from maas_client._operations._operation import Operation, fill
from maas_client._operations.predict import instance_json
from maas_client.predictions import Explanation
from maas_client.types import ExplainRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maas_client._operations._operation import Answer
    from maas_client.types import ExplainMethod

_EXPLAIN = "/v1/models/{model}/explain"
_EXPLAIN_VERSION = "/v1/models/{model}/versions/{version}/explain"
_read_reply = reader(Explanation)

# Some hundred evaluations of the model take longer than one.
EXPLAIN_TIMEOUT = 300.0


def explain(
    model: str,
    inputs: Mapping[str, object],
    *,
    version: int | str | None,
    target: str | None,
    method: ExplainMethod,
    budget: int,
    seed: int,
    parameters: Mapping[str, object] | None,
) -> Operation[Explanation]:
    """Ask why a model says what it says about one instance."""
    options = build(
        ExplainRequest,
        inputs={"checked": "apart"},
        target=target,
        method=method,
        budget=budget,
        seed=seed,
        parameters=dict(parameters or {}),
    )
    rest = options.model_dump_json(exclude={"inputs"}, exclude_none=True).encode()
    body = b'{"inputs":' + instance_json(inputs, what="the input") + b"," + rest[1:]
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
        timeout=EXPLAIN_TIMEOUT,
    )
