"""The `maas` command: the SDK at a prompt and in shell scripts.

Exit codes: 0 done · 1 any other failure · 2 wrong usage or configuration · 3 not logged in or not allowed ·
4 not found · 5 the server cannot be reached or is not ready.
"""

from __future__ import annotations

import json
import sys
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem, get_completion_class
from pydantic import BaseModel
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
from rich.progress import Progress as RichProgress
from rich.table import Table
from rich.text import Text

from maas_client import errors
from maas_client._client import Client
from maas_client._quantities import in_bytes, in_milliseconds
from maas_client.recommendations import end_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from maas_client._progress import Progress
    from maas_client.predictions import Outcome
    from maas_client.types import Model, Performance

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "bold red"}
# Pressing the tabulator should not wait for a server that is far away.
_COMPLETION_SECONDS = 1.0
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
_EXIT_CODES: tuple[tuple[type[errors.MaasError], int], ...] = (
    (errors.ConfigurationError, 2),
    (errors.ArgumentError, 2),
    (errors.PackageError, 2),
    (errors.ReceiptError, 1),
    (errors.AuthenticationError, 3),
    (errors.PermissionDeniedError, 3),
    (errors.NotFoundError, 4),
    (errors.ConnectionFailedError, 5),
    (errors.DeadlineError, 5),
    (errors.ServerError, 5),
    (errors.RateLimitError, 5),
)


@dataclass(frozen=True, slots=True)
class _Options:
    """What the group's options say about the client to make."""

    base_url: str | None
    profile: str | None
    timeout: float | None

    @contextmanager
    def client(self) -> Iterator[Client]:
        """Give a client; its errors become one line and an exit code, its warnings one line each."""
        try:
            with _warnings_in_one_line(), self._made() as client:
                yield client
        except errors.MaasError as error:
            click.echo(f"Error: {_plain(str(error))}", err=True)
            code = next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), 1)
            raise click.exceptions.Exit(code) from error

    def _made(self) -> Client:
        given = {"base_url": self.base_url, "profile": self.profile, "timeout": self.timeout}
        return Client(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type] # names and values belong together


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """Show warnings as the errors are shown, without files and lines of Python."""

    def show(message: Warning | str, *_: object) -> None:
        click.echo(f"warning: {_plain(str(message))}", err=True)

    with warnings.catch_warnings():
        warnings.showwarning = show  # type: ignore[assignment] # it takes whatever it is called with
        yield


def _complete_models(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    with suppress(errors.MaasError), _completing(context) as client:
        page = next(iter(client.models.list(page_size=200).pages()))
        return [
            CompletionItem(model.id, help=model.task)
            for model in page.data
            if model.id.startswith(incomplete)
        ]
    return []


def _complete_versions(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    with suppress(errors.MaasError), _completing(context) as client:
        # With `--version` still without its value, click leaves the arguments where they were.
        name = context.params.get("name") or next(iter(context.args), "")
        page = next(iter(client.model(name).versions.list().pages()))
        known = [name for version in page.data for name in (str(version.version), *version.aliases)]
        return [CompletionItem(name) for name in known if name.startswith(incomplete)]
    return []


def _completing(context: click.Context) -> Client:
    given = context.find_root().params
    return Client(
        base_url=given.get("base_url"),
        profile=given.get("profile"),
        timeout=_COMPLETION_SECONDS,
        max_retries=0,
    )


_MODEL = click.argument("name", shell_complete=_complete_models)
_VERSION = click.option(
    "--version", help="A version's number, an alias or `latest`.", shell_complete=_complete_versions
)


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


_FORCE = click.option("--force", is_flag=True, help="Move `default` even where that breaks calls.")
_with_options = click.make_pass_decorator(_Options)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]}, epilog=(__doc__ or "").partition("\n\n")[2]
)
@click.option("--base-url", help="The server, such as https://models.example.com.  [env: MAAS_BASE_URL]")
@click.option("--profile", help="The saved log-in to use.  [env: MAAS_PROFILE]")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), help="Seconds that a call may take.")
@click.version_option(package_name="maas-client")
@click.pass_context
def main(context: click.Context, base_url: str | None, profile: str | None, timeout: float | None) -> None:
    """Use trained models through a simple, authenticated call."""
    context.obj = _Options(base_url, profile, timeout)


