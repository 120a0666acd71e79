"""An explanation in words and in rows of texts, which notebooks, terminals and `print` show alike."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from maas_client.explanations import Explanation, ExplanationsCompared
    from maas_client.types import Attribution, Curve, Faithfulness, FeatureImportance

NONE = "—"
IMPORTANCE_COLUMNS = ("FEATURE", "INPUT", "MEAN |VALUE|", "95 % INTERVAL", "MEAN", "ROWS")

# Far above what sums of float32 lose.
_ROUNDING = 1e-6
_NOTHING = 5e-4
_LARGE = 1000
# Of fewer features many random orders begin with the right ones.
_FEW = 6
MINUS = "\N{MINUS SIGN}"


def told(explanation: Explanation) -> list[str]:
    """Return what there is to say beside the attributions, a line each."""
    return [
        summed(explanation),
        *faithfulness_told(explanation),
        *explanation.notes,
        made_by(explanation),
    ]


def summed(explanation: Explanation) -> str:
    """Return how the attributions add up to the prediction."""
    sum_of_all = math.fsum(each.value for each in explanation.attributions)
    if abs(sum_of_all) <= _ROUNDING * _scale(explanation):
        sum_of_all = 0.0
    gap = f", gap {explanation.additivity_gap:+.2g}" if has_gap(explanation) else ""
    return (
        f"{explanation.target}: {number(explanation.prediction)} = baseline {number(explanation.baseline)} "
        f"{signed(sum_of_all) if sum_of_all else '+0'} by the {explanation.unit or 'features'}{gap}"
    )


def has_gap(explanation: Explanation) -> bool:
    """Tell whether the sum misses the prediction by more than rounding."""
    return abs(explanation.additivity_gap) > _ROUNDING * _scale(explanation)


def made_by(explanation: Explanation) -> str:
    """Return what made an explanation, in one line."""
    how = f", masked by {explanation.masking}" if explanation.masking else ""
    return (
        f"{explanation.model} version {explanation.version} on {explanation.device}, "
        f"{explanation.method}{how}, {explanation.evaluations:,} evaluations, seed {explanation.seed}"
    )


def faithfulness_told(explanation: Explanation) -> list[str]:
    """Return how far it can be trusted, in plain words; nothing where that was not measured."""
    measured = explanation.faithfulness
    if measured is None:
        return []
    unit = explanation.unit or "features"
    taken = (
        f"Without its most important {unit} the score {_moved(measured.comprehensiveness)}, without as many "
        f"random ones it {_moved(measured.random_comprehensiveness)}."
    )
    kept = (
        f"With those alone it {_moved(measured.sufficiency)}, with as many random ones it "
        f"{_moved(measured.random_sufficiency)}."
    )
    if _beats_chance(measured):
        return [taken, kept]
    doubt = f"That is not clearly more than chance: do not rely on which {unit} come first here."
    if len(explanation.attributions) < _FEW:
        doubt = f"That is not clearly more than chance, which often does as well with so few {unit}."
    return [taken, kept, doubt]


def curves_told(measured: Faithfulness) -> list[tuple[str, str]]:
    """Return the title and the figures of each curve."""
    deletion, insertion = measured.deletion, measured.insertion
    return [
        ("taken away", f"{_areas(deletion)}: lower is better"),
        ("put back", f"{_areas(insertion)}: higher is better"),
    ]


def cells(attribution: Attribution) -> list[str]:
    """Return an attribution as a row: its value, its standard error, the feature."""
    return [signed(attribution.value), error_of(attribution.standard_error), attribution.feature]


def signed(value: float) -> str:
    """Return a number with its sign, to four digits."""
    if not value:
        return "0"
    return f"{'+' if value > 0 else MINUS}{number(abs(value))}"


def number(value: float) -> str:
    """Return a number to four digits, or to the unit where it is large."""
    return f"{value:,.0f}" if abs(value) >= _LARGE else f"{value:.4g}"


def error_of(standard_error: float | None) -> str:
    """Return a standard error as it stands beside a value; nothing for an exact one."""
    return "" if standard_error is None else f"±{standard_error:.2g}"


def importance_rows(importance: Iterable[FeatureImportance]) -> list[Sequence[str]]:
    """Return the heads and a row for each feature."""
    return [IMPORTANCE_COLUMNS, *map(importance_cells, importance)]


def importance_cells(each: FeatureImportance) -> list[str]:
    """Return one feature's row."""
    return [
        each.feature,
        each.input,
        number(each.mean_absolute),
        NONE if each.interval is None else f"{number(each.interval[0])} to {number(each.interval[1])}",
        signed(each.mean),
        f"{each.rows:,}",
    ]


def compared_heads(compared: ExplanationsCompared) -> list[str]:
    """Return the heads of `compared_rows`."""
    return ["FEATURE", f"VERSION {compared.a.version}", f"VERSION {compared.b.version}", "DIFFERENCE", ""]


def compared_rows(compared: ExplanationsCompared) -> list[Sequence[str]]:
    """Return the heads, the scores and a row for each feature of two versions' explanations."""
    a, b = compared.a, compared.b
    rows: list[Sequence[str]] = [compared_heads(compared)]
    rows += [
        (
            compared.target,
            number(a.prediction),
            number(b.prediction),
            signed(b.prediction - a.prediction),
            "",
        ),
        ("baseline", number(a.baseline), number(b.baseline), signed(b.baseline - a.baseline), ""),
    ]
    rows += [
        (
            each.feature,
            signed(each.a.value) if each.a else NONE,
            signed(each.b.value) if each.b else NONE,
            signed(each.difference),
            error_of(each.standard_error),
        )
        for each in compared.differences
    ]
    return rows


def alike(compared: ExplanationsCompared) -> str:
    """Return how alike two versions order the features, in a sentence; nothing where that is not known."""
    correlation = compared.rank_correlation
    if correlation is None:
        return ""
    return f"They order the {compared.a.unit or 'features'} with a rank correlation of {correlation:.2f}."


def _areas(curve: Curve) -> str:
    return f"area {curve.area:.3g}, random {curve.random_area:.3g}"


def _moved(fall: float) -> str:
    if abs(fall) < _NOTHING:
        return "stays the same"
    told = f"{abs(fall):,.0f}" if abs(fall) >= _LARGE else f"{abs(fall):.3g}"
    return f"{'falls' if fall > 0 else 'rises'} by {told}"


def _scale(explanation: Explanation) -> float:
    values = [each.value for each in explanation.attributions]
    return max(map(abs, [explanation.prediction, explanation.baseline, *values]))


def _beats_chance(measured: Faithfulness) -> bool:
    """Tell whether the first features count for more than random ones, by two standard deviations."""
    spread = measured.random_comprehensiveness_spread or 0.0
    return measured.comprehensiveness > measured.random_comprehensiveness + 2 * spread
