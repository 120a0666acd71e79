"""Advice: what was measured of a version in other settings, which of them is recommended, and why.

`POST /v1/models/{model}/advice`, or `…/versions/{version}/advice`, takes an `AdviceRequest` and answers 202
with a job of the kind `advise`, whose `interim` is an `AdviceProgress` and whose `result` is an `Advice`.
`POST /v1/jobs/{job}/apply`, for such a job that has succeeded, takes an `AdviceApply` and answers 202 with a
job of the kind `apply-advice`, whose `result` is an `AppliedAdvice`: a new version of the same model, which
no alias points to. `GET /v1/models/{model}/versions/{version}/advice` answers a `StaticAdvice` at once.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field, JsonValue

from maas_client.types.base import Reply, Request
from maas_client.types.fields import Notes

AdviceObjective: TypeAlias = Literal["latency", "throughput", "memory"]


class AdviceRequest(Request):
    """What is to become better, what it may cost, and on which rows that is measured."""

    objective: AdviceObjective = Field(
        "latency",
        description="`latency`: the time of a call of one row. `throughput`: rows a second when there is "
        "always more to do. `memory`: the most that the model takes while it is loaded and run.",
    )
    max_quality_loss: float = Field(
        0.01,
        ge=0,
        le=1,
        description="What a recommended variant may lose, as `AdviceQuality.loss` tells it. 0 for none.",
    )
    inputs: list[dict[str, JsonValue]] = Field(
        default_factory=list,
        max_length=10_000,
        description="The sample: instances, inputs by name, such as those that callers send. Without it "
        "there is only the manifest's example, on which no change of weights is recommended.",
    )
    targets: list[JsonValue] | None = Field(
        None,
        description="For each of them the true label, or the true value of a regression; then the loss is "
        "one of the metric and not of agreement.",
    )
    parameters: dict[str, JsonValue] = Field(default_factory=dict, description="Options of the task.")
    time_budget_seconds: float = Field(
        60.0,
        ge=1,
        le=3600,
        description="About how long to take times; to make the variants and hold them against the sample "
        "is not counted.",
    )
    budget: int = Field(
        50_000,
        ge=100,
        le=10_000_000,
        description="The most rows that are run, counted as usage; of the rows of a day as many are taken at "
        "first, and those that were not run are given back.",
    )


class AdviceSetting(Reply):
    """How a version is run.

    Args:
        weights: `original`, `int8-weights` (weights kept as int8 and turned back when they are used),
            `int8-blocks` (the same in blocks, multiplied by `MatMulNBits`), `int8-dynamic` (activations as
            int8 too, by a scale of each run), `fp16`.
        device: What ran it: `cpu` or `cuda:0`.
        graph_optimization: ONNX Runtime's level: `disabled`, `basic`, `extended`, or `all` as in servers.
        lanes: Runs at a time.
        intra_op_threads: Threads within one operator.
        batch_rows: Rows of one run when there is always more to do; 1 where rows run one by one.
    """

    weights: str = "original"
    device: str = "cpu"
    graph_optimization: str = "all"
    lanes: int = 1
    intra_op_threads: int = 1
    batch_rows: int = 1


class AdviceInterval(Reply):
    """A ratio to the original: the median over pairs of runs, each beside one of the original.

    Args:
        median: Below 1 it takes less, above 1 more.
        low: Of its 95 % interval, by order statistics; None of too few pairs for one (below 6).
        high: Likewise.
        pairs: How many pairs there were.
    """

    median: float
    low: float | None = None
    high: float | None = None
    pairs: int


class AdviceMetric(Reply):
    """A metric of the sample's targets, of the original and of a variant.

    Args:
        name: Such as `accuracy`.
        original: Of the original.
        variant: Of the variant.
        difference: variant − original.
        interval: Its 95 % interval, by a bootstrap of the same rows for both; None where no sample showed
            another figure.
    """

    name: str
    original: float
    variant: float
    difference: float
    interval: tuple[float, float] | None = None


class AdviceQuality(Reply):
    """What a variant says beside what the original says, on the rows of the sample.

    Args:
        measure: What was compared: `label`, `value`, `embedding` or `tensor`.
        rows: How many rows.
        agreement: The share of rows that agree, 0 to 1: the same label, a value within 1 %, a cosine of at
            least 0.99, tensors within 1e-3.
        agreement_interval: Its 95 % interval by Wilson.
        largest_shift: The most that a row moved: in the score of its label, in the value, in 1 − cosine, or
            in a tensor's element.
        mean_shift: The mean over rows.
        loss: What is held against `max_quality_loss`; below 0 where the variant is better.
        loss_of: What that is: `accuracy`, `r_squared` (how much lower), `label` (share of other labels),
            `value` (mean shift in standard deviations of the original's values), `embedding` (mean of
            1 − cosine) or `tensor` (share of rows that do not agree).
        loss_interval: Its 95 % interval, where there is one.
        metrics: Of the targets, where there are any.
    """

    measure: str
    rows: int
    agreement: float
    agreement_interval: tuple[float, float] | None = None
    largest_shift: float
    mean_shift: float
    loss: float
    loss_of: str
    loss_interval: tuple[float, float] | None = None
    metrics: list[AdviceMetric] = []


class AdviceVariant(Reply):
    """One setting, as it was measured.

    Args:
        name: Its name in this advice, such as `original`, `int8-dynamic` or `threads-2`.
        title: What it is, in words.
        setting: How it is run.
        p50_ms: The median time of a call of one row, in milliseconds, without the network.
        p99_ms: The 99th percentile; of fewer than 100 calls it is their slowest.
        calls: How many calls those are of.
        throughput_rows_per_second: Rows a second over all lanes, when there is always more to do.
        memory_bytes: By how much the process grew, at its most while the loaded model was run; None where
            this system does not tell. Of a GPU's own memory it knows nothing.
        load_ms: From the graph's bytes to a session that can run, in milliseconds.
        package_bytes: Of the package's files together.
        graph_sha256: Of its graph, in hexadecimal: an apply publishes that or nothing.
        latency: p50 beside the original's; None of the original itself.
        time_per_row: The time of a row with all lanes busy beside the original's; None of the original.
        batch_invariant: Whether a row's result is the same in any company; if not, rows run one by one.
        quality: None of the original, and of settings that leave the weights and the device as they are.
        pareto: Whether no other variant is at least as good in time of a call, time of a row, memory and
            quality, and better in one of them.
        applicable: Whether it can be applied: as a new version of the same model.
        notes: What to know of it.
    """

    name: str
    title: str
    setting: AdviceSetting
    p50_ms: float
    p99_ms: float
    calls: int
    throughput_rows_per_second: float
    memory_bytes: int | None = None
    load_ms: float
    package_bytes: int
    graph_sha256: str
    latency: AdviceInterval | None = None
    time_per_row: AdviceInterval | None = None
    batch_invariant: bool
    quality: AdviceQuality | None = None
    pareto: bool = False
    applicable: bool = False
    notes: list[str] = []


class NotMeasured(Reply):
    """A variant that was not measured, and why."""

    name: str
    reason: str


class AdviceRecommendation(Reply):
    """What is recommended.

    Args:
        variant: The name of the variant; None to leave the version as it is.
        reason: Why, in words.
        gain: By which factor the objective becomes better, such as 1.8; None where nothing is recommended.
        gain_interval: Its 95 % interval; None of memory, which is measured once.
    """

    variant: str | None = None
    reason: str
    gain: float | None = None
    gain_interval: tuple[float, float] | None = None


class HardwareAdvice(Reply):
    """What other hardware would bring, as far as measured rows tell.

    Args:
        hardware: `cores` or `gpu`.
        text: In words.
        variants: The names of the variants that it rests on; none where nothing was measured.
        measured: Whether it rests on anything that was measured.
    """

    hardware: str
    text: str
    variants: list[str] = []
    measured: bool


class StaticFinding(Reply):
    """What a look at a package shows, without running it.

    Args:
        code: `old_opset`, `unused_output`, `double_weights`, `fixed_batch`, `initializers_as_inputs` or
            `tokenizer_without_truncation`.
        where: The names of the nodes or tensors, at most 20; none for whoever may not download the package.
        count: How many there are.
        why: Why it matters.
        remedy: What to do about it.
    """

    code: str
    where: list[str] = []
    count: int
    why: str
    remedy: str


class StaticAdvice(Reply):
    """What a look at a version's package shows, without running it.

    Args:
        model: The model.
        version: The version.
        digest: Its content digest.
        opset: The version of ONNX's own operators that the graph is written for.
        ir_version: The version of its format.
        findings: What was found; none where nothing was.
    """

    model: str
    version: int
    digest: str
    opset: int
    ir_version: int
    findings: list[StaticFinding] = []


class AdviceMachine(Reply):
    """What the variants were measured on.

    Args:
        cores: Cores that the process may use.
        architecture: Such as `x86_64`.
        devices: What models can run on: `cpu`, and `cuda:0` where CUDA works.
        onnxruntime: Its version.
        busy: The share of the cores that was busy before the measuring, 0 to 1 or more; None where this
            system does not tell.
    """

    cores: int
    architecture: str
    devices: list[str]
    onnxruntime: str
    busy: float | None = None


class AdviceProgress(Reply):
    """What a job that measures tells while it does, in `interim`.

    Args:
        variants: Those measured so far.
        warnings: What is known to warn of.
    """

    variants: list[AdviceVariant] = []
    warnings: list[str] = []


class Advice(Reply):
    """What was measured of a version, and what follows from it.

    Args:
        model: The model.
        version: The version.
        digest: Its content digest.
        task: Its task.
        objective: What was to become better.
        max_quality_loss: What it was allowed to cost.
        machine: What it was measured on; elsewhere other figures hold.
        sample_rows: How many rows the sample has.
        rows_run: How many rows were run, counted as usage.
        seconds: How long that took.
        variants: The original first.
        not_measured: What was left out, and why.
        recommendation: What is recommended.
        hardware: What other hardware would bring.
        findings: What a look at the package shows.
        warnings: What to know before one trusts it.
    """

    model: str
    version: int
    digest: str
    task: str
    objective: str
    max_quality_loss: float
    machine: AdviceMachine
    sample_rows: int
    rows_run: int
    seconds: float
    variants: list[AdviceVariant]
    not_measured: list[NotMeasured] = []
    recommendation: AdviceRecommendation
    hardware: list[HardwareAdvice] = []
    findings: list[StaticFinding] = []
    warnings: list[str] = []

    def __getitem__(self, name: str) -> AdviceVariant:
        """Return a variant by its name: `advice["int8-dynamic"]`."""
        for variant in self.variants:
            if variant.name == name:
                return variant
        there = ", ".join(each.name for each in self.variants)
        raise KeyError(f"{name!r} was not measured; there are {there}")


class AdviceApply(Request):
    """Which variant of an advice becomes a new version."""

    variant: str | None = Field(
        None, max_length=64, description="Its name; the recommended one when left out."
    )
    notes: Notes = Field("", description="What is new in the version; the variant in words when left out.")


class AppliedAdvice(Reply):
    """The version that a variant became. No alias points to it; its lineage tells what was measured.

    Args:
        model: The model.
        version: The new version's number.
        digest: Its content digest.
        is_new: Whether it was made now; the same content is never published twice.
        parent: The number of the version that it was derived from.
        variant: Which variant it is.
    """

    model: str
    version: int
    digest: str
    is_new: bool
    parent: int
    variant: str
