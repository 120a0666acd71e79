import hashlib
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import platformdirs
import pytest

from reference_server import downloads

FILE = "toy-1.0-py3-none-any.whl"


@pytest.fixture
def wheel(make_wheel):
    return make_wheel("toy", "1.0", {"toy/model.onnx": bytes(range(256)) * 400})


@pytest.fixture
def toy(wheel, offline_cache):
    """A distribution that no index has yet."""
    sha256 = hashlib.sha256(wheel).hexdigest()
    return downloads.Distribution("toy==1.0", FILE, sha256, len(wheel), downloads.WHEEL)


class TestFetching:
    def test_a_wheel_is_fetched_once(self, toy, wheel, index, offline_cache):
        """Pip brings it, its bytes are the index's, and the second call needs no index."""
        (index / FILE).write_bytes(wheel)
        path = downloads.fetch(toy)
        assert path == offline_cache / "downloads" / FILE
        assert path.read_bytes() == wheel
        (index / FILE).unlink()
        assert downloads.fetch(toy) == path

    def test_what_lies_in_the_cache_does_as_well(self, toy, wheel, offline_cache):
        """A copy that somebody has put there needs no pip, if it is the right one."""
        assert downloads.cached(toy) is None
        downloads.write_atomically(offline_cache / "downloads" / FILE, wheel)
        assert downloads.fetch(toy) == downloads.cached(toy) == offline_cache / "downloads" / FILE

    def test_another_wheel_of_that_name_is_refused(self, toy, make_wheel, index, offline_cache):
        """The sha256 decides: nothing of a wheel with another one is kept."""
        (index / FILE).write_bytes(make_wheel("toy", "1.0", {"toy/model.onnx": b"other"}))
        with pytest.raises(downloads.DownloadError, match="has another sha256 than the pinned") as caught:
            downloads.fetch(toy)
        assert toy.sha256 in str(caught.value)
        assert not isinstance(caught.value, downloads.IndexUnreachable)
        assert not offline_cache.exists()

    def test_a_damaged_copy_is_replaced(self, toy, wheel, index, offline_cache):
        """One byte off counts as missing, and is mended."""
        (index / FILE).write_bytes(wheel)
        downloads.write_atomically(offline_cache / "downloads" / FILE, wheel[:-1] + b"?")
        assert downloads.fetch(toy).read_bytes() == wheel

    def test_without_an_index_the_error_says_what_to_do(self, toy, offline_cache):
        """It is told from other failures, and names the file and the folder that would help."""
        with pytest.raises(downloads.IndexUnreachable, match=r"is there a\s+network\?") as caught:
            downloads.fetch(toy)
        assert FILE in str(caught.value)
        assert str(offline_cache / "downloads") in str(caught.value)

    def test_a_wheel_of_another_file_name_is_refused(self, toy, wheel, index):
        """What is pinned is the file, not just its content."""
        (index / FILE).write_bytes(wheel)
        other = downloads.Distribution(toy.requirement, "toy-1.0.zip", toy.sha256, toy.size, toy.options)
        with pytest.raises(downloads.DownloadError, match=r"another file than toy-1.0.zip"):
            downloads.fetch(other)

    def test_a_cache_that_cannot_be_written_is_named(self, toy, wheel, index, offline_cache):
        """Where the cache's folder is a file, the error says so."""
        (index / FILE).write_bytes(wheel)
        offline_cache.write_text("in the way")
        with pytest.raises(downloads.DownloadError, match="cannot be written"):
            downloads.fetch(toy)

    def test_an_environment_without_pip_is_told_how_to_get_it(self, toy, monkeypatch, tmp_path):
        """An interpreter that has no pip is no network problem."""
        bare = tmp_path / "bare"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
        monkeypatch.setattr(sys, "executable", str(bare / "bin" / "python"))
        with pytest.raises(downloads.DownloadError, match="ensurepip"):
            downloads.fetch(toy)

    def test_progress_is_told_while_it_arrives(self, toy, monkeypatch, tmp_path):
        """It is the size of what has arrived, and never falls; here a stand-in for pip writes 3,000 bytes."""
        slow = tmp_path / "python"
        part = '"$TMPDIR/part.whl"'
        steps = (f"head -c 3000 /dev/zero > {part}", "sleep 0.5", f"rm {part}", "sleep 0.3", "exit 1")
        slow.write_text("\n".join(["#!/bin/sh", *steps, ""]))
        slow.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(slow))
        told = []
        with pytest.raises(downloads.DownloadError, match="pip failed: it said nothing"):
            downloads.fetch(toy, progress=told.append)
        assert told[-1] == 3000
        assert told == sorted(told)

    def test_folders_that_vanish_meanwhile_do_not_matter(self, tmp_path):
        """What pip makes and removes is no error while its progress is watched."""
        stop = threading.Event()

        def come_and_go():
            while not stop.is_set():
                (tmp_path / "a" / "b").mkdir(parents=True)
                (tmp_path / "a" / "b" / "c").write_bytes(b"12345")
                shutil.rmtree(tmp_path / "a")

        thread = threading.Thread(target=come_and_go)
        thread.start()
        try:
            assert {downloads._largest_in(tmp_path) for _ in range(3000)} <= {0, 5}
        finally:
            stop.set()
            thread.join()

    def test_pip_is_ended_when_it_takes_too_long(self, toy, monkeypatch, tmp_path):
        """Past the time that a slow line would need, it is killed and the time is named."""
        monkeypatch.setattr(downloads, "_LEAST_SECONDS", 0)
        monkeypatch.setattr(downloads, "_SLOWEST_BYTES_PER_SECOND", toy.size)
        hanging = tmp_path / "python"
        hanging.write_text("#!/bin/sh\nexec sleep 30\n")
        hanging.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(hanging))
        with pytest.raises(downloads.DownloadError, match="longer than 1 s"):
            downloads.fetch(toy)


