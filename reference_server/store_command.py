"""What every command on the server's own machine does: find the store, act on it, tell failures to people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from pydantic import TypeAdapter, ValidationError

from reference_server.errors import ServiceError
from reference_server.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from reference_server.registry.database import Database

ResultT = TypeVar("ResultT")

DATA_DIR = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the embedded store keeps everything.",
)


def settings(**flags: object) -> Settings:
    """Return the server's settings, flags before variables and the file; a wrong one is a usage error."""
    try:
        return Settings(**{name: value for name, value in flags.items() if value not in (None, ())})  # type: ignore[arg-type] # pydantic checks each
    except ValidationError as error:
        from maas_client.errors import describe_validation

        raise click.UsageError(
            f"{describe_validation(error)}; settings are flags, MAAS_SERVER_... variables and lines of the "
            "file that MAAS_SERVER_CONFIG names"
        ) from error
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def with_database(settings: Settings, act: Callable[[Database], ResultT]) -> ResultT:
    """Return what `act` makes of the store's database, which is brought up to date first."""
    from reference_server.stores import open_database

    database = or_fail(lambda: open_database(settings))
    try:
        return or_fail(lambda: act(database))
    finally:
        database.dispose()


def or_fail(act: Callable[[], ResultT]) -> ResultT:
    """Return what `act` returns; failures that are written for people end the command with their message."""
    try:
        return act()
    except ServiceError as error:
        raise click.ClickException(error.message) from error
    except Exception as error:
        if isinstance(error, _written_for_people()):
            raise click.ClickException(str(error)) from error
        raise


def _written_for_people() -> tuple[type[Exception], ...]:
    """Return what may be shown as it is; what raises it takes half a second to import, and seldom does."""
    from reference_server.backups.manifest import BackupError
    from reference_server.registry.database import StoreError
    from reference_server.security.master_keys import MasterKeyError
    from reference_server.serving import StartError
    from reference_server.tls import TlsError

    return StoreError, MasterKeyError, StartError, TlsError, BackupError


def checked(what: str, kind: Any, value: str) -> Any:  # noqa: ANN401 - whatever the type says
    """Return a value as a type of the contract; anything else is a usage error that names `what`."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise click.UsageError(f"{what}: {error.errors()[0]['msg']}") from error
