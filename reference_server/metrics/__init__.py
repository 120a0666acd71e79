"""Counts what was asked and how long each part took: for Prometheus, and in Triton's cumulative form.

`counts.py` counts, `exposition.py` shows, `shared.py` puts together what several workers counted.
"""

from reference_server.metrics.counts import ModelKey, ModelStatistics
from reference_server.metrics.shared import shared_folder
from reference_server.metrics.worker import Gauge, Metrics

__all__ = ["Gauge", "Metrics", "ModelKey", "ModelStatistics", "shared_folder"]
