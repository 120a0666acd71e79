"""Packages up and down: calls that belong together, within one budget of time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from maas_client import _downloads
from maas_client._async_transport import aside
from maas_client._calls import Budget
from maas_client._operations import uploads, versions
from maas_client._progress import check_progress, progress_bar
from maas_client.errors import InvalidReplyError, NotFoundError, StatusError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from os import PathLike
    from pathlib import Path
    from typing import IO

    from maas_client._async_listing import AsyncSend
    from maas_client._calls import Timeout
    from maas_client._progress import Bar, Progress
    from maas_client.types import PublishQuery, Upload, Version

_UNKNOWN_ROUTE = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)


async def download(
    send: AsyncSend,
    model: str,
    version: int | str,
    path: str | PathLike[str],
    *,
    overwrite: bool,
    progress: Progress,
    timeout: Timeout | Budget,
) -> Path:
    """Download a version's package; `AsyncVersionsResource.download` describes it."""
    check_progress(progress)
    budget = timeout if isinstance(timeout, Budget) else Budget(timeout, versions.TRANSFER_TIMEOUT)
    found = await send(versions.get(model, version), timeout=budget)
    target = _downloads.destination(path, f"{model}-{found.version}.zip", overwrite=overwrite)
    with (
        _downloads.opened(target) as part,
        progress_bar(progress, total=found.size, unit="B", label=target.name, done=part.received) as bar,
    ):
        part.bar = bar
        await send(versions.download(model, found.version, part), timeout=budget)
        return await aside(partial(part.finish, found.digest))


async def publish(
    send: AsyncSend,
    model: str,
    path: Path,
    query: PublishQuery,
    *,
    progress: Progress,
    timeout: Timeout,
) -> Version:
    """Publish the package at a path; `AsyncModelsResource.publish` describes it."""
    check_progress(progress)
    with TemporaryFile() as package:
        size = await aside(partial(versions.pack, path, package))
        budget = Budget(timeout, versions.TRANSFER_TIMEOUT)
        publishing = _Publishing(send, model, package, size, query, progress, budget)
        if size > uploads.SINGLE_REQUEST_BYTES and (upload := await publishing.begin()) is not None:
            return await publishing.in_chunks(upload)
        return await publishing.in_one_request()


@dataclass(frozen=True, slots=True)
class _Publishing:
    """One publish: what is sent, and how."""

    send: AsyncSend
    model: str
    package: IO[bytes]
    size: int
    query: PublishQuery
    progress: Progress
    budget: Budget

    async def in_one_request(self) -> Version:
        with self._bar(done=0) as bar:
            operation = await aside(partial(versions.publish, self.model, self.package, self.query))
            version = await self.send(operation, timeout=self.budget)
            bar.advance(self.size)
        return version

    async def begin(self) -> Upload | None:
        """Return the upload to fill, or None from a server that takes none."""
        operation = await aside(partial(uploads.begin, self.package, self.size))
        try:
            return await self.send(operation, timeout=self.budget)
        except StatusError as error:
            if error.status in _UNKNOWN_ROUTE:
                return None
            raise

    async def in_chunks(self, upload: Upload) -> Version:
        try:
            return await self._fill_and_publish(upload)
        except NotFoundError as error:
            # Published from another program, or by an attempt whose answer was lost, or given up meanwhile.
            again = await self.begin() if error.code == "upload_not_found" else None
            if again is None:
                raise
        return await self._fill_and_publish(again)

    async def _fill_and_publish(self, upload: Upload) -> Version:
        with self._bar(done=upload.received) as bar:
            while upload.received < self.size:
                chunk = await aside(partial(uploads.add_chunk, upload, self.package))
                before, upload = upload.received, await self.send(chunk, timeout=self.budget)
                if upload.received <= before:
                    raise InvalidReplyError(f"the upload stays at {before} bytes though a chunk was taken")
                bar.advance(upload.received - before)
        return await self.send(
            versions.publish_upload(self.model, upload.id, self.query), timeout=self.budget
        )

    def _bar(self, *, done: int) -> AbstractContextManager[Bar]:
        return progress_bar(self.progress, total=self.size, unit="B", label=self.model, done=done)
