"""What differs between two versions of a model: `client.model(name).versions.diff(3, 4)`."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from maas_client.types import Reply, SignatureDifference


class FieldDifference(Reply):
    """A field of the manifest that has another value.

    Args:
        field: Its name, with dots between the levels: `preprocessing.max_tokens`.
        before: Its value in the first version; None where it has none.
        after: Its value in the second.
    """

    field: str
    before: Any = None
    after: Any = None


class MetricDifference(Reply):
    """A measured quality figure in both versions; None where one has not been measured so.

    Args:
        name: What was measured, such as `accuracy`.
        dataset: On what.
        split: On which part of it.
        before: Its value in the first version.
        after: Its value in the second.
    """

    name: str
    dataset: str
    split: str = ""
    before: float | None = None
    after: float | None = None


class GraphFacts(Reply):
    """What is counted in a version's graph.

    Args:
        operators: How many nodes there are of each operator, in subgraphs and functions too; operators beyond
            ONNX's own with their domain, such as `com.microsoft::Tokenizer`.
        opsets: The version of each operator set by its domain, ONNX's own as `ai.onnx`.
        parameters: Numbers in all initializers together.
        size: Bytes of `model.onnx`.
    """

    operators: dict[str, int]
    opsets: dict[str, int]
    parameters: int
    size: int


class GraphDifference(Reply):
    """The graphs of two versions."""

    before: GraphFacts
    after: GraphFacts

    @property
    def operators(self) -> dict[str, tuple[int, int]]:
        """The operators that one has more often than the other: how often each, by name."""
        counts = {
            name: (self.before.operators.get(name, 0), self.after.operators.get(name, 0))
            for name in sorted(self.before.operators | self.after.operators)
        }
        return {name: (before, after) for name, (before, after) in counts.items() if before != after}


class PredictionDifference(Reply):
    """What two versions predict for the example input of one of them.

    Args:
        example_of: The number of the version whose manifest has the example.
        inputs: The example.
        before: The outputs of the first version; None where it failed.
        after: Those of the second.
        before_error: Why the first version failed.
        after_error: Why the second did.
    """

    example_of: int
    inputs: dict[str, Any]
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    before_error: str | None = None
    after_error: str | None = None

    @property
    def same(self) -> bool:
        """Whether both predict the same."""
        return self.before is not None and self.before == self.after


class VersionDiff(Reply):
    """What differs between two versions; it prints as tables, and shows as such in a notebook.

    Args:
        model: The model's name.
        before: The number of the first version.
        after: The number of the second.
        same_content: Whether their packages hold the same.
        manifest: The fields of the manifest that differ, but for labels and metrics, which stand below.
        signature: What they take and return differently.
        metrics: The measured quality of both.
        graph: Their graphs; None where those were not compared.
        graph_missing: Why the graphs were not compared; None where they were.
        predictions: What both predict for both examples.
    """

    model: str
    before: int
    after: int
    same_content: bool
    manifest: list[FieldDifference] = Field(default_factory=list)
    signature: list[SignatureDifference] = Field(default_factory=list)
    metrics: list[MetricDifference] = Field(default_factory=list)
    graph: GraphDifference | None = None
    graph_missing: str | None = None
    predictions: list[PredictionDifference] = Field(default_factory=list)

    @property
    def breaking(self) -> bool:
        """Whether a call that works with the first version may fail or mean another thing with the second."""
        return any(each.breaking for each in self.signature)

    def __str__(self) -> str:
        from maas_client import _diff_tables

        return _diff_tables.as_text(self)

    def _repr_html_(self) -> str:
        from maas_client import _display

        return _display.of_diff(self)
