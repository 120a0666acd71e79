"""The base of a fine-tune: a version whose embeddings are features, and whose graph the result will hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from reference_server.errors import Unprocessable
from reference_server.evaluation.work import sliced
from reference_server.jobs.models import find_version, load
from reference_server.loadables import loadable
from reference_server.runtime.tasks import Batch
from reference_server.runtime.tasks.outputs import check_finite, output_spec
from reference_server.training.packaging import Base

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from reference_server.jobs.context import Context
    from reference_server.registry.versions import ServingTarget
    from reference_server.runtime.pool import LoadedModel
    from reference_server.runtime.tasks import Task
    from reference_server.training.rows import Part
    from reference_server.training.state import State

TASK = "embedding"
# Rows of one run; always the same ones together, because company may move the last bit of an embedding.
CHUNK_ROWS = 32
# What was shared when a job began may be withdrawn while it runs.
_LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class OpenBase:
    """A base, loaded and read."""

    target: ServingTarget
    loaded: LoadedModel
    base: Base


def require_embedding(task: str, model: str) -> None:
    """Refuse a base that makes no vectors.

    Raises:
        Unprocessable: Code `base_not_embedding`.
    """
    if task != TASK:
        raise Unprocessable(
            f"{model!r} has the task {task}; a base makes vectors of texts, so its task is {TASK}",
            code="base_not_embedding",
            param="base",
        )


def open_base(context: Context, model: str, version: str, digest: str) -> OpenBase:
    """Load a base and read its package.

    Raises:
        ServiceError: It is gone, is another, or its account may not use it any more.
    """
    target = still_there(context, model, version, digest)
    services = context.services
    loaded = load(context, target)
    with loadable(target, services.database, services.artifacts, {}).open_package() as package:
        require_embedding(package.manifest.task, model)
        files = {name: package.read(name) for name in package.sizes}
        output = output_spec(package, loaded.runner).name
        return OpenBase(target, loaded, Base(target.exact, package.manifest, files, output))


def still_there(context: Context, model: str, version: str, digest: str) -> ServingTarget:
    """Return a base as its account may use it now; see `open_base` for what it raises."""
    return find_version(context, model, version, digest=digest)


def decoded(task: Task, parts: Mapping[str, Part]) -> Batch:
    """Return all rows as a task takes them, part after part.

    Raises:
        Unprocessable: Naming each row at fault as its sender does: `train.inputs[17].text`.
    """
    batches = []
    for name, part in parts.items():
        try:
            batches.append(task.decode(part.inputs, {}))
        except Unprocessable as error:
            raise _renamed(error, name) from None
    return Batch.joined(batches)


def embed(context: Context, opened: OpenBase, parts: Mapping[str, Part], state: State) -> NDArray[np.float32]:
    """Return the embeddings of all rows, part after part, `[rows, dimensions]`.

    Args:
        context: Told how far it is, and given checkpoints.
        opened: What makes them.
        parts: The rows.
        state: What an earlier process had made of them; gone on with.
    """
    batch = decoded(opened.loaded.task, parts)
    rows, target = len(batch), opened.target
    context.begin(state.rows, rows, unit="embedding")
    looked = context.timer()
    while (start := state.rows) < rows:
        outputs = opened.loaded.task.predict(sliced(batch, start, start + CHUNK_ROWS))
        vectors = outputs.tensors[TASK]
        check_finite(vectors)
        state.embeddings.append(vectors)
        context.save(state.packed, done=state.rows)
        context.progress(state.rows, rows)
        if context.timer() - looked >= _LOOK_SECONDS:
            still_there(context, target.exact, str(target.version), target.digest)
            looked = context.timer()
    return np.concatenate(state.embeddings)


def _renamed(error: Unprocessable, part: str) -> Unprocessable:
    def rename(text: str | None) -> str | None:
        return text and text.replace("instances[", f"{part}.inputs[")

    details = [detail.model_copy(update={"param": rename(detail.param)}) for detail in error.details]
    return Unprocessable(
        rename(error.message) or "", code=error.code, param=rename(error.param), details=details
    )
