"""Image classification: one picture in, a label with its score and every label's score out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from maas_client.types import InputSpec, TaskSignature
from reference_server.errors import Unprocessable
from reference_server.runtime.tasks.class_scores import SCORES, ClassScores
from reference_server.runtime.tasks.image_inputs import IMAGE, ImageReader
from reference_server.runtime.tasks.instances import Inputs, top_k
from reference_server.runtime.tasks.row_runs import run_rows, stacked
from reference_server.runtime.tasks.task import Outputs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from maas_client._package import Package
    from maas_client.types import ImagePreprocessing
    from reference_server.runtime.runner import Runner
    from reference_server.runtime.tasks.task import Batch

_DTYPES: dict[str, type[np.generic]] = {"FP16": np.float16, "FP32": np.float32, "FP64": np.float64}


class ImageClassification:
    """A task over a graph that returns one row of logits or probabilities per picture; see `ClassScores`."""

    def __init__(self, package: Package, runner: Runner) -> None:
        options = package.manifest.preprocessing.image
        if options is None:
            raise _rejected("image classification needs preprocessing.image in maas.toml: width and height")
        self._runner = runner
        self._input, kind = _graph_input(runner, options)
        self._scores = ClassScores(package, runner)
        self.labels = self._scores.labels
        self.reader = ImageReader(options, kind)
        described = (
            "A PNG or JPEG in base64, or its pixels: rows of numbers, or of [red, green, blue], 0 to 255."
        )
        self._inputs = Inputs(
            "image classification", {IMAGE: ("base64 string", self.reader)}, {"top_k": top_k}
        )
        self.signature = TaskSignature(
            inputs=[InputSpec(name=IMAGE, type="image", description=described)], outputs=SCORES
        )

    def decode(
        self, instances: Sequence[object], parameters: Mapping[str, object], *, single: bool = False
    ) -> Batch:
        """Read every instance's picture; see `Task.decode`."""
        return self._inputs.decode(instances, parameters, single=single)

    def predict(self, batch: Batch, *, deadline: float | None = None) -> Outputs:
        """Return `scores`, `[batch, labels]`; see `Task.predict`."""
        feeds = {self._input: stacked(batch.columns[IMAGE])}
        results = run_rows(self._runner, feeds, outputs=[self._scores.output], deadline=deadline)
        return Outputs(
            {"scores": self._scores.activated(self._scores.read(results, len(batch)))}, batch.parameters
        )

    def encode(self, outputs: Outputs) -> list[dict[str, Any]]:
        """Return `label`, `score` and `scores` for every picture; see `Task.encode`."""
        return self._scores.encode(outputs)


def _graph_input(runner: Runner, options: ImagePreprocessing) -> tuple[str, type[np.generic]]:
    channels = 1 if options.mode == "L" else 3
    sizes = {"N": -1, "C": channels, "H": options.height, "W": options.width}
    expected = [sizes[axis] for axis in options.layout]
    if len(runner.tensors.inputs) == 1:
        (spec,) = runner.tensors.inputs
        fits = len(spec.shape) == len(expected) and all(
            have in (-1, want) for have, want in zip(spec.shape[1:], expected[1:], strict=True)
        )
        if spec.datatype in _DTYPES and fits and spec.shape[0] in (-1, 1):
            return spec.name, _DTYPES[spec.datatype]
    described = ", ".join(f"{spec.name} ({spec.datatype} {spec.shape})" for spec in runner.tensors.inputs)
    raise _rejected(f"the graph takes {described}; preprocessing.image makes one input of floats {expected}")


def _rejected(message: str) -> Unprocessable:
    return Unprocessable(message, code="model_rejected")
