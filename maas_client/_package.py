"""The model package: a flat folder, or its zip, with `maas.toml`, `model.onnx` and what the task needs.

Both sides use this module: the SDK validates a package before it uploads it, the server validates what
arrived. Nothing here runs a model, or believes an archive (`_zip_files.py`) or a manifest
(`_manifest_text.py`): names come from a short list, and no more bytes are read than were declared and
allowed.
"""

from __future__ import annotations

import hashlib
import io
import re
import stat
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from maas_client._manifest_text import MANIFEST, MAX_MANIFEST_BYTES, read_manifest
from maas_client._zip_files import DAMAGED, ZipFiles, open_zip
from maas_client.errors import PackageError
from maas_client.types import MAX_LABEL_CHARACTERS, MAX_LABELS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from maas_client.types import Manifest

GRAPH = "model.onnx"
LABELS = "labels.txt"
TOKENIZER = "tokenizer.json"
BACKGROUND = "background.json"
ALLOWED_FILES = (
    MANIFEST,
    GRAPH,
    LABELS,
    TOKENIZER,
    BACKGROUND,
    "README.md",
    "LICENSE",
    "LICENSE.txt",
    "NOTICE",
)

# A protobuf message, and so an ONNX graph without external data, cannot be larger (protobuf.dev, limits).
MAX_PACKAGE_BYTES = 2**31
_MAX_TEXT_BYTES = {MANIFEST: MAX_MANIFEST_BYTES, LABELS: 16 * 2**20, TOKENIZER: 64 * 2**20, BACKGROUND: 2**20}
_CHUNK = 2**20


class _Files(Protocol):
    """Where the files of a package lie: a folder, a zip, or memory."""

    @property
    def sizes(self) -> Mapping[str, int]: ...

    def open(self, name: str) -> IO[bytes]: ...


class _Folder:
    def __init__(self, path: Path) -> None:
        self._path = path
        entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
        for entry in entries:
            if entry.is_symlink() or not entry.is_file():
                raise PackageError(
                    f"{entry.name!r} in {path} is not a plain file; a package is a flat folder"
                )
        self.sizes = {entry.name: entry.stat().st_size for entry in entries}

    def open(self, name: str) -> IO[bytes]:
        return (self._path / name).open("rb")


class _Memory:
    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files
        self.sizes = {name: len(content) for name, content in files.items()}

    def open(self, name: str) -> IO[bytes]:
        return io.BytesIO(self._files[name])


@dataclass(frozen=True, slots=True)
class Package:
    """A package whose structure and manifest have been checked; valid while its source is open."""

    manifest: Manifest
    labels: tuple[str, ...]
    digest: str
    sizes: Mapping[str, int]
    _files: _Files

    def open(self, name: str) -> IO[bytes]:
        """Open one of its files for reading."""
        return self._files.open(name)

    def read(self, name: str) -> bytes:
        """Return one of its files whole."""
        with self.open(name) as file:
            return file.read()


@contextmanager
def open_package(source: Path | IO[bytes], *, max_bytes: int = MAX_PACKAGE_BYTES) -> Iterator[Package]:
    """Open and check a package.

    Args:
        source: A folder, a zip file, or a seekable binary file that holds a zip.
        max_bytes: The most that its files may hold together, uncompressed.

    Raises:
        PackageError: Whatever is wrong with it, naming the file and the field.
    """
    if isinstance(source, Path) and source.is_dir():
        yield _check(_Folder(source), max_bytes)
        return
    with _opened(source) as file:
        try:
            archive = open_zip(file)
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise PackageError(f"this is neither a folder nor a readable zip: {error}") from error
        with archive:
            try:
                package = _check(ZipFiles(archive), max_bytes)
            except DAMAGED as error:
                raise PackageError(f"the zip is damaged: {error}") from error
            yield package


@contextmanager
def _opened(source: Path | IO[bytes]) -> Iterator[IO[bytes]]:
    if not isinstance(source, Path):
        yield source
        return
    try:
        file = source.open("rb")
    except FileNotFoundError:
        raise PackageError(f"there is no package at {source}") from None
    with file:
        yield file


class Sink(Protocol):
    """What a zip can be written to; it need not be seekable."""

    def write(self, chunk: bytes, /) -> int: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


