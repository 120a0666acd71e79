"""Puts the figures of a GPU into docs/performance.md, between its markers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

BEGIN, END = "<!-- gpu figures: begin -->", "<!-- gpu figures: end -->"
_HEAD = ["load", "rows on connections", "raw ONNX Runtime, rows/s", "our runner / raw", "this server / raw"]


def write_page(page: Path, about: str, rows: list[list[str]], *, goal: float) -> None:
    """Replace what stands between the markers.

    Args:
        page: The Markdown file.
        about: The card and the versions, on one line.
        rows: The cells of each row of the table.
        goal: The share of raw ONNX Runtime that the server is to reach.

    Raises:
        ValueError: The page lacks a marker.
    """
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page} lacks the line {BEGIN} or {END}, between which the figures go")
    table = [_HEAD, ["---"] * len(_HEAD), *rows]
    lines = [f"| {' | '.join(cells)} |" for cells in table]
    figures = "\n".join([f"{about}. Goal: {goal} of raw ONNX Runtime's rows per second.", "", *lines])
    page.write_text(f"{before}{BEGIN}\n{figures}\n{END}{after}", encoding="utf-8")
