"""`maas advise`: a version measured in other settings, as a table and a picture of characters."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, get_args

import click

from maas_client import _advice_text
from maas_client._cli import _JSON, _complete_models, _Options, _with_options, main
from maas_client._cli_output import _json, _plain, _table
from maas_client.types import AdviceObjective

if TYPE_CHECKING:
    from collections.abc import Iterable

    from maas_client._advice import AppliableAdvice
    from maas_client.types import StaticAdvice


@main.command("advise")
@click.argument("model", shell_complete=_complete_models)
@click.option("--version", "-v", help="Its number, an alias or `latest`; `default` if left out.")
@click.option(
    "--objective",
    type=click.Choice(get_args(AdviceObjective)),
    default="latency",
    show_default=True,
    help="What is to become better.",
)
@click.option(
    "--max-quality-loss",
    type=click.FloatRange(0, 1),
    default=0.01,
    show_default=True,
    help="What a recommended variant may lose on the sample.",
)
@click.option(
    "--sample",
    type=click.Path(exists=True, dir_okay=False),
    help="Rows such as callers send: CSV, TSV, JSON lines or parquet, a column for each input.",
)
@click.option("--label", metavar="COLUMN", help="The sample's column of what is true.")
@click.option(
    "--time-budget",
    type=click.FloatRange(1, 3600),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="About how long to take times.",
)
@click.option(
    "--budget",
    type=click.IntRange(100, 10_000_000),
    default=50_000,
    show_default=True,
    help="The most rows that are run; they count as usage.",
)
@click.option("--apply", "applies", is_flag=True, help="Publish the recommended variant as a new version.")
@click.option("--variant", metavar="NAME", help="With --apply: another variant than the recommended one.")
@click.option("--static", is_flag=True, help="Only look at the package, and run nothing.")
@click.option("--background", is_flag=True, help="Print the id of the job, and do not wait.")
@_JSON
@_with_options
def advise(
    options: _Options,
    /,
    model: str,
    *,
    version: str | None,
    objective: AdviceObjective,
    max_quality_loss: float,
    sample: str | None,
    label: str | None,
    time_budget: float,
    budget: int,
    applies: bool,
    variant: str | None,
    static: bool,
    background: bool,
    as_json: bool,
) -> None:
    """Measure MODEL in other settings on the server's machine, and say which is better.

    Nothing changes unless --apply is given; it publishes a new version, and no alias points to that.
    """
    if variant and not applies:
        raise click.UsageError("--variant goes with --apply")
    with options.client() as client:
        handle = client.model(model)
        if static:
            _show_findings(handle.static_advice(version=version), as_json=as_json)
            return
        job = handle.advise(
            version=version,
            objective=objective,
            max_quality_loss=max_quality_loss,
            sample=sample,
            label=label,
            time_budget=time_budget,
            budget=budget,
        )
        if background:
            click.echo(job.reply.model_dump_json() if as_json else job.id)
            return
        click.echo(f"job {job.id}", err=True)
        advice = job.wait(progress=sys.stderr.isatty())
        _show(advice, as_json=as_json)
        if applies:
            made = advice.apply(variant)
            done = "published as" if made.is_new else "was already"
            click.echo(f"{made.variant} {done} {made.model} version {made.version}", err=True)


def _show(advice: AppliableAdvice, *, as_json: bool) -> None:
    """Print the table on standard output, all else on standard error."""
    if as_json:
        _json(advice)
        return
    _table(advice.variants, _advice_text.HEAD, _advice_text.rows_of(advice), as_json=False)
    _tell(_advice_text.picture(advice.variants))
    _tell((_advice_text.recommended(advice), *_advice_text.notes(advice)))


def _show_findings(found: StaticAdvice, *, as_json: bool) -> None:
    if as_json:
        _json(found)
        return
    about = f"{found.model} version {found.version}: opset {found.opset}, IR version {found.ir_version}"
    _tell((about,))
    for each in found.findings:
        click.echo(_plain(_advice_text.finding(each)))
    if not found.findings:
        _tell(("nothing was found",))


def _tell(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(_plain(line), err=True)
