"""Packages up and down: calls that belong together, within one budget of time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from maas_client import _downloads
from maas_client._async_transport import aside
from maas_client._calls import Budget
from maas_client._operations import versions
from maas_client._progress import check_progress, progress_bar

if TYPE_CHECKING:
    from os import PathLike
    from pathlib import Path

    from maas_client._async_listing import AsyncSend
    from maas_client._calls import Timeout
    from maas_client._progress import Progress


async def download(
    send: AsyncSend,
    model: str,
    version: int | str,
    path: str | PathLike[str],
    *,
    overwrite: bool,
    progress: Progress,
    timeout: Timeout,
) -> Path:
    """Download a version's package; `AsyncVersionsResource.download` describes it."""
    check_progress(progress)
    budget = Budget(timeout, versions.TRANSFER_TIMEOUT)
    found = await send(versions.get(model, version), timeout=budget)
    target = _downloads.destination(path, f"{model}-{found.version}.zip", overwrite=overwrite)
    with (
        _downloads.opened(target) as part,
        progress_bar(progress, total=found.size, unit="B", label=target.name, done=part.received) as bar,
    ):
        part.bar = bar
        await send(versions.download(model, found.version, part), timeout=budget)
        return await aside(partial(part.finish, found.digest))
