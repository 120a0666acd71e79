"""A package on its way to a file: kept as it comes, gone on with after an interruption, checked, renamed.

While it is under way it lies in `PATH.part`; beside that, `PATH.part.etag` tells which content the bytes
belong to (RFC 9110, sections 8.8.3 and 14). What is complete is held against the sha256 that the server told
(`Repr-Digest`, RFC 9530) and against the version's own content digest.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from maas_client._operations._operation import unexpected
from maas_client.errors import ArgumentError, InvalidReplyError, PackageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from maas_client._operations._operation import Answer
    from maas_client._progress import Bar

_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]{1,200}"')
_CONTENT_RANGE = re.compile(r"bytes (\d{1,20})-\d{1,20}/(?:\d{1,20}|\*)", re.ASCII)
_SHA256 = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]{1,100}):")


def destination(path: str | os.PathLike[str], name: str, *, overwrite: bool) -> Path:
    """Return the file that a download becomes.

    Args:
        path: A folder, or the file's own name.
        name: What it is called in a folder.
        overwrite: Whether a file may be there.

    Raises:
        ArgumentError: There is one, or there is no folder to put it into.
    """
    given = os.fspath(path)
    target = Path(given) / name if Path(given).is_dir() or given.endswith(("/", os.sep)) else Path(given)
    if not target.parent.is_dir():
        raise ArgumentError(f"there is no folder {str(target.parent)!r} to download into; make it first")
    if target.is_dir() or (target.exists() and not overwrite):
        raise ArgumentError(f"{str(target)!r} is there already; give another path, or ask to overwrite it")
    return target


@contextmanager
def opened(target: Path) -> Iterator[Part]:
    """Give the unfinished file of a download with what an earlier one left; it stays if it is not finished.

    Raises:
        ArgumentError: It cannot be written, or another download does.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        part.touch()
        file = part.open("r+b")
    except OSError as error:
        raise ArgumentError(f"{str(part)!r} cannot be written: {error.strerror or error}") from error
    with file:
        _lock(file, part)
        try:
            yield Part(target, part, file)
        finally:
            if not file.closed and not file.seek(0, os.SEEK_END):
                _remove(part)


class Part:
    """The sink of a download.

    Args:
        target: What the whole is renamed to.
        part: Where it lies until then.
        file: That, open for reading and writing.
    """

    def __init__(self, target: Path, part: Path, file: IO[bytes]) -> None:
        self._target = target
        self._part = part
        self._file = file
        self._etag = _read_etag(part)
        self._sha256: bytes | None = None
        self._told = self.received = file.seek(0, os.SEEK_END) if self._etag else 0
        self.bar: Bar | None = None

    def headers(self) -> Mapping[str, str]:
        """Ask for the rest, and the last byte again: what comes after the end would be no range."""
        headers = {"Accept": "application/zip, application/json", "Accept-Encoding": "identity"}
        if self.received and self._etag:
            headers |= {"Range": f"bytes={self.received - 1}-", "If-Range": self._etag}
        return headers

    def begin(self, answer: Answer) -> None:
        """Go on where the answer does: after what is there, or at the start if it is another content."""
        if answer.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            raise unexpected("it is compressed, which was not asked for", answer)
        self._sha256 = _declared_sha256(answer.headers.get("Repr-Digest"))
        with self._writing():
            if answer.status == 206:  # noqa: PLR2004 - RFC 9110
                self._go_on(answer)
            else:
                self._start_anew(_strong(answer.headers.get("ETag")))

    def write(self, chunk: bytes) -> None:
        """Append bytes."""
        with self._writing():
            self._file.write(chunk)
        self.received += len(chunk)

    def advance(self, count: int) -> None:  # noqa: ARG002 - what was asked for twice is told once
        """Tell the bar how far it is now."""
        if self.bar is not None and self.received > self._told:
            self.bar.advance(self.received - self._told)
            self._told = self.received

    def finish(self, digest: str) -> Path:
        """Check the whole, make it lasting under its name, and return that.

        Args:
            digest: The version's content digest.

        Raises:
            InvalidReplyError: It is not what the server told; what came is deleted.
        """
        with self._writing():
            self._file.truncate(self.received)
            self._file.flush()
            os.fsync(self._file.fileno())
            fault = self._fault(digest)
            self._file.close()
            if fault:
                _remove(self._part)
                raise InvalidReplyError(f"{fault}; it was deleted, download it again")
            self._part.replace(self._target)
            _remove(self._part)
        return self._target

    def _fault(self, digest: str) -> str:
        from maas_client._package import zip_digest

        self._file.seek(0)
        sha256 = hashlib.file_digest(self._file, "sha256").digest()  # type: ignore[arg-type]  # any file will do
        if self._sha256 not in (None, sha256):
            return (
                f"the package was damaged on the way: its sha256 is {sha256.hex()}, not the one that was told"
            )
        try:
            content = zip_digest(self._file)
        except PackageError as error:
            return f"what came is no package: {error.message}"
        return (
            "" if content == digest else f"the package's content is {content}, that of the version {digest}"
        )

    def _go_on(self, answer: Answer) -> None:
        found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if found is None or not self.received or int(found[1]) != self.received - 1:
            raise unexpected("it is not the range that was asked for", answer)
        self.received -= 1
        self._file.seek(self.received)

    def _start_anew(self, etag: str) -> None:
        self._file.truncate(0)
        self._file.seek(0)
        if self.bar is not None and self._told:
            self.bar.advance(-self._told)
        self._told = self.received = 0
        self._etag = etag
        _write_etag(self._part, etag)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        # A full disk is no broken connection: it is not tried again.
        try:
            yield
        except OSError as error:
            raise ArgumentError(
                f"{str(self._part)!r} cannot be written: {error.strerror or error}; make room or use another"
            ) from error


def _lock(file: IO[bytes], part: Path) -> None:
    """Keep other programs from writing the same file; where there are no such locks, the digests tell."""
    if sys.platform == "win32":
        return
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever held it may have finished meanwhile: then this is their file, under its last name.
        alone = os.path.samestat(os.fstat(file.fileno()), part.stat())
    except (BlockingIOError, FileNotFoundError):
        alone = False
    except OSError:
        return  # a file system without locks, as some in a network are
    if not alone:
        raise ArgumentError(f"another download writes {str(part)!r}; wait for it, or give another path")


def _etag_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.etag")


def _read_etag(part: Path) -> str:
    try:
        return _strong(_etag_file(part).read_text(encoding="ascii"))
    except (FileNotFoundError, UnicodeDecodeError):
        return ""


def _write_etag(part: Path, etag: str) -> None:
    if etag:
        _etag_file(part).write_text(etag, encoding="ascii")
    else:
        _etag_file(part).unlink(missing_ok=True)


def _remove(part: Path) -> None:
    part.unlink(missing_ok=True)
    _etag_file(part).unlink(missing_ok=True)


def _strong(etag: str | None) -> str:
    return etag if etag and _STRONG_ETAG.fullmatch(etag) else ""


def _declared_sha256(header: str | None) -> bytes | None:
    found = _SHA256.search(header or "")
    try:
        digest = base64.b64decode(found[1], validate=True) if found else b""
    except binascii.Error:
        return None
    return digest if len(digest) == hashlib.sha256().digest_size else None
