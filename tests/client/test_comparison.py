from __future__ import annotations

import importlib.util
import json
from pathlib import Path

COMPARISON = Path(__file__).parents[2] / "benchmarks" / "compare_sdks"


def test_the_page_is_made_from_what_was_seen():
    """Nobody has polished the table by hand."""
    spec = importlib.util.spec_from_file_location("report", COMPARISON / "report.py")
    report = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(report)
    results = json.loads(report.RESULTS.read_text(encoding="utf-8"))
    assert report.PAGE.read_text(encoding="utf-8") == report.page(results)
    assert set(results["seen"]) == set(results["versions"])
    assert {probe for probe, _, _ in report.ROWS} == set(results["seen"]["maas_client"])
