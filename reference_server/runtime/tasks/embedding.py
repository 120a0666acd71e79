"""Embedding: one text in, a vector out; texts of like meaning have vectors that point the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from maas_client.types import OutputSpec, TaskSignature
from reference_server.errors import Unprocessable
from reference_server.runtime.tasks.instances import Inputs
from reference_server.runtime.tasks.outputs import output_spec
from reference_server.runtime.tasks.task import Outputs
from reference_server.runtime.tasks.text_inputs import TEXT, check_text, text_input, text_spec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from maas_client._package import Package
    from maas_client.types import Postprocessing
    from reference_server.runtime.runner import Runner, Tensor, Tensors
    from reference_server.runtime.tasks.task import Batch

_FLOATS = ("FP16", "BF16", "FP32", "FP64")
_ROWS, _TOKENS = 2, 3


class Embedding:
    """A task over a graph that returns a vector per text, `[batch, dimensions]`, or per token.

    Vectors per token, `[batch, tokens, dimensions]`, are pooled as the manifest says: `mean` under the
    attention mask, `cls` the first token's. `normalize` divides each vector by its Euclidean length.
    """

    def __init__(self, package: Package, runner: Runner) -> None:
        self._runner = runner
        self._options = package.manifest.postprocessing
        self._output = output_spec(package, runner).name
        self._input = text_input(package, runner)
        self.mask_token = self._input.mask_token
        self.seen = self._input.seen
        self._inputs = Inputs("embedding", {TEXT: ("string", check_text(package))})
        _check_pooling(package, runner)
        self.signature = TaskSignature(
            inputs=[text_spec(package, "The text to embed.")],
            outputs=[OutputSpec(name="embedding", type="array", description="Its vector, float32.")],
        )

    def decode(
        self, instances: Sequence[object], parameters: Mapping[str, object], *, single: bool = False
    ) -> Batch:
        """Check that every instance is `{"text": a string}`; see `Task.decode`."""
        return self._inputs.decode(instances, parameters, single=single)

    def predict(self, batch: Batch, *, deadline: float | None = None) -> Outputs:
        """Return `embedding`, `[batch, dimensions]` float32, and `tokens`, `[batch]`; see `Task.predict`."""
        texts = cast("Sequence[str]", batch.columns[TEXT])
        parts: list[Tensor] = []
        order: list[int] = []
        tokens = np.zeros(len(texts), np.int64)
        for rows, inputs in self._input.chunks(texts, deadline=deadline):
            results = self._runner.run(inputs, outputs=[self._output], deadline=deadline)
            parts.append(self._pooled(results[self._output], inputs, len(rows)))
            order += rows
            if (mask := inputs.get("attention_mask")) is not None:
                tokens[rows] = mask.sum(axis=1)
        vectors = np.empty((len(texts), parts[0].shape[1]), np.float32)
        vectors[order] = np.concatenate(parts)
        return Outputs({"embedding": vectors, "tokens": tokens}, batch.parameters)

    def encode(self, outputs: Outputs) -> list[dict[str, Any]]:
        """Return `embedding` for every text; see `Task.encode`."""
        return [{"embedding": vector} for vector in outputs.tensors["embedding"]]

    def _pooled(self, output: Tensor, inputs: Tensors, rows: int) -> Tensor:
        expected = _ROWS if self._options.pooling == "none" else _TOKENS
        if output.ndim != expected or len(output) != rows:
            raise _wrong_shape(self._output, list(output.shape), self._options)
        vectors = _pool(output.astype(np.float32, copy=False), inputs, self._options.pooling)
        if not self._options.normalize:
            return vectors
        # A vector of zeros stays one: it has no direction.
        lengths: Tensor = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: Tensor = vectors / np.maximum(lengths, np.float32(1e-12))
        return unit


def _pool(output: Tensor, inputs: Tensors, pooling: str) -> Tensor:
    if pooling == "none":
        return output
    if pooling == "cls":
        return output[:, 0]
    mask = inputs["attention_mask"].astype(np.float32)[:, :, None]
    mean: Tensor = (output * mask).sum(axis=1) / np.maximum(mask.sum(axis=1), np.float32(1e-9))
    return mean


def _check_pooling(package: Package, runner: Runner) -> None:
    options, spec = package.manifest.postprocessing, output_spec(package, runner)
    wanted = _ROWS if options.pooling == "none" else _TOKENS
    if not spec.datatype.startswith(("FP", "BF")) or (spec.shape and len(spec.shape) != wanted):
        raise _wrong_shape(spec.name, spec.shape, options)
    if options.pooling == "mean" and all(each.name != "attention_mask" for each in runner.tensors.inputs):
        raise Unprocessable(
            "postprocessing.pooling is 'mean', which needs the graph's input 'attention_mask'",
            code="model_rejected",
        )


def _wrong_shape(name: str, shape: list[int], options: Postprocessing) -> Unprocessable:
    expected = "[batch, dimensions]" if options.pooling == "none" else "[batch, tokens, dimensions]"
    return Unprocessable(
        f"the graph's output {name!r} has the shape {shape}; postprocessing.pooling {options.pooling!r} "
        f"needs floats {expected}",
        code="model_rejected",
    )
