"""The files in a zip that nobody vouches for (APPNOTE.TXT 6.3.10): plain ones, each in a place of its own.

`zipfile` reads the whole list of entries before any can be refused, and believes that entries do not overlap.
It bounds what one read makes of stored and deflated entries only: by bzip2, 429 bytes that declare 10 took
437 MB.
"""

from __future__ import annotations

import itertools
import stat
import zipfile
import zlib
from typing import IO, TYPE_CHECKING

from maas_client.errors import PackageError

if TYPE_CHECKING:
    from collections.abc import Iterable

# What reading a damaged zip raises.
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError)

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# A list of a million entries takes a gigabyte of memory; a package has eight.
_MAX_DIRECTORY_BYTES = 2**18
# Deflate packs zeros 1032 to 1, and trained weights by a tenth. What is small is no burden.
_MAX_RATIO = 100
_FREE_BYTES = 2**26
_LOCAL_HEADER_BYTES = 30


class _BoundedDirectory:
    """The file behind a zip, of which only so much is read until `open_up` lifts that."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = _MAX_DIRECTORY_BYTES
        self._is_open = False
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def open_up(self) -> None:
        self._is_open = True

    def read(self, size: int = -1) -> bytes:
        if self._is_open:
            return self._file.read(size)
        chunk = self._file.read(min(size, self._left + 1) if size >= 0 else self._left + 1)
        self._left -= len(chunk)
        if self._left < 0:
            raise PackageError(
                f"the zip's list of entries is longer than {_MAX_DIRECTORY_BYTES:,} bytes; a package holds a "
                "few files, each with a short name"
            )
        return chunk


def open_zip(file: IO[bytes]) -> zipfile.ZipFile:
    """Open a zip without reading more than a short list of entries takes.

    Raises:
        PackageError: The list is longer.
        zipfile.BadZipFile, ValueError, NotImplementedError: It is no zip that can be read.
    """
    bounded = _BoundedDirectory(file)
    archive = zipfile.ZipFile(bounded)
    bounded.open_up()
    return archive


class ZipFiles:
    """The files of an open zip, by name.

    Raises:
        PackageError: An entry is no plain file or not where it should be, or all hold far more than they
            take in the zip.
    """

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._entries: dict[str, zipfile.ZipInfo] = {}
        for entry in archive.infolist():
            _check_entry(entry)
            if entry.filename in self._entries:
                raise PackageError(f"the zip holds {entry.filename!r} twice")
            self._entries[entry.filename] = entry
        _check_places(self._entries.values(), archive.start_dir)
        _check_ratio(self._entries.values())
        self.sizes = {name: entry.file_size for name, entry in self._entries.items()}

    def open(self, name: str) -> IO[bytes]:
        """Open one of them for reading."""
        return self._archive.open(self._entries[name])


def _check_entry(entry: zipfile.ZipInfo) -> None:
    name = entry.filename
    if "/" in name or "\\" in name or name != entry.orig_filename:
        raise PackageError(f"the zip entry {name[:100]!r} is in a folder; zip the files, not the folder")
    mode = entry.external_attr >> 16
    if entry.flag_bits & 1 or (stat.S_IFMT(mode) and not stat.S_ISREG(mode)):
        raise PackageError(
            f"the zip entry {name[:100]!r} is encrypted, a link or a device; store plain files"
        )
    if entry.compress_type not in _METHODS:
        raise PackageError(f"the zip entry {name[:100]!r} is not compressed by deflate; zip it anew")


def _check_places(entries: Iterable[zipfile.ZipInfo], end: int) -> None:
    """Refuse entries that share bytes: each could unpack the same bomb (Fifield, WOOT 2019)."""
    in_order = sorted(entries, key=lambda entry: entry.header_offset)
    for entry, following in itertools.zip_longest(in_order, in_order[1:]):
        limit = end if following is None else following.header_offset
        least = _LOCAL_HEADER_BYTES + len(entry.filename) + entry.compress_size
        if not 0 <= entry.header_offset <= limit - least:
            raise PackageError(
                f"the zip is damaged: {entry.filename[:100]!r} overlaps another entry or lies outside of it"
            )


def _check_ratio(entries: Iterable[zipfile.ZipInfo]) -> None:
    packed, unpacked = 0, 0
    for entry in entries:
        packed, unpacked = packed + entry.compress_size, unpacked + entry.file_size
    if unpacked > _FREE_BYTES and unpacked > _MAX_RATIO * packed:
        raise PackageError(
            f"the zip's {packed:,} bytes hold {unpacked:,}, more than {_MAX_RATIO} times as many; "
            "if the graph is meant to be this empty, store it uncompressed"
        )
