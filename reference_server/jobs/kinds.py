"""The kinds of jobs there are: for each, what it is asked and what does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reference_server.advice import applying
from reference_server.advice import job as advice
from reference_server.evaluation import job as evaluation
from reference_server.explain import job as explanations
from reference_server.training import job as training

if TYPE_CHECKING:
    from collections.abc import Callable

    from maas_client.types import Reply, Request
    from reference_server.jobs.context import Context


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of long work.

    Args:
        request: What a job of it is asked, small: large inputs are in the job's own artifact.
        run: Does it, and returns the result; it calls `Context.check` often, which ends it when it must end.
        resumable: Whether `run` goes on from the checkpoint that it saved.
    """

    request: type[Request]
    run: Callable[[Context], Reply]
    resumable: bool


KINDS: dict[str, Kind] = {
    evaluation.KIND: Kind(evaluation.EvaluationTask, evaluation.run, resumable=True),
    explanations.KIND: Kind(explanations.ExplanationsTask, explanations.run, resumable=True),
    training.KIND: Kind(training.FineTuneTask, training.run, resumable=True),
    # Both begin anew: no time that another process took stands beside those of this one.
    advice.KIND: Kind(advice.AdviceTask, advice.run, resumable=True),
    applying.KIND: Kind(applying.ApplyTask, applying.run, resumable=True),
}