def write_zip(package: Package, target: Sink) -> None:
    """Write a package as a zip with fixed times and order, so that equal packages give equal bytes."""
    with zipfile.ZipFile(target, "w") as archive:
        for name in sorted(package.sizes):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            # Weights hardly shrink, by 7 % as float32, and inflating them would be most of a cold load.
            entry.compress_type = zipfile.ZIP_STORED if name == GRAPH else zipfile.ZIP_DEFLATED
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            entry.file_size = package.sizes[name]
            with package.open(name) as source, archive.open(entry, "w") as out:
                while chunk := source.read(_CHUNK):
                    out.write(chunk)


def pack(files: Mapping[str, bytes]) -> bytes:
    """Check the files of a package, by name, and return them as a zip.

    Raises:
        PackageError: Whatever is wrong with them, naming the file and the field.
    """
    target = io.BytesIO()
    write_zip(_check(_Memory(files), MAX_PACKAGE_BYTES), target)
    return target.getvalue()


def zip_digest(source: IO[bytes]) -> str:
    """Return the content digest of a package's zip, whatever its manifest says.

    Raises:
        PackageError: It is no zip of plain files.
    """
    try:
        with open_zip(source) as archive:
            files = ZipFiles(archive)
            return content_digest({name: _sha256(files, name) for name in files.sizes})
    except (*DAMAGED, ValueError) as error:
        raise PackageError(f"the zip is damaged: {error}") from error


def content_digest(hashes: Mapping[str, str]) -> str:
    """Return the digest of a package: sha256 over its sorted lines `path NUL sha256(file) LF`."""
    lines = "".join(f"{name}\0{digest}\n" for name, digest in sorted(hashes.items()))
    return f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"


def _check(files: _Files, max_bytes: int) -> Package:
    for name in files.sizes:
        if name not in ALLOWED_FILES:
            raise PackageError(
                f"{name[:100]!r} has no place in a package; it may hold {', '.join(ALLOWED_FILES)}"
            )
    for name in (MANIFEST, GRAPH):
        if name not in files.sizes:
            raise PackageError(f"the package has no {name}")
    if sum(files.sizes.values()) > max_bytes:
        raise PackageError(f"the package's files hold more than the {max_bytes:,} bytes allowed")
    for name, most in _MAX_TEXT_BYTES.items():
        if files.sizes.get(name, 0) > most:
            raise PackageError(f"{name} is larger than {most:,} bytes")
    manifest = read_manifest(_text(files, MANIFEST))
    labels = _labels(files, manifest)
    preprocessing = manifest.preprocessing
    _check_named(files, "tokenizer", preprocessing.tokenizer, TOKENIZER)
    _check_named(files, "background", preprocessing.background, BACKGROUND)
    hashes = {name: _sha256(files, name) for name in files.sizes}
    return Package(manifest, labels, content_digest(hashes), dict(files.sizes), files)


def _check_named(files: _Files, field: str, named: str | None, file: str) -> None:
    if named not in (None, file):
        raise PackageError(f"preprocessing.{field} is {named!r}; the file is called {file}")
    if (named is None) == (file in files.sizes):
        raise PackageError(f"{file} and preprocessing.{field} in {MANIFEST} go together")


def _labels(files: _Files, manifest: Manifest) -> tuple[str, ...]:
    labels = manifest.labels
    if LABELS in files.sizes:
        if labels:
            raise PackageError(f"labels stand in {MANIFEST} and in {LABELS}; keep one of the two")
        labels = re.split(r"\r?\n", _text(files, LABELS).strip("\r\n"))
    if len(set(labels)) != len(labels) or "" in labels:
        raise PackageError("labels must be distinct and not empty")
    if len(labels) > MAX_LABELS or not all(map(_can_be_a_label, labels)):
        raise PackageError(
            f"there are at most {MAX_LABELS:,} labels of at most {MAX_LABEL_CHARACTERS} characters each, "
            "none of them U+0000"
        )
    return tuple(labels)


def _can_be_a_label(label: str) -> bool:
    return len(label) <= MAX_LABEL_CHARACTERS and "\0" not in label


def _text(files: _Files, name: str) -> str:
    try:
        with files.open(name) as file:
            return file.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise PackageError(f"{name} is not UTF-8: {error}") from error


def _sha256(files: _Files, name: str) -> str:
    digest = hashlib.sha256()
    left = files.sizes[name]
    with files.open(name) as file:
        while chunk := file.read(_CHUNK):
            left -= len(chunk)
            if left < 0:
                raise PackageError(f"{name} holds more bytes than its entry declares")
            digest.update(chunk)
    if left:
        raise PackageError(f"{name} holds fewer bytes than its entry declares; zip it anew")
    return digest.hexdigest()