@main.command()
@click.option("--email", prompt="E-mail")
@click.option("--name", help="Public handle; made up when left out.")
@click.option("--invitation", help="What the operator sent you, where registration is by invitation.")
@click.option("--accept-policy", is_flag=True, help="Accept the usage policy without being asked.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@_JSON
@_with_options
def register(
    options: _Options,
    *,
    email: str,
    name: str | None,
    invitation: str | None,
    accept_policy: bool,
    password_stdin: bool,
    as_json: bool,
) -> None:
    """Register an account."""
    with options.client() as client:
        service = client.service.info()
        if service.registration == "invitation" and invitation is None:
            invitation = click.prompt("Invitation", err=True)
        policy = service.usage_policy
        if not accept_policy:
            click.echo(f"Usage policy, version {policy.version}:\n\n{policy.text}", err=True)
            click.confirm("Do you accept it?", abort=True, err=True)
        password = _password(from_stdin=password_stdin, confirm=True)
        account = client.register(
            email=email, password=password, name=name, accept_policy=policy.version, invitation=invitation
        )
    _show(account, as_json=as_json, text=f"Registered {account.name} ({account.email}). Next: maas login")


@main.command()
@click.option("--email", prompt="E-mail")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@_with_options
def login(options: _Options, *, email: str, password_stdin: bool) -> None:
    """Log in and save a key in the profile, for later commands and programs."""
    with options.client() as client:
        session = client.login(email=email, password=_password(from_stdin=password_stdin), save=True)
    click.echo(f"Logged in as {session.account.name}. The key is saved in the profile.")


@main.command()
@_with_options
def logout(options: _Options) -> None:
    """Revoke the saved key and forget it."""
    with options.client() as client:
        client.logout()
    click.echo("Logged out.")


@main.command()
@_MODEL
@_JSON
@_with_options
def model(options: _Options, name: str, *, as_json: bool) -> None:
    """Describe a model: what it is for, what it takes, how good it was measured to be."""
    with options.client() as client:
        found = client.models.get(name)
    if as_json:
        _json(found)
        return
    lines = [
        ("task", found.task or "—"),
        ("owner", found.owned_by),
        ("visibility", found.visibility),
        ("your role", found.role or "—"),
        ("licence", found.license or "—"),
        ("default version", _number(found.default_version)),
        ("state", end_of(found)),
        ("description", found.description),
        ("intended use", found.intended_use),
        ("limitations", found.limitations),
        ("labels", ", ".join(found.labels)),
        *((f"input {spec.name}", spec.type) for spec in (found.signature.inputs if found.signature else ())),
        *(
            (metric.name, f"{metric.value:.4g} on {metric.rows:,} rows of {metric.dataset}")
            for metric in found.metrics
        ),
        *((f"measured on {each.device}", _performance(each)) for each in found.performance),
        ("size", in_bytes(found.size) or ""),
        ("usage", f"{found.usage.calls:,} calls in the last {found.usage.days} days" if found.usage else ""),
        ("captured", _captured(found)),
        ("example", json.dumps(found.example, ensure_ascii=False) if found.example else ""),
    ]
    _pairs(found.id, [(name, value) for name, value in lines if value])
    if found.snippets is not None:
        click.echo(f"\n{_lines(found.snippets.python)}\n{_lines(found.snippets.curl)}", nl=False)


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
@click.argument("text", required=False)
@click.option(
    "-f",
    "--file",
    type=click.File("r", encoding="utf-8", errors="surrogateescape"),
    help="Read instances, one JSON object a line; `-` for standard input.",
)
@_VERSION
@click.option(
    "--concurrency", type=click.IntRange(1, 256), default=4, help="With --file: the most calls at once."
)
@click.option(
    "--checkpoint",
    type=click.Path(dir_okay=False),
    help="With --file: where to keep what is done, and to go on from.",
)
@_JSON
@_with_options
def predict(
    options: _Options,
    name: str,
    text: str | None,
    *,
    file: Any,  # noqa: ANN401 - an open text file
    version: str | None,
    concurrency: int,
    checkpoint: str | None,
    as_json: bool,
) -> None:
    """Run a model on TEXT, on standard input for `-`, or on every line of a file.

    Of a file every line has its answer, in order. A line that cannot be predicted says so in its place, and
    the exit code is 1 when there was one.
    """
    if (text is None) == (file is None):
        raise click.UsageError("give a TEXT, `-` to read it from standard input, or --file; one of them")
    with options.client() as client:
        if file is None:
            said = _standard_input() if text == "-" else text
            prediction = client.predict(name, text=said, version=version)
            click.echo(prediction.model_dump_json() if as_json else _line(prediction))
            return
        outcomes = client.predict_many(
            name,
            _instances(file),
            version=version,
            concurrency=concurrency,
            checkpoint=checkpoint,
            # A bar between the lines of a terminal would tear both.
            progress=sys.stderr.isatty() and not sys.stdout.isatty(),
        )
        failed = 0
        for outcome in outcomes:
            failed += outcome.error is not None
            click.echo(_outcome_line(outcome, as_json=as_json))
    if failed:
        click.echo(f"Error: {failed:,} of the lines could not be predicted", err=True)
        raise click.exceptions.Exit(1)


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


@main.group()
def aliases() -> None:
    """Show and move a model's aliases, `default` among them."""


@aliases.command("list")
@_MODEL
@_JSON
@_with_options
def list_aliases(options: _Options, name: str, *, as_json: bool) -> None:
    """List where a model's aliases point."""
    with options.client() as client:
        found = list(client.model(name).aliases.list())
    rows = (
        [alias.name, str(alias.version), _time(alias.moved_at), alias.moved_by or "", alias.note]
        for alias in found
    )
    _table(found, ("ALIAS", "VERSION", "MOVED", "BY", "WHY"), rows, as_json=as_json)


@aliases.command("move")
@_MODEL
@click.argument("alias")
@click.argument("version", type=click.IntRange(1))
@click.option("--note", default="", help="Why.")
@_FORCE
@_JSON
@_with_options
def move_alias(
    options: _Options, name: str, alias: str, version: int, *, note: str, force: bool, as_json: bool
) -> None:
    """Point an alias to a version."""
    with options.client() as client:
        moved = client.model(name).aliases.move(alias, version=version, note=note, force=force)
    _show(moved, as_json=as_json, text=f"{name}: {moved.name} is now version {moved.version}")


@aliases.command("rollback")
@_MODEL
@click.argument("alias", default="default")
@click.option("--note", default="", help="Why.")
@_FORCE
@_JSON
@_with_options
def roll_back_alias(
    options: _Options, name: str, alias: str, *, note: str, force: bool, as_json: bool
) -> None:
    """Point an alias (`default` if left out) to where it pointed before."""
    with options.client() as client:
        moved = client.model(name).aliases.rollback(alias, note=note, force=force)
    _show(moved, as_json=as_json, text=f"{name}: {moved.name} is again version {moved.version}")


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


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise click.UsageError(
            f"standard input is not UTF-8 at byte {error.start}; convert it first, for example with iconv"
        ) from error


def _password(*, from_stdin: bool, confirm: bool = False) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=confirm, err=True)
    return password


