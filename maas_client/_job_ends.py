"""What a job came to: its result as the type that its kind has, or the error that its end stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from maas_client.advice import MeasuredAdvice
from maas_client.errors import (
    ArgumentError,
    InvalidReplyError,
    JobCancelledError,
    JobError,
    JobFailedError,
    JobInterruptedError,
    describe_validation,
)
from maas_client.explanations import Explanations
from maas_client.fine_tunes import FineTuned, LossCurve
from maas_client.types import ENDED_JOB_STATES, AppliedAdvice, Evaluation, JobReply

if TYPE_CHECKING:
    from collections.abc import Callable

# Results of other kinds, such as those of a newer server, stay the JSON object that they are.
_RESULTS: dict[str, Callable[[object], object]] = {
    "advise": MeasuredAdvice.model_validate,
    "apply-advice": AppliedAdvice.model_validate,
    "evaluate": Evaluation.model_validate,
    "explain": Explanations.from_result,
    "fine-tune": FineTuned.model_validate,
}
_ERRORS: dict[str, type[JobError]] = {
    "failed": JobFailedError,
    "cancelled": JobCancelledError,
    "interrupted": JobInterruptedError,
}


def has_ended(job: JobReply) -> bool:
    """Tell whether a job has ended; one in a state that this SDK does not know has not."""
    return job.state in ENDED_JOB_STATES


def result_of(job: JobReply) -> Any:  # noqa: ANN401 - by the job's kind
    """Return a job's result.

    Raises:
        JobError: It ended without one; the subclass tells how.
        ArgumentError: It has not ended.
        InvalidReplyError: The result is not of the shape that its kind has.
    """
    if not has_ended(job):
        raise ArgumentError(f"the job {job.id} is {job.state} and has no result yet; wait() for it")
    if (failure := error_of(job)) is not None:
        raise failure
    read = _RESULTS.get(job.kind)
    if read is None:
        return job.result
    try:
        return read(job.result)
    except ValidationError as error:
        told = describe_validation(error)
        raise InvalidReplyError(f"the result of the job {job.id} is no {job.kind!r}: {told}") from None


def error_of(job: JobReply) -> JobError | None:
    """Return the error that a job's end stands for, or None."""
    if (kind := _ERRORS.get(job.state)) is None:
        return None
    told = job.error.message if job.error else f"it was {job.state}"
    return kind(f"the job {job.id} ({job.kind}): {told}", code=job.error.code if job.error else job.state)


def told(job: JobReply) -> str:
    """Return what a job tells beside its progress, to stand behind a bar; nothing of most kinds."""
    curve = curve_of(job)
    if not curve:
        return ""
    from maas_client import _loss_curve_html

    return _loss_curve_html.told(curve[-1])


def curve_of(job: JobReply) -> LossCurve:
    """Return the loss curve to show beside a job; an empty one of other kinds, and of what is not known."""
    try:
        return LossCurve.of_job(job) if job.kind == "fine-tune" else LossCurve(())
    except InvalidReplyError:
        # Waiting and showing go on beside a newer server's news; whoever asks for the curve is told.
        return LossCurve(())


def described(job: JobReply) -> str:
    """Return a job in one line, as a person reads it."""
    done, total, unit = job.progress.done, job.progress.total, job.progress.unit or "unit"
    parts = [job.state]
    if total:
        parts.append(f"{done:,} of {total:,} {unit}s")
    elif done:
        parts.append(f"{done:,} {unit}s")
    if job.progress.remaining_seconds is not None:
        parts.append(f"about {job.progress.remaining_seconds:,.0f} s left")
    return ", ".join(parts)
