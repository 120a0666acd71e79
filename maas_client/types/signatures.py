"""What a model takes and gives: task signature, tensor signature, and how two of them differ."""

from __future__ import annotations

from maas_client.types.base import Reply


class InputSpec(Reply):
    """One input of a task signature, as `/v1` takes it."""

    name: str
    type: str
    description: str = ""
    max_length: int | None = None
    unit: str | None = None
    categories: list[str] | None = None
    datatype: str | None = None
    shape: list[int] | None = None


class OutputSpec(Reply):
    """One field of a prediction, as `/v1` returns it."""

    name: str
    type: str
    description: str = ""


class TaskSignature(Reply):
    """What `/v1` takes and returns for one instance."""

    inputs: list[InputSpec]
    outputs: list[OutputSpec]


class TensorSpec(Reply):
    """One tensor of the graph: its Open Inference datatype and shape, −1 where a dimension varies."""

    name: str
    datatype: str
    shape: list[int]


class TensorSignature(Reply):
    """The graph's own inputs and outputs."""

    inputs: list[TensorSpec]
    outputs: list[TensorSpec]


class SignatureDifference(Reply):
    """One difference between what two versions take and return.

    Args:
        kind: What it is, such as `input_removed` or `label_added`; newer servers may tell of others.
        where: `task` for what `/v1` takes and returns, `tensors` for the graph's own, which `/v2` shows.
        name: The input, the output or the label.
        before: What it was; None where it is new.
        after: What it is; None where it is gone.
        breaking: Whether a call that worked may fail now, or its answer mean something else.
    """

    kind: str
    where: str
    name: str
    before: str | None = None
    after: str | None = None
    breaking: bool

    def __str__(self) -> str:
        what = f"{self.where}: {self.kind.replace('_', ' ')}: "
        if self.before is None or self.after is None:
            return f"{what}{self.name}"
        name = "" if self.before == self.name else f"{self.name}: "
        return f"{what}{name}{self.before} → {self.after}"