def _outcome_line(outcome: Outcome, *, as_json: bool) -> str:
    if outcome.prediction is not None:
        return outcome.prediction.model_dump_json() if as_json else _line(outcome.prediction)
    message = _plain(str(outcome.error))
    return json.dumps({"error": message}, ensure_ascii=False) if as_json else f"error\t{message}"


def _instances(lines: Iterable[str]) -> Iterator[Any]:
    for line in lines:
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            # As it is, so that its answer says what it is and where it stood.
            yield line.rstrip("\n")


def _line(prediction: Any) -> str:  # noqa: ANN401 - one of the prediction types
    label, score = getattr(prediction, "label", None), getattr(prediction, "score", None)
    if label is None or score is None:
        return str(prediction.model_dump_json())
    return f"{label}\t{score:.4f}"


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


def _performance(measured: Performance) -> str:
    p50, p95 = (in_milliseconds(each) or "—" for each in (measured.p50_ms, measured.p95_ms))
    rate = "" if measured.rows_per_second is None else f", {measured.rows_per_second:,.0f} rows/s"
    return f"{p50} median, {p95} at 95 %{rate}, over {measured.calls:,} calls"


def _captured(found: Model) -> str:
    if found.captured is None:
        return ""
    part = "" if found.captured.sample >= 1 else f" of {found.captured.sample:.1%} of the calls"
    return f"inputs and outputs{part} are stored for its owners, {found.captured.days} days each"


def _console() -> Console:
    return Console(highlight=False)


def _number(value: int | None) -> str:
    return "—" if value is None else str(value)


def _time(moment: datetime | None) -> str:
    """Return a time to the second in UTC, as every command shows times."""
    return "—" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


# Each adds its commands to `main`, and so comes after it.
from maas_client import (  # noqa: E402
    _cli_advise,  # noqa: F401
    _cli_audit,  # noqa: F401
    _cli_capture,  # noqa: F401
    _cli_erasures,  # noqa: F401
    _cli_explain,  # noqa: F401
    _cli_fine_tune,  # noqa: F401
    _cli_jobs,  # noqa: F401
    _cli_keys,  # noqa: F401
    _cli_models,  # noqa: F401
    _cli_recommend,  # noqa: F401
    _cli_sessions,  # noqa: F401
    _cli_shares,  # noqa: F401
    _cli_traffic,  # noqa: F401
    _cli_usage,  # noqa: F401
    _cli_versions,  # noqa: F401
)
