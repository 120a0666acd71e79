"""Which features an instance has, and what is explained of it, by the model's task."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, cast

from reference_server.errors import Unprocessable
from reference_server.explain.explaining import Explaining, Subject
from reference_server.explain.hierarchy import MOST_WORDS
from reference_server.explain.images import MaskedPicture
from reference_server.explain.scoring import Target, Turns, label_target, similarity_target, value_target
from reference_server.explain.tables import masked_row
from reference_server.explain.texts import MaskedText, seen_words
from reference_server.runtime.tasks.embedding import Embedding
from reference_server.runtime.tasks.image_classification import ImageClassification
from reference_server.runtime.tasks.image_inputs import IMAGE
from reference_server.runtime.tasks.tabular import TabularClassification, TabularRegression
from reference_server.runtime.tasks.text_classification import TextClassification
from reference_server.runtime.tasks.text_inputs import TEXT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from maas_client.types import ExplainOptions
    from reference_server.runtime.tasks import Batch, Outputs, Task

    Aim: TypeAlias = Callable[[Outputs, Turns], Target]


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
        subject = _text(task, batch, aim, least_rows=1)
    elif isinstance(task, ImageClassification):
        subject = _picture(task, batch, inputs, options)
    elif isinstance(task, TabularClassification | TabularRegression):
        subject = _row(task, batch, options)
    else:
        raise Unprocessable(
            "the task `tensor` does not say what its numbers mean, so nobody can tell what one of them would "
            "be if it were absent; models of other tasks can be explained, such as tabular ones that ship a "
            "background",
            code="task_not_explained",
        )
    return Explaining(subject, options)


def _text(task: TextClassification | Embedding, batch: Batch, aim: Aim, *, least_rows: int) -> Subject:
    text, mask = cast("str", batch.columns[TEXT][0]), task.mask_token
    words, notes = seen_words(text, task.seen(text))
    if len(words) > MOST_WORDS:
        return Subject(batch, aim, least_rows, long=words, mask=mask, notes=notes)
    masked = MaskedText(text, [[word] for word in words], mask=mask)
    return Subject(batch, aim, least_rows, masked, notes=notes)


def _similar(task: Embedding, batch: Batch, options: ExplainOptions) -> Subject:
    if options.against is None:
        raise Unprocessable(
            'a vector has no score of its own; send `against`, another instance such as {"text": "…"}, and '
            "the similarity to it is explained",
            code="missing_against",
            param="against",
        )
    other = _decoded(task, options.against, {}, within="against")

    def aim(_outputs: Outputs, turns: Turns) -> Target:
        (outputs,) = turns.run(other)
        return similarity_target(options.target, outputs)

    return _text(task, batch, aim, least_rows=2)


def _picture(
    task: ImageClassification, batch: Batch, inputs: Mapping[str, object], options: ExplainOptions
) -> Subject:
    masked = MaskedPicture(batch.columns[IMAGE][0], task.reader.options, task.reader.size(inputs[IMAGE]))
    return Subject(batch, _label(task.labels, options), masked=masked)


def _row(task: TabularClassification | TabularRegression, batch: Batch, options: ExplainOptions) -> Subject:
    masked = masked_row(batch, task.background, method=options.method, budget=options.budget)
    if isinstance(task, TabularClassification):
        return Subject(batch, _label(task.labels, options), masked=masked)
    return Subject(batch, lambda outputs, _turns: value_target(options.target, outputs), masked=masked)


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
