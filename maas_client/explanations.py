"""What explaining returns: one explanation, many and what counts over them, two versions' side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

from pydantic import PrivateAttr

from maas_client import _frames
from maas_client._text_tables import aligned
from maas_client.types import Attribution, ExplainReply, ExplanationsReply, FeatureImportance

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PlotKind: TypeAlias = Literal["waterfall", "bar", "curves", "image"]
_FEWEST_TO_RANK = 3


class Explanation(ExplainReply):
    """Why a model said what it said about one instance: what each feature added to the target's score.

    A notebook shows the words in colours, `print` a table.
    """

    _inputs: dict[str, Any] = PrivateAttr(default_factory=dict)

    @property
    def inputs(self) -> dict[str, Any]:
        """The instance that was explained; empty where it is not known, as of a job found by its id."""
        return self._inputs

    def ranked(self) -> list[Attribution]:
        """Return the attributions by their weight, whichever way they push."""
        return sorted(self.attributions, key=lambda each: -abs(each.value))

    def of(self, inputs: Mapping[str, Any]) -> Explanation:
        """Return the same explanation, with the instance that it explains."""
        explained = self.model_copy()
        explained._inputs = dict(inputs)  # noqa: SLF001 - a copy of its own kind
        return explained

    def to_frame(self) -> Any:  # noqa: ANN401 - a frame of pandas or polars
        """Return a row for each feature, in the instance's order, as a data frame of pandas, or else polars.

        Returns:
            The columns `feature`, `input`, `value` and `standard_error`; then `start` and `end` in characters
            where there are texts, and `left`, `top`, `right` and `bottom` in pixels where there are images.

        Raises:
            ModuleNotFoundError: Neither library is installed.
        """
        return _frames.of_rows([_row(each) for each in self.attributions], what="to_frame")

    def plot(
        self,
        kind: PlotKind | None = None,
        *,
        image: Any = None,  # noqa: ANN401 - whatever Pillow or matplotlib reads
        ax: Axes | None = None,
        most: int = 12,
    ) -> Axes:
        """Draw it with matplotlib (`pip install 'maas-client[plot]'`).

        Args:
            kind: `waterfall` from the baseline to the prediction, `bar` with standard errors, `curves` of
                deletion and insertion, or `image` with the regions over the picture; `image` where there is
                one and else `waterfall` when left out.
            image: The picture: a path, bytes, an open file, a Pillow image or an array
                `[height, width, channels]`; the instance's own when left out.
            ax: Where to draw; a figure of its own when left out.
            most: The most features; the others become one.

        Returns:
            The axes, to add to or to save: `.figure.savefig("why.png")`.

        Raises:
            ModuleNotFoundError: matplotlib is not installed.
            ArgumentError: There is nothing of this kind: no curves, no regions, or no picture.
        """
        from maas_client import _explanation_plots

        return _explanation_plots.of_explanation(self, kind, image=image, ax=ax, most=most)

    def __str__(self) -> str:
        from maas_client import _explanation_words

        rows = [_explanation_words.cells(each) for each in self.ranked()]
        return "\n".join([*aligned(rows), *_explanation_words.told(self)])

    def _repr_html_(self) -> str:
        from maas_client import _explanation_html

        return _explanation_html.of_explanation(self)


class Importance(Sequence[FeatureImportance]):
    """How much each feature counts over many instances, the most important one first."""

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[FeatureImportance]) -> None:
        self._items = tuple(items)

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> FeatureImportance: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[FeatureImportance, ...]: ...
    def __getitem__(self, index: int | slice) -> FeatureImportance | tuple[FeatureImportance, ...]:
        return self._items[index]

    def to_frame(self) -> Any:  # noqa: ANN401 - a frame of pandas or polars
        """Return a row for each feature as a data frame of pandas, or else polars.

        Returns:
            The columns `feature`, `input`, `mean_absolute`, `low` and `high` (its 95 % interval), `mean` and
            `rows`.

        Raises:
            ModuleNotFoundError: Neither library is installed.
        """
        rows = []
        for each in self._items:
            low, high = each.interval or (None, None)
            rows.append(
                {
                    "feature": each.feature,
                    "input": each.input,
                    "mean_absolute": each.mean_absolute,
                    "low": low,
                    "high": high,
                    "mean": each.mean,
                    "rows": each.rows,
                }
            )
        return _frames.of_rows(rows, what="to_frame")

    def plot(self, *, ax: Axes | None = None, most: int = 12) -> Axes:
        """Draw a bar with its 95 % interval for each feature, with matplotlib.

        Args:
            ax: Where to draw; a figure of its own when left out.
            most: The most features.

        Raises:
            ModuleNotFoundError: matplotlib is not installed (`pip install 'maas-client[plot]'`).
        """
        from maas_client import _explanation_plots

        return _explanation_plots.of_importance(self, ax=ax, most=most)

    def __repr__(self) -> str:
        return f"Importance({len(self._items)} features)"

    def __str__(self) -> str:
        from maas_client import _explanation_words

        return "\n".join(aligned(_explanation_words.importance_rows(self)))

    def _repr_html_(self) -> str:
        from maas_client import _explanation_html

        return _explanation_html.of_importance(self)


class Explanations(Sequence[Explanation]):
    """The explanations of many instances, in their order, and what counts over all of them.

    Args:
        reply: What the server came to.
        inputs: The instances, where they are known.
    """

    __slots__ = ("_items", "_reply")

    def __init__(self, reply: ExplanationsReply, inputs: Sequence[Mapping[str, Any]] = ()) -> None:
        self._reply = reply
        told = [Explanation.model_validate(each.model_dump()) for each in reply.explanations]
        known = [*inputs, *[{}] * (len(told) - len(inputs))]
        self._items = tuple(each.of(row) for each, row in zip(told, known, strict=False))

    @classmethod
    def from_result(cls, result: object) -> Explanations:
        """Return a job's result, a JSON object, as what it is."""
        return cls(ExplanationsReply.model_validate(result))

    def of(self, inputs: Iterable[Mapping[str, Any]]) -> Explanations:
        """Return the same explanations with the instances that they explain, which no job keeps."""
        return Explanations(self._reply, list(inputs))

    @property
    def reply(self) -> ExplanationsReply:
        """Everything as the server told it."""
        return self._reply

    @property
    def model(self) -> str:
        """The model's name."""
        return self._reply.model

    @property
    def version(self) -> int:
        """The version that was explained."""
        return self._reply.version

    @property
    def digest(self) -> str:
        """The content digest of that version."""
        return self._reply.digest

    @property
    def device(self) -> str:
        """What really ran it."""
        return self._reply.device

    @property
    def evaluations(self) -> int:
        """How often the model was run in all."""
        return self._reply.evaluations

    @property
    def notes(self) -> list[str]:
        """What to know in order to read it."""
        return self._reply.notes

    @property
    def importance(self) -> Importance:
        """What counts over all instances, the most important feature first."""
        return Importance(self._reply.importance)

    def to_frame(self) -> Any:  # noqa: ANN401 - a frame of pandas or polars
        """Return a row for each feature of each instance, as `Explanation.to_frame`, with `row` and `target`.

        Raises:
            ModuleNotFoundError: Neither pandas nor polars is installed.
        """
        rows = [
            {"row": index, "target": each.target, **_row(attribution)}
            for index, each in enumerate(self._items)
            for attribution in each.attributions
        ]
        return _frames.of_rows(rows, what="to_frame")

    def plot(self, *, ax: Axes | None = None, most: int = 12) -> Axes:
        """Draw what counts over all instances, as `importance.plot()` does."""
        return self.importance.plot(ax=ax, most=most)

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Explanation: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Explanation, ...]: ...
    def __getitem__(self, index: int | slice) -> Explanation | tuple[Explanation, ...]:
        return self._items[index]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Explanations):
            return NotImplemented
        return (self._reply, self._items) == (other._reply, other._items)

    def __hash__(self) -> int:
        return hash((self._reply.digest, len(self._items)))

    def __repr__(self) -> str:
        return f"Explanations({len(self._items)} of {self.model} version {self.version})"

    def _repr_html_(self) -> str:
        from maas_client import _explanation_html

        return _explanation_html.of_explanations(self)


