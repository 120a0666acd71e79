"""`maas publish` and `maas download`: packages on their way, with a bar for those who look."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
from rich.progress import Progress as RichProgress

from maas_client._cli import _FORCE, _JSON, _MODEL, _Options, _with_options, main
from maas_client._cli_output import _plain, _show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maas_client._progress import Progress


def _json_object(
    _context: click.Context, _option: click.Parameter, text: str | None
) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"this is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise click.BadParameter('it takes a JSON object, such as {"data": "sha256:…"}')
    return value


@main.command()
@click.argument("package", type=click.Path(exists=True, path_type=Path))
@click.option("--name", required=True, help="The model's name.")
@click.option("--notes", default="", help="What is new in this version.")
@click.option(
    "--visibility", type=click.Choice(["private", "public"]), help="For a new model; private if left out."
)
@click.option("--set-default", is_flag=True, help="Let `default` point to the new version.")
@click.option("--parent", type=click.IntRange(1), help="The version that it was made from.")
@click.option("--origin", help="How it was made: uploaded, trained, quantized, ….")
@click.option(
    "--lineage", metavar="JSON", callback=_json_object, help='What else is known of that: \'{"data": "…"}\'.'
)
@click.option("--again", is_flag=True, help="Make a new version even of content that is there already.")
@_FORCE
@_JSON
@_with_options
def publish(
    options: _Options,
    package: Path,
    *,
    name: str,
    notes: str,
    visibility: Any,  # noqa: ANN401 - one of the choices
    set_default: bool,
    parent: int | None,
    origin: str | None,
    lineage: dict[str, Any] | None,
    again: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Publish a model package, a folder or its zip, as the next version; again after an interruption."""
    with options.client() as client, _transfer(f"Publishing {name}") as progress:
        version = client.models.publish(
            package,
            name=name,
            notes=notes,
            visibility=visibility,
            set_default=set_default,
            parent=parent,
            origin=origin,
            lineage=lineage,
            again=again,
            force=force,
            progress=progress,
        )
    _show(version, as_json=as_json, text=f"{version.model} version {version.version} ({version.digest})")


@main.command()
@_MODEL
@click.argument("version", default="default")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path(),
    help="A file's name, or a folder; this folder if left out.",
)
@click.option("--overwrite", is_flag=True, help="Replace a file of that name.")
@_JSON
@_with_options
def download(
    options: _Options, name: str, version: str, *, output: Path, overwrite: bool, as_json: bool
) -> None:
    """Download a package of one of your models as a zip; again after an interruption.

    VERSION is a number or an alias; `default` if left out.
    """
    with options.client() as client, _transfer(f"Downloading {name}") as progress:
        path = client.model(name).versions.download(version, output, overwrite=overwrite, progress=progress)
    click.echo(json.dumps({"path": str(path)}) if as_json else str(path))


@contextmanager
def _transfer(label: str) -> Iterator[Progress]:
    """Give what shows a bar on standard error while bytes go, if a person looks at it."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield False
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with RichProgress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(_plain(label), total=None)

        def show(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total)

        yield show
