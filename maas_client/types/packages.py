"""The model package: its manifest, preprocessing and metrics."""

from __future__ import annotations

from datetime import datetime
from math import inf
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, FiniteFloat, JsonValue, StringConstraints, model_validator

from maas_client.types.base import Reply, Request
from maas_client.types.fields import MAX_LABEL_CHARACTERS, MAX_LABELS


class Metric(Reply):
    """One measured quality figure and what it was measured on."""

    name: str = Field(min_length=1, max_length=64)
    value: float = Field(allow_inf_nan=False)
    dataset: str = Field(min_length=1, max_length=200)
    rows: int = Field(ge=1, lt=2**63)
    split: str = Field("", max_length=200)
    measured_at: datetime | None = None
    interval: tuple[FiniteFloat, FiniteFloat] | None = Field(None, description="95 %, where it was measured.")


# The least and the most that the figures of an evaluation can be.
_METRIC_RANGES = {
    **dict.fromkeys(("accuracy", "macro_f1", "expected_calibration_error"), (0.0, 1.0)),
    **dict.fromkeys(
        ("cross_entropy", "mean_squared_error", "mean_absolute_error", "root_mean_squared_error"), (0.0, inf)
    ),
    "r_squared": (-inf, 1.0),
}


def _possible(metric: Metric) -> Metric:
    low, high = _METRIC_RANGES.get(metric.name, (-inf, inf))
    if not low <= metric.value <= high:
        raise ValueError(f"{metric.name} lies between {low:g} and {high:g}, and {metric.value:g} does not")
    return metric


PossibleMetric = Annotated[Metric, AfterValidator(_possible)]


class ImagePreprocessing(Request):
    """How a picture becomes a tensor: decoded, turned upright, resized, scaled, normalised.

    A channel's value is `(pixel * scale - mean) / std`, with pixels from 0 to 255.
    """

    width: int = Field(ge=1, le=4096, description="In pixels.")
    height: int = Field(ge=1, le=4096, description="In pixels.")
    mode: Literal["RGB", "BGR", "L"] = Field("RGB", description="Channels in their order; `L` is grey.")
    fit: Literal["stretch", "crop", "pad"] = Field(
        "stretch", description="`crop` keeps the middle, `pad` adds black; both keep the proportions."
    )
    scale: float = Field(1 / 255, gt=0, allow_inf_nan=False)
    mean: list[FiniteFloat] = Field([0.0], min_length=1, max_length=3, description="One, or one per channel.")
    std: list[FiniteFloat] = Field([1.0], min_length=1, max_length=3, description="One, or one per channel.")
    layout: Literal["NCHW", "NHWC", "NHW"] = Field("NCHW", description="`NHW` for grey without that axis.")

    @model_validator(mode="after")
    def _consistent(self) -> ImagePreprocessing:
        channels = 1 if self.mode == "L" else 3
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, channels):
                raise ValueError(
                    f"{name} has {len(values)} values for the {channels} channels of {self.mode}"
                )
        if 0 in self.std:
            raise ValueError("std is 0; values are divided by it")
        if self.layout == "NHW" and self.mode != "L":
            raise ValueError("the layout NHW has no channels; it goes with the mode L")
        return self


class Column(Request):
    """One column of a tabular model, in the order of the graph's input."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_ ().%/-]{0,127}$")
    type: Literal["number", "string"] = "number"
    description: str = Field("", max_length=1000)
    unit: str = Field("", max_length=64)
    categories: list[str] = Field(
        default_factory=list, max_length=10_000, description="The strings that are taken; any if empty."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Column:
        if self.name in ("instances", "parameters", "inputs"):
            raise ValueError(f"{self.name!r} means something else in a call; choose another name")
        if self.categories and self.type != "string":
            raise ValueError(f"{self.name!r} has categories, which go with the type string")
        return self


class Preprocessing(Request):
    """How a task's input becomes tensors, as data.

    Fields that a task has no use for are refused when the package is validated.
    """

    max_characters: int = Field(
        100_000, ge=1, le=10_000_000, description="Longest text taken, in characters."
    )
    tokenizer: str | None = Field(
        None, description="A `tokenizer.json` in the package, for graphs that take token ids."
    )
    max_tokens: int = Field(512, ge=1, le=131_072, description="Longer token sequences are truncated.")
    image: ImagePreprocessing | None = None
    columns: list[Column] = Field(default_factory=list, max_length=10_000, description="Of tabular tasks.")
    background: str | None = Field(
        None,
        description="A `background.json` in the package: rows of columns that stand for those which an "
        "explanation leaves out.",
    )


class Postprocessing(Request):
    """How the graph's output becomes an answer."""

    output: str | None = Field(None, description="The graph output to read; the only one when left out.")
    activation: Literal["none", "softmax"] = Field(
        "none", description="`softmax` when the graph returns logits, `none` when it returns probabilities."
    )
    pooling: Literal["none", "mean", "cls"] = Field(
        "none",
        description="Of embeddings by token: their mean under the attention mask, or the first one; `none` "
        "when the graph returns one row per text.",
    )
    normalize: bool = Field(default=False, description="Whether embeddings are scaled to the length 1.")
    unit: str = Field("", max_length=64, description="Of a regression's value.")


class Serving(Request):
    """How a server should run the model; its operator may override each."""

    batching: bool = Field(
        default=False,
        description="Whether rows of different calls may share a run. Ignored where that moves results.",
    )
    max_batch_rows: int = Field(32, ge=1, le=4096, description="The most rows of a shared run.")
    max_wait_ms: float = Field(0.0, ge=0, le=1000, description="How long a run waits for company.")
    lanes: int | None = Field(None, ge=1, le=256, description="Runs at a time; the server's own when unset.")
    intra_op_threads: int | None = Field(None, ge=1, le=256, description="Threads within one operator.")
    provider: Literal["cpu", "cuda"] | None = Field(
        None, description="`cuda` is never run on the CPU instead; the server's own when unset."
    )


Label = Annotated[str, StringConstraints(min_length=1, max_length=MAX_LABEL_CHARACTERS)]
Tag = Annotated[str, StringConstraints(pattern=r"^[\w.+-]{1,64}$")]


class Manifest(Request):
    """`maas.toml`, the description inside a model package."""

    format: Literal[1] = 1
    task: str = Field(min_length=1, max_length=64)
    description: str = Field(min_length=1, max_length=4000)
    license: str = Field(min_length=1, max_length=200)
    intended_use: str = Field("", max_length=4000)
    limitations: str = Field("", max_length=4000)
    tags: list[Tag] = Field(default_factory=list, max_length=32)
    labels: list[Label] = Field(
        default_factory=list,
        max_length=MAX_LABELS,
        description="Class names in the order of the graph's output; or a `labels.txt` in the package.",
    )
    preprocessing: Preprocessing = Preprocessing()
    postprocessing: Postprocessing = Postprocessing()
    serving: Serving = Serving()
    metrics: list[Metric] = Field(default_factory=list, max_length=100)
    example: dict[str, JsonValue] = Field(description="Example input: the task signature's names and values.")
