"""Which features an instance has, and what is explained of it, by the model's task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, cast

from reference_server.errors import Unprocessable
from reference_server.explain.explaining import Explaining
from reference_server.explain.hierarchy import MOST_WORDS
from reference_server.explain.images import MaskedPicture
from reference_server.explain.scoring import Target, Turns, label_target, similarity_target, value_target
from reference_server.explain.tables import masked_row
from reference_server.explain.texts import MaskedText, words_of
from reference_server.runtime.tasks.embedding import Embedding
from reference_server.runtime.tasks.image_classification import ImageClassification
from reference_server.runtime.tasks.image_inputs import IMAGE
from reference_server.runtime.tasks.tabular import TabularClassification, TabularRegression
from reference_server.runtime.tasks.text_classification import TextClassification
from reference_server.runtime.tasks.text_inputs import TEXT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from maas_client.types import ExplainOptions
    from reference_server.explain.features import Maskable
    from reference_server.explain.segments import Segment
    from reference_server.runtime.tasks import Batch, Outputs, Task

    Aim: TypeAlias = Callable[[Outputs, Turns], Target]


@dataclass(frozen=True, slots=True)
class _Instance:
    """An instance of any kind; see `Subject`."""

    instance: Batch
    aim: Aim
    mask_with: Callable[[], Maskable]
    least_rows: int = 1
    long: Sequence[Segment] | None = None
    mask: str | None = None

    def target(self, turns: Turns) -> tuple[Target, float]:
        (outputs,) = turns.run(self.instance)
        target = self.aim(outputs, turns)
        return target, float(target.read(outputs)[0])

    def masked(self) -> Maskable:
        return self.mask_with()


def prepare(task: Task, inputs: Mapping[str, object], options: ExplainOptions) -> Explaining:
    """Check what is asked, and return what can be run.

    Args:
        task: The model's.
        inputs: One instance, as a prediction takes it.
        options: How to explain it.

    Raises:
        Unprocessable: A value or an option does not fit the model, or nothing of it can be explained.
    """
    batch = _decoded(task, inputs, options.parameters, within="inputs")
    if isinstance(task, Embedding):
        subject = _similar(task, batch, options)
    elif options.against is not None:
        raise Unprocessable(
            "`against` is for embeddings, whose similarity to it is explained; leave it out for this model",
            code="unknown_field",
            param="against",
        )
    elif isinstance(task, TextClassification):
        aim = _label(task.labels, options)
        subject = _text(batch, task.mask_token, aim, least_rows=1)
    elif isinstance(task, ImageClassification):
        subject = _picture(task, batch, inputs, options)
    elif isinstance(task, TabularClassification | TabularRegression):
        subject = _row(task, batch, options)
    else:
        raise Unprocessable(
            "the task `tensor` does not say what its numbers mean, so that nobody can tell what one of them would be "
            "if it were absent; a model of another task can be explained, such as a tabular one with a background",
            code="task_not_explained",
        )
    return Explaining(subject, options)


def _text(batch: Batch, mask: str | None, aim: Aim, *, least_rows: int) -> _Instance:
    text = cast("str", batch.columns[TEXT][0])
    words = words_of(text)
    return _Instance(
        batch,
        aim,
        lambda: MaskedText(text, [[word] for word in words], mask=mask),
        least_rows,
        long=words if len(words) > MOST_WORDS else None,
        mask=mask,
    )


def _similar(task: Embedding, batch: Batch, options: ExplainOptions) -> _Instance:
    if options.against is None:
        raise Unprocessable(
            'a vector has no score of its own; send `against`, another instance such as {"text": "…"}, and the '
            "similarity to it is explained",
            code="missing_against",
            param="against",
        )
    other = _decoded(task, options.against, {}, within="against")

    def aim(_outputs: Outputs, turns: Turns) -> Target:
        (outputs,) = turns.run(other)
        return similarity_target(options.target, outputs)

    return _text(batch, task.mask_token, aim, least_rows=2)


def _picture(
    task: ImageClassification, batch: Batch, inputs: Mapping[str, object], options: ExplainOptions
) -> _Instance:
    masked = MaskedPicture(batch.columns[IMAGE][0], task.reader.options, task.reader.size(inputs[IMAGE]))
    return _Instance(batch, _label(task.labels, options), lambda: masked)


def _row(task: TabularClassification | TabularRegression, batch: Batch, options: ExplainOptions) -> _Instance:
    masked = masked_row(batch, task.background, method=options.method, budget=options.budget)
    if isinstance(task, TabularClassification):
        return _Instance(batch, _label(task.labels, options), lambda: masked)
    return _Instance(batch, lambda outputs, _turns: value_target(options.target, outputs), lambda: masked)


def _label(labels: Sequence[str], options: ExplainOptions) -> Aim:
    return lambda outputs, _turns: label_target(labels, options.target, outputs)


def _decoded(task: Task, inputs: object, parameters: Mapping[str, object], *, within: str) -> Batch:
    """Check one instance, and name what is wrong as the caller does: `inputs.text`."""
    try:
        return task.decode([inputs], parameters, single=True)
    except Unprocessable as error:
        raise Unprocessable(
            error.message,
            code=error.code,
            param=_within(error.param, within),
            details=[
                detail.model_copy(update={"param": _within(detail.param, within)}) for detail in error.details
            ],
        ) from None


def _within(param: str | None, field: str) -> str:
    if param is None:
        return field
    return param if param.startswith("parameters.") else f"{field}.{param}"
