"""What a `FakeMaas` holds: models with what they answer, jobs that have ended, and the calls so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from maas_client._fake_calls import RecordedCall
from maas_client.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

Inputs: TypeAlias = dict[str, Any]
Outputs: TypeAlias = str | Mapping[str, Any]
InferFunction: TypeAlias = "Callable[[Mapping[str, NDArray[Any]]], Mapping[str, ArrayLike]]"
AnswerFunction: TypeAlias = Callable[[Inputs], Outputs]
Run: TypeAlias = Callable[[Inputs], Mapping[str, Any]]

NOW = datetime(2026, 1, 1, tzinfo=UTC)
_SURE = 0.9


@dataclass(slots=True)
class FakeModel:
    """A model, and what it answers."""

    description: dict[str, Any]
    answer: AnswerFunction
    infer: InferFunction | None
    inputs: tuple[str, ...]
    versions: list[dict[str, Any]]
    default: int
    # What versions answer that were made here; the others answer alike.
    made: dict[int, AnswerFunction] = field(default_factory=dict)
    # What it could be instead, by the names that an advice gives them.
    variants: Mapping[str, AnswerFunction] = field(default_factory=dict)

    def number(self, selector: str) -> int:
        """Return the version that a number, an alias or `latest` means.

        Raises:
            NotFoundError: There is none.
        """
        number = {"default": self.default, "latest": len(self.versions)}.get(selector)
        if number is None:
            number = int(selector) if selector.isdigit() else 0
        if not 1 <= number <= len(self.versions):
            raise NotFoundError(f"the model has no version {selector!r}", code="version_not_found")
        return number

    def told(self, number: int) -> dict[str, Any]:
        """Return the fields by which replies tell what answered."""
        return {
            "model": self.description["id"],
            "version": number,
            "digest": self.versions[number - 1]["digest"],
        }

    def run(self, number: int) -> Run:
        """Return what a version does with an instance."""
        return self.running(self.made.get(number, self.answer))

    def running(self, answer: AnswerFunction) -> Run:
        """Return what the model would do with an instance if this were its answer."""
        return lambda inputs: self._outputs(answer(inputs))

    def published(self, version: dict[str, Any], answer: AnswerFunction) -> int:
        """Keep a version that was made here, and return its number."""
        self.versions.append(version)
        number = self.description["latest_version"] = len(self.versions)
        self.made[number] = answer
        return number

    def move_default(self, number: int) -> None:
        """Let `default` point to a version."""
        self.default = self.description["default_version"] = number

    def _outputs(self, said: Outputs) -> Mapping[str, Any]:
        if not isinstance(said, str):
            return said
        labels: Sequence[str] = self.description["labels"] or [said]
        if said not in labels:
            raise AssertionError(f"the answer {said!r} is none of the model's labels {labels}")
        rest = (1 - _SURE) / (len(labels) - 1) if len(labels) > 1 else 0.0
        scores = dict.fromkeys(labels, rest) | {said: _SURE if len(labels) > 1 else 1.0}
        return {"label": said, "score": scores[said], "scores": scores}


@dataclass(slots=True)
class World:
    """All that the routes of a `FakeMaas` look at."""

    calls: list[RecordedCall] = field(default_factory=list)
    models: dict[str, FakeModel] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def model(self, reference: str) -> FakeModel:
        """Return a model by its name, with an owner before it or without.

        Raises:
            NotFoundError: There is none.
        """
        name = reference.rpartition("~")[2]
        if name not in self.models:
            raise NotFoundError(f"there is no model {name!r} that you can see", code="model_not_found")
        return self.models[name]

    def asked(self, made: RecordedCall) -> tuple[FakeModel, int]:
        """Return the model and the version that a path means."""
        model = self.model(made.parts["model"])
        return model, model.number(made.parts.get("version", "default"))

    def job(self, identifier: str) -> dict[str, Any]:
        """Return a job.

        Raises:
            NotFoundError: There is none.
        """
        if identifier not in self.jobs:
            raise NotFoundError(f"there is no job {identifier!r}", code="job_not_found")
        return self.jobs[identifier]

    def done(self, kind: str, result: dict[str, Any], *, total: int, unit: str, **told: object) -> object:
        """Keep a job that has ended, and return it."""
        job = {
            "id": f"job_{len(self.calls)}",
            "kind": kind,
            "state": "succeeded",
            "revision": 1,
            **{name: result[name] for name in ("model", "version")},
            "progress": {"done": total, "total": total, "unit": unit},
            "result": result,
            **told,
            **dict.fromkeys(("created_at", "expires_at"), NOW.isoformat()),
        }
        return self.jobs.setdefault(str(job["id"]), job)


Handler: TypeAlias = Callable[[World, RecordedCall], object]
