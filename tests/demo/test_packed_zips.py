"""Packed packages after an accident, or from somebody who wishes ill."""

import io
import tracemalloc
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maas_client._package import open_package
from maas_client.errors import PackageError


@pytest.fixture(scope="module")
def zipped(built):
    return built[0].package


@pytest.fixture(scope="module")
def digest(zipped):
    with open_package(io.BytesIO(zipped)) as package:
        return package.digest


@pytest.fixture(params=["memory", "file"])
def opened(request, tmp_path):
    """Open bytes as a package, from memory and from a file: the two fail in different ways."""

    def open_bytes(content):
        if request.param == "memory":
            return open_package(io.BytesIO(content))
        (tmp_path / "package.zip").write_bytes(content)
        return open_package(tmp_path / "package.zip")

    return open_bytes


def test_a_changed_byte_is_noticed_or_changes_nothing(zipped, digest, opened):
    """Anywhere in the zip: the package is refused as such, or it is the same package."""
    refused = 0
    for position in [*range(0, len(zipped) - 200, 17), *range(len(zipped) - 200, len(zipped))]:
        damaged = bytearray(zipped)
        damaged[position] ^= 0xFF
        try:
            with opened(bytes(damaged)) as package:
                assert package.digest == digest, position
        except PackageError:
            refused += 1
    assert refused > 100


@given(st.floats(0, 1, exclude_max=True))
@settings(deadline=None)
def test_a_cut_zip_is_refused(zipped, share):
    """A zip without its end is no zip."""
    with (
        pytest.raises(PackageError, match="neither a folder nor a readable zip"),
        open_package(io.BytesIO(zipped[: int(share * len(zipped))])),
    ):
        pass


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_only_deflate_is_unpacked(zipped, method):
    """Other methods unpack whole whatever was declared, so a few bytes would take gigabytes of memory."""
    bomb = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(zipped)) as source, zipfile.ZipFile(bomb, "w", method) as target:
        target.writestr("maas.toml", source.read("maas.toml"))
        target.writestr("model.onnx", bytes(32 * 2**20))
    tracemalloc.start()
    try:
        with (
            pytest.raises(PackageError, match=r"'maas.toml' is not compressed by deflate"),
            open_package(bomb),
        ):
            pass
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_what_goes_wrong_while_it_is_open_is_not_the_packages_fault(zipped):
    """An error of whoever uses an open package passes as it is."""
    with pytest.raises(zipfile.BadZipFile, match="another one"), open_package(io.BytesIO(zipped)):
        raise zipfile.BadZipFile("another one")
