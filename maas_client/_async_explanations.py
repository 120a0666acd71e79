"""Explanations of one model that take more than a call: of many instances, and of two versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from maas_client import _frames
from maas_client._async_jobs import AsyncJob
from maas_client._calls import Budget
from maas_client._operations import evaluate, models, versions
from maas_client._operations import explain as operations
from maas_client.errors import ArgumentError
from maas_client.explanations import Explanations, ExplanationsCompared

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from maas_client._async_jobs import AsyncStream
    from maas_client._async_listing import AsyncSend
    from maas_client._calls import Timeout
    from maas_client.explanations import Explanation
    from maas_client.types import TaskSignature


class AsyncExplaining:
    """Explanations of one model.

    Args:
        send: Makes a call.
        model: The model's name.
        options: How to explain.
    """

    def __init__(self, send: AsyncSend, model: str, options: operations.Options) -> None:
        self._send = send
        self._model = model
        self._options = options

    async def job(
        self,
        stream: AsyncStream,
        inputs: Iterable[object],
        *,
        columns: Mapping[str, str] | None,
        version: int | str | None,
        timeout: Timeout,
    ) -> AsyncJob[Explanations]:
        """Return the job that explains many instances; `AsyncClient.explain_many` describes it."""
        budget = Budget(timeout, operations.EXPLAIN_TIMEOUT)
        rows = await self._rows(inputs, columns, version, budget)
        asked = operations.explain_many(self._model, rows, self._options, version=version)
        known = await self._send(asked, timeout=budget)
        return AsyncJob(self._send, stream, known, finish=partial(_with_inputs, rows))

    async def compared(
        self, a: int | str, b: int | str, inputs: Mapping[str, object], *, timeout: Timeout
    ) -> ExplanationsCompared:
        """Return both versions' explanations of what the first predicts, or of the target that was named."""
        budget = Budget(timeout, self._options.timeout)
        one = await self._explained(inputs, self._options, a, budget)
        same = replace(self._options, target=one.target)
        return ExplanationsCompared(one, await self._explained(inputs, same, b, budget))

    async def _explained(
        self, inputs: Mapping[str, object], options: operations.Options, version: int | str, budget: Budget
    ) -> Explanation:
        asked = operations.explain(self._model, inputs, options, version=version)
        return await self._send(asked, timeout=budget)

    async def _rows(
        self,
        inputs: Iterable[object],
        columns: Mapping[str, str] | None,
        version: int | str | None,
        budget: Budget,
    ) -> list[Mapping[str, object]]:
        if _frames.is_frame(inputs):
            table = _frames.table(inputs)
            if columns is None:
                columns = table.columns_for(await self._signature(version, budget))
            return list(table.instances(columns))
        if columns is not None:
            raise ArgumentError("columns= is for a data frame; name the inputs in each instance instead")
        if isinstance(inputs, str | Mapping):
            raise ArgumentError(
                f"inputs is a {type(inputs).__name__}; pass a list of instances, [{{'text': '…'}}]"
            )
        rows = list(inputs)
        if not evaluate.needs_signature(rows):
            return evaluate.named(rows, None)
        return evaluate.named(rows, await self._signature(version, budget))

    async def _signature(self, version: int | str | None, budget: Budget) -> TaskSignature | None:
        if version is None:
            return (await self._send(models.get(self._model), timeout=budget)).signature
        return (await self._send(versions.get(self._model, version), timeout=budget)).signature


def _with_inputs(inputs: Sequence[Mapping[str, object]], result: object) -> object:
    """Give explanations their instances, which the job does not keep."""
    return result.of(inputs) if isinstance(result, Explanations) else result
