import os
import stat
import time

import fsspec
import pytest

from reference_server.errors import StorageFull
from reference_server.registry import artifacts
from reference_server.registry.artifacts import ArtifactStore


@pytest.fixture
def folder(tmp_path):
    """Return where the local store's files lie."""
    return tmp_path / "data" / "artifacts"


@pytest.fixture
def bucket():
    """Return the URL of an object store, empty before and after."""
    yield "memory://bucket/prefix"
    fsspec.filesystem("memory").store.clear()


@pytest.fixture(params=["folder", "file", "memory"])
def store(request, folder, bucket):
    """Return a store in a folder, below a URL that is one, and in an object store."""
    return ArtifactStore({"folder": str(folder), "file": folder.as_uri(), "memory": bucket}[request.param])


def put(store, name, *chunks):
    return put_all(store, name, chunks)


def put_all(store, name, chunks):
    with store.open_writer() as writer:
        for chunk in chunks:
            assert writer.write(chunk) == len(chunk)
        writer.commit(name)
    return writer


def contents(store, name):
    with store.open_reader(name) as file:
        return file.read()


def names(store):
    """Return everything that the store holds, however new, hidden things too."""
    return store.old(than_seconds=-60)


def test_what_was_committed_is_read_back(store):
    """An artifact is the bytes written, in order, and tells their number."""
    assert not store.exists("a.zip")
    writer = put(store, "a.zip", b"one", b"", b"two" * 100_000)
    assert writer.size == 300_003
    assert store.exists("a.zip")
    assert contents(store, "a.zip") == b"one" + b"two" * 100_000
    assert names(store) == ["a.zip"]


def test_a_reader_can_seek(store):
    """A zip's directory is at its end."""
    put(store, "a.zip", b"0123456789")
    with store.open_reader("a.zip") as file:
        file.seek(-3, os.SEEK_END)
        assert file.read() == b"789"
        file.seek(2)
        assert file.read(2) == b"23"


def test_nothing_is_there_before_the_commit(store):
    """A half-written artifact has no name."""
    with store.open_writer() as writer:
        writer.write(b"half")
        writer.flush()
        assert not store.exists("a.zip")
        writer.write(b" and half")
        writer.commit("a.zip")
    assert contents(store, "a.zip") == b"half and half"


