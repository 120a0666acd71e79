"""What CUDA needs on a machine, part by part: the wheel, the driver, CUDA's libraries, cuDNN.

ONNX Runtime only says that a session fell back to the CPU; which library it could not load is in its log at
best. So each is loaded here by its name, and the driver is asked through its own API (NVIDIA, "CUDA Driver
API"): its version and its devices.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import onnxruntime as ort

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Load: TypeAlias = Callable[[str], Any]

CUDA_PROVIDER = "CUDAExecutionProvider"

INSTALL = (
    "in a fresh environment, install 'maas-client[server-gpu]' (Linux or Windows on x86-64) and nothing that "
    "brings the plain onnxruntime"
)
_DEFAULT_MAJOR = 13
_MOST_NAME_BYTES = 128
# The first driver of each CUDA version (NVIDIA, "CUDA Toolkit Release Notes", table of drivers).
_DRIVERS = {12: 525, 13: 580}


@dataclass(frozen=True, slots=True)
class Part:
    """Something that CUDA needs.

    Args:
        name: What it is called: `NVIDIA driver`.
        told: What was found, or why it cannot be used.
        remedy: What to do about it; empty where nothing is missing.
    """

    name: str
    told: str
    remedy: str = ""

    @property
    def is_missing(self) -> bool:
        """Whether CUDA cannot run for want of it."""
        return bool(self.remedy)


@dataclass(frozen=True, slots=True)
class Driver:
    """The NVIDIA driver, as it answers.

    Args:
        version: The newest CUDA that it runs, such as `(13, 0)`.
        devices: The names of the GPUs that it shows, by their number.
    """

    version: tuple[int, int]
    devices: tuple[str, ...]


class DriverError(Exception):
    """There is no driver, or it does not work; the message says which."""


def examine(devices: Sequence[int], *, load: Load = ctypes.CDLL) -> list[Part]:
    """Look for each part that CUDA needs.

    Args:
        devices: The numbers of the GPUs that are to be used.
        load: Loads a library by its name.
    """
    parts = [_wheel(), _driver(devices, load)]
    if not parts[0].is_missing:  # the wheel's extras bring them
        preload()
        parts += _libraries(load)
    return parts


def missing(devices: Sequence[int]) -> str:
    """Return what CUDA lacks here and what to do about it, on one line; empty where nothing is missing."""
    lacks = [part for part in examine(devices) if part.is_missing]
    return "; ".join(f"{part.name}: {part.told}: {part.remedy}" for part in lacks)


def preload() -> None:
    """Load CUDA and cuDNN from the packages that pip installed, where they are.

    ONNX Runtime prints what it cannot load, which is no place for it: `examine` tells it.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        ort.preload_dlls()


def cuda_major() -> int:
    """Return the CUDA version that this ONNX Runtime is built for, such as 13."""
    major = str(getattr(ort, "cuda_version", "")).partition(".")[0]
    return int(major) if major.isdigit() else _DEFAULT_MAJOR


def driver(*, load: Load = ctypes.CDLL) -> Driver:
    """Ask the driver for its version and its GPUs.

    Raises:
        DriverError: It is not there, or it refuses.
    """
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        library = load(name)
    except OSError as error:
        raise DriverError(f"{name} cannot be loaded ({_reason(error, name)})") from error
    version, count = ctypes.c_int(), ctypes.c_int()
    _call(library, "cuInit", 0)
    _call(library, "cuDriverGetVersion", ctypes.byref(version))
    _call(library, "cuDeviceGetCount", ctypes.byref(count))
    names = tuple(_device_name(library, number) for number in range(count.value))
    return Driver((version.value // 1000, version.value % 1000 // 10), names)


def runtime_library() -> str:
    """Return the file name of CUDA's runtime library for this ONNX Runtime."""
    major = cuda_major()
    return f"cudart64_{major}.dll" if sys.platform == "win32" else f"libcudart.so.{major}"


def _wheel() -> Part:
    if CUDA_PROVIDER in ort.get_available_providers():
        return Part("ONNX Runtime", f"{ort.__version__}, with {CUDA_PROVIDER}")
    return Part("ONNX Runtime", f"{ort.__version__}, without {CUDA_PROVIDER}", INSTALL)


def _driver(devices: Sequence[int], load: Load) -> Part:
    name, major = "NVIDIA driver", cuda_major()
    newer = f"install NVIDIA's driver {_DRIVERS.get(major, _DRIVERS[13])} or newer, for CUDA {major}"
    try:
        found = driver(load=load)
    except DriverError as error:
        return Part(name, str(error), f"{newer}; in a container, give it the GPU (docker run --gpus all)")
    shown = ", ".join(f"{number}: {card}" for number, card in enumerate(found.devices))
    told = f"for CUDA {found.version[0]}.{found.version[1]}, with {shown or 'no GPU'}"
    if found.version[0] < major:
        return Part(name, f"{told}, is too old for CUDA {major}", newer)
    if absent := [number for number in devices if not 0 <= number < len(found.devices)]:
        numbers = " and ".join(map(str, absent))
        return Part(name, f"{told}, shows no GPU {numbers}", "name others in cuda_devices")
    return Part(name, told)


def _libraries(load: Load) -> Iterator[Part]:
    major = cuda_major()
    extras = f"install 'onnxruntime-gpu[cuda,cudnn]', or CUDA {major} and cuDNN 9 where the loader looks"
    yield _loaded(f"CUDA {major}", [runtime_library(), *_cuda_files(major)], extras, load)
    cudnn = "cudnn64_9.dll" if sys.platform == "win32" else "libcudnn.so.9"
    yield _loaded("cuDNN 9", [cudnn], extras, load)


def _cuda_files(major: int) -> list[str]:
    # What libonnxruntime_providers_cuda is linked with; cuFFT and NVRTC it loads where a model needs them.
    if sys.platform == "win32":
        return [f"cublasLt64_{major}.dll", f"cublas64_{major}.dll"]
    return [f"libcublasLt.so.{major}", f"libcublas.so.{major}", "libcurand.so.10"]


def _loaded(name: str, files: list[str], remedy: str, load: Load) -> Part:
    reasons = {}
    for file in files:
        try:
            load(file)
        except OSError as error:
            reasons[file] = _reason(error, file)
    if not reasons:
        return Part(name, ", ".join(files))
    told = ", ".join(f"{file} ({reason})" for file, reason in reasons.items())
    return Part(name, f"cannot load {told}", remedy)


def _reason(error: OSError, name: str) -> str:
    return str(error).removeprefix(f"{name}: ")


def _call(library: Any, function: str, *arguments: Any) -> None:  # noqa: ANN401 - ctypes has no types of its own
    status = getattr(library, function)(*arguments)
    if status != 0:
        text = ctypes.c_char_p()
        library.cuGetErrorString(status, ctypes.byref(text))
        raise DriverError(f"{function} fails with {status}: {(text.value or b'unknown').decode()}")


def _device_name(library: Any, number: int) -> str:  # noqa: ANN401 - as above
    device, name = ctypes.c_int(), ctypes.create_string_buffer(_MOST_NAME_BYTES)
    _call(library, "cuDeviceGet", ctypes.byref(device), number)
    _call(library, "cuDeviceGetName", name, _MOST_NAME_BYTES, device)
    return name.value.decode(errors="replace")
