"""The commands about jobs and evaluations."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, get_args

import click

from maas_client import _cli_fine_tune, _job_ends, errors
from maas_client._cli import _JSON, _MODEL, _VERSION, _Options, _with_options, main
from maas_client._cli_explain import _show_explanations
from maas_client._cli_output import _json, _plain, _table, _time
from maas_client.explanations import Explanations
from maas_client.fine_tunes import FineTuned
from maas_client.types import Evaluation, JobState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from maas_client.types import JobReply

_STATES = click.Choice(get_args(JobState))


@main.command()
@click.option("--state", type=_STATES, help="Only jobs in this state.")
@click.option("--kind", help="Only jobs of this kind, such as evaluate.")
@_JSON
@_with_options
def jobs(options: _Options, *, state: Any, kind: str | None, as_json: bool) -> None:  # noqa: ANN401 - one of the choices
    """List your jobs, newest first."""
    with options.client() as client:
        found = list(client.jobs.list(state=state, kind=kind))
    rows = (
        [
            job.id,
            job.kind,
            _job_ends.described(job),
            f"{job.model} {job.version}" if job.model else "",
            _time(job.created_at),
        ]
        for job in found
    )
    _table(found, ("ID", "KIND", "STATE", "MODEL", "CREATED"), rows, as_json=as_json)


@main.command()
@click.argument("job_id")
@click.option("--wait", "action", flag_value="wait", help="Wait for its end; exit code 1 without a result.")
@click.option("--cancel", "action", flag_value="cancel", help="Ask it to stop.")
@click.option("--log", "action", flag_value="log", help="Print its log.")
@_JSON
@_with_options
def job(options: _Options, job_id: str, *, action: str | None, as_json: bool) -> None:
    """Show a job, wait for it, cancel it, or print its log."""
    with options.client() as client:
        if action == "log":
            for line in client.jobs.log(job_id):
                click.echo(line.model_dump_json() if as_json else f"{_time(line.at)}\t{_plain(line.text)}")
            return
        found = client.jobs.cancel(job_id) if action == "cancel" else client.jobs.get(job_id)
        if action == "wait":
            found.wait(progress=sys.stderr.isatty())
    if as_json:
        _json(found.reply)
    else:
        _show(found.reply)


@main.command()
@_MODEL
@click.option(
    "-f",
    "--file",
    required=True,
    type=click.File("r", encoding="utf-8"),
    help='Rows, one JSON object a line: the inputs by name, and what is true under "target"; `-` for '
    "standard input.",
)
@click.option(
    "--target", default="target", help='The name of what is true in each row; "target" if left out.'
)
@_VERSION
@click.option("--background", is_flag=True, help="Print the id of a job that does it, and do not wait.")
@_JSON
@_with_options
def evaluate(
    options: _Options,
    name: str,
    *,
    file: Any,  # noqa: ANN401 - an open text file
    target: str,
    version: str | None,
    background: bool,
    as_json: bool,
) -> None:
    """Measure how good a model is on rows of your own."""
    rows, targets = _rows(file, target)
    with options.client() as client:
        handle = client.model(name)
        if background:
            made = handle.evaluate_in_background(rows, targets, version=version)
            click.echo(made.reply.model_dump_json() if as_json else made.id)
            return
        found = handle.evaluate(rows, targets, version=version, progress=sys.stderr.isatty())
    if as_json:
        _json(found)
    else:
        _show_evaluation(found)


def _rows(lines: Iterable[str], target: str) -> tuple[list[dict[str, object]], list[object]]:
    rows, targets = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise click.UsageError(f"line {number} is not JSON: {error}") from error
        if not isinstance(row, dict) or target not in row:
            raise click.UsageError(f"line {number} must be a JSON object with {target!r}, what is true of it")
        targets.append(row.pop(target))
        rows.append(row)
    return rows, targets


def _show(job: JobReply) -> None:
    click.echo(f"{job.id}\t{job.kind}\t{_plain(_job_ends.described(job))}")
    if job.error is not None:
        click.echo(f"{job.error.code}: {_plain(job.error.message)}")
    if job.state == "succeeded":
        _show_result(job)


def _show_result(job: JobReply) -> None:
    try:
        result = _job_ends.result_of(job)
    except errors.InvalidReplyError:
        result = job.result
    if isinstance(result, Evaluation):
        _show_evaluation(result)
    elif isinstance(result, Explanations):
        _show_explanations(result)
    elif isinstance(result, FineTuned):
        _cli_fine_tune.show(result)
    else:
        click.echo(json.dumps(result, indent=2))


def _show_evaluation(found: Evaluation) -> None:
    rows = [
        [
            metric.name,
            f"{metric.value:.4g}",
            "—" if metric.interval is None else f"{metric.interval[0]:.4g} to {metric.interval[1]:.4g}",
            metric.unit,
        ]
        for metric in found.metrics
    ]
    _table(found.metrics, ("METRIC", "VALUE", "95 % INTERVAL", "UNIT"), rows, as_json=False)
    for note in found.notes:
        click.echo(f"Note: {note}", err=True)
    click.echo(f"{found.model} version {found.version} on {found.device}, {found.rows:,} rows", err=True)
