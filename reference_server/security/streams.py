"""Sealing files in chunks that are read anywhere, and of which none can be left out, moved or added.

The construction is STREAM (Hoang, Reyhanitabar, Rogaway and Vizár, "Online Authenticated-Encryption and its
Nonce-Reuse Misuse-Resistance", CRYPTO 2015), laid out as Tink's AES-GCM-HKDF streaming: a header with a salt
and the prefix of the nonces, then chunks under AES-256-GCM. A chunk's nonce is the prefix (7 bytes), its
number (4 bytes) and whether it is the last (1 byte); the key is derived from the data key and the salt by
HKDF with SHA-256 (RFC 5869), so that a data key may seal any number of files.
"""

from __future__ import annotations

import io
import os
import tempfile
from typing import IO, TYPE_CHECKING, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from reference_server.security.encryption import KEY_BYTES, TAG_BYTES, DataKey, SealBrokenError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

MAGIC = b"maasSTR1"
SALT_BYTES, PREFIX_BYTES = 32, 7
HEADER_BYTES = len(MAGIC) + SALT_BYTES + PREFIX_BYTES
# Larger chunks cost a reader of small parts more, smaller ones a call into OpenSSL each: from 64 KiB on the
# cipher's own speed decides.
CHUNK_BYTES = 128 * 2**10
_SEALED_BYTES = CHUNK_BYTES + TAG_BYTES
_MOST_CHUNKS = 2**32


class SealingWriter:
    """Seals what is written to it; only `finish` makes it whole.

    Args:
        write: Takes the sealed bytes, in order.
        key: The data key.
        bound_to: What the content is; opening must say the same.
    """

    def __init__(self, write: Callable[[bytes], object], key: DataKey, *, bound_to: str) -> None:
        salt, prefix = os.urandom(SALT_BYTES), os.urandom(PREFIX_BYTES)
        self._write = write
        self._chunks = _Chunks(key, salt, prefix, bound_to)
        self._buffer = bytearray()
        self._number = 0
        self.size = 0
        write(MAGIC + salt + prefix)

    def write(self, content: bytes) -> int:
        """Seal the next bytes; returns how many."""
        self.size += len(content)
        left = memoryview(content)
        # The last chunk is known to be the last only at the end, so that one always waits.
        while len(self._buffer) + len(left) > CHUNK_BYTES:
            missing = CHUNK_BYTES - len(self._buffer)
            self._buffer += left[:missing]
            left = left[missing:]
            self._seal(is_last=False)
        self._buffer += left
        return len(content)

    def finish(self) -> None:
        """Seal what is left as the last chunk; what was not finished does not open."""
        self._seal(is_last=True)

    def _seal(self, *, is_last: bool) -> None:
        self._write(self._chunks.seal(bytes(self._buffer), self._number, is_last=is_last))
        self._buffer.clear()
        self._number += 1


