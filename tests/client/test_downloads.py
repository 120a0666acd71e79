from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise

import pytest

from maas_client import AsyncClient, _async_transport, _transport, errors
from maas_client._package import open_package, write_zip

KEY = "maas_key_0123456789abcdefghijklmnopqrstuvwxyz"
FILE = "words-3.zip"
SIZE = 300_000


@pytest.fixture(scope="module")
def package(tmp_path_factory, text_package):
    """Return the zip of a package of more than some reads, and its content digest."""
    folder = tmp_path_factory.mktemp("packages") / "long"
    folder.mkdir()
    for file in text_package.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "README.md").write_bytes(base64.b64encode(hashlib.shake_128(b"x").digest(SIZE)))
    target = io.BytesIO()
    with open_package(folder) as opened:
        write_zip(opened, target)
        return target.getvalue(), opened.digest


class Shelf(ThreadingHTTPServer):
    """Serves one package with ranges, and misbehaves as it is told.

    Args:
        content: What it serves.
        digest: The content digest of its version.
    """

    daemon_threads = True
    ranges = True
    etag = True
    compressed = False
    wrong_range = False
    told_sha256 = None

    def __init__(self, content, digest):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content, self.digest = content, digest
        # After how many bytes of the body the next answers are cut off; a status for a failure instead.
        self.cuts = []
        self.asked = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        """Say nothing of clients that leave."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        if self.path.endswith("/package"):
            self.server.asked.append(dict(self.headers))
            self._package()
        else:
            self._reply(200, json.dumps(version(self.server)).encode(), {})

    def _package(self):
        shelf = self.server
        cut = shelf.cuts.pop(0) if shelf.cuts else None
        if cut in (403, 503):
            error = {"error": {"type": "t", "code": "c", "message": "No.", "param": None}}
            self._reply(cut, json.dumps(error).encode(), {"retry-after-ms": "1"})
            return
        content, etag = shelf.content, f'"{hashlib.sha256(shelf.content).hexdigest()}"'
        sha256 = shelf.told_sha256 or hashlib.sha256(content).digest()
        headers = {"Content-Type": "application/zip"}
        headers["Repr-Digest"] = f"sha-256=:{base64.b64encode(sha256).decode()}:"
        headers |= {"ETag": etag} if shelf.etag else {}
        headers |= {"Content-Encoding": "gzip"} if shelf.compressed else {}
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if found and shelf.ranges and self.headers.get("If-Range") == etag:
            first = int(found[1]) + shelf.wrong_range
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
            self._reply(206, content[first:], headers, cut)
        else:
            self._reply(200, content, headers, cut)

    def _reply(self, status, body, headers, cut=None):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[:cut])
        if cut is not None:
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_):
        pass


def version(shelf):
    return {
        "model": "words",
        "version": 3,
        "digest": shelf.digest,
        "task": "text-classification",
        "size": len(shelf.content),
        "author": "ada",
        "created_at": "2026-01-01T00:00:00Z",
        "manifest": {"task": "t", "description": "d", "license": "MIT", "example": {"text": "x"}},
        "signature": {"inputs": [], "outputs": []},
        "tensors": {"inputs": [], "outputs": []},
    }


@pytest.fixture
def shelf(package):
    with Shelf(*package) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def download(shelf, face, ask, tmp_path, monkeypatch):
    """Download with a client of either face, without waits between attempts."""

    async def no_sleep(_):
        pass

    monkeypatch.setattr(_transport.time, "sleep", lambda _: None)
    if face is AsyncClient:
        monkeypatch.setattr(_async_transport.asyncio, "sleep", no_sleep)

    def make(path=tmp_path, *, max_retries=2, **options):
        client = face(KEY, shelf.url, proxies={}, max_retries=max_retries)
        return ask(client, lambda client: client.model("words").versions.download("latest", path, **options))

    return make


def left_in(folder):
    return sorted(file.name for file in folder.iterdir())


def test_a_package_comes_whole_under_its_name(download, shelf, tmp_path):
    """In a folder it is called by model and version, and nothing else is left there."""
    target = download()
    assert target == tmp_path / FILE
    assert target.read_bytes() == shelf.content
    assert left_in(tmp_path) == [FILE]
    (asked,) = shelf.asked
    assert asked["Accept-Encoding"] == "identity"
    assert "Range" not in asked


def test_a_file_can_be_named(download, shelf, tmp_path):
    """A path that is no folder is the file's own."""
    assert download(str(tmp_path / "own.zip")) == tmp_path / "own.zip"
    assert (tmp_path / "own.zip").read_bytes() == shelf.content


