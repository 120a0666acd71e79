"""Two versions, held against each other on what they served."""

from __future__ import annotations

from pydantic import Field

from maas_client.types.base import Reply, Request
from maas_client.types.fields import VersionNumber


class Estimate(Reply):
    """A measured figure with its 95 % interval; the bounds are None where too little was seen for them."""

    value: float
    low: float | None = None
    high: float | None = None
    count: int = Field(description="What it was measured on: calls, or rows of calls.")


class ComparisonQuery(Request):
    """Query parameters of `GET …/comparison`."""

    a: VersionNumber = Field(description="The version to compare with.")
    b: VersionNumber = Field(description="The version that is compared.")
    since: int = Field(
        0,
        ge=0,
        lt=2**63,
        description="Only what was seen since this revision of the traffic; everything at 0.",
    )


class ShadowComparison(Reply):
    """What a version answered to copies of the calls that another one served: the same calls, in pairs.

    Args:
        calls: Copies that were run.
        dropped: Copies that were not, because the server had better things to do.
        rows: Instances in those calls that both versions answered.
        measure: What tells two answers apart: `label`, `value`, `embedding` or `tensor`.
        agreement: The fraction of rows that agree: the same label; a value within 1 %; vectors of a cosine
            of 0.99 or more; tensors equal but for 0.001 and 0.1 %.
        difference: The mean over rows of the difference: of the score of a's label, of the value, 1 − the
            cosine, the largest of a tensor's elements.
        largest_difference: The largest of them.
        latency_ratio: b's compute time over a's, the geometric mean over calls that ran both one after the
            other, apart from the traffic.
        error_rate_a: Of a, with callers.
        error_rate_b: Of b, with the copies.
    """

    calls: int
    dropped: int
    rows: int
    measure: str | None = None
    agreement: Estimate | None = None
    difference: Estimate | None = None
    largest_difference: float | None = None
    latency_ratio: Estimate | None = None
    error_rate_a: Estimate | None = None
    error_rate_b: Estimate | None = None


class VersionTraffic(Reply):
    """How a version did with callers of its own.

    Args:
        version: The version.
        calls: Calls that named no version and came to this one, while a split or a shadow was in force.
        error_rate: The fraction that was decoded and then failed.
        latency_ms: The geometric mean of their compute times, in milliseconds.
    """

    version: int
    calls: int
    error_rate: Estimate | None = None
    latency_ms: Estimate | None = None


class Comparison(Reply):
    """Two versions of a model compared by live traffic.

    Args:
        model: The model's name.
        a: The version to compare with.
        b: The version that is compared.
        since: The revision of the traffic from which on calls are counted.
        shadow: From copies that b got of a's calls; None where there were none.
        served_a: What a served to its own callers.
        served_b: What b served to its own callers.
        latency_ratio: b's latency over a's with their own callers.
        caveats: Where too little was seen to rely on a figure.
    """

    model: str
    a: int
    b: int
    since: int
    shadow: ShadowComparison | None = None
    served_a: VersionTraffic
    served_b: VersionTraffic
    latency_ratio: Estimate | None = None
    caveats: list[str] = []
