"""`maas fine-tune`: a head trained on a file of labelled rows, its loss curve drawn in characters."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, get_args

import click

from maas_client import _loss_curve_html, _loss_curve_text
from maas_client._cli import _JSON, _complete_models, _Options, _with_options, main
from maas_client._cli_output import _json, _plain, _table
from maas_client.types import LossName

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from maas_client.fine_tunes import FineTuned

_NO_BASE = "-"


def _part(_context: click.Context, _option: click.Parameter, given: str | None) -> float | str | None:
    """Return a share as a number, and a file as it is."""
    try:
        return None if given is None else float(given)
    except ValueError:
        return given


def _weights(
    _context: click.Context, _option: click.Parameter, given: Sequence[str]
) -> str | dict[str, float] | None:
    if tuple(given) == ("balanced",):
        return "balanced"
    weights = {}
    for each in given:
        label, _, weight = each.rpartition("=")
        try:
            weights[label] = float(weight)
        except ValueError:
            label = ""
        if not label:
            raise click.BadParameter(f"{each!r} is neither LABEL=WEIGHT, such as rare=5, nor balanced alone")
    return weights or None


@main.command("fine-tune")
@click.argument("base", shell_complete=_complete_models)
@click.argument("name", shell_complete=_complete_models)
@click.argument("data", type=click.Path(exists=True, dir_okay=False))
@click.option("--base-version", help="The base's number, an alias or `latest`.")
@click.option("--text", metavar="COLUMN", help="The column of texts; `text` where there is one.")
@click.option(
    "--label", metavar="COLUMN", default="label", show_default=True, help="The column of what is true."
)
@click.option(
    "--column", "columns", metavar="COLUMN", multiple=True, help="A column of numbers; may be repeated."
)
@click.option(
    "--validation",
    metavar="SHARE|FILE",
    default="0.2",
    show_default=True,
    callback=_part,
    help="The rows to watch and not to learn from, or their share.",
)
@click.option(
    "--test",
    metavar="SHARE|FILE",
    default="0",
    show_default=True,
    callback=_part,
    help="The rows that nothing is decided by, for the metrics, or their share.",
)
@click.option(
    "--loss",
    type=click.Choice(get_args(LossName)),
    default="cross_entropy",
    show_default=True,
    help="`mse` for numbers.",
)
@click.option(
    "--optimizer", type=click.Choice(["sgd", "momentum", "adam"]), help="By the features if left out."
)
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), help="Likewise.")
@click.option(
    "--schedule",
    type=click.Choice(["linear", "cosine", "constant"]),
    default="linear",
    show_default=True,
    help="How the rate falls.",
)
@click.option(
    "--batch-size", type=click.IntRange(1, 65_536), default=32, show_default=True, help="Rows in a step."
)
@click.option("--epochs", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most.")
@click.option(
    "--l2", type=click.FloatRange(0), default=0.0, show_default=True, help="λ of the penalty λ/2 · ‖W‖²."
)
@click.option(
    "--label-smoothing",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    show_default=True,
    help="Which share of the target is spread over all labels.",
)
@click.option(
    "--class-weight",
    "class_weights",
    metavar="LABEL=WEIGHT",
    multiple=True,
    callback=_weights,
    help="How much a row of a label counts; may be repeated. Or `balanced`.",
)
@click.option(
    "--early-stopping/--no-early-stopping", default=True, show_default=True, help="Keep the best epoch."
)
@click.option("--patience", type=click.IntRange(1, 1000), default=5, show_default=True, help="In epochs.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The same gives the same.")
@click.option("--description", default="", help="Of the model, for its manifest.")
@click.option("--license", default="", help="Likewise; the base's if left out.")
@click.option("--notes", default="", help="What is new in this version.")
@click.option(
    "--visibility", type=click.Choice(["private", "public"]), help="For a new model; private if left out."
)
@click.option("--set-default", is_flag=True, help="Let `default` point to the new version.")
@click.option("--background", is_flag=True, help="Print the id of the job, and do not wait.")
@_JSON
@_with_options
def fine_tune(
    options: _Options,
    /,
    base: str,
    name: str,
    data: str,
    *,
    columns: tuple[str, ...],
    background: bool,
    as_json: bool,
    **how: Any,  # noqa: ANN401 - the options of `FineTunesResource.create`, by their names
) -> None:
    """Train a head on DATA and publish it as the next version of NAME.

    BASE is a model of the task `embedding`; `-` learns from the words themselves, or from columns of numbers.
    DATA is a CSV, TSV, JSON lines or parquet file. An interrupt leaves the job at work: `maas job ID
    --cancel` ends it.
    """
    with options.client() as client:
        job = client.fine_tunes.create(
            base=None if base == _NO_BASE else base,
            name=name,
            train=data,
            columns=columns or None,
            **how,
        )
        if background:
            click.echo(job.reply.model_dump_json() if as_json else job.id)
            return
        click.echo(f"job {job.id}", err=True)
        made = job.wait(progress=sys.stderr.isatty())
    show(made, as_json=as_json)


def show(made: FineTuned, *, as_json: bool = False) -> None:
    """Print the metrics on standard output; curve, warnings and what it was made from on standard error."""
    if as_json:
        _json(made)
        return
    rows = _loss_curve_text.metric_rows(made)
    _table(made.metrics, ("METRIC", "VALUE", "95 % INTERVAL", "UNIT"), rows, as_json=False)
    _tell(_loss_curve_text.of_curve(made.loss_curve))
    _tell(f"Note: {note}" for note in (*made.warnings, *(made.evaluation.notes if made.evaluation else ())))
    _tell((f"{made.model} version {made.version}: {_loss_curve_html.made_of(made)}",))


def _tell(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(_plain(line), err=True)
