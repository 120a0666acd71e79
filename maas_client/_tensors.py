"""Tensors as numpy arrays and on the wire: every datatype of the Open Inference Protocol, binary and JSON.

The datatypes are those of the protocol's section "Tensor Data Types"; the binary form is that of its binary
tensor data extension: raw little-endian elements in row-major order without padding, BOOL in one byte, BYTES
as a 4-byte little-endian length and the bytes themselves. Server and SDK use the same functions.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

try:
    import numpy as np
except ModuleNotFoundError as error:
    if error.name != "numpy":
        raise
    raise ModuleNotFoundError(
        "tensors need numpy, which the extra brings: pip install 'maas-client[tensors]'", name="numpy"
    ) from error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

# What an array holds for each datatype; the two that numpy lacks have ways of their own.
DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
DATATYPES: Final = (*DTYPES, "BF16", "BYTES")
_BY_DTYPE = {dtype: datatype for datatype, dtype in DTYPES.items()}
_FLOATS = frozenset({"FP16", "FP32", "FP64", "BF16"})
# Python's own types whose values are of a datatype, whatever they are (but for their range).
_PLAIN: dict[str, set[type]] = {
    **{kind: {int, float} if kind in _FLOATS else {int} for kind in (*DTYPES, "BF16")},
    "BOOL": {bool},
}
_MOST_ELEMENTS = 2**60 - 1
# numpy's own limit.
_MOST_DIMENSIONS = 64
_LENGTH = struct.Struct("<I")


class TensorError(ValueError):
    """A tensor that is not what it says, or that its way cannot carry; the message names which and why."""


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """One named tensor.

    Args:
        name: Its name in the model's signature.
        datatype: Its Open Inference datatype, such as `FP32`.
        array: Its elements, in its shape. BF16 is an `ml_dtypes.bfloat16` array where that package is
            installed, and float32 elsewhere, which holds every BF16 exactly. BYTES is an object array of
            bytes.
    """

    name: str
    datatype: str
    array: NDArray[Any]

    @property
    def shape(self) -> list[int]:
        """Its shape."""
        return list(self.array.shape)


def tensor_of(name: str, value: object, datatype: str | None = None) -> Tensor:
    """Return a value as a tensor.

    Args:
        name: The tensor's name.
        value: An array, whose dtype tells the datatype; or nested lists of scalars.
        datatype: What nested lists are meant as; arrays keep their own.

    Raises:
        TensorError: It is ragged, of no datatype of the protocol, or does not fit into the one it is for.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise TensorError(f"{name!r} is a masked array, and no tensor has holes; fill it with .filled(...)")
    array = value if hasattr(value, "dtype") else _array_of(name, value, datatype)
    array = np.asarray(array)
    found = _datatype_of(array)
    if found is None:
        raise TensorError(
            f"{name!r} has the dtype {array.dtype}, which the protocol does not know; convert it with "
            "astype(...) to a bool, an integer, a float or bytes"
        )
    if found == "BYTES":
        array = _as_bytes(name, array)
    if datatype == "BF16" and not hasattr(value, "dtype"):
        found = "BF16"
    return Tensor(name, found, array)


def to_bytes(tensor: Tensor) -> bytes | memoryview:
    """Return a tensor in its binary form; an array that lies in memory so already is not copied."""
    array = tensor.array
    if tensor.datatype == "BYTES":
        return b"".join(_LENGTH.pack(len(item)) + item for item in array.ravel().tolist())
    if tensor.datatype == "BF16":
        array = _to_bfloat16_bits(array)
    else:
        array = array.astype(DTYPES[tensor.datatype], copy=False)
    # A view as bytes, since a memoryview knows neither float16 nor another byte order.
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return memoryview(flat)  # type: ignore[arg-type]  # typeshed knows no buffers before Python 3.12


def from_bytes(name: str, datatype: object, shape: object, data: bytes | memoryview) -> Tensor:
    """Read a tensor from its binary form; its array is a read-only view of `data` where that is possible.

    Raises:
        TensorError: Datatype, shape and length do not fit together.
    """
    kind, dimensions = checked_datatype(name, datatype), checked_shape(name, shape)
    count = math.prod(dimensions)
    if kind == "BYTES":
        return Tensor(name, kind, _objects(list(_items(name, memoryview(data), count)), dimensions))
    dtype = np.dtype("<u2") if kind == "BF16" else DTYPES[kind]
    if len(data) != count * dtype.itemsize:
        raise TensorError(
            f"{name!r} has {len(data):,} bytes, {kind} of shape {list(dimensions)} takes "
            f"{count * dtype.itemsize:,}"
        )
    if kind == "BOOL":
        return Tensor(name, kind, (np.frombuffer(data, np.uint8) != 0).reshape(dimensions))
    array = np.frombuffer(data, dtype).reshape(dimensions)
    return Tensor(name, kind, _from_bfloat16_bits(array) if kind == "BF16" else array)


