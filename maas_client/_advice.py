# Made from _async_advice.py by tools/make_sync_face.py: change that file, then run `make format`.
"""Advice: a version measured in other settings by a job, and the variant that is chosen of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import PrivateAttr

from maas_client import _advice_samples
from maas_client._calls import Budget
from maas_client._jobs import Job
from maas_client._operations import advice as operations
from maas_client._operations import jobs, models, versions
from maas_client.advice import MeasuredAdvice, progress_of
from maas_client.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from maas_client._advice_samples import Sample
    from maas_client._calls import Timeout
    from maas_client._jobs import Stream
    from maas_client._listing import Send
    from maas_client._progress import Progress
    from maas_client.types import (
        AdviceObjective,
        AdviceVariant,
        AppliedAdvice,
        JobReply,
        StaticAdvice,
        TaskSignature,
    )


class AppliableAdvice(MeasuredAdvice):
    """What was measured of a version, with `apply()` to make a variant of it the next version."""

    _job: AdviceJob | None = PrivateAttr(None)

    def of(self, job: AdviceJob) -> AppliableAdvice:
        """Note the job that measured it, which is what is applied."""
        self._job = job
        return self

    def apply(
        self, variant: str | None = None, *, notes: str = "", timeout: float | None = None
    ) -> AppliedAdvice:
        """Publish a variant as a new version of the model; no alias points to it until you say so.

        Args:
            variant: Its name; the recommended one when left out.
            notes: What is new in the version; the variant in words when left out.
            timeout: Seconds to wait; None for as long as it takes.

        Raises:
            ArgumentError: Nothing is recommended and no variant was named, or it was not measured.
            JobError, DeadlineError: As `wait()` of a job raises them.
        """
        if variant is None and self.recommendation.variant is None:
            raise ArgumentError(f"{self.recommendation.reason}; to apply one all the same, name its variant")
        names = [each.name for each in self.variants if each.applicable]
        if variant is not None and variant not in names:
            raise ArgumentError(f"variant is {variant!r}, expected one of {', '.join(names)}")
        if self._job is None:
            raise ArgumentError("this advice is no job's; use what `model.advice(id)` returns")
        return self._job.applied(variant, notes=notes, timeout=timeout)


class AdviceJob(Job[AppliableAdvice]):
    """Advice under way; `wait()` returns it, and what is measured so far can be watched until then."""

    def __init__(self, send: Send, stream: Stream, known: JobReply) -> None:
        super().__init__(send, stream, known, finish=self._bound)

    @property
    def variants(self) -> list[AdviceVariant]:
        """The variants measured so far, the original first."""
        return progress_of(self.reply).variants

    @property
    def warnings(self) -> list[str]:
        """What is known to warn of so far."""
        return progress_of(self.reply).warnings

    def applied(self, variant: str | None, *, notes: str, timeout: float | None) -> AppliedAdvice:
        """Publish a variant; `AppliableAdvice.apply` describes it."""
        known = self._send(operations.apply(self.id, variant=variant, notes=notes))
        job: Job[AppliedAdvice] = Job(self._send, self._stream, known)
        return job.wait(timeout)

    def _bound(self, result: object) -> object:
        if not isinstance(result, MeasuredAdvice):
            return result
        advice = AppliableAdvice.model_validate(result.model_dump())
        return advice.of(self)


class Advising:
    """Advice about one model.

    Args:
        send: Makes a call.
        stream: Makes one whose answer is a stream.
        model: The model's name.
    """

    def __init__(self, send: Send, stream: Stream, model: str) -> None:
        self._send = send
        self._stream = stream
        self._model = model

    def job(
        self,
        sample: Sample | None,
        targets: Iterable[object] | None,
        label: str | None,
        *,
        version: int | str | None,
        objective: AdviceObjective,
        max_quality_loss: float,
        time_budget: float,
        budget: int,
        parameters: Mapping[str, object] | None,
        wait: bool | float,
        progress: Progress,
        timeout: Timeout,
    ) -> AdviceJob:
        """Return the job that measures; `ModelHandle.advise` describes it."""
        total = Budget(timeout, operations.TIMEOUT)
        signature = None if sample is None else self._signature(version, total)
        rows = _advice_samples.read(sample, targets, label, signature)
        asked = operations.advise(
            self._model,
            rows.inputs,
            rows.targets,
            version=version,
            objective=objective,
            max_quality_loss=max_quality_loss,
            time_budget=time_budget,
            budget=budget,
            parameters=parameters,
        )
        job = AdviceJob(self._send, self._stream, self._send(asked, timeout=total))
        if wait is not False:
            job.wait(None if wait is True else wait, progress=progress)
        return job

    def get(self, job_id: str) -> AdviceJob:
        """Return advice by the id of its job; `ModelHandle.advice` describes it."""
        known = self._send(jobs.get(job_id))
        if known.kind != operations.KIND:
            raise ArgumentError(f"the job {job_id} is no advice, but one of the kind {known.kind!r}")
        return AdviceJob(self._send, self._stream, known)

    def look(self, version: int | str | None) -> StaticAdvice:
        """Return what a look shows; `ModelHandle.static_advice` describes it."""
        return self._send(operations.look(self._model, "default" if version is None else version))

    def _signature(self, version: int | str | None, budget: Budget) -> TaskSignature | None:
        if version is None:
            return (self._send(models.get(self._model), timeout=budget)).signature
        return (self._send(versions.get(self._model, version), timeout=budget)).signature
