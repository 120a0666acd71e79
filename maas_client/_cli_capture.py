"""`maas capture`: whether inputs and outputs of a model's calls are stored, and what was."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from maas_client._cli import _JSON, _MODEL, _with_options, main
from maas_client._cli_erasures import RECEIPT, show_receipt
from maas_client._cli_output import _json, _pairs, _time
from maas_client._quantities import in_bytes

if TYPE_CHECKING:
    from typing import IO

    from maas_client._cli import _Options
    from maas_client._client import Client
    from maas_client.types import Capture


@main.command()
@_MODEL
@click.option("--on", "wanted", flag_value="on", help="Switch it on, or change --days and --sample.")
@click.option("--off", "wanted", flag_value="off", help="Switch it off; what is there stays until it ends.")
@click.option("--delete", "wanted", flag_value="delete", help="Erase what was captured, for good.")
@click.option("--days", type=click.IntRange(1, 365), help="With --on: how long a call is kept.")
@click.option(
    "--sample",
    type=click.FloatRange(0, 1, min_open=True),
    help="With --on: the fraction of the calls that is kept.",
)
@click.option(
    "--export",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write what was captured into a file, one JSON object a line; `-` for standard output.",
)
@click.option("--yes", is_flag=True, help="With --delete: do it without being asked.")
@RECEIPT
@_JSON
@_with_options
def capture(
    options: _Options,
    name: str,
    *,
    wanted: str | None,
    days: int | None,
    sample: float | None,
    file: Path | None,
    yes: bool,
    receipt: Path | None,
    as_json: bool,
) -> None:
    """Show or change whether inputs and outputs of a model's calls are stored for its owners.

    Without an option it only shows. `--export FILE` writes what there is; with --delete, before it is erased.
    """
    if wanted != "on" and (days is not None or sample is not None):
        raise click.UsageError("--days and --sample go with --on")
    with options.client() as client:
        faults = 0 if file is None else _export(client, name, file)
        if wanted == "delete":
            _delete(client, name, yes=yes, receipt=receipt, as_json=as_json)
        elif wanted is not None or file is None:
            _show(name, _changed(client, name, wanted, days, sample), as_json=as_json)
    if faults:
        click.echo(f"Error: {faults:,} calls were changed in the server's store; see `fault`", err=True)
        raise click.exceptions.Exit(1)


def _changed(
    client: Client, name: str, wanted: str | None, days: int | None, sample: float | None
) -> Capture:
    capture = client.model(name).capture
    if wanted == "on":
        return capture.set(days=days, sample=sample)
    return capture.get() if wanted is None else capture.off()


def _show(name: str, found: Capture, *, as_json: bool) -> None:
    if as_json:
        _json(found)
        return
    lines = [
        ("capture", "on" if found.enabled else "off"),
        ("since", _time(found.since) if found.since else ""),
        ("means", found.notice),
        ("calls", "" if found.records is None else f"{found.records:,}"),
        ("size", "" if not found.bytes else f"{in_bytes(found.bytes)} of {in_bytes(found.most_bytes)}"),
        ("oldest", _time(found.oldest_at) if found.oldest_at else ""),
        ("not written", f"{found.dropped:,}" if found.dropped else ""),
    ]
    _pairs(name, [(title, value) for title, value in lines if value])


def _export(client: Client, name: str, file: Path) -> int:
    """Write the captured calls; return how many of them do not open."""
    if str(file) == "-":
        return _write(client, name, sys.stdout)
    # Others' inputs will be in it.
    file.touch(mode=0o600)
    file.chmod(0o600)
    with file.open("w", encoding="utf-8") as lines:
        return _write(client, name, lines)


def _write(client: Client, name: str, lines: IO[str]) -> int:
    faults = 0
    for call in client.model(name).captured.list(page_size=1000):
        faults += call.fault is not None
        lines.write(f"{call.model_dump_json()}\n")
    return faults


def _delete(client: Client, name: str, *, yes: bool, receipt: Path | None, as_json: bool) -> None:
    if not yes:
        click.confirm(f"Erase all captured calls of {name}? There is no way back.", abort=True, err=True)
    erasure = client.model(name).captured.delete()
    if as_json:
        _json(erasure)
    else:
        click.echo(f"{erasure.counts.get('captured_calls', 0):,} captured calls of {name} are erased")
    show_receipt(erasure, receipt, quiet=as_json)