class _SealedFile(io.RawIOBase):
    """The plain bytes of a sealed file, one chunk of them in memory."""

    def __init__(self, file: IO[bytes], key: DataKey, *, bound_to: str) -> None:
        self._file = file
        header = file.read(HEADER_BYTES)
        if len(header) < HEADER_BYTES or not header.startswith(MAGIC):
            raise SealBrokenError(f"what should be sealed as {bound_to!r} is not sealed at all")
        salt, prefix = header[len(MAGIC) : -PREFIX_BYTES], header[-PREFIX_BYTES:]
        self._chunks = _Chunks(key, salt, prefix, bound_to)
        sealed = file.seek(0, os.SEEK_END) - HEADER_BYTES
        self._count = max(1, -(-sealed // _SEALED_BYTES))
        self._size = sealed - self._count * TAG_BYTES
        self._at = 0
        # The last chunk is opened at once: it alone tells that nothing was cut off.
        self._number = self._count - 1
        self._plain = self._open(self._number)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise OSError(f"there is nothing before the beginning: {start + offset}")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override] # what BufferedReader gives
        number, within = divmod(self._at, CHUNK_BYTES)
        if self._at >= self._size:
            return 0
        if number != self._number:
            self._plain, self._number = self._open(number), number
        count = min(len(buffer), len(self._plain) - within)
        buffer[:count] = self._plain[within : within + count]
        self._at += count
        return count

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()

    def _open(self, number: int) -> bytes:
        self._file.seek(HEADER_BYTES + number * _SEALED_BYTES)
        return self._chunks.open(self._file.read(_SEALED_BYTES), number, is_last=number == self._count - 1)


class _Chunks:
    """Seals and opens the chunks of one file."""

    def __init__(self, key: DataKey, salt: bytes, prefix: bytes, bound_to: str) -> None:
        derived = HKDF(SHA256(), KEY_BYTES, salt, b"maas stream" + prefix).derive(key.secret)
        self._cipher = AESGCM(derived)
        self._prefix = prefix
        self._bound_to = bound_to.encode()

    def seal(self, plain: bytes, number: int, *, is_last: bool) -> bytes:
        return self._cipher.encrypt(self._nonce(number, is_last=is_last), plain, self._bound_to)

    def open(self, sealed: bytes, number: int, *, is_last: bool) -> bytes:
        try:
            return self._cipher.decrypt(self._nonce(number, is_last=is_last), sealed, self._bound_to)
        except (InvalidTag, ValueError):
            raise SealBrokenError(
                f"chunk {number} of what is sealed as {self._bound_to.decode()!r} does not open with this key"
            ) from None

    def _nonce(self, number: int, *, is_last: bool) -> bytes:
        if number >= _MOST_CHUNKS:
            raise ValueError(f"a sealed file has at most {_MOST_CHUNKS} chunks of {CHUNK_BYTES} bytes")
        return self._prefix + number.to_bytes(4, "big") + bytes([is_last])


def open_sealed(file: IO[bytes], key: DataKey, *, bound_to: str) -> IO[bytes]:
    """Return the plain bytes of what a `SealingWriter` made, seekable; each chunk is opened when it is read.

    Args:
        file: The sealed bytes from their beginning, seekable; closed with what is returned.
        key: The data key of the sealing.
        bound_to: What was said at the sealing.

    Raises:
        SealBrokenError: Here when the header or the last chunk does not open, so that the size is right and
            nothing was cut off; while reading when another chunk does not.
    """
    return io.BufferedReader(_SealedFile(file, key, bound_to=bound_to), CHUNK_BYTES)


def sealed_size(plain: int) -> int:
    """Return how many bytes a sealed file has for so many plain ones."""
    return HEADER_BYTES + plain + TAG_BYTES * max(1, -(-plain // CHUNK_BYTES))


class SealedTemporary:
    """A temporary file of which the disk sees ciphertext only, under a key that dies with the process.

    It is written to first, and read after `reader`.
    """

    _BOUND_TO = "temporary"

    def __init__(self) -> None:
        self.key = DataKey.random()
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it outlives this call; `close` closes it
        self._writer = SealingWriter(self._file.write, self.key, bound_to=self._BOUND_TO)

    def write(self, content: bytes) -> int:
        """Append bytes; returns how many."""
        return self._writer.write(content)

    def flush(self) -> None:
        """Do nothing: what was written is read after `reader` only."""

    def reader(self) -> IO[bytes]:
        """Return everything that was written, from its beginning; nothing more can be written."""
        return self.open(self.sealed(), self.key)

    def sealed(self) -> IO[bytes]:
        """Return the sealed file itself, at its beginning, for another process that is told the key."""
        self._writer.finish()
        self._file.flush()
        self._file.seek(0)
        return self._file

    def close(self) -> None:
        """Give the file up."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @classmethod
    def open(cls, file: IO[bytes], key: DataKey) -> IO[bytes]:
        """Return the plain bytes of what `sealed` gave."""
        return open_sealed(file, key, bound_to=cls._BOUND_TO)
