"""Zips as somebody writes them who wishes ill: what their list says need not be what lies there."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onnx import ModelProto

MANIFEST = """task = "tensor"
description = "Wishes you ill."
license = "none"
[example]
x = 1.0
"""
TEXT_MANIFEST = """task = "text-classification"
description = "Wishes you ill."
license = "none"
labels = ["a", "b"]
[example]
text = "a good day"
[preprocessing]
tokenizer = "tokenizer.json"
"""
REJECTED = "model_rejected"
INVALID = "invalid_package"
_EMPTY_CRC = zlib.crc32(b"")


@dataclass(frozen=True)
class Hostile:
    """One package.

    Args:
        content: What is sent as its zip.
        code: The refusal's.
        says: A part of the refusal's message.
    """

    content: bytes
    code: str
    says: str


def zipped(files: Mapping[str, bytes | str], *, mode: int = stat.S_IFREG | 0o644) -> bytes:
    """Return a zip of files by name, each with this Unix mode."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = mode << 16
            archive.writestr(entry, content)
    return target.getvalue()


def package(manifest: str = MANIFEST, graph: bytes | ModelProto = b"", **files: bytes | str) -> bytes:
    """Return a package's zip; more files by name, `__` for the dot."""
    content = graph if isinstance(graph, bytes) else graph.SerializeToString()
    more = {name.replace("__", "."): each for name, each in files.items()}
    return zipped({"maas.toml": manifest, "model.onnx": content, **more})


@dataclass
class Entry:
    """An entry as its writer pleases: what the list says need not be what lies there."""

    name: bytes
    packed: bytes = b""
    size: int | None = None
    method: int = zipfile.ZIP_DEFLATED
    offset: int | None = None
    listed_as: bytes | None = None
    extra: bytes = b""
    packed_size: int | None = None


def forged(entries: Sequence[Entry], *, times: int = 1, count: int | None = None) -> bytes:
    """Return a zip of forged entries (APPNOTE.TXT, sections 4.3.7, 4.3.12 and 4.3.16).

    Args:
        entries: What is in it.
        times: How often its list names them.
        count: How many entries it says that it has; as many as it has if left out.
    """
    body, listing = bytearray(), bytearray()
    for entry in entries:
        offset = len(body) if entry.offset is None else entry.offset
        size = len(entry.packed) if entry.size is None else entry.size
        packed = len(entry.packed) if entry.packed_size is None else entry.packed_size
        shared = struct.pack("<HHHHHIII", 20, 0, entry.method, 0, 33, _EMPTY_CRC, packed, size)
        if entry.offset is None:
            body += b"PK\3\4" + shared + struct.pack("<HH", len(entry.name), 0) + entry.name + entry.packed
        name = entry.name if entry.listed_as is None else entry.listed_as
        lengths = struct.pack("<HHHHHII", len(name), len(entry.extra), 0, 0, 0, 0, offset)
        listing += b"PK\1\2" + struct.pack("<H", 20) + shared + lengths + name + entry.extra
    listing *= times
    number = min(count if count is not None else len(entries) * times, 0xFFFF)
    end = struct.pack("<HHHHIIH", 0, 0, number, number, len(listing), len(body), 0)
    return bytes(body) + bytes(listing) + b"PK\5\6" + end


def deflated(content: bytes) -> bytes:
    """Return bytes as deflate writes them (RFC 1951)."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()
