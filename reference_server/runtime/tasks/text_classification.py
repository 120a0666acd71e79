"""Text classification: one text in, a label with its score and every label's score out."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import orjson

from maas_client.types import InputSpec, OutputSpec, TaskSignature
from reference_server.errors import Unprocessable
from reference_server.runtime.tasks.faults import Faults, check_names, json_type, printable
from reference_server.runtime.tasks.task import Batch, Outputs
from reference_server.runtime.tasks.text_inputs import text_fault, text_input

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import JsonValue

    from maas_client._package import Package
    from reference_server.runtime.runner import Runner, Tensor

_INPUTS = {"text": "string"}
_FLOATS = ("FP16", "BF16", "FP32", "FP64")


class TextClassification:
    """A task over a graph that returns one row of logits or probabilities per text.

    `encode` gives scores the shortest decimal that reads back as the same float32 (float64 where the graph
    returns that), and names the label with the highest; of equal ones the first. The option `top_k` keeps
    the k best scores, the best first; without it all are listed in the labels' own order.
    """

    def __init__(self, package: Package, runner: Runner) -> None:
        manifest = package.manifest
        self._labels = package.labels
        self._runner = runner
        self._softmax = manifest.postprocessing.activation == "softmax"
        self._max_characters = manifest.preprocessing.max_characters
        self._output = _output_name(package, runner)
        self._input = text_input(package, runner)
        self.signature = _signature(self._max_characters)

    def decode(
        self, instances: Sequence[object], parameters: Mapping[str, object], *, single: bool = False
    ) -> Batch:
        """Check that every instance is `{"text": a string}`; see `Task.decode`."""
        if not instances:
            raise Unprocessable("there is no instance; send at least one", param="instances")
        faults = Faults(single=single)
        options = _options(parameters, faults)
        texts: list[JsonValue] = []
        for row, instance in enumerate(instances):
            texts.append(self._text(instance, row, faults))
            if faults.full:
                break
        faults.raise_any()
        return Batch({"text": texts}, options)

    def predict(self, batch: Batch, *, deadline: float | None = None) -> Outputs:
        """Return `probabilities` (or what the graph returns), `[batch, labels]`; see `Task.predict`."""
        texts = cast("Sequence[str]", batch.columns["text"])
        parts: list[Tensor] = []
        order: list[int] = []
        for rows, inputs in self._input.chunks(texts, deadline=deadline):
            results = self._runner.run(inputs, outputs=[self._output], deadline=deadline)
            parts.append(self._checked(results[self._output], len(rows)))
            order += rows
        scores = np.empty((len(texts), len(self._labels)), parts[0].dtype)
        scores[order] = np.concatenate(parts)
        return Outputs({"scores": softmax(scores) if self._softmax else scores}, batch.parameters)

    def encode(self, outputs: Outputs) -> list[dict[str, JsonValue]]:
        """Return `label`, `score` and `scores` for every text; see `Task.encode`."""
        scores = np.ascontiguousarray(outputs.tensors["scores"])
        _check_finite(scores)
        # orjson writes a float32 with the fewest digits that tell it from its neighbours.
        rows: list[list[float]] = orjson.loads(orjson.dumps(scores, option=orjson.OPT_SERIALIZE_NUMPY))
        best = scores.argmax(axis=1).tolist()
        kept = outputs.parameters.get("top_k")
        return [
            {
                "label": self._labels[index],
                "score": row[index],
                "scores": self._scores(row, cast("int | None", kept)),
            }
            for row, index in zip(rows, best, strict=True)
        ]

    def _text(self, instance: object, row: int, faults: Faults) -> str:
        if not isinstance(instance, dict):
            message = f'an object such as {{"text": "…"}} is expected, not {json_type(instance)}'
            faults.add(row, None, "wrong_type", message)
            return ""
        if instance.keys() != _INPUTS.keys():
            check_names(faults, row, instance, _INPUTS)
        text = instance.get("text", "")
        if fault := text_fault(text, max_characters=self._max_characters):
            faults.add(row, "text", *fault)
            return ""
        return cast("str", text)

    def _checked(self, scores: Tensor, rows: int) -> Tensor:
        expected = (rows, len(self._labels))
        if scores.shape != expected:
            raise Unprocessable(
                f"the graph's output {self._output!r} has the shape {list(scores.shape)} for {rows} texts; "
                f"with {len(self._labels)} labels it must be {list(expected)}",
                code="model_rejected",
            )
        return scores if scores.dtype in (np.float32, np.float64) else scores.astype(np.float32)

    def _scores(self, row: list[float], kept: int | None) -> dict[str, JsonValue]:
        if kept is None:
            return dict(zip(self._labels, row, strict=True))
        best = sorted(range(len(row)), key=row.__getitem__, reverse=True)[:kept]
        return {self._labels[index]: row[index] for index in best}


def softmax(logits: Tensor) -> Tensor:
    """Return the softmax over the last axis in the input's type, computed in float64 without overflow."""
    shifted = logits.astype(np.float64)
    # A row of infinities becomes NaN, which `encode` reports; numpy need not warn of it as well.
    with np.errstate(invalid="ignore"):
        powers = np.exp(shifted - shifted.max(axis=-1, keepdims=True))
        return cast("Tensor", (powers / powers.sum(axis=-1, keepdims=True)).astype(logits.dtype))


