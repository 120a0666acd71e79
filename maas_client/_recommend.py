"""The statistics of a recommendation, in pure Python: intervals and tests of paired results.

Sources: B. Efron and R. J. Tibshirani, "An Introduction to the Bootstrap" (1993), sections 13.3 and 16.4;
Q. McNemar, Psychometrika 12 (1947), with the exact binomial distribution of the discordant pairs; R. J.
Connor, "Sample Size for Testing Differences in Proportions for the Paired-Sample Design", Biometrics 43
(1987). Of an accuracy the interval is Wilson's, as everywhere else (`_intervals.py`).
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, replace
from statistics import NormalDist, fmean, median, pvariance
from typing import TYPE_CHECKING

from maas_client import _label_names
from maas_client._intervals import rate
from maas_client.recommendations import SIGNIFICANCE, Candidate, Comparison, Recommendation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from maas_client.recommendations import Metric
    from maas_client.types import Model

_POWER = 0.8
_RESAMPLES = 2000
_FEWEST_RESAMPLES = 200
# Drawing this many values takes pure Python some tenths of a second.
_MOST_DRAWS = 4_000_000
_REGRESSION = "tabular-regression"


@dataclass(frozen=True, slots=True)
class Sample:
    """What candidates are tried on.

    Args:
        examples: The inputs of each row by name.
        targets: What is right for each row: labels as texts, or numbers.
        is_regression: Whether the targets are numbers that a model is to come near to.
        label_map: What a label of a model is called in `targets`.
        max_latency_ms: The longest median time of a call that is of use; None for any.
        seed: Of the resampling.
    """

    examples: Sequence[Mapping[str, object]]
    targets: Sequence[str | float]
    is_regression: bool
    label_map: Mapping[str, str]
    max_latency_ms: float | None
    seed: int

    def problem(self, model: Model) -> str | None:
        """Return why a model cannot be tried on this sample, or None when it can."""
        if model.default_version is None and model.latest_version is None:
            return "it has no version yet"
        if (model.task == _REGRESSION) != self.is_regression:
            wanted = "numbers" if self.is_regression else "labels"
            return f"its task is {model.task}, and your sample's targets are {wanted}"
        return self._missing_inputs(model) or (None if self.is_regression else self._missing_labels(model))

    def instances(self, model: Model) -> list[dict[str, object]]:
        """Return the rows as a model takes them: without what is none of its inputs."""
        names = _inputs(model) or list(self.examples[0])
        return [{name: row[name] for name in names if name in row} for row in self.examples]

    def _missing_inputs(self, model: Model) -> str | None:
        given = set(self.examples[0])
        missing = [name for name in _inputs(model) if name not in given]
        if not missing:
            return None
        return f"it takes the input {missing[0]!r}, and your examples have {_label_names.listed(given)}"

    def _missing_labels(self, model: Model) -> str | None:
        if not model.labels:
            return None
        return _label_names.problem(model.labels, map(str, self.targets), self.label_map)


@dataclass(slots=True)
class Trial:
    """What came of trying a model.

    Args:
        model: Its id.
        stated: What the catalogue says of it; None where it could not be asked.
        version: The version that answered.
        outputs: What it said to each row: a label, or a number.
        latencies_ms: What the server took for each call with one row.
        round_trips_ms: What each took from here.
        problem: Why there is nothing to rank.
    """

    model: str
    stated: Model | None = None
    version: int | None = None
    outputs: list[str | float] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    round_trips_ms: list[float] = field(default_factory=list)
    problem: str | None = None

    def candidate(self) -> Candidate:
        """Return what is known of it before it is scored."""
        stated = [each.p50_ms for each in self.stated.performance if each.p50_ms] if self.stated else []
        return Candidate(
            self.model,
            version=self.version,
            latency_ms=median(self.latencies_ms) if self.latencies_ms else None,
            round_trip_ms=median(self.round_trips_ms) if self.round_trips_ms else None,
            stated_latency_ms=min(stated, default=None),
            size=self.stated.size if self.stated else None,
            state=self.stated.state if self.stated else "active",
            sunset=self.stated.sunset if self.stated else None,
            replacement=self.stated.replacement if self.stated else None,
            problem=self.problem,
        )


def distinct(trials: Sequence[Trial]) -> tuple[list[Trial], list[str]]:
    """Return trials of different models, and a note for each that was named again by another name."""
    kept: dict[tuple[str, str], Trial] = {}
    notes = []
    for trial in trials:
        stated = trial.stated
        key = ("", trial.model) if stated is None else (stated.owned_by, stated.name)
        first = kept.setdefault(key, trial)
        if first is not trial:
            notes.append(f"{trial.model} and {first.model} are the same model, which was tried once.")
    return list(kept.values()), notes


def rank(trials: Sequence[Trial], sample: Sample, notes: Sequence[str] = ()) -> Recommendation:
    """Return the candidates in their order, the first held against the second.

    Args:
        trials: What came of trying each.
        sample: What they were tried on.
        notes: What is to be known of how they were chosen.
    """
    scored = [_scored(trial, sample) for trial in trials]
    fit = sorted(
        (each for each in scored if each[0].problem is None), key=lambda each: _order(each[0], sample)
    )
    ranked = [replace(candidate, rank=place) for place, (candidate, _) in enumerate(fit, start=1)]
    rest = [candidate for candidate, _ in scored if candidate.problem is not None]
    metric: Metric = "mean absolute error" if sample.is_regression else "accuracy"
    compared = _compared(fit[0][1], fit[1][1], sample) if len(fit) > 1 else None
    return Recommendation(metric, len(sample.targets), (*ranked, *rest), compared, tuple(notes))


def interval(losses: Sequence[float], *, seed: int) -> tuple[float, float]:
    """Return the 95 % percentile interval of a mean, by resampling the rows.

    Of few rows it is too narrow, and of rows that are all alike it has no width at all.
    """
    count, rng = len(losses), random.Random(seed)  # noqa: S311 - resampling, no secret
    means = sorted(fmean(rng.choices(losses, k=count)) for _ in range(_resamples(count)))
    cut = SIGNIFICANCE / 2
    return means[math.floor(cut * len(means))], means[math.ceil((1 - cut) * len(means)) - 1]


def mcnemar(first_only: int, second_only: int) -> float:
    """Return the exact two-sided p-value of McNemar's test.

    Args:
        first_only: Rows that only the first got right.
        second_only: Rows that only the second got right.
    """
    count, fewer = first_only + second_only, min(first_only, second_only)
    below = sum(math.comb(count, number) for number in range(fewer + 1))
    return min(1.0, 2 * below / (1 << count))


def paired_bootstrap(differences: Sequence[float], *, seed: int) -> float:
    """Return the two-sided p-value of a mean difference of pairs: how often centred resamples go as far."""
    observed, count = fmean(differences), len(differences)
    centred = [each - observed for each in differences]
    rng = random.Random(seed)  # noqa: S311 - resampling, no secret
    rounds = _resamples(count)
    as_far = sum(abs(fmean(rng.choices(centred, k=count))) >= abs(observed) for _ in range(rounds))
    return (as_far + 1) / (rounds + 1)


def rows_to_tell_shares(first_only: int, second_only: int, count: int) -> int | None:
    """Return about how many rows tell two accuracies apart with a power of 80 % (Connor 1987, formula 3).

    n = (z_a * sqrt(s) + z_b * sqrt(s - d^2))^2 / d^2, s being the share of rows that only one got right, d
    the difference of the two, z_a and z_b the normal quantiles of level and power.
    """
    discordant, difference = (first_only + second_only) / count, abs(first_only - second_only) / count
    if not difference:
        return None
    alpha, beta = _quantiles()
    spread = alpha * math.sqrt(discordant) + beta * math.sqrt(discordant - difference**2)
    return math.ceil((spread / difference) ** 2)


def rows_to_tell_means(differences: Sequence[float]) -> int | None:
    """Return about how many rows tell two mean errors apart with a power of 80 %.

    n = (z_a + z_b)^2 * v / d^2, d being the mean of the differences and v their variance: the sample size of
    a paired test (S.-C. Chow et al., "Sample Size Calculations in Clinical Research", section 3.1).
    """
    difference = fmean(differences)
    if not difference:
        return None
    return math.ceil(sum(_quantiles()) ** 2 * pvariance(differences) / difference**2)


def _quantiles() -> tuple[float, float]:
    normal = NormalDist()
    return normal.inv_cdf(1 - SIGNIFICANCE / 2), normal.inv_cdf(_POWER)


def _resamples(count: int) -> int:
    return max(_FEWEST_RESAMPLES, min(_RESAMPLES, _MOST_DRAWS // count))


def _scored(trial: Trial, sample: Sample) -> tuple[Candidate, list[float]]:
    """Return a candidate with its score, and its loss in each row."""
    candidate = trial.candidate()
    if candidate.problem is not None:
        return candidate, []
    losses = _losses(trial.outputs, sample)
    score, bounds = _score(losses, sample)
    return replace(candidate, score=score, interval=bounds, problem=_too_slow(candidate, sample)), losses


def _score(losses: Sequence[float], sample: Sample) -> tuple[float, tuple[float, float] | None]:
    if sample.is_regression:
        return fmean(losses), interval(losses, seed=sample.seed)
    right = rate(losses.count(0.0), len(losses))
    if right is None or right.low is None or right.high is None:
        raise ValueError("a sample has at least one row")
    return right.value, (right.low, right.high)


def _losses(outputs: Sequence[str | float], sample: Sample) -> list[float]:
    """Return the absolute error of each row, or 1 where a label is wrong and 0 where it is right."""
    pairs = zip(outputs, sample.targets, strict=True)
    if sample.is_regression:
        return [abs(float(said) - float(target)) for said, target in pairs]
    return [float(sample.label_map.get(str(said), str(said)) != target) for said, target in pairs]


def _too_slow(candidate: Candidate, sample: Sample) -> str | None:
    if sample.max_latency_ms is None or (candidate.latency_ms or 0.0) <= sample.max_latency_ms:
        return None
    return f"its median call took {candidate.latency_ms:.3g} ms, you allow {sample.max_latency_ms:g}"


def _order(candidate: Candidate, sample: Sample) -> tuple[float, float, str]:
    score = candidate.score or 0.0
    return (score if sample.is_regression else -score), candidate.latency_ms or 0.0, candidate.model


def _compared(first: Sequence[float], second: Sequence[float], sample: Sample) -> Comparison:
    differences = [other - own for own, other in zip(first, second, strict=True)]
    difference = fmean(differences)
    if sample.is_regression:
        p_value = paired_bootstrap(differences, seed=sample.seed)
        return Comparison("paired bootstrap", p_value, difference, rows_to_tell_means(differences))
    won, lost = differences.count(1.0), differences.count(-1.0)
    needed = rows_to_tell_shares(won, lost, len(differences))
    return Comparison("exact McNemar test", mcnemar(won, lost), difference, needed)


def _inputs(model: Model) -> list[str]:
    return [spec.name for spec in model.signature.inputs] if model.signature else []
