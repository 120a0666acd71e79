"""The benchmarks are scripts beside each other; their parts that decide something are tested here."""

import sys
from pathlib import Path

SCRIPTS = Path(__file__).parents[2] / "benchmarks" / "serving"
sys.path.insert(0, str(SCRIPTS))
