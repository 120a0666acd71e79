"""Sealed bytes: what opens them, and what does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_server.security.encryption import KEY_BYTES, NONCE_BYTES, TAG_BYTES, DataKey, SealBrokenError

KEY = DataKey(bytes(range(KEY_BYTES)))


@given(st.binary(max_size=300), st.text(max_size=40))
def test_what_was_sealed_opens(plain: bytes, place: str) -> None:
    """Whatever the bytes are, and whatever they are bound to."""
    sealed = KEY.seal(plain, bound_to=place)
    assert len(sealed) == NONCE_BYTES + len(plain) + TAG_BYTES
    assert KEY.open(sealed, bound_to=place) == plain


@given(st.data())
def test_a_changed_bit_does_not_open(data: st.DataObject) -> None:
    """Of the nonce, the text or the tag."""
    sealed = bytearray(KEY.seal(b"what is to be read by nobody", bound_to="here"))
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SealBrokenError, match="does not open"):
        KEY.open(bytes(sealed), bound_to="here")


@pytest.mark.parametrize("cut", [0, 1, NONCE_BYTES, NONCE_BYTES + TAG_BYTES - 1, -1])
def test_a_cut_text_does_not_open(cut: int) -> None:
    """Neither an empty one, nor one without its tag."""
    with pytest.raises(SealBrokenError):
        KEY.open(KEY.seal(b"text", bound_to="here")[:cut], bound_to="here")


def test_another_key_and_another_place_do_not_open() -> None:
    """A text that was put in the place of another is told from it."""
    sealed = KEY.seal(b"text", bound_to="version 1")
    for key, place in ((DataKey.random(), "version 1"), (KEY, "version 2"), (KEY.derive("x"), "version 1")):
        with pytest.raises(SealBrokenError):
            key.open(sealed, bound_to=place)


def test_the_same_text_is_never_sealed_alike() -> None:
    """So that nobody sees that two are the same."""
    assert KEY.seal(b"text", bound_to="here") != KEY.seal(b"text", bound_to="here")


def test_a_derived_key_is_another_for_each_purpose_and_always_the_same() -> None:
    """One key has one use."""
    assert KEY.derive("audit") == KEY.derive("audit")
    assert len({KEY, KEY.derive("audit"), KEY.derive("capture")}) == len(("itself", "audit", "capture"))


def test_a_key_shows_nothing_of_itself_and_has_32_bytes() -> None:
    """A representation ends up in logs."""
    assert repr(KEY) == "DataKey()"
    with pytest.raises(ValueError, match="32 bytes"):
        DataKey(b"short")
