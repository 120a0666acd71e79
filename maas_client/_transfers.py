# Made from _async_transfers.py by tools/make_sync_face.py: change that file, then run `make format`.
"""Packages up and down: calls that belong together, within one budget of time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from maas_client import _downloads
from maas_client._calls import Budget
from maas_client._operations import versions
from maas_client._progress import check_progress, progress_bar
from maas_client._transport import aside

if TYPE_CHECKING:
    from os import PathLike
    from pathlib import Path

    from maas_client._calls import Timeout
    from maas_client._listing import Send
    from maas_client._progress import Progress


def download(
    send: Send,
    model: str,
    version: int | str,
    path: str | PathLike[str],
    *,
    overwrite: bool,
    progress: Progress,
    timeout: Timeout,
) -> Path:
    """Download a version's package; `VersionsResource.download` describes it."""
    check_progress(progress)
    budget = Budget(timeout, versions.TRANSFER_TIMEOUT)
    found = send(versions.get(model, version), timeout=budget)
    target = _downloads.destination(path, f"{model}-{found.version}.zip", overwrite=overwrite)
    with (
        _downloads.opened(target) as part,
        progress_bar(progress, total=found.size, unit="B", label=target.name, done=part.received) as bar,
    ):
        part.bar = bar
        send(versions.download(model, found.version, part), timeout=budget)
        return aside(partial(part.finish, found.digest))
