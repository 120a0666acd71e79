"""Explanations of predictions."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field, JsonValue

from maas_client.types.base import Reply, Request
from maas_client.types.fields import ALIAS_NAME, VERSION_NUMBER

ExplainMethod: TypeAlias = Literal["auto", "exact", "kernel", "fast"]


class ExplainOptions(Request):
    """How to explain, for one instance and for many alike."""

    target: str | None = Field(
        None, max_length=200, description="The label or output to explain; the predicted one when left out."
    )
    method: ExplainMethod = Field(
        "auto",
        description="`exact` Shapley values, `kernel` for KernelSHAP, `fast` for leave-one-out; `auto` is "
        "exact where the budget allows it and else kernel.",
    )
    budget: int = Field(256, ge=2, le=100_000, description="The most evaluations of the model.")
    time_budget_ms: float | None = Field(
        None,
        ge=1,
        le=3_600_000,
        description="Spend about this long: the evaluations are chosen from it, at most `budget`.",
    )
    seed: int = Field(0, ge=0, lt=2**31, description="The same seed gives the same answer.")
    against: dict[str, JsonValue] | None = Field(
        None,
        description="For embeddings: the instance to compare with; their cosine similarity is explained.",
    )
    faithfulness: bool = Field(default=True, description="Measure how far the explanation can be trusted.")
    parameters: dict[str, JsonValue] = Field(default_factory=dict, description="Options of the task.")


class ExplainRequest(ExplainOptions):
    """Why a model says what it says about one instance."""

    inputs: dict[str, JsonValue] = Field(min_length=1, description="The instance: inputs by name.")


class ExplanationsRequest(ExplainOptions):
    """Why a model says what it says about each of many instances, and what counts over all of them."""

    inputs: list[dict[str, JsonValue]] = Field(
        min_length=1, max_length=10_000, description="Instances: inputs by name."
    )


class ExplanationsQuery(Request):
    """Query parameters of a job that explains many instances; its body is an `ExplanationsRequest`."""

    rows: int = Field(
        ge=1, le=10_000, description="How many instances the body holds; other than that is an error."
    )
    version: str | None = Field(
        None,
        pattern=rf"^(?:{VERSION_NUMBER}|{ALIAS_NAME})$",
        description="A version's number, an alias or `latest`; what `default` points to when left out.",
    )


class Attribution(Reply):
    """What one feature adds to the prediction.

    Args:
        feature: The feature itself: a word, a column's name, a region.
        input: The input that it is part of.
        value: What it adds to the target's score, in the score's own unit.
        standard_error: Of `value`, by the method's sampling; None where it is exact.
        start: Where it begins in a text, in characters; None elsewhere.
        end: Where it ends in a text, in characters, exclusive; None elsewhere.
        box: Of a region of an image: left, top, right and bottom in pixels of the image as it was sent, the
            last two exclusive; None elsewhere.
    """

    feature: str
    input: str
    value: float
    standard_error: float | None = None
    start: int | None = None
    end: int | None = None
    box: tuple[int, int, int, int] | None = None


class Curve(Reply):
    """The target's score while features are taken away or put back, the most important ones first.

    Args:
        fractions: The fraction of the features changed at each point, 0 to 1.
        scores: The target's score at each point.
        area: The area under the curve.
        random_area: The mean area under the curves of random orders, for comparison.
        random_spread: The standard deviation of their areas: what chance alone makes of it.
        random_scores: Their mean score at each point.
    """

    fractions: list[float]
    scores: list[float]
    area: float
    random_area: float
    random_spread: float | None = None
    random_scores: list[float] = []


class Faithfulness(Reply):
    """How far an explanation can be trusted: what the model does when its features are really changed.

    Args:
        deletion: The score while features are taken away; a faithful explanation makes it fall early.
        insertion: The score while features are put back; a faithful explanation makes it rise early.
        comprehensiveness: How much the score falls without the most important features: the mean over the
            first 10 %, 20 % and 50 % of them.
        sufficiency: How much the score falls with the most important features alone, likewise.
        random_comprehensiveness: The same for random orders of the features, their mean.
        random_sufficiency: The same for random orders of the features, their mean.
        random_comprehensiveness_spread: The standard deviation over the random orders.
        random_sufficiency_spread: The standard deviation over the random orders.
        random_orders: How many random orders everything is compared with.
    """

    deletion: Curve
    insertion: Curve
    comprehensiveness: float
    sufficiency: float
    random_comprehensiveness: float
    random_sufficiency: float
    random_comprehensiveness_spread: float | None = None
    random_sufficiency_spread: float | None = None
    random_orders: int = 0


class ExplainReply(Reply):
    """The answer to an explain call.

    Args:
        target: The label or output that is explained.
        method: How the attributions were found: `exact`, `kernel` or `fast`.
        unit: What the features are: `words`, `sentences`, `columns` or `regions`. Of a long text those of its
            sentences that count most are in words and the others whole, which is called `words` too.
        masking: What stands where a feature is away: `delete`, `mask-token`, `background` or `mean-color`.
        prediction: The target's score for the instance.
        baseline: The target's score without any feature.
        additivity_gap: baseline + sum of the attributions − prediction; 0 for exact Shapley values.
        evaluations: How often the model was run, counted as usage.
        notes: What to know in order to read it.
    """

    id: str
    model: str
    version: int
    digest: str
    device: str
    target: str
    method: str
    unit: str = ""
    masking: str = ""
    seed: int
    prediction: float
    baseline: float
    attributions: list[Attribution]
    additivity_gap: float
    evaluations: int
    faithfulness: Faithfulness | None = None
    notes: list[str] = []


class FeatureImportance(Reply):
    """How much a feature counts over many instances.

    Args:
        feature: The feature: a column's name, or a word in lower case.
        input: The input that it is part of.
        mean_absolute: The mean of the absolute attributions, in the score's own unit.
        interval: The 95 % interval of that, by bootstrap over the instances; None for fewer than two.
        mean: The mean of the attributions, which tells the direction.
        rows: How many instances have the feature.
    """

    feature: str
    input: str
    mean_absolute: float
    interval: tuple[float, float] | None = None
    mean: float
    rows: int


class ExplanationsReply(Reply):
    """What a job that explained many instances came to.

    Args:
        explanations: One for each instance, in their order.
        importance: What counts over all of them, the most important feature first.
        evaluations: How often the model was run in all.
    """

    model: str
    version: int
    digest: str
    device: str
    rows: int
    explanations: list[ExplainReply]
    importance: list[FeatureImportance]
    evaluations: int
    notes: list[str] = []
