import hashlib
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_server.errors import Conflict, NotFound
from reference_server.registry import housekeeping, publishing, uploads

CONTENT = bytes(range(100))
CHUNK = 40
DAY = 24 * 3600


def begin(registry, caller, content=CONTENT):
    sha256 = hashlib.sha256(content).hexdigest()
    upload, _ = uploads.begin(
        registry.db, caller.account_id, size=len(content), sha256=sha256, chunk_bytes=CHUNK
    )
    return upload


def add(registry, caller, upload, offset, chunk):
    return uploads.add_chunk(
        registry.db,
        registry.store,
        caller.account_id,
        upload.id,
        offset=offset,
        chunk=chunk,
        chunk_bytes=CHUNK,
    )


def read(registry, caller, upload):
    return uploads.get(registry.db, caller.account_id, upload.id, chunk_bytes=CHUNK)


def finished(registry, caller, content=CONTENT):
    upload = begin(registry, caller, content)
    for offset in range(0, len(content), CHUNK):
        add(registry, caller, upload, offset, content[offset : offset + CHUNK])
    return upload


# Each chunk is synced to the disk, whose time is its own.
@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, CHUNK), min_size=1), st.binary(min_size=1, max_size=200))
def test_chunks_of_any_sizes_make_the_whole(registry_of_all, sizes, content):
    """However the bytes are cut, they come back together, and nothing of them stays."""
    registry, ada = registry_of_all
    upload, offset = begin(registry, ada, content), 0
    while offset < len(content):
        sizes = sizes[1:] + sizes[:1]
        chunk = content[offset : offset + sizes[0]]
        offset = add(registry, ada, upload, offset, chunk).received
    with uploads.whole(registry.db, registry.store, ada.account_id, upload.id) as file:
        assert file.read() == content
    assert registry.artifacts == []


@pytest.fixture(scope="module")
def registry_of_all(open_registry, tmp_path_factory):
    """Return one registry for every example, and its account."""
    registry = open_registry(tmp_path_factory.mktemp("uploads"))
    yield registry, registry.account("ada")
    registry.db.dispose()


def test_a_chunk_is_lasting_before_it_is_counted(registry, ada, monkeypatch):
    """When the database says so, the store has had it for a while."""
    upload, order = begin(registry, ada), []
    fsync, write = os.fsync, registry.db.write
    monkeypatch.setattr(os, "fsync", lambda file: order.append("fsync") or fsync(file))
    monkeypatch.setattr(registry.db, "write", lambda: order.append("count") or write())
    add(registry, ada, upload, 0, CONTENT[:CHUNK])
    assert order == ["fsync", "fsync", "count"]


def test_a_chunk_that_was_not_counted_is_swept(registry, ada, monkeypatch):
    """A death between the two leaves an orphan that counts for nothing; one that was counted stays."""
    upload = begin(registry, ada)
    add(registry, ada, upload, 0, CONTENT[:CHUNK])
    (counted,) = registry.artifacts

    def die():
        raise KeyboardInterrupt

    with monkeypatch.context() as death:
        death.setattr(registry.db, "write", die)
        with pytest.raises(KeyboardInterrupt):
            add(registry, ada, upload, CHUNK, CONTENT[CHUNK : 2 * CHUNK])
    assert read(registry, ada, upload).received == CHUNK
    for file in registry.folder.iterdir():
        os.utime(file, (1, 1))
    (swept,) = publishing.sweep(registry.db, registry.store)
    assert swept != counted
    assert registry.artifacts == [counted]
    assert add(registry, ada, upload, CHUNK, CONTENT[CHUNK : 2 * CHUNK]).received == 2 * CHUNK


def test_one_chunk_from_two_sides_counts_once(registry, ada, at_once):
    """Whoever comes second learns that it is there, and leaves nothing behind."""
    upload = begin(registry, ada)
    states = at_once(*[lambda: add(registry, ada, upload, 0, CONTENT[:CHUNK]) for _ in range(4)])
    assert {state.received for state in states} == {CHUNK}
    assert len(registry.artifacts) == 1


def test_the_same_content_from_two_sides_is_one_upload(registry, ada, at_once):
    """Two clients that begin together go on together."""
    made = at_once(*[lambda: begin(registry, ada) for _ in range(4)])
    assert len({upload.id for upload in made}) == 1


@pytest.mark.parametrize(("waited", "there"), [(DAY - 1, True), (DAY, False), (30 * DAY, False)])
def test_an_upload_is_forgotten_a_day_after_its_last_chunk(registry, ada, waited, there):
    """Each chunk gives it another day; then it is gone, for every call at once."""
    upload = begin(registry, ada)
    registry.clock.advance(DAY - 1)
    add(registry, ada, upload, 0, CONTENT[:CHUNK])
    registry.clock.advance(waited)
    if there:
        assert read(registry, ada, upload).received == CHUNK
        return
    with pytest.raises(NotFound):
        read(registry, ada, upload)
    with pytest.raises(NotFound):
        add(registry, ada, upload, CHUNK, CONTENT[CHUNK:])
    assert begin(registry, ada).id != upload.id


@pytest.mark.parametrize(("waited", "left"), [(DAY - 1, 1), (DAY, 0)])
def test_housekeeping_sweeps_what_is_forgotten(registry, ada, waited, left):
    """The rows go when their time is over, and the chunks with the next sweep."""
    upload = begin(registry, ada)
    add(registry, ada, upload, 0, CONTENT[:CHUNK])
    for file in registry.folder.iterdir():
        os.utime(file, (1, 1))
    registry.clock.advance(waited)
    housekeeping.purge(registry.db)
    publishing.sweep(registry.db, registry.store)
    assert len(registry.artifacts) == left


def test_forgotten_uploads_do_not_count(registry, ada):
    """An account whose uploads have all expired may begin as many again."""
    for round_ in range(2):
        for number in range(uploads.MOST_UNFINISHED):
            begin(registry, ada, bytes([round_, number]))
        with pytest.raises(Conflict, match="unfinished uploads"):
            begin(registry, ada, b"one more")
        registry.clock.advance(DAY)


def test_a_chunk_that_the_store_has_lost_forgets_the_upload(registry, ada):
    """It can never be whole again, so the next one begins at nothing."""
    upload = finished(registry, ada)
    registry.store.delete(registry.artifacts[0])
    with pytest.raises(NotFound), uploads.whole(registry.db, registry.store, ada.account_id, upload.id):
        pytest.fail("it was not whole")
    assert begin(registry, ada).received == 0
    assert registry.artifacts == []


def test_an_upload_that_fails_for_another_reason_stays(registry, ada):
    """What went wrong in the block is not the content's fault."""
    upload = finished(registry, ada)
    with (
        pytest.raises(ZeroDivisionError),
        uploads.whole(registry.db, registry.store, ada.account_id, upload.id),
    ):
        raise ZeroDivisionError
    assert read(registry, ada, upload).received == len(CONTENT)


def test_two_publishes_of_one_upload_both_end_well(registry, ada):
    """The second finds nothing left to forget."""
    upload = finished(registry, ada)
    first, second = (uploads.whole(registry.db, registry.store, ada.account_id, upload.id) for _ in range(2))
    with first as one, second as other:
        assert one.read() == other.read() == CONTENT
    assert registry.artifacts == []
