"""What the `maas` command does with versions beside publishing: history, states, deletion, differences."""

from __future__ import annotations

import json
from datetime import UTC
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from maas_client._cli import _JSON, _MODEL, _complete_models, _Options, _with_options, main
from maas_client._cli_erasures import RECEIPT, show_receipt
from maas_client._cli_output import _plain, _show, _table, _time
from maas_client._diff_tables import tables_of, verdict

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from pydantic import JsonValue

    from maas_client._diff_tables import Table as DiffTable
    from maas_client.types import ModelEvent, Version

_NUMBER = click.argument("version", type=click.IntRange(1))
_REASON = click.option("--reason", help="Why.")
_REPLACEMENT = click.option(
    "--replacement", help="What to use instead: the number of another version, or another model."
)


@main.command()
@_MODEL
@_JSON
@_with_options
def versions(options: _Options, name: str, *, as_json: bool) -> None:
    """List a model's versions, newest first."""
    with options.client() as client:
        found = list(client.model(name).versions.list())
    rows = (
        [
            str(version.version),
            ", ".join(version.aliases),
            _time(version.created_at),
            version.state,
            version.author,
            version.notes,
        ]
        for version in found
    )
    _table(found, ("VERSION", "ALIASES", "MADE", "STATE", "AUTHOR", "NOTES"), rows, as_json=as_json)


@main.command()
@_MODEL
@click.option("--kind", help="Only events of this kind, such as alias_moved.")
@_JSON
@_with_options
def history(options: _Options, name: str, *, kind: str | None, as_json: bool) -> None:
    """Tell what happened to a model, when and by whom, newest first."""
    with options.client() as client:
        found = list(client.model(name).history(kind=kind))
    rows = ([str(each.seq), _time(each.at), each.by, each.kind, _told(each)] for each in found)
    _table(found, ("#", "WHEN", "BY", "WHAT", "ABOUT"), rows, as_json=as_json)


@main.command()
@_MODEL
@_NUMBER
@_REASON
@_REPLACEMENT
@click.option(
    "--sunset",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S%z"]),
    help="When it is to be retired; UTC.",
)
@click.option("--documentation", help="The address of a page that tells more.")
@_JSON
@_with_options
def deprecate(
    options: _Options,
    name: str,
    version: int,
    *,
    reason: str | None,
    replacement: str | None,
    sunset: datetime | None,
    documentation: str | None,
    as_json: bool,
) -> None:
    """Deprecate a version: it still answers, and its callers are warned."""
    with options.client() as client:
        changed = client.model(name).versions.deprecate(
            version,
            reason=reason,
            replacement=replacement,
            sunset=_in_utc(sunset),
            documentation=documentation,
        )
    _show_state(changed, as_json=as_json)


@main.command()
@_MODEL
@_NUMBER
@_REASON
@_REPLACEMENT
@_JSON
@_with_options
def retire(
    options: _Options,
    name: str,
    version: int,
    *,
    reason: str | None,
    replacement: str | None,
    as_json: bool,
) -> None:
    """Retire a version that nobody is sent to, by an alias or the traffic: calls of it fail."""
    with options.client() as client:
        changed = client.model(name).versions.retire(version, reason=reason, replacement=replacement)
    _show_state(changed, as_json=as_json)


@main.command()
@_MODEL
@_NUMBER
@_JSON
@_with_options
def restore(options: _Options, name: str, version: int, *, as_json: bool) -> None:
    """Make a deprecated or retired version active again."""
    with options.client() as client:
        changed = client.model(name).versions.restore(version)
    _show_state(changed, as_json=as_json)


@main.command()
@click.argument("name", metavar="NAME[:VERSION]", shell_complete=_complete_models)
@click.option("--yes", is_flag=True, help="Do it without being asked.")
@RECEIPT
@_with_options
def delete(options: _Options, name: str, *, yes: bool, receipt: Path | None) -> None:
    """Delete a model with everything that it has, or one version of it, for good."""
    model, _, number = name.partition(":")
    if number and not (number.isascii() and number.isdecimal()):
        raise click.UsageError(f"{number!r} is no version's number; an alias could mean another by now")
    what = (
        f"version {number} of the model {model!r}" if number else f"the model {model!r} with all its versions"
    )
    if not yes:
        click.confirm(f"Delete {what} for good?", abort=True, err=True)
    with options.client() as client:
        handle = client.model(model)
        erasure = handle.versions.delete(int(number)) if number else handle.delete()
    click.echo(f"Deleted {what}.")
    if erasure is not None:
        show_receipt(erasure, receipt)


@main.command()
@_MODEL
@click.argument("before")
@click.argument("after")
@click.option("--no-graph", is_flag=True, help="Do not download the packages to compare their graphs.")
@click.option("--no-predictions", is_flag=True, help="Do not call the versions with their examples.")
@_JSON
@_with_options
def diff(
    options: _Options,
    name: str,
    before: str,
    after: str,
    *,
    no_graph: bool,
    no_predictions: bool,
    as_json: bool,
) -> None:
    """Tell what differs between two versions, and whether calls of BEFORE work with AFTER.

    Versions are numbers or aliases: `maas diff words default latest`.
    """
    with options.client() as client:
        found = client.model(name).versions.diff(
            before, after, graph=not no_graph, predictions=not no_predictions
        )
    if as_json:
        click.echo(json.dumps({**found.model_dump(mode="json"), "breaking": found.breaking}, indent=2))
        return
    console = Console(highlight=False)
    title = f"{found.model}: version {found.before} → version {found.after}"
    said = Text(verdict(found), style="red" if found.breaking else "green")
    console.print(Text(_plain(title), style="bold"), said, soft_wrap=True)
    for part in tables_of(found):
        console.print(Text(f"\n{part.title}", style="bold"))
        _print_part(console, part)


def _print_part(console: Console, part: DiffTable) -> None:
    if part.note:
        console.print(Text(_plain(part.note)), soft_wrap=True)
        return
    rows = [[_plain(cell) for cell in row] for row in part.rows]
    if not console.is_terminal:
        # Another program reads it: one line each, whole, in columns that `cut` can tell apart.
        for row in ([*part.columns], *rows):
            click.echo("\t".join(row))
        return
    table = Table(*part.columns, box=None, pad_edge=False, header_style="dim")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def _show_state(version: Version, *, as_json: bool) -> None:
    _show(version, as_json=as_json, text=f"{version.model}: version {version.version} is {version.state}")


def _told(event: ModelEvent) -> str:
    details = {name: value for name, value in event.details.items() if value not in (None, "", [])}
    about = "" if event.version is None else f"version {event.version}"
    if (alias := details.pop("alias", None)) is not None:
        return f"{alias} → {about}" + (f": {note}" if (note := details.get("note")) else "")
    said = ", ".join(f"{name} {_plainly(value)}" for name, value in details.items() if name != "digest")
    return ": ".join(part for part in (about, said) if part)


def _plainly(value: JsonValue) -> str:
    """Return a detail in words: the parts of a split as `1 at weight 95`."""
    if isinstance(value, list):
        return " and ".join(map(_plainly, value))
    if isinstance(value, dict) and value.keys() >= {"version", "weight"}:
        return f"{value['version']} at weight {value['weight']:g}"
    return str(value)


def _in_utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
