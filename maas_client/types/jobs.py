"""Long work."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

from pydantic import Field, JsonValue

from maas_client.types.base import PageQuery, Reply

JobState: TypeAlias = Literal["queued", "running", "succeeded", "failed", "cancelled", "interrupted"]
ENDED_JOB_STATES = frozenset({"succeeded", "failed", "cancelled", "interrupted"})


class JobProgress(Reply):
    """How far a job has come.

    Args:
        done: Units that are done.
        total: Units in all; None where that is not known.
        unit: What is counted. It changes with the phase of the work, each of which counts from 0: `row`, and
            then `bootstrap sample` for the intervals of an evaluation. A job that succeeded tells its rows.
        remaining_seconds: What is left of this phase at the present speed; None where that is not known.
    """

    done: int = Field(0, ge=0)
    total: int | None = None
    unit: str = ""
    remaining_seconds: float | None = None


class JobFault(Reply):
    """Why a job has no result."""

    code: str
    message: str


class JobReply(Reply):
    """Long work that the server does by itself.

    Args:
        kind: What is done, such as `evaluate`.
        state: `queued`, `running`, or how it ended: `succeeded`, `failed` for reasons of the work itself,
            `cancelled` on request, `interrupted` by the end of the server where it could not go on.
        revision: Counts the changes; the id of its events.
        model: The model that it is about, by the name by which everybody reaches it.
        version: The version that it is about.
        request: What was asked, without large inputs.
        cancel_requested: Whether it was asked to stop; one that runs stops at its next step.
        attempts: How often it was begun; more than once where a server died under it.
        interim: What is known of the result while it is made, by its kind: of a fine-tune a
            `TrainingProgress`.
        result: What it made, by its kind.
        error: Why there is no result.
        expires_at: When it is forgotten.
    """

    id: str
    kind: str
    state: str
    revision: int
    model: str | None = None
    version: int | None = None
    request: dict[str, JsonValue] = {}
    progress: JobProgress = JobProgress()
    cancel_requested: bool = False
    attempts: int = 0
    interim: dict[str, JsonValue] | None = None
    result: dict[str, JsonValue] | None = None
    error: JobFault | None = None
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    expires_at: datetime


class JobQuery(PageQuery):
    """Filters of `GET /v1/jobs`."""

    state: JobState | None = Field(None, description="Only jobs in this state.")
    kind: str | None = Field(None, max_length=64, description="Only jobs of this kind, such as `evaluate`.")


class JobLine(Reply):
    """A line of a job's log."""

    number: int
    at: datetime
    text: str
