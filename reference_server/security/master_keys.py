"""The keys at the root of everything that the store has sealed, and where they come from.

A file of mode 0600, an environment variable, or a command of the operator's own gives one key a line, each
32 bytes in base64. The first seals; those after it, which a rotation leaves there for a while, only open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import shlex
import stat
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reference_server.security.encryption import KEY_BYTES, DataKey, SealBrokenError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_COMMAND_SECONDS = 30.0
_OTHERS_MAY = stat.S_IRWXG | stat.S_IRWXO


class MasterKeyError(Exception):
    """The master key is not there, is none, or is another than the store was sealed with."""


@dataclass(frozen=True, slots=True)
class MasterKeys:
    """The keys by their ids, the present one first.

    Args:
        keys: At least one. An id is a part of a hash of its key: it tells keys apart and nothing else.
        reread: Gives the keys of the same source as they are now; called for an id that is not known, as
            after a rotation beside this process.
    """

    keys: dict[str, DataKey]
    reread: Callable[[], MasterKeys] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def parse(cls, text: str, *, source: str) -> MasterKeys:
        """Read keys as a file, a variable or a command gives them.

        Raises:
            MasterKeyError: Naming the source, never the text.
        """
        keys = [_key(line, source) for line in text.split()]
        if not keys:
            raise MasterKeyError(f"{source} holds no master key; `maas-server init` makes one")
        return cls({_id(key): key for key in keys})

    @property
    def present(self) -> str:
        """The id of the key that seals."""
        return next(iter(self.keys))

    def wrap(self, key: DataKey, *, bound_to: str, by: str | None = None) -> tuple[str, bytes]:
        """Seal a key; returns the id of the master key that did, and the sealed key.

        Args:
            key: What to seal.
            bound_to: Whose it is; `unwrap` must say the same.
            by: The id of the master key; the first one's if None.

        Raises:
            MasterKeyError: When that master key is not here.
        """
        by = by or self.present
        return by, self._find(by).seal(key.secret, bound_to=bound_to)

    def unwrap(self, master: str, wrapped: bytes, *, bound_to: str) -> DataKey:
        """Open a key that `wrap` sealed.

        Raises:
            MasterKeyError: When the master key that sealed it is not here, or it does not open.
        """
        try:
            return DataKey(self._find(master).open(wrapped, bound_to=bound_to))
        except SealBrokenError as error:
            raise MasterKeyError(f"the key of {bound_to!r} was changed in the store: {error}") from error

    def _find(self, master: str) -> DataKey:
        if master not in self.keys and self.reread is not None:
            self.keys.update(self.reread().keys)
        if master not in self.keys:
            raise MasterKeyError(
                f"the store has keys that master key {master} sealed, and it is not among those given "
                f"({', '.join(self.keys)}); give that one too, as a line after the present one"
            )
        return self.keys[master]

    def text(self) -> str:
        """Return the keys as a file has them; to be shown to nobody."""
        return "".join(f"{base64.b64encode(key.secret).decode()}\n" for key in self.keys.values())


def make_file(path: Path) -> bool:
    """Write a new master key into a file of mode 0600; tell whether it was made, or there was one already."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{base64.b64encode(DataKey.random().secret).decode()}\n")
        file.flush()
        os.fsync(file.fileno())
    _sync(path.parent)
    return True


def write_file(path: Path, keys: MasterKeys) -> None:
    """Replace the keys in a file, which at each moment holds the old ones or the new ones whole."""
    beside = path.with_name(f"{path.name}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(keys.text())
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_file(path: Path) -> MasterKeys:
    """Read the keys from a file that nobody but its owner can read.

    Raises:
        MasterKeyError: When it is not there, others may read it, or it holds no key.
    """
    try:
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        raise MasterKeyError(
            f"there is no master key at {path}, and without it nothing in this store opens; "
            "put the file back, or say where the key is (master_key_file, master_key_command or "
            "MAAS_SERVER_MASTER_KEY)"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise MasterKeyError(f"the master key {path} cannot be read: {error}") from error
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & _OTHERS_MAY:
        raise MasterKeyError(f"others than its owner can reach the master key {path}; run: chmod 600 {path}")
    return MasterKeys.parse(text, source=str(path))


def run_command(command: str) -> MasterKeys:
    """Read the keys from what a command prints, such as one that asks a key service.

    Raises:
        MasterKeyError: When it fails, takes too long, or prints no key. What it printed is not told.
    """
    source = f"the command {shlex.split(command)[0]!r} (master_key_command)"
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own command, without a shell
            shlex.split(command), stdout=subprocess.PIPE, timeout=_COMMAND_SECONDS, check=True, text=True
        )
    except (OSError, UnicodeDecodeError, subprocess.SubprocessError) as error:
        why = f"status {error.returncode}" if isinstance(error, subprocess.CalledProcessError) else str(error)
        raise MasterKeyError(f"{source} gave no master key: {why}") from None
    return MasterKeys.parse(done.stdout, source=source)


def new() -> MasterKeys:
    """Make a master key."""
    key = DataKey.random()
    return MasterKeys({_id(key): key})


def _key(line: str, source: str) -> DataKey:
    try:
        secret = base64.b64decode(line, altchars=b"-_" if set(line) & {"-", "_"} else None, validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if len(secret) != KEY_BYTES:
        raise MasterKeyError(f"{source} holds something that is not {KEY_BYTES} bytes in base64")
    return DataKey(secret)


def _id(key: DataKey) -> str:
    return f"mk_{hashlib.sha256(b'maas master key id' + key.secret).hexdigest()[:16]}"
