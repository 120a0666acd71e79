"""`maas account`, `maas erasure` and `maas verify-receipt`: erasing one's account, and receipts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from pydantic import ValidationError

from maas_client import errors
from maas_client._cli import _JSON, _with_options, main
from maas_client._cli_account import _password
from maas_client._cli_output import _json, _pairs, _plain
from maas_client.types import Erasure, Receipt

if TYPE_CHECKING:
    from maas_client._cli import _Options
    from maas_client.types import ErasurePlan, ErasureStatement

_FILE = click.Path(dir_okay=False, path_type=Path)
RECEIPT = click.option("--receipt", type=_FILE, help="Where to save the signed receipt.")


@main.group()
def account() -> None:
    """Show one's account, and erase it."""


@account.command()
@click.option("--email", prompt="E-mail")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--dry-run", is_flag=True, help="Only tell what would go.")
@click.option("--yes", is_flag=True, help="Do it without being asked.")
@RECEIPT
@_JSON
@_with_options
def delete(
    options: _Options,
    *,
    email: str,
    password_stdin: bool,
    dry_run: bool,
    yes: bool,
    receipt: Path | None,
    as_json: bool,
) -> None:
    """Erase your account and everything that is its, for good; what goes is told before."""
    password = _password(from_stdin=password_stdin)
    with options.client() as client:
        client.login(email=email, password=password)
        plan = client.account.erasure_plan()
        if dry_run:
            _json(plan) if as_json else _show_plan(plan)
            return
        if not yes:
            _show_plan(plan)
            click.confirm("Erase all of it? There is no way back.", abort=True, err=True)
        erasure = client.account.delete(password=password)
    if as_json:
        _json(erasure)
    else:
        click.echo(f"The account of {email} is erased. A saved log-in of it holds no more.")
    show_receipt(erasure, receipt, quiet=as_json)


@main.command()
@click.argument("erasure_id")
@RECEIPT
@_JSON
@_with_options
def erasure(options: _Options, erasure_id: str, *, receipt: Path | None, as_json: bool) -> None:
    """Show an erasure by its id, and save its receipt once it is done."""
    with options.client() as client:
        found = client.service.erasure(erasure_id)
    if as_json:
        _json(found)
    else:
        click.echo(f"{found.what}: {found.state}")
    show_receipt(found, receipt, quiet=as_json)


@main.command("verify-receipt")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--key", help="The server's public key, `receipt_key` of GET /; else the receipt's own is taken."
)
@click.option("--of", "name", help="What was erased: `owner~model`, `owner~model version 3`, or the e-mail.")
@_JSON
def verify_command(file: Path, *, key: str | None, name: str | None, as_json: bool) -> None:
    """Check a receipt's signature without asking anybody, and show what it says.

    Ends with 0 when it holds and with 1 when it does not. Needs the extra `receipts`.
    """
    from maas_client._receipts import verify_receipt

    try:
        statement = verify_receipt(_receipt(file), key=key, name=name)
    except (errors.ReceiptError, errors.ArgumentError) as error:
        click.echo(f"Error: {_plain(str(error))}", err=True)
        raise click.exceptions.Exit(2 if isinstance(error, errors.ArgumentError) else 1) from error
    if as_json:
        _json(statement)
    else:
        _show_statement(statement)
    if key is None:
        click.echo(
            "The key is the one that the receipt names. That it is your server's, only --key can tell: "
            f"compare {statement.public_key} with receipt_key of its GET /.",
            err=True,
        )


def show_receipt(erasure: Erasure, file: Path | None, *, quiet: bool = False) -> None:
    """Save a receipt where there is one, and say where or how to get it later."""
    if erasure.receipt is None:
        if not quiet:
            click.echo(f"The receipt follows: maas erasure {erasure.id} --receipt FILE", err=True)
    elif file is not None:
        file.write_text(f"{erasure.receipt.model_dump_json(indent=2)}\n", encoding="utf-8")
        if not quiet:
            click.echo(f"The receipt is in {file}; check it with: maas verify-receipt {file}", err=True)


def _receipt(file: Path) -> Receipt:
    text = file.read_bytes()
    try:
        erasure = Erasure.model_validate_json(text)
    except ValidationError:
        try:
            return Receipt.model_validate_json(text)
        except ValidationError as error:
            raise errors.ReceiptError(
                f"{file} holds no receipt: {errors.describe_validation(error)}"
            ) from None
    if erasure.receipt is None:
        raise errors.ReceiptError(
            f"{file} holds an erasure that was still pending: maas erasure {erasure.id}"
        )
    return erasure.receipt


def _show_plan(plan: ErasurePlan) -> None:
    _pairs(
        "This would be erased",
        [
            *((name.replace("_", " "), f"{count:,}") for name, count in plan.counts.items()),
            ("your models", ", ".join(plan.models) or "none"),
            ("of them public", ", ".join(plan.public_models) or "none"),
            ("acts on others' models", f"{plan.left_to_others:,}, which stay without your name"),
            *(("not covered", each) for each in plan.not_covered),
        ],
    )


def _show_statement(statement: ErasureStatement) -> None:
    _pairs(
        f"The receipt holds: {statement.what} erased",
        [
            ("erasure", statement.erasure),
            ("of", statement.object),
            ("asked for", f"{statement.requested_at:%Y-%m-%d %H:%M:%S %Z}"),
            ("erased", f"{statement.erased_at:%Y-%m-%d %H:%M:%S %Z}"),
            *((name.replace("_", " "), f"{count:,}") for name, count in statement.counts.items()),
            *(("how", each) for each in statement.how),
            *(("not covered", each) for each in statement.not_covered),
        ],
    )
