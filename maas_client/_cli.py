"""The `maas` command: the SDK at a prompt and in shell scripts.

Exit codes: 0 done · 1 any other failure · 2 wrong usage or configuration · 3 not logged in or not allowed ·
4 not found · 5 the server cannot be reached or is not ready.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from maas_client import errors
from maas_client._cli_output import _plain
from maas_client._client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

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
