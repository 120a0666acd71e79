"""Sealed artifacts: the artifact store gets ciphertext only, under names that tell nothing of the content.

A data key is bound to whose thing it seals (`data_keys.py`), an artifact to its data key and its own name. So
neither the artifact of another thing nor an earlier one of the same thing opens in the place of another.
"""

from __future__ import annotations

import hashlib
import secrets
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from reference_server.security.encryption import SealBrokenError
from reference_server.security.streams import SealingWriter, open_sealed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reference_server.registry.artifacts import ArtifactStore
    from reference_server.security.encryption import DataKey


class Writer:
    """An artifact being sealed; `size` and `sha256` are those of the plain bytes written so far."""

    def __init__(self, sealing: SealingWriter, name: str) -> None:
        self._sealing = sealing
        self.name = name
        self.sha256 = hashlib.sha256()

    @property
    def size(self) -> int:
        """Bytes so far, plain."""
        return self._sealing.size

    def write(self, chunk: bytes) -> int:
        """Append a chunk; returns its length."""
        self.sha256.update(chunk)
        return self._sealing.write(chunk)

    def flush(self) -> None:
        """Do nothing: only the end of the block makes anything lasting."""

    def close(self) -> None:
        """Do nothing, likewise."""


@contextmanager
def new(store: ArtifactStore, key: DataKey, what: str) -> Iterator[Writer]:
    """Give the writer of a new artifact, which is lasting once the block has ended without an exception.

    Args:
        store: Where it goes.
        key: What seals it.
        what: The beginning of its name, for people who look into the store.
    """
    name = f"{what}-{secrets.token_hex(16)}"
    with store.open_writer() as target:
        sealing = SealingWriter(target.write, key, bound_to=_place(name))
        yield Writer(sealing, name)
        sealing.finish()
        target.commit(name)


def keep(store: ArtifactStore, key: DataKey, what: str, content: bytes) -> str:
    """Store bytes that fit into memory, sealed; returns the artifact's name."""
    with new(store, key, what) as writer:
        writer.write(content)
    return writer.name


def open_reader(store: ArtifactStore, name: str, key: DataKey | None) -> IO[bytes]:
    """Open an artifact's plain bytes for reading, seekable.

    Args:
        store: Where it is.
        name: Its name.
        key: What sealed it; None for what an older server stored in clear.

    Raises:
        FileNotFoundError: When it is not there.
        SealBrokenError: When it is not what was sealed under this name; while reading as well.
    """
    file = store.open_reader(name)
    if key is None:
        return file
    try:
        return open_sealed(file, key, bound_to=_place(name))
    except SealBrokenError:
        file.close()
        raise


def _place(name: str) -> str:
    return f"artifact {name}"
