"""From a graph's scores to a label, its score and every label's score: the end of each classification."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import orjson

from maas_client.types import OutputSpec
from reference_server.errors import Unprocessable
from reference_server.runtime.tasks.outputs import check_finite, output_spec

if TYPE_CHECKING:
    from maas_client._package import Package
    from reference_server.runtime.runner import Runner, Tensor
    from reference_server.runtime.tasks.task import Outputs

SCORES = [
    OutputSpec(name="label", type="string", description="The label with the highest score."),
    OutputSpec(name="score", type="number", description="Its score."),
    OutputSpec(name="scores", type="object", description="The score of every label, by label."),
]
_FLOATS = ("FP16", "BF16", "FP32", "FP64")


class ClassScores:
    """Reads scores `[batch, labels]` of a graph.

    A score is the shortest decimal that reads back as the same float32 (float64 where the graph returns
    that); the label is that of the highest, of equal ones the first. The option `top_k` keeps the k best
    scores, the best first; without it all are listed in the labels' own order.

    Args:
        package: Its labels and postprocessing.
        runner: Its outputs are checked as far as can be without a run.
    """

    def __init__(self, package: Package, runner: Runner) -> None:
        self.labels = package.labels
        self.output = _output_name(package, runner)
        self._softmax = package.manifest.postprocessing.activation == "softmax"

    def read(self, results: dict[str, Tensor], rows: int) -> Tensor:
        """Return a run's raw scores, `[rows, labels]`.

        Raises:
            Unprocessable: Their shape is another.
        """
        scores = results[self.output]
        expected = (rows, len(self.labels))
        if scores.shape != expected:
            raise Unprocessable(
                f"the graph's output {self.output!r} has the shape {list(scores.shape)} for {rows} "
                f"instance{'s' if rows > 1 else ''}; with {len(self.labels)} labels it must be "
                f"{list(expected)}",
                code="model_rejected",
            )
        return scores if scores.dtype in (np.float32, np.float64) else scores.astype(np.float32)

    def activated(self, scores: Tensor) -> Tensor:
        """Return scores after the manifest's activation."""
        return softmax(scores) if self._softmax else scores

    def encode(self, outputs: Outputs) -> list[dict[str, Any]]:
        """Return `label`, `score` and `scores` for every instance; see `Task.encode`."""
        scores = np.ascontiguousarray(outputs.tensors["scores"])
        check_finite(scores)
        # orjson writes a float32 with the fewest digits that tell it from its neighbours.
        rows: list[list[float]] = orjson.loads(orjson.dumps(scores, option=orjson.OPT_SERIALIZE_NUMPY))
        best = scores.argmax(axis=1).tolist()
        kept = cast("int | None", outputs.parameters.get("top_k"))
        return [
            {"label": self.labels[index], "score": row[index], "scores": self._scores(row, kept)}
            for row, index in zip(rows, best, strict=True)
        ]

    def _scores(self, row: list[float], kept: int | None) -> dict[str, float]:
        if kept is None:
            return dict(zip(self.labels, row, strict=True))
        best = sorted(range(len(row)), key=row.__getitem__, reverse=True)[:kept]
        return {self.labels[index]: row[index] for index in best}


def softmax(logits: Tensor) -> Tensor:
    """Return the softmax over the last axis in the input's type, computed in float64 without overflow."""
    shifted = logits.astype(np.float64)
    # A row of infinities becomes NaN, which `encode` reports; numpy need not warn of it as well.
    with np.errstate(invalid="ignore"):
        powers = np.exp(shifted - shifted.max(axis=-1, keepdims=True))
        return cast("Tensor", (powers / powers.sum(axis=-1, keepdims=True)).astype(logits.dtype))


def _output_name(package: Package, runner: Runner) -> str:
    """Return the graph output that holds the scores, after checking what can be told of it without a run."""
    labels = len(package.labels)
    if not labels:
        raise Unprocessable(
            f"{package.manifest.task.replace('-', ' ')} needs labels in maas.toml or labels.txt",
            code="model_rejected",
        )
    spec = output_spec(package, runner)
    if spec.datatype not in _FLOATS or (spec.shape[1:] and spec.shape[1] not in (-1, labels)):
        raise Unprocessable(
            f"the graph's output {spec.name!r} is {spec.datatype} {spec.shape}; "
            f"with {labels} labels it must be floats [-1, {labels}]",
            code="model_rejected",
        )
    return spec.name