class TestCacheFolder:
    def test_the_variable_names_it(self, offline_cache):
        """`MAAS_CACHE_DIR` decides."""
        assert downloads.cache_dir() == offline_cache

    @pytest.mark.parametrize("value", [None, ""])
    def test_without_the_variable_it_is_the_users_own(self, offline_cache, monkeypatch, value):
        """Unset or empty, it is the platform's cache folder."""
        monkeypatch.delenv("MAAS_CACHE_DIR")
        if value is not None:
            monkeypatch.setenv("MAAS_CACHE_DIR", value)
        assert downloads.cache_dir() == Path(platformdirs.user_cache_dir("maas"))


class TestAtomicWrites:
    def test_folders_are_made_and_contents_replaced(self, tmp_path):
        """A write makes what leads to it, and a second one replaces the first."""
        path = tmp_path / "a" / "b" / "file"
        downloads.write_atomically(path, b"one")
        downloads.write_atomically(path, b"two")
        assert path.read_bytes() == b"two"
        assert list(path.parent.iterdir()) == [path]

    def test_writers_at_the_same_time_leave_one_whole_file(self, tmp_path):
        """A reader meets the file of one writer or of another, never a mixture or a part."""
        path, size, stop = tmp_path / "file", 200_000, threading.Event()
        downloads.write_atomically(path, b"0" * size)
        seen = []

        def write(digit):
            for _ in range(20):
                downloads.write_atomically(path, digit * size)

        def read():
            while not stop.is_set():
                content = path.read_bytes()
                seen.append((len(content), len(set(content))))

        reader = threading.Thread(target=read)
        writers = [threading.Thread(target=write, args=(digit,)) for digit in (b"1", b"2", b"3", b"4")]
        for thread in (reader, *writers):
            thread.start()
        for thread in writers:
            thread.join()
        stop.set()
        reader.join()
        assert set(seen) == {(size, 1)}
        assert list(tmp_path.iterdir()) == [path]

    def test_a_failed_write_leaves_nothing(self, tmp_path):
        """Where a folder stands in the way, the folder stays and no temporary file is left."""
        path = tmp_path / "taken"
        (path / "inside").mkdir(parents=True)
        with pytest.raises(OSError, match="taken"):
            downloads.write_atomically(path, b"content")
        assert list(tmp_path.iterdir()) == [path]
        assert [entry.name for entry in path.iterdir()] == ["inside"]