def to_json(tensor: Tensor) -> list[Any]:
    """Return a tensor's elements as JSON has them: flat, in row-major order.

    Raises:
        TensorError: It holds NaN, an infinity, or bytes that are no UTF-8, none of which JSON carries.
    """
    flat = tensor.array.ravel()
    if tensor.datatype == "BYTES":
        return [_text(tensor.name, item) for item in flat.tolist()]
    if tensor.datatype in _FLOATS:
        flat = flat.astype(np.float64)
        if not np.isfinite(flat).all():
            raise TensorError(
                f"{tensor.name!r} holds NaN or an infinity, which JSON cannot carry; binary tensors can"
            )
    listed: list[Any] = flat.tolist()
    return listed


def from_json(name: str, datatype: object, shape: object, data: object) -> Tensor:
    """Read a tensor from JSON, flat or nested.

    Raises:
        TensorError: An element is not of the datatype, or there are not as many as the shape takes.
    """
    kind, dimensions = checked_datatype(name, datatype), checked_shape(name, shape)
    if not isinstance(data, list):
        raise TensorError(f"{name!r} has no list as its data, but {_kind_of(data)}")
    flat = list(_flat(data)) if list in set(map(type, data)) else data
    if len(flat) != math.prod(dimensions):
        raise TensorError(
            f"{name!r} has {len(flat):,} elements, the shape {list(dimensions)} takes "
            f"{math.prod(dimensions):,}"
        )
    if kind == "BYTES":
        return Tensor(name, kind, _objects([_utf8(name, item) for item in flat], dimensions))
    return Tensor(name, kind, _numbers(name, kind, flat).reshape(dimensions))


def checked_datatype(name: str, datatype: object) -> str:
    """Return a datatype of the protocol.

    Raises:
        TensorError: It is none.
    """
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        raise TensorError(
            f"{name!r} has the datatype {datatype!r:.50}, expected one of {', '.join(DATATYPES)}"
        )
    return datatype


def checked_shape(name: str, shape: object) -> tuple[int, ...]:
    """Return a shape whose elements can be counted.

    Raises:
        TensorError: A dimension is no whole number from 0 up, or their product without zeros is 2⁶⁰ or more.
    """
    if not isinstance(shape, Sequence) or isinstance(shape, str):
        raise TensorError(f"{name!r} has no list as its shape, but {_kind_of(shape)}")
    if not all(isinstance(each, int) and not isinstance(each, bool) and each >= 0 for each in shape):
        raise TensorError(f"{name!r} has the shape {list(shape)!r:.100}, expected whole numbers from 0 up")
    # Without the zeros too: numpy multiplies the strides, in bytes, of an empty array.
    if len(shape) > _MOST_DIMENSIONS or math.prod(each for each in shape if each) > _MOST_ELEMENTS:
        raise TensorError(
            f"{name!r} has the shape {list(shape)!r:.100}, expected at most {_MOST_DIMENSIONS} dimensions "
            "and fewer than 2^60 elements"
        )
    return tuple(shape)


def _array_of(name: str, value: object, datatype: str | None) -> NDArray[Any]:
    if datatype is not None:
        checked_datatype(name, datatype)
    try:
        array = np.array(value, dtype=object if datatype == "BYTES" else None)
    except (ValueError, TypeError, OverflowError) as error:
        raise TensorError(f"{name!r} cannot be an array: {error}") from error
    if datatype is None or datatype == "BYTES":
        return array
    if array.dtype.kind not in "biuf" or (array.dtype.kind == "f" and datatype not in _FLOATS):
        raise TensorError(f"{name!r} holds {array.dtype.name} where the model takes {datatype}")
    return _numbers(name, datatype, array.ravel().tolist()).reshape(array.shape)


def _datatype_of(array: NDArray[Any]) -> str | None:
    if array.dtype.kind in "OSU":
        return "BYTES"
    if array.dtype.name == "bfloat16":
        return "BF16"
    return _BY_DTYPE.get(array.dtype.newbyteorder("<"))


