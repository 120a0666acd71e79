"""`maas recommend`: models tried on a sample of one's own."""

from __future__ import annotations

import dataclasses
import json
import sys
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any

import click

from maas_client._cli import _JSON, _with_options, main
from maas_client._cli_output import _plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from maas_client._cli import _Options
    from maas_client.recommendations import Recommendation


@main.command()
@click.option(
    "-f",
    "--file",
    type=click.File("r", encoding="utf-8"),
    required=True,
    help="The sample, one JSON object a line: a model's inputs and the label; `-` for standard input.",
)
@click.option("--label", "label_field", default="label", show_default=True, help="The field of the label.")
@click.option("--task", help="Try the models of this task, the most accurate by their own figures.")
@click.option("-m", "--model", "candidates", multiple=True, help="Try this model; may be repeated.")
@click.option(
    "--map",
    "renamed",
    multiple=True,
    metavar="THEIRS=YOURS",
    help="What a model's label is called in your sample; may be repeated.",
)
@click.option(
    "--max-latency-ms",
    type=click.FloatRange(min=0, min_open=True),
    help="The longest median time of a call within the server.",
)
@click.option("--limit", type=click.IntRange(1, 50), default=5, show_default=True, help="Models to try.")
@_JSON
@_with_options
def recommend(
    options: _Options,
    *,
    file: IO[str],
    label_field: str,
    task: str | None,
    candidates: tuple[str, ...],
    renamed: tuple[str, ...],
    max_latency_ms: float | None,
    limit: int,
    as_json: bool,
) -> None:
    """Try models on a sample of your own and rank them by how well they do on it.

    The exit code is 0 too where the sample is too small to tell the first from the second; the last line
    says so. Nothing of the sample is kept.
    """
    if (task is None) == (not candidates):
        raise click.UsageError("give --task, or --model for each model to try; one of the two")
    rows = list(_rows(file, label_field))
    with options.client() as client:
        found = client.models.recommend(
            [inputs for inputs, _ in rows],
            [label for _, label in rows],
            task=task,
            candidates=candidates or None,
            max_latency_ms=max_latency_ms,
            label_map=dict(_renaming(each) for each in renamed),
            limit=limit,
            progress=sys.stderr.isatty(),
        )
    click.echo(_as_json(found) if as_json else "\n".join(map(_plain, str(found).splitlines())))


def _rows(lines: IO[str], label_field: str) -> Iterator[tuple[Mapping[str, Any], Any]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise click.UsageError(f"line {number} is not JSON: {error}") from error
        if not isinstance(row, dict) or label_field not in row:
            raise click.UsageError(
                f"line {number} has no field {label_field!r}; say which holds the label with --label"
            )
        label = row.pop(label_field)
        yield row, label


def _renaming(text: str) -> tuple[str, str]:
    theirs, sign, yours = text.partition("=")
    if not (theirs and sign and yours):
        raise click.UsageError(f"--map {text!r} is not of the form THEIRS=YOURS")
    return theirs, yours


def _as_json(found: Recommendation) -> str:
    best = found.best
    told = {
        **dataclasses.asdict(found),
        "best": None if best is None else best.model,
        "verdict": found.verdict,
    }
    return json.dumps(told, indent=2, default=datetime.isoformat)
