# Made from _async_diff.py by tools/make_sync_face.py: change that file, then run `make format`.
"""Comparing two versions: what has to be asked for, in one place."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maas_client import _graphs, _transfers
from maas_client._manifests import changed_fields, changed_metrics
from maas_client._operations import predict, versions
from maas_client._signatures import Interface, differences
from maas_client._transport import aside
from maas_client.differences import GraphDifference, PredictionDifference, VersionDiff
from maas_client.errors import StatusError

if TYPE_CHECKING:
    from maas_client._calls import Budget
    from maas_client._listing import Send
    from maas_client.differences import GraphFacts
    from maas_client.types import Version


def diff(
    send: Send,
    model: str,
    before: int | str,
    after: int | str,
    *,
    graph: bool,
    predictions: bool,
    budget: Budget,
) -> VersionDiff:
    """Compare two versions; `VersionsResource.diff` describes it."""
    old = send(versions.get(model, before), timeout=budget)
    new = send(versions.get(model, after), timeout=budget)
    comparing = _Comparing(send, model, old, new, budget)
    graphs = comparing.graphs() if graph else "it was not asked for"
    return VersionDiff(
        model=old.model,
        before=old.version,
        after=new.version,
        same_content=old.digest == new.digest,
        manifest=changed_fields(old.manifest, new.manifest),
        signature=differences(Interface.of(old), Interface.of(new)),
        metrics=changed_metrics(
            [*old.manifest.metrics, *old.measured_metrics], [*new.manifest.metrics, *new.measured_metrics]
        ),
        graph=None if isinstance(graphs, str) else graphs,
        graph_missing=graphs if isinstance(graphs, str) else None,
        predictions=comparing.predictions() if predictions else [],
    )


@dataclass(frozen=True, slots=True)
class _Comparing:
    """Two versions, and how more is asked about them."""

    send: Send
    model: str
    old: Version
    new: Version
    budget: Budget

    def graphs(self) -> GraphDifference | str:
        """Return what differs between the graphs, or why they cannot be compared."""
        if (reason := _graphs.cannot_read()) is not None:
            return reason
        try:
            before = self._facts(self.old)
            same = self.old.digest == self.new.digest
            return GraphDifference(before=before, after=before if same else self._facts(self.new))
        except StatusError as error:
            return f"the packages cannot be downloaded: {error.message}"

    def predictions(self) -> list[PredictionDifference]:
        """Return what both predict for each example, once where the two have the same."""
        examples = {self.old.version: self.old.manifest.example}
        if self.new.manifest.example != self.old.manifest.example:
            examples[self.new.version] = self.new.manifest.example
        return [self._predictions(number, inputs) for number, inputs in examples.items()]

    def _predictions(self, example_of: int, inputs: dict[str, Any]) -> PredictionDifference:
        before, before_error = self._predict(self.old, inputs)
        after, after_error = self._predict(self.new, inputs)
        return PredictionDifference(
            example_of=example_of,
            inputs=inputs,
            before=before,
            after=after,
            before_error=before_error,
            after_error=after_error,
        )

    def _predict(self, version: Version, inputs: dict[str, Any]) -> tuple[dict[str, Any] | None, str | None]:
        """Return what a version predicts, or why it does not: the other's example may not be for it."""
        operation = predict.predict(self.model, inputs, version=version.version, parameters=None)
        try:
            return (self.send(operation, timeout=self.budget)).outputs, None
        except StatusError as error:
            return None, error.message

    def _facts(self, version: Version) -> GraphFacts:
        with tempfile.TemporaryDirectory() as folder:
            path = _transfers.download(
                self.send,
                self.model,
                version.version,
                Path(folder) / "package.zip",
                overwrite=False,
                progress=False,
                timeout=self.budget,
            )
            return aside(partial(_graphs.facts_of, path))
