"""Distributions of the package index, fetched by pip, held against a pinned sha256 and kept in a cache."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

if TYPE_CHECKING:
    from collections.abc import Callable

# How pip is told which of a project's files is meant.
SDIST = ("--no-binary", ":all:")
WHEEL = ("--only-binary", ":all:")

# pip's own start, its look at the index, and a line that brings 50 kB a second.
_LEAST_SECONDS = 60
_SLOWEST_BYTES_PER_SECOND = 50_000
_POLL_SECONDS = 0.1


class DownloadError(Exception):
    """A distribution cannot be had, or is not what it should be; the message says which, and what to do."""


class IndexUnreachable(DownloadError):  # noqa: N818 - what happened, in the words of the caller
    """pip found no package index that has the distribution: mostly there is no network."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """One file of a project on the package index.

    Args:
        requirement: `project==version`.
        file: The file's name.
        sha256: Of its content, in hex.
        size: In bytes.
        options: pip's, which make it choose this file whatever machine it runs on.
    """

    requirement: str
    file: str
    sha256: str
    size: int
    options: tuple[str, ...]


def cache_dir() -> Path:
    """Return where downloads and trained packages are kept: `MAAS_CACHE_DIR`, or the user's cache folder."""
    return Path(os.environ.get("MAAS_CACHE_DIR") or platformdirs.user_cache_dir("maas"))


def cached(distribution: Distribution) -> Path | None:
    """Return where the cache keeps a distribution, or None if it has none or a damaged one."""
    path = _place(distribution)
    return path if path.is_file() and _is_right(path, distribution) else None


def fetch(distribution: Distribution, *, progress: Callable[[int], None] | None = None) -> Path:
    """Return a distribution's file, downloading it the first time.

    Args:
        distribution: What to fetch.
        progress: Told the bytes received, several times a second.

    Raises:
        IndexUnreachable: pip found no index that has it.
        DownloadError: It has another sha256, pip is missing, failed or took too long, or the cache cannot be
            written.
    """
    if (path := cached(distribution)) is not None:
        return path
    path = _place(distribution)
    with tempfile.TemporaryDirectory() as folder:
        _download(distribution, Path(folder), progress)
        brought = Path(folder, distribution.file)
        if not brought.is_file():
            raise DownloadError(f"pip brought another file than {distribution.file}")
        if not _is_right(brought, distribution):
            raise _mismatch(distribution)
        try:
            write_atomically(path, brought.read_bytes())
        except OSError as error:
            raise DownloadError(f"the cache {path.parent} cannot be written: {error}") from error
    return path


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file of the cache whole or not at all, whoever else writes it at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _place(distribution: Distribution) -> Path:
    return cache_dir() / "downloads" / distribution.file


def _is_right(path: Path, distribution: Distribution) -> bool:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == distribution.sha256


def _download(distribution: Distribution, folder: Path, progress: Callable[[int], None] | None) -> None:
    requirements, log = folder / "requirements.txt", folder / "pip.log"
    requirements.write_text(f"{distribution.requirement} --hash=sha256:{distribution.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", *distribution.options]
    options = ["--require-hashes", "--requirement", str(requirements), "--dest", str(folder)]
    patience = ["--retries", "1", "--timeout", "10", "--quiet", "--disable-pip-version-check"]
    # pip writes what arrives into its temporary folder, so that what lies there tells how far it is.
    arriving = folder / "arriving"
    arriving.mkdir()
    variables = {**os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(arriving))}
    seconds = _LEAST_SECONDS + distribution.size // _SLOWEST_BYTES_PER_SECOND
    with (
        log.open("wb") as output,
        subprocess.Popen(  # noqa: S603 - pip, with a pinned requirement
            [*command, *options, *patience],
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            status = _watch(process, arriving, seconds, progress)
        except BaseException:
            process.kill()
            raise
    if status != 0:
        raise _failure(distribution, log.read_text(encoding="utf-8", errors="replace"))


def _watch(
    process: subprocess.Popen[bytes], arriving: Path, seconds: int, progress: Callable[[int], None] | None
) -> int:
    received = 0
    for _ in range(round(seconds / _POLL_SECONDS)):
        try:
            return process.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            # At last pip moves the file away.
            received = max(received, _largest_in(arriving))
            if progress is not None:
                progress(received)
    raise DownloadError(f"pip took longer than {seconds} s")


def _largest_in(folder: Path) -> int:
    # pip also keeps pieces of its own there, and removes files and folders while we look; `os.walk` does not
    # mind, `Path.rglob` would.
    largest = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                largest = max(largest, Path(parent, name).stat().st_size)
    return largest


def _failure(distribution: Distribution, log: str) -> DownloadError:
    """Return what a failed pip means; its messages are the only sign it gives."""
    lines = log.strip().splitlines()
    last = lines[-1][:200] if lines else "it said nothing"
    if "DO NOT MATCH THE HASHES" in log:
        return _mismatch(distribution)
    if "No module named pip" in log:
        return DownloadError("pip is not installed in this environment; run python -m ensurepip")
    if "(from versions: none)" in log:
        return IndexUnreachable(
            f"pip failed: no package index that it can reach has {distribution.requirement}; is there a "
            f"network? A copy of {distribution.file} in {_place(distribution).parent} does as well"
        )
    return DownloadError(f"pip failed: {last}")


def _mismatch(distribution: Distribution) -> DownloadError:
    return DownloadError(
        f"pip failed: the package index's {distribution.file} has another sha256 than the pinned "
        f"{distribution.sha256}; it was not kept"
    )
