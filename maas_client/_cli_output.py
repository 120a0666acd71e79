"""What the commands print: tables, pairs of names and values, JSON; nothing that steers a terminal."""

from __future__ import annotations

import json
from datetime import UTC
from typing import TYPE_CHECKING

import click
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime


def _show(value: BaseModel, *, as_json: bool, text: str) -> None:
    if as_json:
        _json(value)
    else:
        click.echo(text)


def _json(value: BaseModel | Sequence[BaseModel]) -> None:
    if isinstance(value, BaseModel):
        click.echo(value.model_dump_json(indent=2))
    else:
        click.echo(json.dumps([item.model_dump(mode="json") for item in value], indent=2))


def _table(
    values: Sequence[BaseModel],
    columns: Sequence[str],
    rows: Iterable[Sequence[str | None]],
    *,
    as_json: bool,
) -> None:
    if as_json:
        _json(values)
        return
    cells = [[_plain(cell or "—") for cell in row] for row in rows]
    console = Console()
    if not console.is_terminal:
        # Another program reads it: one line each, whole, in columns that `cut` can tell apart.
        for row in (columns, *cells):
            click.echo("\t".join(row))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=index == 0)
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def _pairs(title: str, pairs: Iterable[tuple[str, str]]) -> None:
    table = Table(
        box=None, pad_edge=False, show_header=False, title=Text(_plain(title)), title_justify="left"
    )
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(Text(_plain(name)), Text(_plain(value)))
    Console().print(table)


def _plain(text: str) -> str:
    # Names and notes are other people's words: no control character of theirs reaches the terminal.
    return "".join(character if character.isprintable() else " " for character in text)


def _lines(text: str) -> str:
    return "".join(f"{_plain(line)}\n" for line in text.splitlines())


def _console() -> Console:
    return Console(highlight=False)


def _number(value: int | None) -> str:
    return "—" if value is None else str(value)


def _time(moment: datetime | None) -> str:
    """Return a time to the second in UTC, as every command shows times."""
    return "—" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
