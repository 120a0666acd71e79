"""Explanations in memory, as `FakeMaas` gives them: of a function of the inputs, by Shapley values.

Exact where the budget allows all coalitions, else by permutations in antithetic pairs (Mitchell et al. 2022,
"Sampling Permutations for Shapley Value Estimation"), which need no linear algebra.
"""

from __future__ import annotations

import itertools
import math
import operator
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any, TypeAlias

from maas_client.errors import UnprocessableError

Inputs: TypeAlias = dict[str, Any]
Score: TypeAlias = Callable[[Inputs], float]
Coalition: TypeAlias = tuple[bool, ...]
_WORD = re.compile(r"\S+")
_RANDOM_ORDERS = 5
_SHARES = (0.1, 0.2, 0.5)


@dataclass(frozen=True, slots=True)
class _Feature:
    """A word of a text, or a whole input that is no text."""

    input: str
    shown: str
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Explainer:
    """What is explained: a model's outputs as a function of an instance.

    Args:
        run: Runs the model.
        options: Those of an `ExplainRequest`.
    """

    run: Callable[[Inputs], Mapping[str, Any]]
    options: Mapping[str, Any]

    def __call__(self, inputs: Inputs) -> dict[str, Any]:
        """Return the fields of an `ExplainReply` that come from explaining an instance.

        Raises:
            UnprocessableError: The model has no such target, or the budget does not allow the method.
        """
        target = self._target(self.run(inputs))
        return {"target": target, **explained(self._score_of(target), inputs, self.options)}

    def _target(self, outputs: Mapping[str, Any]) -> str:
        names = list(outputs.get("scores", [name for name in ("value", "embedding") if name in outputs]))
        names = ["similarity" if name == "embedding" else name for name in names]
        target = self.options.get("target") or outputs.get("label") or next(iter(names), None)
        if target not in names:
            there = ", ".join(names) or "none that FakeMaas knows"
            told = f"the model has no target {target!r}; there are {there}"
            raise UnprocessableError(told, code="unknown_target", param="target")
        return str(target)

    def _score_of(self, target: str) -> Score:
        if target == "similarity":
            against = self.options.get("against")
            if against is None:
                told = "an embedding is explained against another: pass `against`"
                raise UnprocessableError(told, code="missing_against", param="against")
            other = self.run(dict(against))["embedding"]
            return lambda inputs: _cosine(self.run(inputs)["embedding"], other)
        if target == "value":
            return lambda inputs: float(self.run(inputs)["value"])
        return lambda inputs: float(self.run(inputs)["scores"][target])


class _Game:
    """The score of the features that are there; each coalition is asked for once."""

    def __init__(self, score: Score, inputs: Inputs, features: Sequence[_Feature]) -> None:
        self._score = score
        self._inputs = inputs
        self._features = features
        self._known: dict[Coalition, float] = {}

    def __call__(self, there: Sequence[bool]) -> float:
        coalition = tuple(there)
        if coalition not in self._known:
            self._known[coalition] = self._score(_masked(self._inputs, self._features, coalition))
        return self._known[coalition]

    @property
    def evaluations(self) -> int:
        return len(self._known)


