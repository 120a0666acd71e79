"""`maas-server models`: the list, and adding what is on it."""

from __future__ import annotations

import json
import shlex
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from maas_client.types import ModelName
from reference_server.store_command import DATA_DIR, checked, or_fail, settings, with_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from maas_client.types import Version
    from reference_server.catalogue.adding import Added
    from reference_server.catalogue.entry import Entry
    from reference_server.downloads import Distribution
    from reference_server.registry.database import Database

_LONGEST_EXAMPLE = 500


@click.group()
def models() -> None:
    """List real models, and add them to the store; who can run this needs no other right."""


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(*, as_json: bool) -> None:
    """List the models that can be added."""
    from reference_server.catalogue.table import ENTRIES

    if as_json:
        click.echo(json.dumps([_described(entry) for entry in ENTRIES], indent=2))
        return
    for entry in ENTRIES:
        size = _megabytes(entry.download_bytes)
        click.echo(f"{entry.name:<14}{entry.task:<24}{size:>9}  {entry.licence}")
        click.echo(click.wrap_text(entry.description, initial_indent="  ", subsequent_indent="  "))


@models.command()
@click.argument("name")
@click.option("--as", "model", metavar="MODEL_NAME", help="Publish it under another name.")
@click.option(
    "--owner",
    metavar="ACCOUNT",
    help="Whose it will be, by name or e-mail.  [default: the only operator, or the only account]",
)
@click.option("--public", is_flag=True, help="Show it to everyone; a new model is private otherwise.")
@DATA_DIR
def add(name: str, *, model: str | None, owner: str | None, public: bool, data_dir: Path | None) -> None:
    """Download a listed model, try it out, and publish it; a server may be running meanwhile.

    What is in the store already is not published again. Downloads are kept in MAAS_CACHE_DIR, or else in your
    cache folder.
    """
    from reference_server.catalogue.table import find
    from reference_server.registry.artifacts import ArtifactStore

    found = settings(data_dir=data_dir)
    entry = or_fail(lambda: find(name))
    model_name = checked("--as", ModelName, model) if model is not None else entry.name

    def act(database: Database) -> Added:
        from reference_server.catalogue import adding

        account = adding.owner_of(database, owner)
        click.echo(f"{entry.name} ({entry.task}): {entry.description}")
        click.echo(f"licence: {entry.licence}")
        package = _package(entry)
        click.echo("trying it out ...", err=True)
        return adding.publish(
            database,
            ArtifactStore(found.artifacts),
            account,
            package,
            name=model_name,
            notes=f"Added from {' and '.join(source.requirement for source in entry.sources)}.",
            public=public,
            max_bytes=found.max_package_bytes,
        )

    _tell(with_database(found, act))


def _package(entry: Entry) -> bytes:
    from reference_server.catalogue.adding import package_of
    from reference_server.catalogue.sources import SourceError
    from reference_server.downloads import DownloadError

    try:
        return package_of(entry, watch=_bar)
    except (DownloadError, SourceError) as error:
        raise click.ClickException(f"{entry.name} cannot be had: {error}; nothing was published") from error


@contextmanager
def _bar(source: Distribution) -> Iterator[Callable[[int], None] | None]:
    """Show a download on standard error: as a bar at a terminal, as one line elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from reference_server.downloads import cached

    if cached(source) is not None:
        click.echo(f"{source.requirement} is in the cache", err=True)
        yield None
        return
    console = Console(stderr=True)
    if not console.is_terminal:
        click.echo(f"fetching {source.requirement}, {_megabytes(source.size)} ...", err=True)
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(f"fetching {source.requirement}", total=source.size)
        yield lambda received: progress.update(bar, completed=min(received, source.size))
        progress.update(bar, completed=source.size)


def _tell(added: Added) -> None:
    model, version = added.model, added.version
    state = "is published" if added.is_new else "was published already"
    click.echo(f"{model.owned_by}~{model.name}, version {version.version}, {state} ({model.visibility})")
    if version.batch_invariant is False:
        click.echo("its results depend on the company of a run, so it runs row by row")
    for metric in version.manifest.metrics:
        click.echo(f"{metric.name} {metric.value:.3f} on {metric.rows:,} rows of {metric.dataset}")
    if model.default_version != version.version:
        click.echo(
            f"calls still get version {model.default_version}; maas aliases move {model.name} default "
            f"{version.version} changes that"
        )
    click.echo("call it:")
    click.echo("  " + _call(model.id, version))


def _call(name: str, version: Version) -> str:
    example = version.manifest.example
    if list(example) == ["text"]:
        return shlex.join(["maas", "predict", name, str(example["text"]), "--json"])
    line = json.dumps(example)
    if len(line) > _LONGEST_EXAMPLE:
        return f"client.predict({name!r}, **client.models.get({name!r}).example)"
    return f"echo {shlex.quote(line)} | maas predict {shlex.quote(name)} --file -"


def _described(entry: Entry) -> dict[str, object]:
    return {
        "name": entry.name,
        "task": entry.task,
        "license": entry.licence,
        "download_bytes": entry.download_bytes,
        "description": entry.description,
        "sources": [source.requirement for source in entry.sources],
    }


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
