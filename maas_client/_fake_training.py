"""Fine-tunes in memory, as `FakeMaas` does them: a linear head found by gradient descent, in plain Python.

It learns as the server does, from words, from columns brought to mean 0 and deviation 1, or from a base's
vectors; for some hundred rows, not for many thousands.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, pstdev
from typing import Any

from maas_client._fake_descent import STEPS, Head, Vector, fallen, softmax
from maas_client._fake_features import Embed, Inputs, learnt
from maas_client._intervals import rate
from maas_client.errors import UnprocessableError
from maas_client.types import FineTuneOptions, LabelledRows

_BAG_RATES = {"sgd": 20.0, "momentum": 2.0, "adam": 0.03}
_DENSE_RATES = {"sgd": 0.05, "momentum": 0.005, "adam": 0.003}
_BINS = 15


@dataclass(slots=True)
class Training:
    """One fine-tune: rows in, a function that predicts and the fields of a `FineTune` out.

    Args:
        parts: The rows.
        options: As the contract has them.
        embed: Returns a base's vector of an instance; None without a base.
    """

    parts: dict[str, LabelledRows]
    options: FineTuneOptions
    embed: Embed | None = None
    labels: list[str] = field(init=False)
    curve: list[dict[str, Any]] = field(init=False, default_factory=list)
    _features: Callable[[Inputs], Vector] = field(init=False)
    _width: int = field(init=False)
    _scale: tuple[float, float] = field(init=False, default=(0.0, 1.0))
    _kind: str = field(init=False)
    _head: Head = field(init=False)

    def __post_init__(self) -> None:
        train = self.parts["train"]
        is_regression = self.options.loss == "mse"
        self.labels = [] if is_regression else sorted({str(target) for target in train.targets})
        if len(self.labels) == 1:
            told = f"all training rows have the label {self.labels[0]!r}"
            raise UnprocessableError(told, code="one_class", param="train.targets")
        if is_regression:
            numbers = [float(str(target)) for target in train.targets]
            self._scale = fmean(numbers), pstdev(numbers) or 1.0
        self._hold_out()
        self._features, self._width, self._kind = learnt(self.parts["train"].inputs, self.embed)
        outputs = max(1, len(self.labels))
        self._head = Head([[0.0] * self._width for _ in range(outputs)], [0.0] * outputs)
        self._descend()

    def answer(self, inputs: Inputs) -> Mapping[str, Any]:
        """Predict one instance."""
        outputs = self._head.outputs(self._features(inputs))
        if not self.labels:
            mean, deviation = self._scale
            return {"value": mean + deviation * outputs[0]}
        scores = dict(zip(self.labels, softmax(outputs), strict=True))
        label = max(scores, key=lambda each: scores[each])
        return {"label": label, "score": scores[label], "scores": scores}

    def result(self) -> dict[str, Any]:
        """Return the fields of a `FineTune` but those of the version and of the base."""
        part = next((each for each in ("test", "validation") if each in self.parts), None)
        best = min(self.curve, key=lambda point: point["validation_loss"] or 0.0) if self._watches else None
        return {
            "task": self.task,
            "features": self._kind,
            "labels": self.labels,
            "rows": {name: len(rows.inputs) for name, rows in self.parts.items()},
            "options": {
                **self.options.model_dump(mode="json", exclude={"notes", "visibility", "set_default"}),
                "optimizer": self._optimizer,
                "learning_rate": self._rate,
            },
            "curve": self.curve,
            "best_epoch": (best or self.curve[-1])["epoch"],
            "stopped_early": len(self.curve) < self.options.epochs,
            "evaluated_on": part,
            "evaluation": part and self._evaluated(self.parts[part]),
            "verified_rows": 0,
            "largest_difference": 0.0,
            "warnings": ["Made by FakeMaas: words alone are learnt from, and nothing was proved."],
        }

    @property
    def task(self) -> str:
        """The task of what came of it."""
        if self._kind != "columns":
            return "text-classification"
        return "tabular-classification" if self.labels else "tabular-regression"

    @property
    def _watches(self) -> bool:
        return self.options.early_stopping and "validation" in self.parts

    @property
    def _optimizer(self) -> str:
        return self.options.optimizer or ("sgd" if self._kind == "ngrams" else "adam")

    @property
    def _rate(self) -> float:
        rates = _BAG_RATES if self._kind == "ngrams" else _DENSE_RATES
        return self.options.learning_rate or rates[self._optimizer]

    def _hold_out(self) -> None:
        """Take the shares that were asked for from the training rows, of each label the same."""
        rows, chance = self.parts["train"], random.Random(self.options.seed)  # noqa: S311 - a sample, no secret
        strata: dict[object, list[int]] = {}
        for number, target in enumerate(rows.targets):
            strata.setdefault(target if self.labels else None, []).append(number)
        chosen: dict[str, list[int]] = {}
        for stratum in strata.values():
            order, start = chance.sample(stratum, len(stratum)), 0
            for part in ("validation", "test"):
                if part not in self.parts and (share := getattr(self.options, part)) > 0:
                    count = min(round(share * len(order)), len(order) - 1 - start)
                    chosen.setdefault(part, []).extend(order[start : start + count])
                    start += count
        for part, numbers in chosen.items():
            if not numbers:
                told = f"there are too few rows to hold some out for {part}"
                raise UnprocessableError(told, code="too_few_rows", param=part)
            self.parts[part] = _taken(rows, sorted(numbers))
        away = {number for numbers in chosen.values() for number in numbers}
        self.parts["train"] = _taken(rows, [n for n in range(len(rows.inputs)) if n not in away])

    def _descend(self) -> None:
        options, chance = self.options, random.Random(self.options.seed)  # noqa: S311 - an order, no secret
        seen = {part: self._seen(rows) for part, rows in self.parts.items()}
        step = STEPS[self._optimizer](self._width, len(self._head.bias))
        batches = math.ceil(len(seen["train"]) / options.batch_size)
        best, lowest, waited = self._head, math.inf, 0
        for epoch in range(1, options.epochs + 1):
            order = chance.sample(seen["train"], len(seen["train"]))
            for batch in range(batches):
                done = ((epoch - 1) * batches + batch) / (batches * options.epochs)
                rows = order[batch * options.batch_size : (batch + 1) * options.batch_size]
                step(self._head, self._gradient(rows), self._rate * fallen(options.schedule, done))
            watched = self._loss(seen["validation"]) if "validation" in seen else None
            right = self._right(self.parts["validation"]) if "validation" in seen else []
            self.curve.append(
                {
                    "epoch": epoch,
                    "loss": self._loss(seen["train"]),
                    "validation_loss": watched,
                    "validation_accuracy": fmean(right) if right else None,
                    "learning_rate": self._rate * fallen(options.schedule, epoch / options.epochs),
                }
            )
            if not self._watches or watched is None:
                continue
            waited += 1
            if watched < lowest:
                best, lowest, waited = self._head.copy(), watched, 0
            if waited >= options.patience:
                break
        if self._watches:
            self._head = best

    def _seen(self, rows: LabelledRows) -> list[tuple[Vector, float]]:
        """Return rows as descent sees them: features, and a class or a scaled number."""
        mean, deviation = self._scale
        targets = (
            (self.labels.index(str(target)) if self.labels else (float(str(target)) - mean) / deviation)
            for target in rows.targets
        )
        return [(self._features(inputs), target) for inputs, target in zip(rows.inputs, targets, strict=True)]

    def _wanted(self, target: float) -> list[float]:
        """Return what the softmax ought to be: some of it even over all labels, the rest on the true one."""
        spread = self.options.label_smoothing
        even = spread / len(self.labels)
        return [even + (1 - spread if index == target else 0.0) for index in range(len(self.labels))]

    def _weight(self, target: float) -> float:
        weights = self.options.class_weights
        if weights is None or not self.labels:
            return 1.0
        label = self.labels[int(target)]
        if weights == "balanced":
            targets = self.parts["train"].targets
            return len(targets) / (len(self.labels) * targets.count(label))
        return dict(weights).get(label, 1.0)

    def _loss(self, rows: Iterable[tuple[Vector, float]]) -> float:
        losses = []
        for vector, target in rows:
            outputs = self._head.outputs(vector)
            if not self.labels:
                losses.append((outputs[0] - target) ** 2)
                continue
            logs = [math.log(max(each, 1e-300)) for each in softmax(outputs)]
            entropy = -math.fsum(q * log for q, log in zip(self._wanted(target), logs, strict=True))
            losses.append(self._weight(target) * entropy)
        return fmean(losses)

    def _gradient(self, rows: Sequence[tuple[Vector, float]]) -> Head:
        """Return ∇J of some rows: ∂J/∂z is weight · (softmax less wanted), or 2 · (z less target)."""
        l2 = self.options.l2
        gradient = Head(
            [[l2 * each for each in row] for row in self._head.weights], [0.0] * len(self._head.bias)
        )
        for vector, target in rows:
            outputs = self._head.outputs(vector)
            if self.labels:
                weight, wanted = self._weight(target), self._wanted(target)
                outer = [weight * (p - q) for p, q in zip(softmax(outputs), wanted, strict=True)]
            else:
                outer = [2 * (outputs[0] - target)]
            for output, each in enumerate(outer):
                gradient.bias[output] += each / len(rows)
                for index, value in vector.items():
                    gradient.weights[output][index] += each * value / len(rows)
        return gradient

    def _right(self, rows: LabelledRows) -> list[bool]:
        """Tell which rows are told right; nothing of numbers."""
        if not self.labels:
            return []
        return [
            self.answer(inputs)["label"] == target
            for inputs, target in zip(rows.inputs, rows.targets, strict=True)
        ]

    def _evaluated(self, rows: LabelledRows) -> dict[str, Any]:
        said = [self.answer(inputs) for inputs in rows.inputs]
        measured = {"task": self.task, "rows": len(said), "device": "cpu", "resamples": 0, "seed": 0}
        if not self.labels:
            errors = [
                abs(each["value"] - float(str(target)))
                for each, target in zip(said, rows.targets, strict=True)
            ]
            return {
                **measured,
                "metrics": [_metric("mean_absolute_error", fmean(errors), None, "the target's unit")],
            }
        right = self._right(rows)
        share = rate(sum(right), len(right))
        interval = (share.low, share.high) if share else None
        counts = Counter(
            (str(target), each["label"]) for each, target in zip(said, rows.targets, strict=True)
        )
        return {
            **measured,
            "metrics": [_metric("accuracy", fmean(right), interval, "share of rows")],
            "confusion_matrix": {
                "labels": self.labels,
                "counts": [[counts[true, label] for label in self.labels] for true in self.labels],
            },
            "calibration": _calibration([each["score"] for each in said], right),
        }


def from_call(
    query: Mapping[str, str], body: Mapping[str, Any]
) -> tuple[FineTuneOptions, dict[str, LabelledRows]]:
    """Return the options and the parts that a call gives, by either of the two routes."""
    rows = {
        part: body[part] for part in ("train", "validation", "test") if isinstance(body.get(part), Mapping)
    }
    told = (
        json.loads(query["options"])
        if "options" in query
        else {k: v for k, v in body.items() if k not in rows}
    )
    parts = {part: LabelledRows.model_validate(each) for part, each in rows.items()}
    return FineTuneOptions.model_validate(told), parts


def _taken(rows: LabelledRows, numbers: Sequence[int]) -> LabelledRows:
    return LabelledRows(
        inputs=[rows.inputs[number] for number in numbers],
        targets=[rows.targets[number] for number in numbers],
    )


def _metric(name: str, value: float, interval: object, unit: str) -> dict[str, Any]:
    return {"name": name, "value": value, "interval": interval, "unit": unit}


def _calibration(scores: Sequence[float], right: Sequence[bool]) -> list[dict[str, Any]]:
    bins: list[list[int]] = [[] for _ in range(_BINS)]
    for number, score in enumerate(scores):
        bins[min(_BINS - 1, max(0, math.ceil(score * _BINS) - 1))].append(number)
    return [
        {
            "low": index / _BINS,
            "high": (index + 1) / _BINS,
            "rows": len(rows),
            "confidence": fmean(scores[row] for row in rows) if rows else None,
            "accuracy": fmean(right[row] for row in rows) if rows else None,
        }
        for index, rows in enumerate(bins)
    ]
