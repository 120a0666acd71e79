"""Where `make bench-gpu` writes its figures; needs no card."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PERFORMANCE = ROOT / "docs" / "performance.md"


@pytest.fixture(scope="module")
def page():
    """Return the benchmark's module that writes the page; its folder is no package."""
    spec = importlib.util.spec_from_file_location("page", ROOT / "benchmarks" / "gpu" / "page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_figures_replace_what_stands_between_the_markers(page, tmp_path):
    """Card, goal and table are there, the rest of the page stays, and a second time replaces the first."""
    copy = tmp_path / "performance.md"
    copy.write_text(PERFORMANCE.read_text(encoding="utf-8"), encoding="utf-8")
    for rate in ("1,000", "2,000"):
        page.write_page(copy, "NVIDIA H100", [["encoder", "1 on 64", rate, "0.99", "0.96"]], goal=0.95)
    written = copy.read_text(encoding="utf-8")
    assert "NVIDIA H100. Goal: 0.95" in written
    assert "| encoder | 1 on 64 | 2,000 | 0.99 | 0.96 |" in written
    assert "1,000 |" not in written
    before, _, after = PERFORMANCE.read_text(encoding="utf-8").partition(page.BEGIN)
    assert written.startswith(before + page.BEGIN)
    assert written.endswith(after.partition(page.END)[2])


def test_a_page_without_markers_is_left_alone(page, tmp_path):
    """Nowhere to write is an error, not a guess."""
    copy = tmp_path / "performance.md"
    copy.write_text("# Performance\n")
    with pytest.raises(ValueError, match="lacks the line"):
        page.write_page(copy, "card", [], goal=0.95)
    assert copy.read_text() == "# Performance\n"
