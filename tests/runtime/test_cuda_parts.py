"""What is missing for CUDA, part by part; libraries that this machine lacks are stood in for."""

import ctypes
import sys

import onnxruntime as ort
import pytest

from reference_server.runtime import cuda_parts
from reference_server.runtime.cuda_parts import CUDA_PROVIDER, DriverError, driver, examine, missing

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the libraries' names are those of Linux")


class Driver:
    """Answers as libcuda does."""

    def __init__(self, *, version=13000, cards=("NVIDIA H100",), fails_with=0):
        self._version, self._cards, self._fails_with = version, cards, fails_with

    def cuInit(self, flags):  # noqa: N802 - the names are the driver's
        return self._fails_with

    def cuDriverGetVersion(self, version):  # noqa: N802
        version._obj.value = self._version
        return 0

    def cuDeviceGetCount(self, count):  # noqa: N802
        count._obj.value = len(self._cards)
        return 0

    def cuDeviceGet(self, device, number):  # noqa: N802
        device._obj.value = number
        return 0

    def cuDeviceGetName(self, name, size, device):  # noqa: N802
        name.value = self._cards[device.value].encode()
        return 0

    def cuGetErrorString(self, status, text):  # noqa: N802
        text._obj.value = b"no CUDA-capable device is detected"
        return 0


@pytest.fixture
def gpu_wheel(monkeypatch):
    """Make ONNX Runtime say what its GPU wheel says; nothing is loaded."""
    monkeypatch.setattr(ort, "get_available_providers", lambda: [CUDA_PROVIDER, "CPUExecutionProvider"])
    monkeypatch.setattr(ort, "cuda_version", "13.0")
    monkeypatch.setattr(ort, "preload_dlls", lambda: sys.stdout.write("Failed to load\n"))


def loader(*absent, driver=None):
    """Return what loads every library but some."""

    def load(name):
        if any(name.startswith(each) for each in absent):
            raise OSError(f"{name}: cannot open shared object file: No such file or directory")
        return driver or Driver()

    return load


def lacks(load, devices=(0,)):
    return {part.name: part for part in examine(devices, load=load) if part.is_missing}


@pytest.mark.usefixtures("gpu_wheel")
def test_a_whole_set_up_lacks_nothing(capsys):
    """Each part is found and told, and ONNX Runtime's own complaints are not printed."""
    parts = examine([0], load=loader())
    assert [part.name for part in parts] == ["ONNX Runtime", "NVIDIA driver", "CUDA 13", "cuDNN 9"]
    assert not any(part.is_missing for part in parts)
    assert parts[1].told == "for CUDA 13.0, with 0: NVIDIA H100"
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("gpu_wheel")
@pytest.mark.parametrize(
    ("absent", "part", "told"),
    [
        ("libcuda.so.1", "NVIDIA driver", "libcuda.so.1 cannot be loaded (cannot open shared object file"),
        ("libcudart", "CUDA 13", "cannot load libcudart.so.13 (cannot open"),
        ("libcublas", "CUDA 13", "libcublas.so.13"),
        ("libcurand", "CUDA 13", "libcurand.so.10"),
        ("libcudnn", "cuDNN 9", "libcudnn.so.9"),
    ],
)
def test_the_library_that_cannot_be_loaded_is_named(absent, part, told):
    """One part is missing, by its own name, with the loader's reason and what to do."""
    found = lacks(loader(absent))
    assert list(found) == [part]
    assert told in found[part].told
    assert "install" in found[part].remedy


@pytest.mark.usefixtures("gpu_wheel")
@pytest.mark.parametrize(
    ("card", "devices", "told", "remedy"),
    [
        (Driver(version=12080), [0], "for CUDA 12.8, with 0: NVIDIA H100, is too old for CUDA 13", "580"),
        (Driver(fails_with=100), [0], "cuInit fails with 100: no CUDA-capable device", "--gpus all"),
        (Driver(cards=()), [0], "with no GPU, shows no GPU 0", "cuda_devices"),
        (Driver(), [0, 1, 3], "shows no GPU 1 and 3", "cuda_devices"),
        (Driver(), [-1], "shows no GPU -1", "cuda_devices"),
    ],
)
def test_a_driver_that_does_not_do_says_why(card, devices, told, remedy):
    """Too old, without a card, or without the one that is asked for."""
    (part,) = lacks(loader(driver=card), devices).values()
    assert told in part.told
    assert remedy in part.remedy


@pytest.mark.usefixtures("gpu_wheel")
def test_libraries_are_those_that_onnx_runtime_was_built_for(monkeypatch):
    """A wheel for CUDA 12 needs CUDA 12."""
    monkeypatch.setattr(ort, "cuda_version", "12.8")
    found = lacks(loader("libcudart", driver=Driver(version=12080)))
    assert list(found) == ["CUDA 12"]
    assert "libcudart.so.12" in found["CUDA 12"].told


@pytest.mark.skipif(CUDA_PROVIDER in ort.get_available_providers(), reason="the GPU wheel is installed")
def test_with_the_cpu_wheel_the_wheel_is_missing():
    """Its extras bring the libraries, so these are not looked for; the driver is."""
    assert list(lacks(loader("libcudart", "libcudnn"))) == ["ONNX Runtime"]
    assert list(lacks(loader("libcuda.so.1"))) == ["ONNX Runtime", "NVIDIA driver"]
    told = missing([0])
    assert "without CUDAExecutionProvider" in told
    assert "maas-client[server-gpu]" in told


def test_a_library_that_is_none_is_told(tmp_path):
    """A broken file is as good as none, and the loader's reason says that it is broken."""
    broken = tmp_path / "libcuda.so.1"
    broken.write_bytes(b"no library")
    with pytest.raises(DriverError, match=r"file too short|invalid ELF header"):
        driver(load=lambda name: ctypes.CDLL(str(broken)))


def test_the_version_is_that_of_the_wheel_where_it_says_one(monkeypatch):
    """The CPU wheel names none: what `server-gpu` would install counts."""
    monkeypatch.delattr(ort, "cuda_version", raising=False)
    assert cuda_parts.cuda_major() == 13
