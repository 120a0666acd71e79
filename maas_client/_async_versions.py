"""The asynchronous face of a model's versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_client import _async_history, _async_transfers
from maas_client._async_listing import AsyncListing
from maas_client._async_models import AsyncModelsResource
from maas_client._async_resource import AsyncOfModel
from maas_client._calls import NOT_GIVEN, Budget
from maas_client._operations import (
    versions,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping
    from datetime import datetime
    from os import PathLike
    from pathlib import Path

    from pydantic import JsonValue

    from maas_client._calls import Timeout
    from maas_client._progress import Progress
    from maas_client.differences import VersionDiff
    from maas_client.types import (
        Erasure,
        Metric,
        ModelEvent,
        Version,
        Visibility,
    )


class AsyncVersionsResource(AsyncOfModel):
    """The versions of one model."""

    def list(self, *, page_size: int | None = None) -> AsyncListing[Version]:
        """List the versions, newest first."""
        return AsyncListing(
            self._send, lambda cursor: versions.list_page(self._model, limit=page_size, cursor=cursor)
        )

    async def get(self, version: int | str) -> Version:
        """Return one version, by number or alias."""
        return await self._send(versions.get(self._model, version))

    async def update(self, version: int, *, metrics: Iterable[Metric]) -> Version:
        """Say what you measured of a version; it is kept beside the package, which never changes.

        Args:
            version: Its number.
            metrics: What was measured, in the place of what was said before; `evaluation.as_metrics("…")`
                makes them of an evaluation.

        Raises:
            PermissionDeniedError: You are no publisher of the model.
        """
        return await self._send(versions.update(self._model, version, metrics=metrics))

    async def deprecate(
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
        return await self._send(
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

    async def retire(
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
        return await self._send(
            versions.update(self._model, version, state="retired", reason=reason, replacement=replacement)
        )

    async def restore(self, version: int) -> Version:
        """Make a deprecated or retired version active again."""
        return await self._send(versions.update(self._model, version, state="active"))

    async def delete(self, version: int) -> Erasure | None:
        """Erase a version and its package for good; its number is never used again.

        Returns:
            The erasure with its signed receipt; None from servers of before there were any.

        Raises:
            ConflictError: An alias or the traffic sends calls to it; the message names them.
        """
        return await self._send(versions.delete(self._model, version))

    async def diff(
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
        from maas_client import _async_diff

        return await _async_diff.diff(
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
    ) -> AsyncIterator[ModelEvent]:
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
        return _async_history.watch(self._send, self._model, after=after, interval=interval, timeout=timeout)

    async def download(
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
        return await _async_transfers.download(
            self._send,
            self._model,
            version,
            path,
            overwrite=overwrite,
            progress=progress,
            timeout=timeout,
        )

    async def publish(
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
        return await AsyncModelsResource(self._send).publish(
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