def explained(score: Score, inputs: Inputs, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an `ExplainReply` that come from explaining.

    Args:
        score: The target's score of an instance.
        inputs: The instance.
        options: Those of an `ExplainRequest`.

    Raises:
        UnprocessableError: The budget does not allow the method.
    """
    features = _features(inputs)
    count = len(features)
    game = _Game(score, inputs, features)
    method = _method(options["method"], count, options["budget"])
    chance = random.Random(options["seed"])  # noqa: S311 - a sample, no secret
    if method == "exact":
        values, errors = _exact(game, count), None
    elif method == "fast":
        values, errors = _left_out(game, count), None
    else:
        values, errors = _by_permutations(game, count, options["budget"], chance)
    prediction, baseline = game([True] * count), game([False] * count)
    faithfulness = _faithfulness(game, values, chance) if options["faithfulness"] and count else None
    return {
        "method": method,
        "unit": "words" if any(each.start is not None for each in features) else "columns",
        "masking": "delete" if any(each.start is not None for each in features) else "background",
        "seed": options["seed"],
        "prediction": prediction,
        "baseline": baseline,
        "attributions": [
            {
                "feature": each.shown,
                "input": each.input,
                "value": value,
                "standard_error": errors[index] if errors else None,
                "start": each.start,
                "end": each.end,
            }
            for index, (each, value) in enumerate(zip(features, values, strict=True))
        ],
        "additivity_gap": baseline + math.fsum(values) - prediction,
        "evaluations": game.evaluations,
        "faithfulness": faithfulness,
        "notes": ["Made by FakeMaas: words are cut at spaces, and a number that is away is 0."],
    }


def importance(explanations: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what counts over many explanations, as the fields of `FeatureImportance`; without intervals."""
    found: dict[tuple[str, str], list[float]] = {}
    for explanation in explanations:
        for each in explanation["attributions"]:
            shown = each["feature"] if each["start"] is None else each["feature"].lower()
            found.setdefault((each["input"], shown), []).append(each["value"])
    rows = [
        {
            "feature": feature,
            "input": name,
            "mean_absolute": fmean(map(abs, values)),
            "mean": fmean(values),
            "rows": len(values),
        }
        for (name, feature), values in found.items()
    ]
    return sorted(rows, key=lambda row: -row["mean_absolute"])


def _method(asked: str, count: int, budget: int) -> str:
    if asked == "auto":
        asked = "exact" if 2**count <= budget else "kernel"
    needed = {"exact": 2**count, "fast": count + 2}.get(asked, 2 * count + 2)
    if needed > budget:
        told = f"{asked!r} needs {needed:,} evaluations for {count:,} features, and the budget is {budget:,}"
        raise UnprocessableError(told, code="budget_too_small", param="budget")
    return "permutation" if asked == "kernel" else asked


def _features(inputs: Inputs) -> list[_Feature]:
    features = []
    for name, value in inputs.items():
        if isinstance(value, str):
            features += [_Feature(name, word[0], *word.span()) for word in _WORD.finditer(value)]
        else:
            features.append(_Feature(name, name))
    return features


def _masked(inputs: Inputs, features: Sequence[_Feature], there: Coalition) -> Inputs:
    masked: Inputs = {name: [] if isinstance(value, str) else value for name, value in inputs.items()}
    for feature, is_there in zip(features, there, strict=True):
        if feature.start is None:
            masked[feature.input] = inputs[feature.input] if is_there else 0
        elif is_there:
            masked[feature.input].append(feature.shown)
    return {
        name: " ".join(masked[name]) if isinstance(value, str) else masked[name]
        for name, value in inputs.items()
    }


def _exact(game: _Game, count: int) -> list[float]:
    values = [0.0] * count
    for there in itertools.product((False, True), repeat=count):
        size = sum(there)
        for feature in range(count):
            if not there[feature]:
                weight = 1 / (count * math.comb(count - 1, size))
                values[feature] += weight * (game(_with(there, feature)) - game(there))
    return values


def _left_out(game: _Game, count: int) -> list[float]:
    every = (True,) * count
    return [game(every) - game((*every[:each], False, *every[each + 1 :])) for each in range(count)]


def _by_permutations(
    game: _Game, count: int, budget: int, chance: random.Random
) -> tuple[list[float], list[float] | None]:
    """Return means over pairs of permutations, and their standard errors where there are two pairs."""
    pairs: list[list[float]] = []
    for _ in range(max(1, (budget - 2) // (2 * count))):
        order = chance.sample(range(count), count)
        ones, others = _steps(game, order), _steps(game, order[::-1])
        pairs.append([(one + other) / 2 for one, other in zip(ones, others, strict=True)])
    columns = list(zip(*pairs, strict=True))
    if len(pairs) == 1:
        return [fmean(column) for column in columns], None
    return [fmean(column) for column in columns], [
        stdev(column) / math.sqrt(len(pairs)) for column in columns
    ]


def _steps(game: _Game, order: Sequence[int]) -> list[float]:
    there: Coalition = (False,) * len(order)
    steps = [0.0] * len(order)
    for feature in order:
        more = _with(there, feature)
        steps[feature] = game(more) - game(there)
        there = more
    return steps


def _with(there: Coalition, feature: int) -> Coalition:
    return (*there[:feature], True, *there[feature + 1 :])


def _faithfulness(game: _Game, values: Sequence[float], chance: random.Random) -> dict[str, Any]:
    order = sorted(range(len(values)), key=lambda each: -values[each])
    orders = [chance.sample(order, len(order)) for _ in range(_RANDOM_ORDERS)]
    full = game([True] * len(order))
    told: dict[str, Any] = {"random_orders": _RANDOM_ORDERS}
    for name, keeps in (("deletion", False), ("insertion", True)):
        told[name] = _curve(
            _scores(game, order, keeps=keeps), [_scores(game, each, keeps=keeps) for each in orders]
        )
    for name, curve in (("comprehensiveness", "deletion"), ("sufficiency", "insertion")):
        told[name] = _fall(full, told[curve]["scores"])
        told[f"random_{name}"] = _fall(full, told[curve]["random_scores"])
    return told


def _scores(game: _Game, order: Sequence[int], *, keeps: bool) -> list[float]:
    """Return the scores while features are put back (`keeps`) or taken away in an order."""
    there = [not keeps] * len(order)
    scores = [game(there)]
    for feature in order:
        there[feature] = keeps
        scores.append(game(there))
    return scores


def _curve(scores: Sequence[float], by_chance: Sequence[Sequence[float]]) -> dict[str, Any]:
    means = [fmean(column) for column in zip(*by_chance, strict=True)]
    return {
        "fractions": [index / (len(scores) - 1) for index in range(len(scores))],
        "scores": list(scores),
        "area": _area(scores),
        "random_area": _area(means),
        "random_scores": means,
    }


def _area(scores: Sequence[float]) -> float:
    return fmean((one + other) / 2 for one, other in itertools.pairwise(scores))


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    lengths = math.hypot(*one) * math.hypot(*other)
    return math.fsum(map(operator.mul, one, other)) / lengths if lengths else 0.0


def _fall(full: float, scores: Sequence[float]) -> float:
    last = len(scores) - 1
    return fmean(full - scores[max(1, round(share * last))] for share in _SHARES)
