# Made from _async_evaluation.py by tools/make_sync_face.py: change that file, then run `make format`.
"""Evaluations of one model: at once where a call does it, through a job where there is more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_client._calls import NOT_GIVEN, Budget
from maas_client._jobs import Job
from maas_client._operations import evaluate as operations
from maas_client._operations import models, versions
from maas_client._progress import check_progress
from maas_client.errors import InvalidReplyError
from maas_client.types import JobReply

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from maas_client._calls import Timeout
    from maas_client._jobs import Stream
    from maas_client._listing import Send
    from maas_client._progress import Progress
    from maas_client.types import Evaluation


class Evaluations:
    """Evaluations of one model.

    Args:
        send: Makes a call.
        stream: Makes one whose answer is a stream.
        model: The model's name.
        version: The version; what the alias `default` points to for None.
        parameters: Options of the task.
    """

    def __init__(
        self,
        send: Send,
        stream: Stream,
        model: str,
        *,
        version: int | str | None,
        parameters: Mapping[str, object] | None,
    ) -> None:
        self._send = send
        self._stream = stream
        self._model = model
        self._version = version
        self._parameters = parameters

    def measured(
        self, inputs: Iterable[object], targets: Iterable[object], *, progress: Progress, timeout: Timeout
    ) -> Evaluation:
        """Return what was measured, waiting for a job where there are many rows."""
        check_progress(progress)
        rows = list(inputs)
        budget = Budget(timeout, operations.TIMEOUT)
        is_large = len(rows) > operations.MOST_ROWS_AT_ONCE
        found = self._ask(rows, targets, background=is_large, budget=budget)
        if not isinstance(found, JobReply):
            return found
        job: Job[Evaluation] = Job(self._send, self._stream, found)
        # A job takes what it takes, unless the caller said how long that may be.
        left = budget.left() if timeout is not NOT_GIVEN else None
        return job.wait(left, progress=progress)

    def job(
        self, inputs: Iterable[object], targets: Iterable[object], *, timeout: Timeout
    ) -> Job[Evaluation]:
        """Return the job that measures it."""
        budget = Budget(timeout, operations.TIMEOUT)
        found = self._ask(list(inputs), targets, background=True, budget=budget)
        if not isinstance(found, JobReply):
            raise InvalidReplyError("a job was asked for, and the server answered with its result at once")
        return Job(self._send, self._stream, found)

    def _ask(
        self, inputs: list[object], targets: Iterable[object], *, background: bool, budget: Budget
    ) -> Evaluation | JobReply:
        operation = operations.evaluate(
            self._model,
            self._named(inputs, budget),
            targets,
            version=self._version,
            parameters=self._parameters,
            background=background,
        )
        return self._send(operation, timeout=budget)

    def _named(self, inputs: list[object], budget: Budget) -> list[Mapping[str, object]]:
        if not operations.needs_signature(inputs):
            return operations.named(inputs, None)
        if self._version is None:
            signature = (self._send(models.get(self._model), timeout=budget)).signature
        else:
            asked = versions.get(self._model, self._version)
            signature = (self._send(asked, timeout=budget)).signature
        return operations.named(inputs, signature)
