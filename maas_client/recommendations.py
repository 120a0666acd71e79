"""What `client.models.recommend` returns: candidates, ranked by how they did on one's own sample."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from maas_client import _frames
from maas_client._text_tables import aligned

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from maas_client.types import Model

Metric: TypeAlias = Literal["accuracy", "mean absolute error"]
# Two-sided; the one that most fields use.
SIGNIFICANCE = 0.05
_COLUMNS = ("", "MODEL", "VERSION", "SCORE", "95 % INTERVAL", "LATENCY", "STATED", "REMARK")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One model, tried on the sample.

    Args:
        model: Its id.
        version: The version that was tried; None where none was.
        rank: Its place, from 1; None where `problem` keeps it out.
        score: Its accuracy, 0 to 1, or its mean absolute error in the target's unit; None where not measured.
        interval: The 95 % interval of the score: Wilson's of an accuracy; of an error by bootstrap, which is
            too narrow where there are fewer than some 30 rows.
        latency_ms: The median of what the server took for a call with one row, waiting included, as it said
            with each.
        round_trip_ms: The median time until such a call's answer was here, network included.
        stated_latency_ms: The median of all callers' calls, as the server's catalogue has it.
        size: Bytes of the package.
        state: Of the version that the catalogue shows: `active`, `deprecated` or `retired`.
        sunset: When that is to be retired.
        replacement: What its owner says to use instead: a version of the same model, or another model.
        problem: Why it is not ranked: its labels, its inputs, its time or an error; None where it is.
    """

    model: str
    version: int | None = None
    rank: int | None = None
    score: float | None = None
    interval: tuple[float, float] | None = None
    latency_ms: float | None = None
    round_trip_ms: float | None = None
    stated_latency_ms: float | None = None
    size: int | None = None
    state: str = "active"
    sunset: datetime | None = None
    replacement: str | None = None
    problem: str | None = None

    @property
    def remark(self) -> str:
        """What is to be known of it: why it is not ranked, and that it is deprecated."""
        return "; ".join(part for part in (self.problem, end_of(self)) if part)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The first against the second, row by row on the same sample.

    Args:
        test: The test's name.
        p_value: How often a difference such as this comes by chance between models that are equally good.
        difference: How much better the first did, in the score's unit.
        rows_needed: About how many rows a sample must have to tell with a power of 80 %, if the difference is
            what it seems to be; None where there is none.
    """

    test: str
    p_value: float
    difference: float
    rows_needed: int | None

    @property
    def is_significant(self) -> bool:
        """Whether the sample tells the two apart, at the level of 5 %."""
        return self.p_value < SIGNIFICANCE


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Candidates in their order; those that could not be ranked come last and say why.

    Args:
        metric: What `score` is: `accuracy`, the more the better, or `mean absolute error`, the less.
        rows: The rows of the sample.
        candidates: Every model that was looked at.
        comparison: The first against the second; None where fewer than two were ranked.
        notes: What is to be known of how the candidates were chosen, such as how many were not tried.
    """

    metric: Metric
    rows: int
    candidates: tuple[Candidate, ...]
    comparison: Comparison | None = None
    notes: tuple[str, ...] = ()

    @property
    def ranked(self) -> tuple[Candidate, ...]:
        """The candidates that could be ranked, the best first."""
        return tuple(each for each in self.candidates if each.rank is not None)

    @property
    def best(self) -> Candidate | None:
        """The best; None when none could be ranked, or the sample is too small to tell it from the second."""
        if not self.ranked or (self.comparison is not None and not self.comparison.is_significant):
            return None
        return self.ranked[0]

    @property
    def verdict(self) -> str:
        """What the sample tells, in a sentence."""
        if not self.candidates:
            return "No model was tried."
        if not self.ranked:
            return "No candidate could be ranked; each says why."
        first = self.ranked[0]
        end = end_of(first)
        return f"{self._told(first)} {first.model} is {end}." if end else self._told(first)

    def _told(self, first: Candidate) -> str:
        compared = self.comparison
        if compared is None:
            return f"{first.model} is the only candidate that could be ranked: nothing to hold it against."
        second = self.ranked[1].model
        told = f"p = {compared.p_value:.2g}, {compared.test}"
        if compared.is_significant:
            return f"{first.model} is better than {second} on {self.rows:,} rows ({told})."
        few = f"{self.rows:,} rows are too few to tell {first.model} from {second} ({told})"
        return f"{few}; {self._needed(compared)}"

    def to_frame(self) -> Any:  # noqa: ANN401 - a frame of pandas or polars
        """Return the candidates as a data frame of pandas, or of polars where pandas is not installed.

        Raises:
            ModuleNotFoundError: Neither is installed.
        """
        rows = []
        for each in self.candidates:
            row = asdict(each)
            row["low"], row["high"] = row.pop("interval") or (None, None)
            rows.append(row)
        return _frames.of_rows(rows, what="to_frame")

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self.candidates)

    def __len__(self) -> int:
        return len(self.candidates)

    def __str__(self) -> str:
        lines = aligned([self.columns(), *self.cells()])
        return "\n".join([*lines, self.verdict, *self.notes])

    def columns(self) -> list[str]:
        """Return the heads of `cells`."""
        return [self.metric.upper() if name == "SCORE" else name for name in _COLUMNS]

    def cells(self) -> list[list[str]]:
        """Return a row of texts for each candidate."""
        return [
            [
                "—" if each.rank is None else str(each.rank),
                each.model,
                "—" if each.version is None else str(each.version),
                "—" if each.score is None else f"{each.score:.4g}",
                "—" if each.interval is None else "{:.4g} to {:.4g}".format(*each.interval),
                _milliseconds(each.latency_ms),
                _milliseconds(each.stated_latency_ms),
                each.remark,
            ]
            for each in self.candidates
        ]

    def _repr_html_(self) -> str:
        from maas_client import _display

        return _display.of_rows(self.columns(), self.cells(), " ".join((self.verdict, *self.notes)))

    def _needed(self, compared: Comparison) -> str:
        if compared.rows_needed is None:
            return "they did equally well, choose by latency or size."
        more = max(1, compared.rows_needed - self.rows)
        return f"about {more:,} more would be needed if the difference is what it seems."


def end_of(subject: Candidate | Model) -> str:
    """Return what the catalogue says of the end of a model's version; nothing of an active one."""
    if subject.state == "active":
        return ""
    told = subject.state
    if subject.sunset is not None:
        told += f", ends on {subject.sunset:%Y-%m-%d}"
    if subject.replacement is not None:
        kind = "version" if subject.replacement.isdecimal() else "the model"
        told += f", use {kind} {subject.replacement} instead"
    return told


def _milliseconds(value: float | None) -> str:
    return "—" if value is None else f"{value:.3g} ms"
