"""From measured variants to a recommendation: the front, what may be recommended, and the reason in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_client.types import AdviceRecommendation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maas_client.types import AdviceInterval, AdviceObjective, AdviceQuality, AdviceVariant

ORIGINAL = "original"
# What is better by less is not worth a new version; and a page of memory more or less tells nothing.
_LEAST_GAIN = 1.05
_LEAST_MEMORY_GAIN, _LEAST_MEMORY_BYTES = 1.1, 2 * 2**20
# Of fewer rows nobody can say that a change of weights does no harm.
LEAST_SAMPLE_ROWS = 20
_FIGURES = {"latency": "a call", "throughput": "a row with all lanes busy", "memory": "memory"}


def front(variants: Sequence[AdviceVariant]) -> list[AdviceVariant]:
    """Return the variants, each with `pareto` told: whether no other is as good in all and better in some."""
    costs = [_costs(each, variants[0]) for each in variants]
    return [
        variant.model_copy(update={"pareto": not any(_dominates(other, costs[number]) for other in costs)})
        for number, variant in enumerate(variants)
    ]


def ranked(
    variants: Sequence[AdviceVariant],
    objective: AdviceObjective,
    *,
    max_quality_loss: float,
    sample_rows: int,
) -> list[AdviceVariant]:
    """Return the variants that may be recommended and seem better than the original, the best one first."""
    original = variants[0]
    allowed = [
        each
        for each in variants[1:]
        if each.applicable and why_not(each.quality, max_quality_loss, sample_rows) is None
    ]
    better = [(gain, each) for each in allowed if (gain := gain_of(each, original, objective)) is not None]
    return [each for gain, each in sorted(better, key=lambda pair: -pair[0]) if gain >= _least(objective)]


def why_not(quality: AdviceQuality | None, max_quality_loss: float, sample_rows: int) -> str | None:
    """Return why a variant is not recommended whatever it gains, or None."""
    if quality is None:
        return None
    if sample_rows < LEAST_SAMPLE_ROWS:
        return (
            f"what it costs in quality is not known of {sample_rows} row{'s' * (sample_rows != 1)}: give a "
            f"sample of at least {LEAST_SAMPLE_ROWS}"
        )
    if quality.loss > max_quality_loss:
        return f"it loses {quality.loss:.3g} ({_loss_in_words(quality)}), and {max_quality_loss:g} is allowed"
    return None


def gain_of(variant: AdviceVariant, original: AdviceVariant, objective: AdviceObjective) -> float | None:
    """Return by which factor the objective becomes better; None where it was not measured."""
    if objective == "memory":
        before, after = original.memory_bytes, variant.memory_bytes
        if not before or not after or before - after < _LEAST_MEMORY_BYTES:
            return None
        return before / after
    ratio = _ratio(variant, objective)
    return None if ratio is None else 1 / ratio.median


def is_certain(variant: AdviceVariant, original: AdviceVariant, objective: AdviceObjective) -> bool:
    """Tell whether a variant is better by more than noise: the whole interval is."""
    if objective == "memory":
        gain = gain_of(variant, original, objective)
        return gain is not None and gain >= _LEAST_MEMORY_GAIN
    ratio = _ratio(variant, objective)
    return ratio is not None and ratio.high is not None and ratio.high <= 1 / _LEAST_GAIN


def recommended(
    variant: AdviceVariant, original: AdviceVariant, objective: AdviceObjective
) -> AdviceRecommendation:
    """Return the recommendation of a variant that is certainly better."""
    gain, ratio = gain_of(variant, original, objective), _ratio(variant, objective)
    reason = [f"{variant.title}: {_gain_in_words(variant, original, objective)}"]
    if variant.quality is not None:
        reason.append(_quality_in_words(variant.quality))
    reason += _price_in_words(variant, original, objective)
    edges = None
    if objective != "memory" and ratio is not None and ratio.low and ratio.high:
        edges = (1 / ratio.high, 1 / ratio.low)
    return AdviceRecommendation(
        variant=variant.name, reason="; ".join(reason), gain=gain, gain_interval=edges
    )


def left_as_it_is(
    variants: Sequence[AdviceVariant],
    objective: AdviceObjective,
    *,
    max_quality_loss: float,
    sample_rows: int,
    tried: Sequence[AdviceVariant] = (),
) -> AdviceRecommendation:
    """Return the recommendation of the original, with what came nearest and why it is not enough.

    Args:
        variants: All of them, the original first.
        objective: What was to become better.
        max_quality_loss: What that was allowed to cost.
        sample_rows: How many rows the sample has.
        tried: Those that seemed better, and were not when they were measured again.
    """
    original, told = variants[0], []
    if tried:
        again = _gain_in_words(tried[0], original, objective)
        told.append(f"{tried[0].name} seemed better, and measured again {again}: that is within the noise")
    gains = [
        (gain_of(each, original, objective) or 0.0, each, why)
        for each in variants[1:]
        if (why := _excluded(each, max_quality_loss, sample_rows)) is not None
    ]
    better = [each for each in gains if each[0] >= _least(objective)]
    if better:
        _, best, why = max(better, key=lambda each: each[0])
        told.append(f"{best.name} would be better ({_gain_in_words(best, original, objective)}), but {why}")
    return _stay("; ".join(told) or "nothing that was tried is better by more than the noise of measuring")


def _excluded(variant: AdviceVariant, max_quality_loss: float, sample_rows: int) -> str | None:
    """Return why a variant is not recommended even if it is better, or None."""
    if not variant.applicable:
        return variant.notes[0] if variant.notes else "it cannot be applied here"
    return why_not(variant.quality, max_quality_loss, sample_rows)


def _stay(why: str) -> AdviceRecommendation:
    return AdviceRecommendation(variant=None, reason=f"leave it as it is: {why}")


def _least(objective: AdviceObjective) -> float:
    return _LEAST_MEMORY_GAIN if objective == "memory" else _LEAST_GAIN


def _ratio(variant: AdviceVariant, objective: AdviceObjective) -> AdviceInterval | None:
    return variant.latency if objective == "latency" else variant.time_per_row


def _gain_in_words(variant: AdviceVariant, original: AdviceVariant, objective: AdviceObjective) -> str:
    if objective == "memory":
        before, after = original.memory_bytes or 0, variant.memory_bytes or 0
        return f"it takes {after / 2**20:,.0f} MiB of memory instead of {before / 2**20:,.0f}"
    ratio = _ratio(variant, objective)
    if ratio is None:
        return "it was not timed"
    told = f"{_FIGURES[objective]} takes {ratio.median:.2f} of the original's time"
    if ratio.low is None or ratio.high is None:
        return f"{told} ({ratio.pairs} pairs, too few for an interval)"
    return f"{told} (95 % interval {ratio.low:.2f} to {ratio.high:.2f}, {ratio.pairs} pairs)"


def _quality_in_words(quality: AdviceQuality) -> str:
    shift, lost = quality.largest_shift, max(0.0, quality.loss)
    told = f"on {quality.rows:,} rows {quality.agreement:.1%} agree, the largest shift is {shift:.2g}"
    return f"{told}, and it loses {lost:.3g} ({_loss_in_words(quality)})"


def _loss_in_words(quality: AdviceQuality) -> str:
    return {
        "accuracy": "accuracy",
        "r_squared": "R²",
        "label": "share of rows with another label",
        "value": "mean shift in deviations of the values",
        "embedding": "mean shortfall of the cosine from 1",
        "tensor": "share of rows that differ",
    }[quality.loss_of]


def _price_in_words(variant: AdviceVariant, original: AdviceVariant, objective: AdviceObjective) -> list[str]:
    """Return what becomes worse by it, by more than noise."""
    told = []
    ratios = {"latency": variant.latency, "throughput": variant.time_per_row}
    for name, ratio in ratios.items():
        if name != objective and ratio is not None and (ratio.low or 0) > _LEAST_GAIN:
            told.append(f"but {_FIGURES[name]} takes {ratio.median:.2f} times as long")
    before, after = original.memory_bytes, variant.memory_bytes
    if objective != "memory" and before and after and after - before > _LEAST_MEMORY_BYTES:
        grown = after / before
        if grown > _LEAST_MEMORY_GAIN:
            told.append(f"but it takes {grown:.2f} times the memory")
    if original.batch_invariant and not variant.batch_invariant:
        told.append("its rows depend on each other's company, so that they are always run one by one")
    return told


def _costs(variant: AdviceVariant, original: AdviceVariant) -> tuple[float, ...]:
    """Return what a variant costs: a call, a row, memory, quality; less is better in each."""
    is_original = variant.name == ORIGINAL
    memory = 1.0
    if original.memory_bytes and variant.memory_bytes:
        memory = variant.memory_bytes / original.memory_bytes
    return (
        1.0 if is_original or variant.latency is None else variant.latency.median,
        1.0 if is_original or variant.time_per_row is None else variant.time_per_row.median,
        memory,
        0.0 if variant.quality is None else max(0.0, variant.quality.loss),
    )


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))