def test_what_is_not_committed_leaves_nothing(store):
    """Neither a change of mind nor a failure leaves a file."""
    put(store, "a.zip", b"kept")
    with store.open_writer() as writer:
        writer.write(b"lost")
    with pytest.raises(ZeroDivisionError):
        put_all(store, "b.zip", (b"lost" * (1 // n) for n in (1, 0)))
    with pytest.raises(ValueError, match="plain"):
        put(store, "../a.zip", b"lost")
    assert names(store) == ["a.zip"]
    assert contents(store, "a.zip") == b"kept"


def test_an_artifact_is_replaced_whole(store):
    """A second commit under a name takes the place of the first."""
    put(store, "a.zip", b"a long first one")
    put(store, "a.zip", b"second")
    assert contents(store, "a.zip") == b"second"
    assert names(store) == ["a.zip"]


def test_writers_at_once_do_not_meet(store):
    """Every upload has a place of its own until it is committed."""
    with store.open_writer() as one, store.open_writer() as two:
        one.write(b"1")
        two.write(b"2")
        two.commit("two")
        one.commit("one")
    assert (contents(store, "one"), contents(store, "two")) == (b"1", b"2")


def test_a_deleted_artifact_is_gone(store):
    """Deleting what is not there is no error, reading it is."""
    put(store, "a.zip", b"1")
    put(store, "b.zip", b"2")
    for _ in range(2):
        store.delete("a.zip")
        assert names(store) == ["b.zip"]
    with pytest.raises(FileNotFoundError):
        store.open_reader("a.zip")


@pytest.mark.parametrize("name", ["", ".", "..", "/", "a/b", "../a", "/etc/passwd", "a\\b", "..\\a", "a/"])
def test_a_name_is_a_plain_name(store, name):
    """No name leads out of the store or into a folder of it."""
    for call in (store.open_reader, store.exists, store.delete):
        with pytest.raises(ValueError, match="not a plain artifact name"):
            call(name)
    with store.open_writer() as writer, pytest.raises(ValueError, match="not a plain artifact name"):
        writer.commit(name)
    assert names(store) == []


def test_an_empty_store_has_nothing_old(store):
    """A store that nothing was ever written to has nothing to sweep."""
    assert store.old(than_seconds=0) == []
    assert store.sweep([], older_than_seconds=0) == []


@pytest.fixture
def aged(folder):
    """Return a local store whose artifacts were written so many seconds ago as their names say."""
    store = ArtifactStore(str(folder))
    for name in ("10", "3590", "3610", ".uploading-3610", "90000"):
        put(store, "new", b"x")
        written = time.time() - int(name.removeprefix(".uploading-"))
        os.utime(folder / "new", (written, written))
        (folder / "new").rename(folder / name)
    (folder / "subfolder").mkdir()
    return store


def test_a_sweep_takes_old_orphans(aged, folder):
    """What is old and unknown goes; what is new may be on its way to being known."""
    assert aged.old(than_seconds=3600) == [".uploading-3610", "3610", "90000"]
    assert aged.sweep({"90000"}, older_than_seconds=3600) == [".uploading-3610", "3610"]
    assert sorted(file.name for file in folder.iterdir()) == ["10", "3590", "90000", "subfolder"]


def test_a_sweep_never_takes_what_is_known(aged, folder):
    """However old an artifact is, a version that refers to it keeps it."""
    known = {file.name for file in folder.iterdir()}
    assert aged.sweep(known, older_than_seconds=0) == []
    assert {file.name for file in folder.iterdir()} == known


def test_an_object_store_tells_ages_too(bucket, monkeypatch):
    """Where there are no files, the age is that of the object."""
    store = ArtifactStore(bucket)
    put(store, "a.zip", b"1")
    put(store, "b.zip", b"2")
    assert store.sweep([], older_than_seconds=3600) == []
    now = time.time()
    monkeypatch.setattr(artifacts.time, "time", lambda: now + 3700)
    assert store.sweep(["a.zip"], older_than_seconds=3600) == ["b.zip"]
    assert contents(store, "a.zip") == b"1"


def test_nobody_else_on_the_machine_reads_a_package(folder):
    """Folder and files are their owner's from the first byte on, whatever the umask."""
    before = os.umask(0)
    try:
        store = ArtifactStore(str(folder))
        with store.open_writer() as writer:
            (upload,) = folder.iterdir()
            assert stat.S_IMODE(upload.stat().st_mode) == 0o600
            writer.write(b"1")
            writer.commit("a.zip")
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "a.zip").stat().st_mode) == 0o600


def test_a_store_is_opened_again(folder):
    """Artifacts outlive the store that wrote them."""
    put(ArtifactStore(str(folder)), "a.zip", b"1")
    assert contents(ArtifactStore(str(folder)), "a.zip") == b"1"


def test_bytes_are_lasting_before_the_name_is(folder, monkeypatch):
    """First the file is synced, whole; then it gets its name; then the folder is synced."""
    store, events = ArtifactStore(str(folder)), []
    fsync, replace = os.fsync, os.replace

    def sync(descriptor):
        found = os.fstat(descriptor)
        events.append(("fsync", found.st_ino, None if stat.S_ISDIR(found.st_mode) else found.st_size))
        fsync(descriptor)

    def rename(source, target):
        events.append(("replace", os.stat(source).st_ino, os.path.basename(target)))  # noqa: PTH116, PTH119
        replace(source, target)

    with store.open_writer() as writer:
        writer.write(b"x" * 100)  # so few that they wait in a buffer
        (file,) = [entry.stat().st_ino for entry in folder.iterdir()]
        monkeypatch.setattr(os, "fsync", sync)
        monkeypatch.setattr(os, "replace", rename)
        writer.commit("a.zip")
        monkeypatch.undo()
    assert events == [
        ("fsync", file, 100),
        ("replace", file, "a.zip"),
        ("fsync", folder.stat().st_ino, None),
    ]
    assert (folder / "a.zip").stat().st_ino == file


def test_a_sync_that_fails_makes_no_artifact(folder, monkeypatch):
    """When the disk refuses, the caller learns it and nothing is left."""
    store = ArtifactStore(str(folder))

    def refuse(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageFull, match="no room"):
        put(store, "a.zip", b"1")
    assert list(folder.iterdir()) == []