@dataclass(frozen=True, slots=True)
class AttributionDifference:
    """What one feature adds in each of two versions.

    Args:
        feature: The feature itself: a word, a column's name, a region.
        input: The input that it is part of.
        a: What it adds in the first version; None where that has no such feature.
        b: What it adds in the second; None likewise.
    """

    feature: str
    input: str
    a: Attribution | None
    b: Attribution | None

    @property
    def difference(self) -> float:
        """How much more it adds in b than in a, in the score's unit; what is not there adds nothing."""
        return (self.b.value if self.b else 0.0) - (self.a.value if self.a else 0.0)

    @property
    def standard_error(self) -> float | None:
        """Of the difference, the two being taken for independent; None where both are exact."""
        errors = [
            each.standard_error for each in (self.a, self.b) if each and each.standard_error is not None
        ]
        return math.hypot(*errors) if errors else None


@dataclass(frozen=True, slots=True)
class ExplanationsCompared:
    """Two versions' explanations of the same instance and the same target.

    Args:
        a: The first version's.
        b: The second version's.
    """

    a: Explanation
    b: Explanation

    @property
    def model(self) -> str:
        """The model's name."""
        return self.a.model

    @property
    def target(self) -> str:
        """The label or output that both explain."""
        return self.a.target

    @property
    def differences(self) -> list[AttributionDifference]:
        """What each feature adds in both, those that differ most first."""
        ones = {_place(each): each for each in self.a.attributions}
        others = {_place(each): each for each in self.b.attributions}
        made = [_difference(ones.get(place), others.get(place)) for place in dict.fromkeys([*ones, *others])]
        return sorted(made, key=lambda each: -abs(each.difference))

    @property
    def rank_correlation(self) -> float | None:
        """How alike the two order the features that both have: Spearman's, -1 to 1.

        None for fewer than three such features, or where one version gives all the same.
        """
        both = [(each.a.value, each.b.value) for each in self.differences if each.a and each.b]
        if len(both) < _FEWEST_TO_RANK:
            return None
        return _correlation(_ranks([one for one, _ in both]), _ranks([other for _, other in both]))

    def to_frame(self) -> Any:  # noqa: ANN401 - a frame of pandas or polars
        """Return a row for each feature as a data frame of pandas, or else polars.

        Returns:
            The columns `feature`, `input`, `a`, `b`, `difference` and `standard_error`, what differs most
            first.

        Raises:
            ModuleNotFoundError: Neither library is installed.
        """
        rows = [
            {
                "feature": each.feature,
                "input": each.input,
                "a": each.a.value if each.a else None,
                "b": each.b.value if each.b else None,
                "difference": each.difference,
                "standard_error": each.standard_error,
            }
            for each in self.differences
        ]
        return _frames.of_rows(rows, what="to_frame")

    def plot(self, *, ax: Axes | None = None, most: int = 12) -> Axes:
        """Draw two bars for each feature, those that differ most first, with matplotlib.

        Raises:
            ModuleNotFoundError: matplotlib is not installed (`pip install 'maas-client[plot]'`).
        """
        from maas_client import _explanation_plots

        return _explanation_plots.of_compared(self, ax=ax, most=most)

    def __iter__(self) -> Iterator[Explanation]:
        return iter((self.a, self.b))

    def __str__(self) -> str:
        from maas_client import _explanation_words

        return "\n".join(aligned(_explanation_words.compared_rows(self)))

    def _repr_html_(self) -> str:
        from maas_client import _explanation_html

        return _explanation_html.of_compared(self)