def _numbers(name: str, kind: str, flat: list[Any]) -> NDArray[Any]:
    # By type first: looking at each of 150,000 numbers takes 40 ms.
    for item in flat if not set(map(type, flat)) <= _PLAIN[kind] else ():
        if not _is_of(kind, item):
            hint = "; JSON has null for NaN and infinities, binary tensors carry them" if item is None else ""
            raise TensorError(f"{name!r} holds {_kind_of(item)}, which is no {kind}{hint}")
    dtype = np.dtype("<f4") if kind == "BF16" else DTYPES[kind]
    if dtype.kind in "iu" and flat:
        _check_range(name, kind, dtype, flat)
    try:
        with np.errstate(over="ignore"):
            array = np.array(flat, dtype=dtype)
        beyond = (
            dtype.kind == "f"
            and not np.isfinite(array).all()
            and (np.isinf(array) & np.isfinite(np.array(flat, np.float64))).any()
        )
    except OverflowError:
        beyond = True
    if beyond:
        raise TensorError(f"{name!r} holds a number beyond the range of {kind}")
    return _from_bfloat16_bits(_to_bfloat16_bits(array)) if kind == "BF16" else array


def _is_of(kind: str, item: object) -> bool:
    if kind == "BOOL" or isinstance(item, bool):
        return kind == "BOOL" and (isinstance(item, bool) or (isinstance(item, int) and item in (0, 1)))
    return isinstance(item, int) or (isinstance(item, float) and kind in _FLOATS)


def _check_range(name: str, kind: str, dtype: np.dtype[Any], flat: list[int]) -> None:
    limits = np.iinfo(dtype)
    for item in (min(flat), max(flat)):
        if not limits.min <= item <= limits.max:
            raise TensorError(f"{name!r} holds {item}, {kind} takes {limits.min} to {limits.max}")


def _to_bfloat16_bits(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.name == "bfloat16":
        return np.ascontiguousarray(array).view(np.uint16)
    bits = np.ascontiguousarray(array, dtype=np.float32).view(np.uint32)
    # To the nearest, ties to even, as IEEE 754 rounds; a NaN keeps a bit, or it would become an infinity.
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    quiet = (bits >> np.uint32(16)) | np.uint32(0x40)
    made: NDArray[Any] = np.where(np.isnan(array), quiet, rounded).astype("<u2")
    return made


def _from_bfloat16_bits(bits: NDArray[Any]) -> NDArray[Any]:
    try:
        from ml_dtypes import bfloat16
    except ModuleNotFoundError:
        widened: NDArray[Any] = (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return widened
    viewed: NDArray[Any] = bits.view(bfloat16)
    return viewed


def _items(name: str, data: memoryview, count: int) -> Iterator[bytes]:
    at = 0
    for number in range(count):
        if len(data) - at < _LENGTH.size:
            raise TensorError(f"{name!r} ends before its element {number} of {count}")
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if length > len(data) - at:
            raise TensorError(
                f"{name!r} says that its element {number} has {length:,} bytes, "
                f"and {len(data) - at:,} are left"
            )
        yield bytes(data[at : at + length])
        at += length
    if at != len(data):
        raise TensorError(f"{name!r} has {len(data) - at:,} bytes after its last element")


def _as_bytes(name: str, array: NDArray[Any]) -> NDArray[Any]:
    return _objects([_utf8(name, item) for item in array.ravel().tolist()], array.shape)


def _objects(items: list[bytes], shape: tuple[int, ...]) -> NDArray[Any]:
    # Filled one by one: from a list numpy would make fixed-width strings, which lose trailing zero bytes.
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array.reshape(shape)


def _utf8(name: str, item: object) -> bytes:
    if isinstance(item, bytes):
        return item
    if not isinstance(item, str):
        raise TensorError(f"{name!r} holds {_kind_of(item)}, BYTES takes texts and bytes")
    try:
        return item.encode()
    except UnicodeEncodeError as error:
        raise TensorError(f"{name!r} holds half of a surrogate pair, which UTF-8 cannot carry") from error


def _text(name: str, item: bytes) -> str:
    try:
        return item.decode()
    except UnicodeDecodeError as error:
        raise TensorError(
            f"{name!r} holds bytes that are no UTF-8, which JSON cannot carry; binary tensors can"
        ) from error


def _flat(data: list[Any]) -> Iterator[Any]:
    # Not recursive: nesting is as deep as whoever sent it likes.
    waiting = [iter(data)]
    while waiting:
        for item in waiting[-1]:
            if isinstance(item, list):
                waiting.append(iter(item))
                break
            yield item
        else:
            waiting.pop()


def _kind_of(value: object) -> str:
    return "null" if value is None else f"{type(value).__name__} {value!r:.40}"
