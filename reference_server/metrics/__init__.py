"""Counts what was asked and how long each part took: for Prometheus, and in Triton's cumulative form.

`counts.py` counts, `exposition.py` shows, `shared.py` puts together what several workers counted,
`measured.py` holds what is to be stored.
"""

from reference_server.metrics.counts import ModelKey, ModelStatistics
from reference_server.metrics.measured import Asked, Measured
from reference_server.metrics.worker import Gauge, Metrics

__all__ = ["Asked", "Gauge", "Measured", "Metrics", "ModelKey", "ModelStatistics"]