def _row(attribution: Attribution) -> dict[str, object]:
    row: dict[str, object] = {
        "feature": attribution.feature,
        "input": attribution.input,
        "value": attribution.value,
        "standard_error": attribution.standard_error,
    }
    if attribution.start is not None:
        row |= {"start": attribution.start, "end": attribution.end}
    if attribution.box is not None:
        row |= dict(zip(("left", "top", "right", "bottom"), attribution.box, strict=True))
    return row


def _place(attribution: Attribution) -> tuple[object, ...]:
    # A word may come twice; where it stands tells which one it is.
    return (attribution.input, attribution.feature, attribution.start, attribution.box)


def _difference(one: Attribution | None, other: Attribution | None) -> AttributionDifference:
    known = one or other
    if known is None:
        raise AssertionError("a feature that neither version has")
    return AttributionDifference(known.feature, known.input, one, other)


def _ranks(values: Sequence[float]) -> list[float]:
    """Return the rank of each value; equal ones share the mean of theirs."""
    ordered = sorted(values)
    return [ordered.index(value) + (ordered.count(value) - 1) / 2 for value in values]


def _correlation(ones: Sequence[float], others: Sequence[float]) -> float | None:
    mean = (len(ones) - 1) / 2  # of ranks, however they are shared
    both = math.fsum((one - mean) * (other - mean) for one, other in zip(ones, others, strict=True))
    spread = math.sqrt(
        math.fsum((one - mean) ** 2 for one in ones) * math.fsum((other - mean) ** 2 for other in others)
    )
    return both / spread if spread else None
