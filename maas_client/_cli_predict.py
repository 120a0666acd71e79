"""`maas predict`: of one text, or of every line of a file."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from maas_client._cli import _JSON, _MODEL, _VERSION, _Options, _with_options, main
from maas_client._cli_output import _plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from maas_client.predictions import Outcome


@main.command()
@_MODEL
@click.argument("text", required=False)
@click.option(
    "-f",
    "--file",
    type=click.File("r", encoding="utf-8", errors="surrogateescape"),
    help="Read instances, one JSON object a line; `-` for standard input.",
)
@_VERSION
@click.option(
    "--concurrency", type=click.IntRange(1, 256), default=4, help="With --file: the most calls at once."
)
@click.option(
    "--checkpoint",
    type=click.Path(dir_okay=False),
    help="With --file: where to keep what is done, and to go on from.",
)
@_JSON
@_with_options
def predict(
    options: _Options,
    name: str,
    text: str | None,
    *,
    file: Any,  # noqa: ANN401 - an open text file
    version: str | None,
    concurrency: int,
    checkpoint: str | None,
    as_json: bool,
) -> None:
    """Run a model on TEXT, on standard input for `-`, or on every line of a file.

    Of a file every line has its answer, in order. A line that cannot be predicted says so in its place, and
    the exit code is 1 when there was one.
    """
    if (text is None) == (file is None):
        raise click.UsageError("give a TEXT, `-` to read it from standard input, or --file; one of them")
    with options.client() as client:
        if file is None:
            said = _standard_input() if text == "-" else text
            prediction = client.predict(name, text=said, version=version)
            click.echo(prediction.model_dump_json() if as_json else _line(prediction))
            return
        outcomes = client.predict_many(
            name,
            _instances(file),
            version=version,
            concurrency=concurrency,
            checkpoint=checkpoint,
            # A bar between the lines of a terminal would tear both.
            progress=sys.stderr.isatty() and not sys.stdout.isatty(),
        )
        failed = 0
        for outcome in outcomes:
            failed += outcome.error is not None
            click.echo(_outcome_line(outcome, as_json=as_json))
    if failed:
        click.echo(f"Error: {failed:,} of the lines could not be predicted", err=True)
        raise click.exceptions.Exit(1)


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise click.UsageError(
            f"standard input is not UTF-8 at byte {error.start}; convert it first, for example with iconv"
        ) from error


def _outcome_line(outcome: Outcome, *, as_json: bool) -> str:
    if outcome.prediction is not None:
        return outcome.prediction.model_dump_json() if as_json else _line(outcome.prediction)
    message = _plain(str(outcome.error))
    return json.dumps({"error": message}, ensure_ascii=False) if as_json else f"error\t{message}"


def _instances(lines: Iterable[str]) -> Iterator[Any]:
    for line in lines:
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            # As it is, so that its answer says what it is and where it stood.
            yield line.rstrip("\n")


def _line(prediction: Any) -> str:  # noqa: ANN401 - one of the prediction types
    label, score = getattr(prediction, "label", None), getattr(prediction, "score", None)
    if label is None or score is None:
        return str(prediction.model_dump_json())
    return f"{label}\t{score:.4f}"
