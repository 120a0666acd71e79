# Made from _async_resources.py by tools/make_sync_face.py: change that file, then run `make format`.
"""What hangs off a client, one class per noun; each method is one line over the operations."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from maas_client import _history, _transfers
from maas_client._calls import NOT_GIVEN, Budget
from maas_client._capture import CapturedResource, CaptureResource
from maas_client._listing import Listing
from maas_client._masking import Masked
from maas_client._operations import (
    _names,
    accounts,
    aliases,
    erasures,
    explain,
    keys,
    models,
    open_inference,
    predict,
    service,
    sessions,
    traffic,
    versions,
)
from maas_client._operations._contract import build
from maas_client._operations._operation import DEFAULT_TIMEOUT
from maas_client._pins import PinnedSend
from maas_client._shares import SharesResource
from maas_client._traffic import TrafficResource
from maas_client.errors import (
    ArgumentError,
    BadRequestError,
    GoneError,
    InvalidReplyError,
    NotFoundError,
    StatusError,
    UnavailableError,
)
from maas_client.types import ModelQuery

if TYPE_CHECKING:
    import builtins
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from os import PathLike

    from numpy.typing import ArrayLike
    from pydantic import JsonValue

    from maas_client._calls import Peer, Protocol, Timeout
    from maas_client._frames import Frame
    from maas_client._jobs import Job, Stream
    from maas_client._lanes import Source
    from maas_client._listing import Send
    from maas_client._operations._operation import Operation
    from maas_client._progress import Progress
    from maas_client.comparisons import VersionsCompared
    from maas_client.differences import VersionDiff
    from maas_client.explanations import Explanation, Explanations, ExplanationsCompared
    from maas_client.predictions import (
        AnyPrediction,
        InferResult,
        Outcome,
        Predictions,
    )
    from maas_client.recommendations import Recommendation
    from maas_client.types import (
        Account,
        AccountExport,
        Alias,
        AliasChange,
        Comparison,
        Erasure,
        ErasurePlan,
        Evaluation,
        ExplainMethod,
        Health,
        Key,
        KeyCreated,
        Metric,
        Model,
        ModelEvent,
        ModelMetadata,
        ModelSort,
        RepositoryEntry,
        Scope,
        Served,
        ServerMetadata,
        ServiceInfo,
        Session,
        Version,
        Visibility,
    )


class _Resource:
    def __init__(self, send: Send) -> None:
        self._send = send


def _holds(send: Send, operation: Operation[None]) -> bool:
    """Tell whether a state holds: other servers answer 200, or 4xx or 503 when it does not."""
    try:
        send(operation)
    except (NotFoundError, BadRequestError, GoneError, UnavailableError):
        return False
    return True


class ServiceResource(_Resource):
    """The service itself; open to anyone."""

    def info(self) -> ServiceInfo:
        """Return the service's name, version and usage policy."""
        return self._send(service.info())

    def health(self) -> Health:
        """Return whether the service takes new work.

        Raises:
            UnavailableError: It is draining.
        """
        return self._send(service.health())

    def erasure(self, erasure_id: str) -> Erasure:
        """Return an erasure and, once it is done, its signed receipt; it needs no log-in."""
        return self._send(erasures.get(erasure_id))

    def metadata(self) -> ServerMetadata:
        """Return what the server says of itself in the Open Inference Protocol."""
        return self._send(open_inference.server_metadata())

    def live(self) -> bool:
        """Return whether the server runs, by the Open Inference Protocol."""
        return _holds(self._send, open_inference.health("live"))

    def ready(self) -> bool:
        """Return whether the server and its models can be called, by the Open Inference Protocol."""
        return _holds(self._send, open_inference.health("ready"))

    def protocol(self) -> Protocol:
        """Return what the server speaks: `maas`, which is ours, or `open-inference` alone.

        Raises:
            InvalidReplyError: It speaks neither.
        """
        with suppress(InvalidReplyError, StatusError, ArgumentError):
            self.info()
            return "maas"
        with suppress(InvalidReplyError, StatusError):
            self.metadata()
            return "open-inference"
        raise InvalidReplyError("the server answers neither GET / as ours do nor GET /v2 as others do")


