"""Traffic splits, shadows, and which version served what."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field, model_validator

from maas_client.types.base import Reply, Request
from maas_client.types.fields import Instant, Notes, VersionNumber


class TrafficSplit(Request):
    """What a version gets of the calls that name none: its weight over the sum of all weights."""

    version: VersionNumber
    weight: float = Field(gt=0, le=1_000_000, allow_inf_nan=False, description="On any scale.")


class TrafficUpdate(Request):
    """Who is to serve the calls that name no version, which versions get copies of them, and why."""

    splits: list[TrafficSplit] = Field(
        default_factory=list,
        max_length=10,
        description="The versions that serve, with their weights; the alias `default` alone when empty.",
    )
    shadows: list[VersionNumber] = Field(
        default_factory=list,
        max_length=5,
        description="Versions that get a copy in the background; what they answer is compared and dropped.",
    )
    note: Notes = ""
    promote: bool = Field(
        False, description="Move the alias `default` to the one version in `splits`, and end the split."
    )
    force: bool = Field(
        False, description="Let versions serve even if their signature breaks that of `default`'s version."
    )

    @model_validator(mode="after")
    def _consistent(self) -> TrafficUpdate:
        serving = [split.version for split in self.splits]
        for name, versions in (("splits", serving), ("shadows", self.shadows)):
            if len(set(versions)) != len(versions):
                raise ValueError(f"{name} names a version twice")
        if self.promote and (len(serving) != 1 or self.shadows):
            raise ValueError("promote goes with one version in splits and no shadows")
        if not serving and not self.shadows:
            raise ValueError(
                "splits and shadows are both empty; DELETE the traffic to send everything to `default` again"
            )
        return self


class TrafficWithdrawal(Request):
    """Query parameters of the end of a split and of shadows."""

    note: Notes = Field("", description="Why.")


class TrafficShare(Reply):
    """What a version gets of the calls that name none."""

    version: int
    weight: float = Field(description="As it was set.")
    share: float = Field(description="The fraction of callers, 0 to 1.")


class Traffic(Reply):
    """Who serves the calls that name no version, and which versions get copies of them."""

    splits: list[TrafficShare] = Field([], description="Empty: the alias `default` serves alone.")
    shadows: list[int] = []
    revision: int = Field(description="Counts the changes; sent as the ETag, compared with `If-Match`.")
    kind: str = Field("", description="`traffic_changed`, `promoted`, `withdrawn`; empty before any change.")
    note: str = ""
    changed_by: str | None = None
    changed_at: datetime | None = None


class ServedQuery(Request):
    """Query parameters of `GET …/served`."""

    at: Instant | None = Field(None, description="RFC 3339 with an offset; now when left out.")


class ServedShare(Reply):
    """One of the versions that served the calls that named none."""

    version: int
    share: float = Field(description="The fraction of callers, 0 to 1.")
    digest: str | None = Field(None, description="None when the version has been deleted since.")


class Served(Reply):
    """Which versions served the calls that named none at a time, and the change that had made it so."""

    at: datetime
    versions: list[ServedShare]
    shadows: list[int] = []
    since: datetime
    kind: str = Field(description="What made it so: `alias_moved`, `traffic_changed`, `withdrawn`…")
    by: str
    note: str = ""
