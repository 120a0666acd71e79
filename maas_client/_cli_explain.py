"""`maas explain`: why a model says what it says, in colours at a terminal and in columns in a pipe."""

from __future__ import annotations

import json
import sys
from typing import IO, TYPE_CHECKING, Any, get_args

import click
from rich.text import Text

from maas_client import _explanation_words as words
from maas_client._cli import _JSON, _MODEL, _VERSION, _Options, _with_options, main
from maas_client._cli_output import _console, _json, _plain, _table
from maas_client._cli_predict import _standard_input
from maas_client.types import ExplainMethod

if TYPE_CHECKING:
    from collections.abc import Iterable

    from maas_client.explanations import Explanation, Explanations

_METHODS = click.Choice(get_args(ExplainMethod))
# What is lighter than this beside the heaviest is left as it is.
_LIGHT = 0.1
_HEAVY = 0.5


@main.command()
@_MODEL
@click.argument("text", required=False)
@click.option(
    "-f",
    "--file",
    type=click.File("r", encoding="utf-8"),
    help="Read instances, one JSON object a line; `-` for standard input. Several are explained by a job, "
    "which also tells what counts over all of them.",
)
@click.option("--target", help="The label or output to explain; the predicted one if left out.")
@click.option("--method", type=_METHODS, default="auto", show_default=True, help="How.")
@click.option(
    "--budget",
    type=click.IntRange(2, 100_000),
    default=256,
    show_default=True,
    help="The most evaluations of the model, for each instance.",
)
@click.option(
    "--time-budget", type=click.FloatRange(0.001, 3600), help="Seconds to spend, for each instance."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The same gives the same.")
@click.option("--against", help="For an embedding: the other text, whose similarity is explained.")
@_VERSION
@click.option("--background", is_flag=True, help="With --file: print the id of the job, and do not wait.")
@_JSON
@_with_options
def explain(
    options: _Options,
    /,
    name: str,
    text: str | None,
    *,
    file: IO[str] | None,
    version: str | None,
    background: bool,
    as_json: bool,
    **how: Any,  # noqa: ANN401 - the options of `Client.explain`, by their names
) -> None:
    """Tell what each word of TEXT (`-` for standard input) adds to the prediction.

    At a terminal the words are coloured: blue and ⁺ for what speaks for the target, red and ⁻ for what
    speaks against it.
    """
    if (text is None) == (file is None):
        raise click.UsageError("give a TEXT, `-` to read it from standard input, or --file; one of them")
    rows = [] if file is None else list(_rows(file))
    with options.client() as client:
        if text is not None:
            said = _standard_input() if text == "-" else text
            _show(client.explain(name, text=said, version=version, **how), as_json=as_json)
        elif len(rows) == 1 and not background:
            _show(client.explain(name, inputs=rows[0], version=version, **how), as_json=as_json)
        else:
            job = client.explain_many(name, rows, version=version, **how)
            if background:
                click.echo(job.reply.model_dump_json() if as_json else job.id)
                return
            _show_explanations(job.wait(progress=sys.stderr.isatty()), as_json=as_json)


def _rows(lines: Iterable[str]) -> Iterable[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise click.UsageError(f"line {number} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise click.UsageError(
                f'line {number} is no JSON object with the inputs by name: {{"text": "…"}}'
            )
        yield row


def _show(found: Explanation, *, as_json: bool) -> None:
    if as_json:
        _json(found)
        return
    console = _console()
    if console.is_terminal:
        for name in found.inputs:
            if (shown := coloured(found, name)) is not None:
                console.print(shown, soft_wrap=True)
    cell = str if console.is_terminal else _for_programs
    rows = [
        [cell(words.signed(each.value)), cell(words.error_of(each.standard_error)), each.feature, each.input]
        for each in found.ranked()
    ]
    _table(found.attributions, ("VALUE", "ERROR", "FEATURE", "INPUT"), rows, as_json=False)
    for line in words.told(found):
        click.echo(_plain(line), err=True)


def _show_explanations(found: Explanations, *, as_json: bool = False) -> None:
    if as_json:
        _json(found.reply)
        return
    cell = str if _console().is_terminal else _for_programs
    rows = [
        [feature, name, *map(cell, figures)]
        for feature, name, *figures in map(words.importance_cells, found.importance)
    ]
    _table(found.importance, words.IMPORTANCE_COLUMNS, rows, as_json=False)
    for line in (
        *found.notes,
        f"{found.model} version {found.version} on {found.device}, {len(found):,} rows",
    ):
        click.echo(_plain(line), err=True)


def coloured(explanation: Explanation, name: str) -> Text | None:
    """Return a text with its words in colours and with their signs, or None of an input without words.

    The signs are for those who do not tell the colours apart, and for terminals without any (`NO_COLOR`).
    """
    text = explanation.inputs.get(name)
    spans = [each for each in explanation.attributions if each.input == name and each.start is not None]
    if not isinstance(text, str) or not spans:
        return None
    most = max(abs(each.value) for each in spans)
    shown, at = Text(), 0
    for each in sorted(spans, key=lambda each: each.start or 0):
        if each.start is None or each.end is None or not at <= each.start <= each.end <= len(text):
            continue
        share = abs(each.value) / most if most else 0.0
        shown.append(_printable(text[at : each.start]))
        shown.append(_printable(text[each.start : each.end]), style=_style(each.value, share))
        shown.append(("⁺" if each.value > 0 else "⁻") if share >= _LIGHT else "")
        at = each.end
    return shown.append(_printable(text[at:]))


def _printable(text: str) -> str:
    return "\n".join(map(_plain, text.split("\n")))


def _for_programs(figure: str) -> str:
    """Return a figure as programs read it: without the signs and commas that are for eyes."""
    return figure.replace(words.MINUS, "-").replace(",", "").removeprefix("±")


def _style(value: float, share: float) -> str:
    if share < _LIGHT:
        return ""
    if share < _HEAVY:
        return "blue" if value > 0 else "red"
    return f"bold white on {'blue' if value > 0 else 'red'}"