class AccountResource(_Resource):
    """One's own account; it needs a log-in session."""

    def get(self) -> Account:
        """Return the account."""
        return self._send(accounts.get())

    def change_password(self, *, current_password: str, new_password: str) -> Account:
        """Change the password, which ends every other session."""
        current_password, new_password = Masked(current_password), Masked(new_password)
        return self._send(
            accounts.change_password(current_password=current_password, new_password=new_password)
        )

    def export(self) -> AccountExport:
        """Return everything that the service holds about the account, without secrets."""
        return self._send(accounts.export())

    def erasure_plan(self) -> ErasurePlan:
        """Return what `delete` would take along, and whom else that concerns; changes nothing."""
        return self._send(erasures.plan())

    def delete(self, *, password: str) -> Erasure:
        """Erase the account with everything that is its, public models too; there is no way back.

        Args:
            password: The account's password, again.

        Returns:
            The erasure with its signed receipt; `service.erasure(id)` returns one that is still pending.
        """
        return self._send(erasures.erase_account(password=Masked(password)))


class SessionsResource(_Resource):
    """One's log-in sessions."""

    def list(self, *, page_size: int | None = None) -> Listing[Session]:
        """List the sessions that hold."""
        return Listing(self._send, lambda cursor: sessions.list_page(limit=page_size, cursor=cursor))

    def end(self, session_id: str) -> None:
        """End a session; its token stops at once."""
        self._send(sessions.end(session_id))


class KeysResource(_Resource):
    """One's API keys."""

    def list(self, *, page_size: int | None = None) -> Listing[Key]:
        """List the keys, without their secrets."""
        return Listing(self._send, lambda cursor: keys.list_page(limit=page_size, cursor=cursor))

    def get(self, key_id: str) -> Key:
        """Return one key, without its secret."""
        return self._send(keys.get(key_id))

    def create(
        self,
        name: str,
        *,
        scopes: Iterable[Scope] | None = None,
        expires_at: datetime | None = None,
        models: Iterable[str] | None = None,
        networks: Iterable[str] | None = None,
        requests_per_minute: int | None = None,
        rows_per_day: int | None = None,
    ) -> KeyCreated:
        """Make a key; its secret is in the result this once: `key.secret.get_secret_value()`.

        It can do no more than who makes it: a key that is made with a key has the maker's limits where it has
        none of its own, and counts with it.

        Args:
            name: What it is for, for your own eyes.
            scopes: What it may do, among what you may do; to read the catalogue and to predict by default.
            expires_at: When it stops, with an offset from UTC; never by default.
            models: The models that exist for it, such as `["sentiment-*", "ada~words"]`; a `*` stands for any
                characters. All that you may see by default.
            networks: Where it may be used from: addresses and networks such as `["203.0.113.7",
                "2001:db8::/32"]`. From anywhere by default.
            requests_per_minute: The most requests in a minute; as many as the account may by default.
            rows_per_day: The most instances that it may have predicted from midnight to midnight, UTC.

        Raises:
            PermissionDeniedError: It would be wider than who makes it; `param` tells in what.
        """
        return self._send(
            keys.create(
                name=name,
                scopes=scopes,
                expires_at=expires_at,
                models=models,
                networks=networks,
                requests_per_minute=requests_per_minute,
                rows_per_day=rows_per_day,
            )
        )

    def rotate(self, key_id: str, *, overlap_seconds: int = 0) -> KeyCreated:
        """Give a key a new secret; the old one holds for `overlap_seconds` more, at most a week."""
        return self._send(keys.rotate(key_id, overlap_seconds=overlap_seconds))

    def revoke(self, key_id: str) -> None:
        """End a key at once."""
        self._send(keys.revoke(key_id))


class ModelsResource(_Resource):
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


class _OfModel(_Resource):
    def __init__(self, send: Send, model: str) -> None:
        super().__init__(send)
        self._model = model