def test_an_attempt_goes_on_where_the_last_was_cut_off(download, shelf):
    """No byte but one is asked for twice, and attempts that bring something are not counted."""
    shelf.cuts = [70_000, 1000, 20_000, 90_000, 50]
    assert download().read_bytes() == shelf.content
    starts = [int(re.fullmatch(r"bytes=(\d+)-", asked["Range"])[1]) for asked in shelf.asked[1:]]
    assert starts == [69_999, 70_998, 90_997, 180_996, 181_045]
    assert {asked["If-Range"] for asked in shelf.asked[1:]} == {
        f'"{hashlib.sha256(shelf.content).hexdigest()}"'
    }


def test_attempts_that_bring_nothing_are_counted(download, shelf, tmp_path):
    """After the last of them the error is raised; what is there stays for the next call."""
    shelf.cuts = [70_000, 0, 1, 0, 0]
    with pytest.raises(errors.DroppedError):
        download()
    assert len(shelf.asked) == 3
    assert left_in(tmp_path) == [f"{FILE}.part", f"{FILE}.part.etag"]
    shelf.cuts = []
    assert download().read_bytes() == shelf.content
    assert shelf.asked[-1]["Range"] == "bytes=69999-"
    assert left_in(tmp_path) == [FILE]


def test_no_retries_means_one_attempt(download, shelf):
    """However much it brought."""
    shelf.cuts = [70_000]
    with pytest.raises(errors.DroppedError):
        download(max_retries=0)
    assert len(shelf.asked) == 1


def test_a_busy_server_is_asked_again(download, shelf):
    """A failure's body goes into the error and not into the file."""
    shelf.cuts = [503, 503]
    assert download().read_bytes() == shelf.content


def test_a_refusal_leaves_nothing(download, shelf, tmp_path):
    """What may not be downloaded is a typed error, and no file of it stays."""
    shelf.cuts = [403]
    with pytest.raises(errors.PermissionDeniedError, match="No"):
        download()
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("left", [1, 2, None])
def test_what_is_complete_but_not_renamed_is_finished(download, shelf, tmp_path, left):
    """A program that ended before the last step, or before the last bytes, has lost nothing."""
    size = left or len(shelf.content)
    (tmp_path / f"{FILE}.part").write_bytes(shelf.content[:size])
    (tmp_path / f"{FILE}.part.etag").write_text(f'"{hashlib.sha256(shelf.content).hexdigest()}"')
    assert download().read_bytes() == shelf.content
    assert shelf.asked[0]["Range"] == f"bytes={size - 1}-"


@pytest.mark.parametrize("etag", ['"of-another"', 'W/"weak"', "no etag", '"a"\r\nX: y', "\u00e4", ""])
def test_what_belongs_to_something_else_is_begun_anew(download, shelf, tmp_path, etag):
    """Bytes of another content, or of one that nobody can tell, are never mixed with these."""
    (tmp_path / f"{FILE}.part").write_bytes(b"of another content" * 100_000)
    (tmp_path / f"{FILE}.part.etag").write_bytes(etag.encode())
    assert download().read_bytes() == shelf.content
    assert shelf.asked[0].get("If-Range") == (etag if etag == '"of-another"' else None)


@pytest.mark.parametrize("lacks", ["ranges", "etag"])
def test_a_server_without_ranges_sends_the_whole_again(download, shelf, lacks):
    """Then a cut costs what came before it, and nothing else."""
    setattr(shelf, lacks, False)
    shelf.cuts = [70_000]
    assert download().read_bytes() == shelf.content
    assert len(shelf.asked) == 2


def test_a_package_that_changes_meanwhile_is_begun_anew(download, shelf, package, tmp_path):
    """`If-Range` makes the server send the whole of what it has now."""
    other = package[0][:100]
    shelf.content, shelf.cuts = other, [50]
    with pytest.raises(errors.DroppedError):
        download(max_retries=0)
    shelf.content = package[0]
    assert download().read_bytes() == package[0]


def test_damage_on_the_way_is_found_and_deleted(download, shelf, tmp_path):
    """A sha256 that does not fit leaves no file, neither whole nor part."""
    shelf.told_sha256 = bytes(32)
    with pytest.raises(errors.InvalidReplyError, match="damaged on the way"):
        download()
    assert left_in(tmp_path) == []


def test_a_part_that_was_tampered_with_is_found(download, shelf, tmp_path):
    """What lay on the disk is held against the sha256 too."""
    (tmp_path / f"{FILE}.part").write_bytes(b"?" + shelf.content[1:1000])
    (tmp_path / f"{FILE}.part.etag").write_text(f'"{hashlib.sha256(shelf.content).hexdigest()}"')
    with pytest.raises(errors.InvalidReplyError, match="damaged on the way"):
        download()
    assert left_in(tmp_path) == []
    assert download().read_bytes() == shelf.content


def test_another_versions_content_is_found(download, shelf, tmp_path):
    """The content digest must be the version's, whatever sha256 the server tells."""
    shelf.digest = "sha256:" + "0" * 64
    with pytest.raises(errors.InvalidReplyError, match="that of the version sha256:000"):
        download()
    assert left_in(tmp_path) == []


