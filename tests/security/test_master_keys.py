"""Where master keys come from, and what they open."""

from __future__ import annotations

import base64
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from reference_server.security import master_keys
from reference_server.security.encryption import KEY_BYTES, DataKey
from reference_server.security.master_keys import MasterKeyError, MasterKeys

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW = (base64.b64encode(bytes([each]) * KEY_BYTES).decode() for each in (1, 2))


def test_a_new_file_is_its_owners_alone_and_is_made_once(tmp_path: Path) -> None:
    """A second start reads what the first made."""
    file = tmp_path / "master.key"
    assert master_keys.make_file(file)
    made = master_keys.read_file(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not master_keys.make_file(file)
    assert master_keys.read_file(file) == made
    assert made != master_keys.MasterKeys.parse(NEW, source="another")


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """And the message says what to run."""
    file = tmp_path / "master.key"
    master_keys.make_file(file)
    file.chmod(0o640)
    with pytest.raises(MasterKeyError, match=f"chmod 600 {file}"):
        master_keys.read_file(file)


@pytest.mark.parametrize("text", ["", "c2hvcnQ=", f"{OLD[:-4]}!!!=", f"{OLD} {OLD[:20]}", "\xe9"])
def test_what_is_no_key_is_refused_and_not_told(text: str, tmp_path: Path) -> None:
    """Whoever reads the message learns nothing of what stood there."""
    file = tmp_path / "master.key"
    file.touch(mode=0o600)
    file.write_text(text, encoding="utf-8")
    with pytest.raises(MasterKeyError) as raised:
        master_keys.read_file(file)
    assert OLD[:12] not in str(raised.value)
    assert str(file) in str(raised.value)


def test_a_file_that_is_not_there_says_what_it_means(tmp_path: Path) -> None:
    """It may only be elsewhere."""
    with pytest.raises(MasterKeyError, match="put the file back"):
        master_keys.read_file(tmp_path / "master.key")


def test_a_command_gives_keys() -> None:
    """Such as one that asks a key service; it is run without a shell."""
    script = f"print({OLD!r}); print({NEW!r})"
    found = master_keys.run_command(f'{sys.executable} -c "{script}"')
    assert found == MasterKeys.parse(f"{OLD}\n{NEW}", source="here")


@pytest.mark.parametrize("script", ["import sys; print('secret'); sys.exit(3)", "print('secret')"])
def test_a_command_that_fails_is_told_without_what_it_printed(script: str) -> None:
    """A key that was half printed is a secret too."""
    with pytest.raises(MasterKeyError, match="master_key_command") as raised:
        master_keys.run_command(f'{sys.executable} -c "{script}"')
    assert "'secret'" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_key_is_opened_by_the_one_that_sealed_it_even_after_a_rotation() -> None:
    """The first seals, those after it open."""
    before, after = MasterKeys.parse(OLD, source="x"), MasterKeys.parse(f"{NEW}\n{OLD}", source="x")
    key = DataKey.random()
    master, wrapped = before.wrap(key, bound_to="account a")
    assert master == before.present != after.present
    assert after.unwrap(master, wrapped, bound_to="account a") == key
    assert after.wrap(key, bound_to="account a")[0] == after.present


def test_a_key_that_was_moved_or_whose_master_is_missing_does_not_open() -> None:
    """The message names the master key by its id."""
    before, after = MasterKeys.parse(OLD, source="x"), MasterKeys.parse(NEW, source="x")
    master, wrapped = before.wrap(DataKey.random(), bound_to="account a")
    with pytest.raises(MasterKeyError, match="was changed in the store"):
        before.unwrap(master, wrapped, bound_to="account b")
    with pytest.raises(MasterKeyError, match=master):
        after.unwrap(master, wrapped, bound_to="account a")


def test_url_safe_base64_is_a_key_too() -> None:
    """Tools make both alphabets."""
    secret = bytes([0xFB, 0xFF] * 16)
    both = [base64.b64encode(secret).decode(), base64.urlsafe_b64encode(secret).decode()]
    assert len(set(both)) == len(both)
    assert len({MasterKeys.parse(text, source="x").present for text in both}) == 1
