"""Text classification: one text in, a label with its score and every label's score out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from maas_client.types import TaskSignature
from reference_server.runtime.tasks.class_scores import SCORES, ClassScores
from reference_server.runtime.tasks.instances import Inputs, top_k
from reference_server.runtime.tasks.task import Outputs
from reference_server.runtime.tasks.text_inputs import TEXT, check_text, text_input, text_spec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from maas_client._package import Package
    from reference_server.runtime.runner import Runner, Tensor
    from reference_server.runtime.tasks.task import Batch


class TextClassification:
    """A task over a graph that returns one row of logits or probabilities per text; see `ClassScores`."""

    def __init__(self, package: Package, runner: Runner) -> None:
        self._runner = runner
        self._scores = ClassScores(package, runner)
        self._input = text_input(package, runner)
        self.labels = self._scores.labels
        self.mask_token = self._input.mask_token
        self.seen = self._input.seen
        self._inputs = Inputs(
            "text classification", {TEXT: ("string", check_text(package))}, {"top_k": top_k}
        )
        self.signature = TaskSignature(inputs=[text_spec(package, "The text to classify.")], outputs=SCORES)

    def decode(
        self, instances: Sequence[object], parameters: Mapping[str, object], *, single: bool = False
    ) -> Batch:
        """Check that every instance is `{"text": a string}`; see `Task.decode`."""
        return self._inputs.decode(instances, parameters, single=single)

    def predict(self, batch: Batch, *, deadline: float | None = None) -> Outputs:
        """Return `scores`, `[batch, labels]`; see `Task.predict`."""
        texts = cast("Sequence[str]", batch.columns[TEXT])
        parts: list[Tensor] = []
        order: list[int] = []
        for rows, inputs in self._input.chunks(texts, deadline=deadline):
            results = self._runner.run(inputs, outputs=[self._scores.output], deadline=deadline)
            parts.append(self._scores.read(results, len(rows)))
            order += rows
        scores = np.empty((len(texts), len(self._scores.labels)), parts[0].dtype)
        scores[order] = np.concatenate(parts)
        return Outputs({"scores": self._scores.activated(scores)}, batch.parameters)

    def encode(self, outputs: Outputs) -> list[dict[str, Any]]:
        """Return `label`, `score` and `scores` for every text; see `Task.encode`."""
        return self._scores.encode(outputs)
