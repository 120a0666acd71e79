# Made from _async_models.py by tools/make_sync_face.py: change that file, then run `make format`.
"""The asynchronous face of the catalogue."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from maas_client import _transfers
from maas_client._calls import NOT_GIVEN
from maas_client._listing import Listing
from maas_client._operations import (
    _names,
    models,
    open_inference,
    versions,
)
from maas_client._operations._contract import build
from maas_client._resource import Resource
from maas_client.errors import (
    StatusError,
)
from maas_client.types import ModelQuery

if TYPE_CHECKING:
    import builtins
    from collections.abc import Iterable, Mapping
    from os import PathLike

    from pydantic import JsonValue

    from maas_client._calls import Timeout
    from maas_client._progress import Progress
    from maas_client.recommendations import Recommendation
    from maas_client.types import (
        Erasure,
        Model,
        ModelSort,
        RepositoryEntry,
        Version,
        Visibility,
    )


class ModelsResource(Resource):
    """The catalogue of models."""

    def list(
        self,
        *,
        task: str | None = None,
        q: str | None = None,
        tag: str | Iterable[str] | None = None,
        license: str | None = None,  # noqa: A002 - the field's own name
        owner: str | None = None,
        shared: bool = False,
        max_latency_ms: float | None = None,
        min_accuracy: float | None = None,
        max_size_bytes: int | None = None,
        sort: ModelSort | None = None,
        page_size: int | None = None,
    ) -> Listing[Model]:
        """List the models that you may see; a filter by a figure leaves out models that lack it.

        Args:
            task: Only models of this task, such as `text-classification`.
            q: Words that name, description or tags must contain, all of them.
            tag: A tag that a model must have, or several, all of them.
            license: Only models of this licence, such as `Apache-2.0`.
            owner: Only this account's models; `me` is yours.
            shared: Only models that others have shared with you.
            max_latency_ms: The longest median time of a call within the server, in milliseconds, as it was
                measured on the quickest device.
            min_accuracy: The least `accuracy`, 0 to 1, that the publisher measured.
            max_size_bytes: The largest package, in bytes.
            sort: `name`, `created`, `updated`, `accuracy`, `latency`, `size` or `usage` (calls in the last 30
                days); `-` before it reverses the order. Models that lack the figure come last in both.
            page_size: How many to fetch at a time, 1 to 1000.
        """
        query = build(
            ModelQuery,
            task=task,
            q=q,
            tag=tag,
            license=license,
            owner=owner,
            shared=shared or None,
            max_latency_ms=max_latency_ms,
            min_accuracy=min_accuracy,
            max_size_bytes=max_size_bytes,
            sort=sort,
            limit=page_size,
        )
        return Listing(
            self._send, lambda cursor: models.list_page(query.model_copy(update={"cursor": cursor}))
        )

    def get(self, name: str) -> Model:
        """Return one model with its description and measured metrics."""
        return self._send(models.get(name))

    def recommend(
        self,
        examples: Iterable[Mapping[str, object]],
        labels: Iterable[str] | Iterable[float],
        *,
        task: str | None = None,
        candidates: Iterable[str] | None = None,
        max_latency_ms: float | None = None,
        label_map: Mapping[str, str] | None = None,
        limit: int = 5,
        seed: int = 0,
        progress: Progress = False,
        timeout: Timeout = NOT_GIVEN,
    ) -> Recommendation:
        """Try models on a sample of your own and rank them by how well they do.

        Each is run on the sample by ordinary predict calls, which change nothing and of which the server
        keeps nothing but their number. Labels are held against the predicted ones (accuracy), numbers
        against the predicted values (mean absolute error). Intervals are Wilson's of an accuracy and
        bootstrapped of an error, and the first is tested against the second on the same rows.

        Args:
            examples: The inputs of each row by name, up to 10,000 rows; what is no input of a model is not
                sent to it.
            labels: What is right for each row.
            task: The task of the models to try, such as `text-classification`: the most accurate by their
                publishers' own figures.
            candidates: The models to try by name, in the place of a task.
            max_latency_ms: The longest median time of a call with one row, within the server, in
                milliseconds.
            label_map: What a label of a model is called in your sample, such as `{"POS": "positive"}`; each
                key must be a label of some candidate.
            limit: The most models to try of those that the task finds, 1 to 50; named ones are all tried.
            seed: Of the resampling; the same seed and answers give the same figures.
            progress: True for a bar, with the extra `progress`; or a function of the rows done and their
                total.
            timeout: Seconds in total; five minutes where neither this nor the client says otherwise. What
                was not tried by then says so.

        Returns:
            The candidates in their order. `best` is None where the sample is too small to tell the first
            from the second; `verdict` says about how many more rows would be needed. Models that cannot be
            compared or that fail are listed with the reason, those that are deprecated say so, and `notes`
            tell which models were not tried.

        Raises:
            ArgumentError: There are not as many labels as examples, neither task nor candidates, or another
                argument cannot be.
            AuthenticationError: The credential does not hold.
        """
        from maas_client import _trial_arguments
        from maas_client._trials import Trials

        trials = Trials(
            examples=_trial_arguments.rows(examples, "examples"),
            labels=_trial_arguments.rows(labels, "labels"),
            task=task,
            max_latency_ms=_trial_arguments.milliseconds(max_latency_ms),
            candidates=_trial_arguments.names(candidates),
            limit=limit,
            label_map=_trial_arguments.label_map(label_map),
            seed=seed,
            progress=progress,
            timeout=timeout,
        )
        return trials.recommendation(self._send)

    def index(self) -> builtins.list[RepositoryEntry]:
        """Return the models in the server's repository, by the Open Inference Protocol.

        Triton and MLServer tell version and state too; of a server without a repository, such as KServe, the
        list of its models is taken.
        """
        try:
            return self._send(open_inference.index())
        except StatusError as error:
            if error.status not in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
                raise
            try:
                return self._send(open_inference.model_list())
            except StatusError:
                raise error from None

    def create(self, name: str, *, visibility: Visibility = "private") -> Model:
        """Claim a name for a model; publishing a version does so too."""
        return self._send(models.create(name=name, visibility=visibility))

    def update(
        self, name: str, *, visibility: Visibility | None = None, downloadable: bool | None = None
    ) -> Model:
        """Change who sees a model and who downloads it; for its owners.

        Args:
            name: The model's name.
            visibility: `public` shows it to everyone, `private` only to those it is shared with.
            downloadable: Whether everybody who may use it may download its packages, and not its owners and
                publishers alone.

        Raises:
            PermissionDeniedError: You are no owner of the model.
            ConflictError: Another public model has its name.
        """
        return self._send(models.update(name, visibility=visibility, downloadable=downloadable))

    def delete(self, name: str) -> Erasure | None:
        """Erase a model for good, with all its versions, aliases and history; its name is free again.

        Returns:
            The erasure with its signed receipt; None from servers of before there were any.
        """
        return self._send(models.delete(name))

    def publish(
        self,
        path: str | PathLike[str],
        *,
        name: str,
        notes: str = "",
        visibility: Visibility | None = None,
        set_default: bool = False,
        parent: int | None = None,
        origin: str | None = None,
        lineage: Mapping[str, JsonValue] | None = None,
        again: bool = False,
        force: bool = False,
        progress: Progress = False,
        timeout: Timeout = NOT_GIVEN,
    ) -> Version:
        """Publish a package as a new version of a model, which is made if it does not exist.

        The package is checked here before anything is sent. The same content again is the same version. A
        large package goes in chunks: after an interruption, whether of the connection or of your program, the
        same call sends only what the server does not have yet.

        Args:
            path: A folder with `maas.toml` and `model.onnx`, or its zip.
            name: The model's name.
            notes: What is new in this version.
            visibility: For a model that this makes, `private` by default; others keep theirs.
            set_default: Move the alias `default` to the new version.
            parent: The version of this model that the new one was made from.
            origin: How it was made: `uploaded` by default, `trained`, `quantized`, or another word.
            lineage: What else is to be known about that, such as `{"data": "sha256:…"}`; at most 16 KiB.
            again: Make a new version even of content that the model has already.
            force: Move `default` even where the new signature breaks calls that work now.
            progress: True for a bar in bytes, with the extra `progress`; or a function of the bytes done and
                their total.
            timeout: Seconds in total; ten minutes where neither this nor the client says otherwise.

        Raises:
            PackageError: The package is not one that a server takes.
            ConflictError: With `set_default`: the new signature breaks calls; `.errors` tells which.
        """
        query = versions.publish_query(
            notes=notes,
            visibility=visibility,
            set_default=set_default,
            parent=parent,
            origin=origin,
            lineage=lineage,
            again=again,
            force=force,
        )
        return _transfers.publish(
            self._send, _names.model(name), Path(path), query, progress=progress, timeout=timeout
        )