def test_what_is_no_zip_is_found(download, shelf, tmp_path):
    """An intact file that is no package is none."""
    shelf.content = b"<html>" * 100
    with pytest.raises(errors.InvalidReplyError, match="no package"):
        download()
    assert left_in(tmp_path) == []


def test_a_range_that_was_not_asked_for_is_refused(download, shelf):
    """Bytes from another place would leave a hole."""
    shelf.wrong_range, shelf.cuts = True, [70_000]
    with pytest.raises(errors.InvalidReplyError, match="not the range"):
        download()


def test_a_compressed_answer_is_refused(download, shelf):
    """Ranges count the bytes as they are stored."""
    shelf.compressed = True
    with pytest.raises(errors.InvalidReplyError, match="compressed"):
        download()


def test_a_file_that_is_there_is_not_replaced_unasked(download, shelf, tmp_path):
    """Only `overwrite=True` does that."""
    (tmp_path / FILE).write_text("mine")
    with pytest.raises(errors.ArgumentError, match="ask to overwrite it"):
        download()
    assert (tmp_path / FILE).read_text() == "mine"
    assert shelf.asked == []
    assert download(overwrite=True).read_bytes() == shelf.content


@pytest.mark.parametrize("path", ["no/such/folder/x.zip", "nothing/"])
def test_a_folder_that_is_not_there_is_named(download, tmp_path, path):
    """Nothing is downloaded that has no place."""
    with pytest.raises(errors.ArgumentError, match="no folder"):
        download(f"{tmp_path}/{path}")


def test_what_cannot_be_written_is_said(download, tmp_path):
    """The system's own reason is told, and no attempt is repeated."""
    (tmp_path / f"{FILE}.part").mkdir()
    with pytest.raises(errors.ArgumentError, match="cannot be written"):
        download()


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such locks")
def test_two_downloads_do_not_write_one_file(download, shelf, tmp_path):
    """The second is told so, and leaves what the first has."""
    import fcntl

    part = tmp_path / f"{FILE}.part"
    with part.open("wb") as first:
        first.write(shelf.content[:1000])
        first.flush()
        fcntl.flock(first, fcntl.LOCK_EX)
        with pytest.raises(errors.ArgumentError, match="another download writes"):
            download()
        assert part.read_bytes() == shelf.content[:1000]
    assert download().read_bytes() == shelf.content


def test_a_full_disk_is_no_broken_connection(download, shelf, monkeypatch):
    """It is told as what it is, once."""
    monkeypatch.setattr("maas_client._downloads.os.fsync", _no_space)
    with pytest.raises(errors.ArgumentError, match="No space left"):
        download()
    assert len(shelf.asked) == 1


def _no_space(_):
    raise OSError(28, "No space left on device")


def test_a_function_sees_the_progress(download, shelf):
    """The bytes done grow to the total over every cut."""
    seen = []
    shelf.cuts = [70_000, 90_000]
    download(progress=lambda done, total: seen.append((done, total)))
    assert all(before[0] < after[0] for before, after in pairwise(seen))
    assert seen[-1] == (len(shelf.content), len(shelf.content))


def test_progress_goes_on_from_what_was_there(download, shelf, tmp_path):
    """A resumed download does not begin at nothing."""
    shelf.cuts = [70_000]
    with pytest.raises(errors.DroppedError):
        download(max_retries=0)
    seen = []
    download(progress=lambda done, total: seen.append(done))
    assert seen[0] > 70_000
    assert seen[-1] == len(shelf.content)


def test_a_failing_function_ends_the_download_as_it_is(download, shelf):
    """Its own error comes through, even one that looks like a broken connection."""

    def fail(done, total):
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        download(progress=fail)
    assert len(shelf.asked) == 1


def test_the_timeout_covers_every_part_of_it(download, shelf, monkeypatch):
    """Asking for the version, the attempts and the body share one budget."""
    monkeypatch.setattr(_Handler, "_package", lambda self: time.sleep(0.6))
    started = time.monotonic()
    with pytest.raises(errors.DeadlineError, match=r"0\.3 s"):
        download(timeout=0.3)
    assert time.monotonic() - started < 0.6


def test_a_bar_shows_the_progress(download, shelf, capsys):
    """`progress=True` draws on standard error, in bytes, under the file's name."""
    download(progress=True)
    shown = capsys.readouterr().err
    assert FILE in shown
    assert "100%" in shown


def test_progress_of_another_kind_is_refused_at_once(download, shelf):
    """Before anything is asked of the server."""
    with pytest.raises(errors.ArgumentError, match="progress is 'yes'"):
        download(progress="yes")
    assert shelf.asked == []


def test_a_bar_without_tqdm_names_the_extra(download, shelf, monkeypatch):
    """Before anything is asked of the server."""
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ModuleNotFoundError, match=r"maas-client\[progress\]"):
        download(progress=True)
    assert shelf.asked == []
