"""`maas-server tls`: a certificate for trying HTTPS out."""

from __future__ import annotations

from pathlib import Path

import click

from reference_server.store_command import or_fail

# By which a server that listens on loopback is called.
_HOSTS = ("localhost", "127.0.0.1", "::1")


@click.group()
def tls() -> None:
    """Make certificates for trying HTTPS out."""


@tls.command("self-signed")
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--host",
    "hosts",
    multiple=True,
    default=_HOSTS,
    help="Name or address that clients call; once for each.  [default: localhost, 127.0.0.1, ::1]",
)
@click.option("--days", type=click.IntRange(1, 398), default=30, show_default=True, help="Until it expires.")
def self_signed(folder: Path, *, hosts: tuple[str, ...], days: int) -> None:
    """Write a private key and a certificate that it signed itself to DIR, and say how to use them."""
    from reference_server.tls import write_self_signed

    written = or_fail(lambda: write_self_signed(folder, hosts, days=days))
    certificate = written.certificate.resolve()
    click.echo(
        f"{written.certificate} and {written.key} are for {', '.join(hosts)}, until {written.ends:%Y-%m-%d}"
    )
    click.echo(f"\nserve:  maas-server serve --tls-cert {certificate} --tls-key {written.key.resolve()}")
    click.echo(
        f"call:   export MAAS_BASE_URL=https://{_in_url(hosts[0])}:8000 REQUESTS_CA_BUNDLE={certificate}"
    )
    click.echo(
        f'  or:   maas_client.Client(base_url="https://{_in_url(hosts[0])}:8000", verify="{certificate}")'
    )
    click.echo(f"  or:   curl --cacert {certificate} https://{_in_url(hosts[0])}:8000/healthz")
    click.echo("\nNobody vouches for it: for others, take a certificate of an authority that they trust.")


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
