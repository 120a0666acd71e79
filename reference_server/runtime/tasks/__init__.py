"""Tasks by name: what turns a request's values into tensors and tensors into a reply's values."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from reference_server.errors import Unprocessable
from reference_server.runtime.tasks.embedding import Embedding
from reference_server.runtime.tasks.image_classification import ImageClassification
from reference_server.runtime.tasks.manifest_rules import check_manifest
from reference_server.runtime.tasks.raw_tensors import RawTensors
from reference_server.runtime.tasks.tabular import TabularClassification, TabularRegression
from reference_server.runtime.tasks.task import Batch, Outputs, Task
from reference_server.runtime.tasks.text_classification import TextClassification

if TYPE_CHECKING:
    from collections.abc import Callable

    from maas_client._package import Package
    from reference_server.runtime.runner import Runner

    TaskBuilder: TypeAlias = Callable[[Package, Runner], Task]

__all__ = ["TASKS", "Batch", "Outputs", "Task", "build_task"]

TASKS: dict[str, TaskBuilder] = {
    "embedding": Embedding,
    "image-classification": ImageClassification,
    "tabular-classification": TabularClassification,
    "tabular-regression": TabularRegression,
    "tensor": RawTensors,
    "text-classification": TextClassification,
}


def build_task(package: Package, runner: Runner) -> Task:
    """Build the task that a package's manifest names.

    Raises:
        Unprocessable: Code `unknown_task`, or `model_rejected` where manifest and graph do not fit together.
    """
    name = package.manifest.task
    if name not in TASKS:
        raise Unprocessable(
            f"the task {name!r} is not known here; this server has {', '.join(sorted(TASKS))}",
            code="unknown_task",
            param="task",
        )
    check_manifest(package.manifest)
    return TASKS[name](package, runner)