def _output_name(package: Package, runner: Runner) -> str:
    """Return the graph output that holds the scores, after checking what can be told of it without a run."""
    if not package.labels:
        raise Unprocessable(
            "text classification needs labels in maas.toml or labels.txt", code="model_rejected"
        )
    specs = {spec.name: spec for spec in runner.tensors.outputs}
    wanted = package.manifest.postprocessing.output or (next(iter(specs)) if len(specs) == 1 else "")
    if wanted not in specs:
        raise Unprocessable(
            f"postprocessing.output is {wanted!r}; it must name an output of the graph: {', '.join(specs)}",
            code="model_rejected",
        )
    spec = specs[wanted]
    if spec.datatype not in _FLOATS or (spec.shape[1:] and spec.shape[1] not in (-1, len(package.labels))):
        raise Unprocessable(
            f"the graph's output {wanted!r} is {spec.datatype} {spec.shape}; "
            f"with {len(package.labels)} labels it must be floats [-1, {len(package.labels)}]",
            code="model_rejected",
        )
    return wanted


def _signature(max_characters: int) -> TaskSignature:
    return TaskSignature(
        inputs=[
            InputSpec(
                name="text", type="string", description="The text to classify.", max_length=max_characters
            )
        ],
        outputs=[
            OutputSpec(name="label", type="string", description="The label with the highest score."),
            OutputSpec(name="score", type="number", description="Its score."),
            OutputSpec(name="scores", type="object", description="The score of every label, by label."),
        ],
    )


def _options(parameters: Mapping[str, object], faults: Faults) -> dict[str, JsonValue]:
    for name in parameters:
        if name != "top_k" and not faults.full:
            message = f"{printable(name)!r} is no option of text classification, which has: top_k"
            faults.add_parameter(name, "unknown_parameter", message)
    top_k = parameters.get("top_k")
    if top_k is None:
        return {}
    if not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1:
        shown = str(top_k) if isinstance(top_k, int | float) else json_type(top_k)
        faults.add_parameter(
            "top_k", "invalid_parameter", f"an integer of at least 1 is expected, not {shown[:40]}"
        )
        return {}
    return {"top_k": top_k}


def _check_finite(scores: Tensor) -> None:
    finite = np.isfinite(scores).all(axis=1)
    if not finite.all():
        row = int(finite.argmin())
        raise Unprocessable(
            f"the model's output for instance {row} holds NaN or infinity, which JSON cannot carry; "
            "the input may lie outside what the model can handle",
            code="non_finite_output",
        )
