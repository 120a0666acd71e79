"""What ONNX Runtime raises, and how to say it to a caller."""

from __future__ import annotations

import re

from onnxruntime.capi import onnxruntime_pybind11_state as _native

_MAX_CHARACTERS = 400
_PREFIX = re.compile(r"\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ")
_SOURCE_LINE = re.compile(r"(?:[A-Za-z]:)?[/\\][^\s:]*\.(?:cc|cpp|h|cu):\d+\s*")

# They share no base class: each is made by the native module straight from `Exception`. Python's own
# ValueError is raised for missing inputs, unknown names and text that UTF-8 cannot hold.
ORT_ERRORS: tuple[type[Exception], ...] = (
    ValueError,
    *(kind for kind in vars(_native).values() if isinstance(kind, type) and issubclass(kind, Exception)),
)


def describe(error: Exception) -> str:
    """Return ONNX Runtime's words as one short line, without its status prefix and its own source paths."""
    text = _SOURCE_LINE.sub("", _PREFIX.sub("", str(error)))
    line = " ".join(text.split())
    return line if len(line) <= _MAX_CHARACTERS else f"{line[: _MAX_CHARACTERS - 1]}…"