class VersionsResource(_OfModel):
    """The versions of one model."""

    def list(self, *, page_size: int | None = None) -> Listing[Version]:
        """List the versions, newest first."""
        return Listing(
            self._send, lambda cursor: versions.list_page(self._model, limit=page_size, cursor=cursor)
        )

    def get(self, version: int | str) -> Version:
        """Return one version, by number or alias."""
        return self._send(versions.get(self._model, version))

    def update(self, version: int, *, metrics: Iterable[Metric]) -> Version:
        """Say what you measured of a version; it is kept beside the package, which never changes.

        Args:
            version: Its number.
            metrics: What was measured, in the place of what was said before; `evaluation.as_metrics("…")`
                makes them of an evaluation.

        Raises:
            PermissionDeniedError: You are no publisher of the model.
        """
        return self._send(versions.update(self._model, version, metrics=metrics))

    def deprecate(
        self,
        version: int,
        *,
        reason: str | None = None,
        replacement: int | str | None = None,
        sunset: datetime | None = None,
        documentation: str | None = None,
    ) -> Version:
        """Deprecate a version: it still answers, and its callers are warned with each answer.

        What is left out of a deprecation that there is already stays as it is.

        Args:
            version: Its number.
            reason: Why, for those who look at it.
            replacement: What to use instead: the number of another version, or another model's name.
            sunset: When it is to be retired, with an offset from UTC; nothing happens by itself then.
            documentation: The address of a page that tells more.

        Raises:
            UnprocessableError: There is no such replacement, or it is retired itself.
        """
        return self._send(
            versions.update(
                self._model,
                version,
                state="deprecated",
                reason=reason,
                replacement=replacement,
                sunset=sunset,
                documentation=documentation,
            )
        )

    def retire(
        self, version: int, *, reason: str | None = None, replacement: int | str | None = None
    ) -> Version:
        """Retire a version: calls of it fail with a `GoneError`, which names the replacement.

        Args:
            version: Its number.
            reason: Why; that of its deprecation when left out.
            replacement: What to use instead; that of its deprecation when left out.

        Raises:
            ConflictError: An alias or the traffic sends calls to it; the message names them.
        """
        return self._send(
            versions.update(self._model, version, state="retired", reason=reason, replacement=replacement)
        )

    def restore(self, version: int) -> Version:
        """Make a deprecated or retired version active again."""
        return self._send(versions.update(self._model, version, state="active"))

    def delete(self, version: int) -> Erasure | None:
        """Erase a version and its package for good; its number is never used again.

        Returns:
            The erasure with its signed receipt; None from servers of before there were any.

        Raises:
            ConflictError: An alias or the traffic sends calls to it; the message names them.
        """
        return self._send(versions.delete(self._model, version))

    def diff(
        self,
        before: int | str,
        after: int | str,
        *,
        graph: bool = True,
        predictions: bool = True,
        timeout: Timeout = NOT_GIVEN,
    ) -> VersionDiff:
        """Tell what differs between two versions, and whether calls of the first work with the second.

        Args:
            before: A number or an alias.
            after: A number or an alias.
            graph: Whether the graphs are compared, for which both packages are downloaded: the model's
                owner and publishers can, and it needs onnx (`pip install 'maas-client[diff]'`). Where they
                cannot be, `graph_missing` tells why.
            predictions: Whether both are called with both manifests' examples.
            timeout: Seconds in total; ten minutes where neither this nor the client says otherwise.

        Example:
            >>> diff = client.model("text_classification_model").versions.diff(1, 2)
            >>> diff.breaking, [each.field for each in diff.manifest]
            (False, ['description'])
        """
        from maas_client import _diff

        return _diff.diff(
            self._send,
            self._model,
            before,
            after,
            graph=graph,
            predictions=predictions,
            budget=Budget(timeout, versions.TRANSFER_TIMEOUT),
        )

    def watch(
        self, *, after: int | None = None, interval: float = 5.0, timeout: float | None = None
    ) -> Iterator[ModelEvent]:
        """Follow the model: new versions, moves of its aliases, deprecations, each once and in order.

        Args:
            after: The `seq` of the last event that you have seen: what came later is told first, so that
                nothing is missed between two programs. Without it, only what happens from the first step on.
            interval: Seconds between two looks, above 0.
            timeout: Seconds after which it ends; None to follow without end.

        Raises:
            MaasError: A look failed, repeats included; go on with `after=` the last event's `seq`.

        Example:
            >>> for event in client.model("text_classification_model").versions.watch(after=0, timeout=1):
            ...     print(event.seq, event.kind, event.version)
            1 published 1
        """
        return _history.watch(self._send, self._model, after=after, interval=interval, timeout=timeout)

    def download(
        self,
        version: int | str,
        path: str | PathLike[str],
        *,
        overwrite: bool = False,
        progress: Progress = False,
        timeout: Timeout = NOT_GIVEN,
    ) -> Path:
        """Download a version's package as a zip, and return where it is.

        It is kept in `PATH.part` as it comes. After an interruption, whether of the connection or of your
        program, the same call goes on from there. What is whole is checked against the sha256 that the server
        told and against the version's digest, and only then gets its name.

        Args:
            version: A number or an alias.
            path: A file's name, or a folder, where it is called `MODEL-VERSION.zip`.
            overwrite: Whether a file of that name is replaced.
            progress: True for a bar in bytes, with the extra `progress`; or a function of the bytes done and
                their total.
            timeout: Seconds in total; ten minutes where neither this nor the client says otherwise.

        Raises:
            PermissionDeniedError: You are no publisher of the model.
            ArgumentError: The file is there already, or cannot be written.
            InvalidReplyError: What came is not what the server told; it is deleted.
        """
        return _transfers.download(
            self._send,
            self._model,
            version,
            path,
            overwrite=overwrite,
            progress=progress,
            timeout=timeout,
        )

    def publish(
        self,
        path: str | PathLike[str],
        *,
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
        """Publish a package as a new version of this model, as `client.models.publish` does."""
        return ModelsResource(self._send).publish(
            path,
            name=self._model,
            notes=notes,
            visibility=visibility,
            set_default=set_default,
            parent=parent,
            origin=origin,
            lineage=lineage,
            again=again,
            force=force,
            progress=progress,
            timeout=timeout,
        )


class AliasesResource(_OfModel):
    """The aliases of one model: names that point to a version and remember where they pointed before."""

    def list(self, *, page_size: int | None = None) -> Listing[Alias]:
        """List the aliases."""
        return Listing(
            self._send, lambda cursor: aliases.list_page(self._model, limit=page_size, cursor=cursor)
        )

    def get(self, alias: str) -> Alias:
        """Return where an alias points, and since when."""
        return self._send(aliases.get(self._model, alias))

    def move(
        self,
        alias: str,
        *,
        version: int,
        note: str = "",
        expected_revision: int | None = None,
        force: bool = False,
    ) -> Alias:
        """Point an alias to a version; it is made if it does not exist.

        Args:
            alias: Its name, such as `default`.
            version: The version's number.
            note: Why, for its history.
            expected_revision: The `revision` that you saw; another's move since then is an error.
            force: Move `default` even where the version's signature breaks calls that work now.

        Raises:
            PreconditionFailedError: The alias is no longer at the expected revision; see `.current`.
            ConflictError: The version is retired, or breaks calls; `.errors` tells which.
        """
        return self._send(
            aliases.move(
                self._model,
                alias,
                version=version,
                note=note,
                expected_revision=expected_revision,
                force=force,
            )
        )

    def rollback(
        self, alias: str, *, note: str = "", expected_revision: int | None = None, force: bool = False
    ) -> Alias:
        """Point an alias back to the version it pointed to before; arguments as in `move`."""
        return self._send(
            aliases.rollback(self._model, alias, note=note, expected_revision=expected_revision, force=force)
        )

    def history(self, alias: str, *, page_size: int | None = None) -> Listing[AliasChange]:
        """List an alias's moves, newest first."""
        return Listing(
            self._send,
            lambda cursor: aliases.history_page(self._model, alias, limit=page_size, cursor=cursor),
        )


class ModelHandle:
    """One model by name; nothing is asked of the server until a method is called.

    Pinned to a version, it calls that one where no other is named, and warns (`VersionWarning`) once of each
    newer version that becomes `default`.
    """

    def __init__(self, send: Send, stream: Stream, name: str, peer: Peer, pin: int | None = None) -> None:
        self._send = send
        self._stream = stream
        self._peer = peer
        self.name = _names.model(name)
        self.pinned = pin
        self._run: Send = send if pin is None else PinnedSend(send, self.name, pin)

    def __repr__(self) -> str:
        pinned = "" if self.pinned is None else f", pin={self.pinned}"
        return f"ModelHandle({self.name!r}{pinned})"

    def pin(self, version: int) -> ModelHandle:
        """Return a handle that stays with a version, by its number, whatever `default` becomes.

        It asks nothing more of the server for that: answers tell which version `default` points to.
        """
        return ModelHandle(self._send, self._stream, self.name, self._peer, version)

    @property
    def versions(self) -> VersionsResource:
        """Its versions."""
        return VersionsResource(self._send, self.name)

    @property
    def aliases(self) -> AliasesResource:
        """Its aliases."""
        return AliasesResource(self._send, self.name)

    @property
    def shares(self) -> SharesResource:
        """The accounts that it is shared with."""
        return SharesResource(self._send, self.name)

    @property
    def capture(self) -> CaptureResource:
        """Whether inputs and outputs of its calls are stored for its owners."""
        return CaptureResource(self._send, self.name)

    @property
    def captured(self) -> CapturedResource:
        """The calls that were captured."""
        return CapturedResource(self._send, self.name)

    @property
    def traffic(self) -> TrafficResource:
        """Which versions share the calls that name none, and which get copies."""
        return TrafficResource(self._send, self.name)

    def served(self, *, at: datetime | str | None = None) -> Served:
        """Return which versions served calls that named none at a time, and who had made it so, when and why.

        Args:
            at: When, with a time zone: a datetime, or text such as `2026-11-27T09:30:00Z`; now when left out.

        Raises:
            ArgumentError: `at` is no time, or has no zone.
            NotFoundError: The model had no version yet.
        """
        return self._send(traffic.served(self.name, at))

    def comparison(self, a: int, b: int, *, since: int = 0) -> Comparison:
        """Compare two versions by live traffic, with 95 % intervals; for the model's owner and publishers.

        Args:
            a: The version to compare with.
            b: The version that is compared.
            since: Only what was seen since this revision of the traffic; everything by default.
        """
        return self._send(traffic.comparison(self.name, a, b, since=since))

    def compare(
        self,
        a: int,
        b: int,
        inputs: Iterable[Mapping[str, object]],
        targets: Iterable[object] | None = None,
        *,
        parameters: Mapping[str, object] | None = None,
        batch_size: int = 32,
        seed: int = 0,
        timeout: Timeout = NOT_GIVEN,
    ) -> VersionsCompared:
        """Compare two versions on inputs of your own: agreement, quality, latency, with 95 % intervals.

        Args:
            a: The version to compare with.
            b: The version that is compared.
            inputs: Instances by input name, such as `[{"text": "…"}]`.
            targets: The right label or value of each; without them nothing is said of quality.
            parameters: Options of the task.
            batch_size: Rows in each call.
            seed: Of the bootstrap; the same seed gives the same interval.
            timeout: Seconds in total, for each call.

        Raises:
            ArgumentError: There are no inputs, another number of targets, or the model has no use for them.
        """
        from maas_client import comparisons

        rows, wanted = comparisons.checked_sample(inputs, targets)
        outcomes: list[list[Outcome]] = []
        for version in (a, b):
            found = self.predict_many(
                rows,
                version=version,
                parameters=parameters,
                concurrency=1,
                batch_size=batch_size,
                timeout=timeout,
            )
            outcomes.append(list(found))
        return comparisons.compared(a, b, (outcomes[0], outcomes[1]), wanted, seed)

    def get(self) -> Model:
        """Return the model with its description and measured metrics."""
        return self._send(models.get(self.name))

    def history(
        self, *, kind: str | None = None, after: int | None = None, page_size: int | None = None
    ) -> Listing[ModelEvent]:
        """List what happened to the model, when and by whom, newest first.

        Args:
            kind: Only events of this kind, such as `alias_moved`.
            after: Only events after the one of this `seq`.
            page_size: How many to fetch at a time, 1 to 1000.
        """
        return _history.listing(self._send, self.name, kind=kind, after=after, page_size=page_size)

    def delete(self) -> Erasure | None:
        """Erase the model for good, with its versions, aliases and history; returns as `models.delete`."""
        return self._send(models.delete(self.name))

    def predict(
        self,
        *,
        inputs: Mapping[str, object] | None = None,
        version: int | str | None = None,
        parameters: Mapping[str, object] | None = None,
        timeout: Timeout = NOT_GIVEN,
        **values: object,
    ) -> AnyPrediction:
        """Run the model on one instance, as `client.predict` does."""
        given = predict.merged(inputs, values)
        return self._run(
            predict.predict(self.name, given, version=self._chosen(version), parameters=parameters),
            timeout=timeout,
        )

    def predict_batch(
        self,
        instances: Iterable[Mapping[str, object]],
        *,
        version: int | str | None = None,
        parameters: Mapping[str, object] | None = None,
        timeout: Timeout = NOT_GIVEN,
    ) -> Predictions:
        """Run the model on several instances in one call, as `client.predict_batch` does."""
        operation = predict.predict_batch(
            self.name, instances, version=self._chosen(version), parameters=parameters
        )
        return self._run(operation, timeout=timeout)

    def metadata(self, *, version: int | str | None = None) -> ModelMetadata:
        """Return the model's tensors and versions, by the Open Inference Protocol."""
        return self._run(open_inference.model_metadata(self.name, version=self._chosen(version)))

    def ready(self, *, version: int | str | None = None) -> bool:
        """Return whether the model can be called, by the Open Inference Protocol."""
        return _holds(self._run, open_inference.model_ready(self.name, version=self._chosen(version)))

    def infer(
        self,
        inputs: Mapping[str, ArrayLike],
        *,
        version: int | str | None = None,
        outputs: Sequence[str] | None = None,
        parameters: Mapping[str, object] | None = None,
        timeout: Timeout = NOT_GIVEN,
    ) -> InferResult:
        """Run the model on tensors, by the Open Inference Protocol: here, on Triton, KServe or MLServer.

        Tensors travel in binary form where the server takes them so, which the first call finds out, and as
        JSON elsewhere. It needs numpy (`pip install 'maas-client[tensors]'`).

        Args:
            inputs: Arrays by input name. An array is sent as the dtype that it has: `np.float32` is FP32.
                Nested lists are sent as what the model's metadata says, for which it is asked first.
            version: A version; the server's own choice when left out.
            outputs: The outputs to return; all of them when left out.
            parameters: Those of the whole request.
            timeout: Seconds in total, for this call and what it has to find out.

        Returns:
            The outputs by name: `result["y"]` is a numpy array.

        Raises:
            ArgumentError: An input is ragged, of a dtype that the protocol lacks, out of its datatype's
                range, or not finite and the server takes JSON only.
            StatusError: The server refuses, for example another datatype or shape.
        """
        budget = Budget(timeout, DEFAULT_TIMEOUT)
        metadata = None
        if open_inference.needs_metadata(inputs):
            operation = open_inference.model_metadata(self.name, version=self._chosen(version))
            metadata = self._run(operation, timeout=budget)
        ask = partial(
            open_inference.infer,
            self.name,
            inputs,
            version=self._chosen(version),
            outputs=outputs,
            parameters=parameters,
            metadata=metadata,
        )
        if self._peer.takes_binary is not None:
            return self._run(ask(binary=self._peer.takes_binary), timeout=budget)
        try:
            result = self._run(ask(binary=True, is_trial=True), timeout=budget)
        except (StatusError, InvalidReplyError) as error:
            if not open_inference.may_lack_binary(error):
                raise
        else:
            self._peer.takes_binary = True
            return result
        result = self._run(ask(binary=False), timeout=budget)
        self._peer.takes_binary = False
        return result

    def explain(
        self,
        *,
        inputs: Mapping[str, object] | None = None,
        target: str | None = None,
        method: ExplainMethod = "auto",
        budget: int = 256,
        time_budget: float | None = None,
        seed: int = 0,
        against: Mapping[str, object] | str | None = None,
        faithfulness: bool = True,
        version: int | str | None = None,
        parameters: Mapping[str, object] | None = None,
        timeout: Timeout = NOT_GIVEN,
        **values: object,
    ) -> Explanation:
        """Tell why the model says what it says about one instance, as `client.explain` does."""
        given = predict.merged(inputs, values)
        options = explain.Options(
            target=target,
            method=method,
            budget=budget,
            time_budget=time_budget,
            seed=seed,
            against=against,
            faithfulness=faithfulness,
            parameters=parameters,
        )
        operation = explain.explain(self.name, given, options, version=self._chosen(version))
        return self._run(operation, timeout=timeout)

    def explain_many(
        self,
        inputs: Iterable[object],
        *,
        columns: Mapping[str, str] | None = None,
        target: str | None = None,
        method: ExplainMethod = "auto",
        budget: int = 256,
        time_budget: float | None = None,
        seed: int = 0,
        against: Mapping[str, object] | str | None = None,
        faithfulness: bool = True,
        version: int | str | None = None,
        parameters: Mapping[str, object] | None = None,
        timeout: Timeout = NOT_GIVEN,
    ) -> Job[Explanations]:
        """Have many instances explained by a job, as `client.explain_many` does."""
        from maas_client._explanations import Explaining

        options = explain.Options(
            target=target,
            method=method,
            budget=budget,
            time_budget=time_budget,
            seed=seed,
            against=against,
            faithfulness=faithfulness,
            parameters=parameters,
        )
        work = Explaining(self._run, self.name, options)
        return work.job(self._stream, inputs, columns=columns, version=self._chosen(version), timeout=timeout)

    def compare_explanations(
        self,
        a: int | str,
        b: int | str,
        /,
        *,
        inputs: Mapping[str, object] | None = None,
        target: str | None = None,
        method: ExplainMethod = "auto",
        budget: int = 256,
        time_budget: float | None = None,
        seed: int = 0,
        against: Mapping[str, object] | str | None = None,
        faithfulness: bool = True,
        parameters: Mapping[str, object] | None = None,
        timeout: Timeout = NOT_GIVEN,
        **values: object,
    ) -> ExplanationsCompared:
        """Explain two versions' answers to the same instance, with the same target and seed, side by side.

        Args:
            a: The version to compare with: a number or an alias.
            b: The version that is compared.
            inputs: As all that follow, see `client.explain`.
            target: The label or output to explain; what a predicts when left out, for both.
            method: How the attributions are found.
            budget: The most evaluations, of each version.
            time_budget: Seconds to spend, on each version.
            seed: The same for both.
            against: The other side of a similarity.
            faithfulness: Whether to measure how far each can be trusted.
            parameters: Options of the task.
            timeout: Seconds in total, for both.
            values: Inputs by name, such as `text="…"`.

        Raises:
            UnprocessableError: The inputs do not fit one of the two, or it has no such target.
            NotFoundError: There is no such version, or the server explains nothing.
        """
        from maas_client._explanations import Explaining

        options = explain.Options(
            target=target,
            method=method,
            budget=budget,
            time_budget=time_budget,
            seed=seed,
            against=against,
            faithfulness=faithfulness,
            parameters=parameters,
        )
        work = Explaining(self._run, self.name, options)
        return work.compared(a, b, predict.merged(inputs, values), timeout=timeout)

    def evaluate(
        self,
        inputs: Iterable[object],
        targets: Iterable[object],
        *,
        version: int | str | None = None,
        parameters: Mapping[str, object] | None = None,
        progress: Progress = False,
        timeout: Timeout = NOT_GIVEN,
    ) -> Evaluation:
        """Hold the model's answers against what is true, and measure how good they are.

        More than 2,000 rows go through a job, which this waits for; that needs the scope `jobs`. Nothing of
        the rows is kept.

        Args:
            inputs: The inputs of each row by name; or plain values, where the model has one input.
            targets: For each row the true label, or the true value of a regression.
            version: A number or an alias; what the alias `default` points to when left out.
            parameters: Options of the task.
            progress: For a job: True for a bar, with the extra `progress`; or a function of the rows done and
                their total.
            timeout: Seconds in total; 300 for a call, and as long as it takes for a job, where nothing else
                is said.

        Returns:
            Each metric with its 95 % interval, the confusion matrix and the calibration: for a
            classification accuracy, macro-F1, cross-entropy (nats) and expected calibration error, for a
            regression mean squared error, mean absolute error and R².

        Raises:
            UnprocessableError: A row does not fit the model; the message names it.
            PermissionDeniedError: There are many rows and the key lacks the scope `jobs`.
            JobError: The job ended without a result.
        """
        from maas_client._evaluation import Evaluations

        work = Evaluations(
            self._run, self._stream, self.name, version=self._chosen(version), parameters=parameters
        )
        return work.measured(inputs, targets, progress=progress, timeout=timeout)

    def evaluate_in_background(
        self,
        inputs: Iterable[object],
        targets: Iterable[object],
        *,
        version: int | str | None = None,
        parameters: Mapping[str, object] | None = None,
        timeout: Timeout = NOT_GIVEN,
    ) -> Job[Evaluation]:
        """Have the model evaluated by a job, and return that at once; arguments as in `evaluate`.

        `job.wait()` returns the evaluation; `client.jobs.get(job.id)` finds the job from elsewhere.
        """
        from maas_client._evaluation import Evaluations

        work = Evaluations(
            self._run, self._stream, self.name, version=self._chosen(version), parameters=parameters
        )
        return work.job(inputs, targets, timeout=timeout)

    def predict_many(
        self,
        instances: Source[Mapping[str, object]],
        *,
        version: int | str | None = None,
        parameters: Mapping[str, object] | None = None,
        concurrency: int = 4,
        ordered: bool = True,
        batch_size: int | None = None,
        progress: Progress = False,
        checkpoint: str | PathLike[str] | None = None,
        timeout: Timeout = NOT_GIVEN,
    ) -> Iterator[Outcome]:
        """Run the model on any number of instances, as `client.predict_many` does."""
        from maas_client._bulk import BulkWork

        work = BulkWork(
            model=self.name,
            instances=instances,
            version=self._chosen(version),
            parameters=parameters,
            concurrency=concurrency,
            ordered=ordered,
            batch_size=batch_size,
            progress=progress,
            checkpoint=checkpoint,
            timeout=timeout,
        )
        return work.outcomes(self._run)

    def predict_frame(
        self,
        frame: Frame,
        *,
        columns: Mapping[str, str] | None = None,
        version: int | str | None = None,
        parameters: Mapping[str, object] | None = None,
        concurrency: int = 4,
        batch_size: int | None = None,
        progress: Progress = False,
        checkpoint: str | PathLike[str] | None = None,
        timeout: Timeout = NOT_GIVEN,
    ) -> Frame:
        """Run the model on every row of a data frame, as `client.predict_frame` does."""
        from maas_client import _frames

        table = _frames.table(frame)
        if columns is None:
            columns = table.columns_for((self.get()).signature)
        outcomes = self.predict_many(
            table.instances(columns),
            version=version,
            parameters=parameters,
            concurrency=concurrency,
            batch_size=batch_size,
            progress=progress,
            checkpoint=checkpoint,
            timeout=timeout,
        )
        return table.with_outcomes(list(outcomes))

    def _chosen(self, version: int | str | None) -> int | str | None:
        return self.pinned if version is None else version
