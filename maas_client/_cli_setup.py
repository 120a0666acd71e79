"""`maas doctor` and `maas completion`: what is wrong with a set-up, and what makes a shell complete."""

from __future__ import annotations

import json

import click
from click.shell_completion import get_completion_class
from rich.text import Text

from maas_client._cli import _JSON, _Options, _with_options, main
from maas_client._cli_output import _console, _plain

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "bold red"}


@main.command()
@_JSON
@_with_options
def doctor(options: _Options, *, as_json: bool) -> None:
    """Look for what is wrong with this set-up: settings, connection, certificate, server, credential."""
    from maas_client._doctor import examine

    found = []
    for finding in examine(base_url=options.base_url, profile=options.profile):
        found.append(finding)
        if not as_json:
            _console().print(
                Text.assemble((f"{finding.state:5}", _COLOURS[finding.state]), f"{finding.check:14}"),
                Text(_plain(finding.told)),
                soft_wrap=True,
            )
    if as_json:
        click.echo(json.dumps([finding.as_dict() for finding in found], indent=2))
    raise click.exceptions.Exit(max(finding.code for finding in found))


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes a shell complete this command: names of models and versions too.

    For bash, put `source <(maas completion bash)` into ~/.bashrc; for zsh the same with zsh into ~/.zshrc;
    for fish, write the output to ~/.config/fish/completions/maas.fish.
    """
    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"there is no completion for {shell}")
    click.echo(made(main, {}, "maas", "_MAAS_COMPLETE").source())
