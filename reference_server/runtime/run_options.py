"""What single runs of ONNX Runtime are given."""

from __future__ import annotations

from typing import Any

import onnxruntime as ort

_FATAL_ONLY = 4


def run_options() -> Any:  # noqa: ANN401 - ONNX Runtime publishes no types
    """Return new options; `terminate` is sticky, so a run that may be ended has its own."""
    options = ort.RunOptions()
    options.log_severity_level = _FATAL_ONLY
    return options
