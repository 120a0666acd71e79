"""Sealed files: what opens, where reading may begin, and everything that must not open."""

from __future__ import annotations

import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_server.security import streams
from reference_server.security.encryption import TAG_BYTES, DataKey, SealBrokenError
from reference_server.security.streams import HEADER_BYTES, SealedTemporary, SealingWriter, open_sealed

KEY = DataKey(bytes(range(32)))
CHUNK = 16
SEALED_CHUNK = CHUNK + TAG_BYTES


@pytest.fixture(autouse=True, scope="module")
def small_chunks():
    """Make chunks so small that every case has several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "CHUNK_BYTES", CHUNK)
        patch.setattr(streams, "_SEALED_BYTES", SEALED_CHUNK)
        yield


def seal(plain: bytes, *, key: DataKey = KEY, bound_to: str = "here", pieces: int = 1) -> bytes:
    """Return a sealed file, written in some pieces."""
    target = io.BytesIO()
    writer = SealingWriter(target.write, key, bound_to=bound_to)
    step = max(1, -(-len(plain) // pieces))
    for start in range(0, len(plain), step):
        writer.write(plain[start : start + step])
    writer.finish()
    assert writer.size == len(plain)
    return target.getvalue()


def read(sealed: bytes, *, key: DataKey = KEY, bound_to: str = "here") -> bytes:
    """Open a sealed file and read it whole."""
    with open_sealed(io.BytesIO(sealed), key, bound_to=bound_to) as file:
        return file.read()


def split(sealed: bytes) -> tuple[bytes, list[bytes]]:
    """Return the header of a sealed file and its chunks."""
    body = sealed[HEADER_BYTES:]
    return sealed[:HEADER_BYTES], [body[at : at + SEALED_CHUNK] for at in range(0, len(body), SEALED_CHUNK)]


@given(st.binary(max_size=5 * CHUNK), st.integers(1, 9))
def test_what_was_sealed_opens(plain: bytes, pieces: int) -> None:
    """Whatever its length is, and in however many pieces it came; nothing of it is in the file."""
    sealed = seal(plain, pieces=pieces)
    assert len(sealed) == streams.sealed_size(len(plain))
    assert read(sealed) == plain
    assert len(plain) < CHUNK or plain not in sealed
    assert seal(plain) != sealed


@given(st.binary(max_size=5 * CHUNK), st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100))))
def test_reading_begins_anywhere(plain: bytes, parts: list[tuple[int, int]]) -> None:
    """And goes as far as is asked, from the beginning, from here or from the end, as in any file."""
    with open_sealed(io.BytesIO(seal(plain)), KEY, bound_to="here") as file:
        for start, count in parts:
            assert file.seek(start) == start
            assert file.read(count) == plain[start : start + count]
            back = min(start, len(plain))
            assert file.seek(-back, os.SEEK_END) == len(plain) - back
            assert file.read(count) == plain[len(plain) - back :][:count]


@given(st.binary(max_size=4 * CHUNK), st.data())
def test_a_file_that_was_cut_off_does_not_open(plain: bytes, data: st.DataObject) -> None:
    """Wherever the cut is: also between two chunks."""
    sealed = seal(plain)
    for cut in (data.draw(st.integers(0, len(sealed) - 1)), *range(HEADER_BYTES, len(sealed), SEALED_CHUNK)):
        with pytest.raises(SealBrokenError):
            open_sealed(io.BytesIO(sealed[:cut]), KEY, bound_to="here")


@given(st.binary(min_size=2 * CHUNK, max_size=6 * CHUNK), st.data())
def test_chunks_in_another_order_do_not_open(plain: bytes, data: st.DataObject) -> None:
    """Nor one twice, nor one less."""
    header, chunks = split(seal(plain))
    moved = data.draw(st.permutations(chunks)) if data.draw(st.booleans()) else list(chunks)
    if moved == chunks:
        number = data.draw(st.integers(0, len(chunks) - 1))
        moved[number : number + 1] = [] if data.draw(st.booleans()) else [chunks[number]] * 2
    with pytest.raises(SealBrokenError):
        read(header + b"".join(moved))


@given(st.binary(min_size=2 * CHUNK + 1, max_size=2 * CHUNK + 9), st.integers(0, 2))
def test_a_chunk_of_another_file_does_not_open(plain: bytes, number: int) -> None:
    """Though it is of the same key, the same place and the same number; so with a whole header."""
    (header, chunks), (other_header, others) = split(seal(plain)), split(seal(plain))
    with pytest.raises(SealBrokenError):
        read(header + b"".join([*chunks[:number], others[number], *chunks[number + 1 :]]))
    with pytest.raises(SealBrokenError):
        read(other_header + b"".join(chunks))


@given(st.binary(max_size=3 * CHUNK), st.data())
def test_a_changed_bit_does_not_open(plain: bytes, data: st.DataObject) -> None:
    """Of the header, a chunk or a tag; nor does anything appended."""
    sealed = bytearray(seal(plain))
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SealBrokenError):
        read(bytes(sealed))
    with pytest.raises(SealBrokenError):
        read(seal(plain) + data.draw(st.binary(min_size=1, max_size=3 * CHUNK)))


@given(st.binary(max_size=3 * CHUNK))
def test_another_key_or_place_does_not_open(plain: bytes) -> None:
    """A file that was put in the place of another is told by that."""
    with pytest.raises(SealBrokenError):
        read(seal(plain), key=DataKey.random())
    with pytest.raises(SealBrokenError, match="'there'"):
        read(seal(plain), bound_to="there")
    with pytest.raises(SealBrokenError, match="not sealed at all"):
        read(plain)


def test_bytes_before_a_broken_chunk_are_read_and_no_others() -> None:
    """What was given out is right, however the rest is."""
    header, chunks = split(seal(bytes(5 * CHUNK)))
    chunks[2] = bytes(SEALED_CHUNK)
    with open_sealed(io.BytesIO(header + b"".join(chunks)), KEY, bound_to="here") as file:
        assert file.read(2 * CHUNK) == bytes(2 * CHUNK)
        with pytest.raises(SealBrokenError, match="chunk 2"):
            file.read(1)


def test_a_temporary_file_shows_the_disk_nothing() -> None:
    """It is read back here, and elsewhere by who is told its key."""
    with SealedTemporary() as spool:
        for _ in range(9):
            assert spool.write(b"not for the disk") == CHUNK
        raw = spool.sealed()
        assert b"not for" not in raw.read()
        raw.seek(0)
        assert SealedTemporary.open(raw, spool.key).read() == b"not for the disk" * 9
    with SealedTemporary() as spool:
        spool.write(b"once")
        assert spool.reader().read() == b"once"
