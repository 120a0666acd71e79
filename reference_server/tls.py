"""TLS (RFC 8446, RFC 5246): what the sockets use, renewed certificates, and a certificate for trying out."""

from __future__ import annotations

import ipaddress
import logging
import os
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    _State: TypeAlias = tuple[tuple[int, int, int] | None, ...]

_log = logging.getLogger(__name__)
# Clocks of clients may be behind ours by some minutes.
_EARLIER = timedelta(minutes=10)
# What X.520 allows a common name; longer host names stand in the alternative names alone.
_MOST_NAME_CHARACTERS = 64


class TlsError(Exception):
    """Certificate, key or authorities cannot be used; the message says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Written:
    """A new certificate and its key.

    Args:
        certificate: PEM, also what clients are told to trust.
        key: PEM, mode 0600.
        hosts: The names and addresses that it is for.
        ends: When it expires; aware.
    """

    certificate: Path
    key: Path
    hosts: tuple[str, ...]
    ends: datetime


class Certificates:
    """The server's certificate as it is on disk now.

    Args:
        certificate: PEM chain, the server's own first.
        key: PEM private key, without a password.
        client_ca: PEM authorities that must have signed the certificates of clients; None asks for none.

    Attributes:
        context: What sockets use; it stays the same, and each new handshake uses what was loaded last.

    Raises:
        TlsError: They cannot be used.
    """

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None = None) -> None:
        self._certificate, self._key, self._client_ca = certificate, key, client_ca
        self._seen = self._state()
        self._is_behind = False
        self.context = _context(certificate, key, client_ca)

    def renew(self) -> bool:
        """Load the certificate and key again if their files changed; return whether that was done.

        Files that do not fit each other are left alone until they do: a renewal writes two of them. To be
        called where no handshake begins meanwhile, for OpenSSL takes one after the other.
        """
        state = self._state()
        if state == self._seen and not self._is_behind:
            return False
        try:
            # First apart: what cannot be used must not take the place of what can.
            _context(self._certificate, self._key, None)
            self.context.load_cert_chain(self._certificate, self._key, _no_password)
        except (TlsError, OSError) as error:
            if state != self._seen:
                _log.error("the renewed certificate is not taken up, the old one stays: %s", error)
            self._seen, self._is_behind = state, True
            return False
        self._seen, self._is_behind = state, False
        _log.info("the certificate %s was renewed", self._certificate)
        return True

    def _state(self) -> _State:
        return tuple(_fingerprint(file) for file in (self._certificate, self._key))


def expiry(certificate: Path) -> datetime:
    """Return when a certificate expires, aware; of a chain, the first one to do so.

    Raises:
        TlsError: The file holds no certificate.
    """
    try:
        return min(
            each.not_valid_after_utc for each in x509.load_pem_x509_certificates(certificate.read_bytes())
        )
    except (OSError, ValueError) as error:
        raise TlsError(f"{certificate} cannot be read: {error}; give a PEM certificate chain") from error


def write_self_signed(
    folder: Path, hosts: Sequence[str], *, days: int, now: datetime | None = None
) -> Written:
    """Write `cert.pem` and `key.pem` (P-256), which clients trust only when they are told to.

    Args:
        folder: Where to; made, for its owner alone, if it is not there.
        hosts: Names and addresses by which clients call the server, at least one.
        days: Until it expires.
        now: When it begins; the time if left out.

    Raises:
        TlsError: There are such files already, or they cannot be written.
    """
    begins = now or datetime.now(UTC)
    written = Written(folder / "cert.pem", folder / "key.pem", tuple(hosts), begins + timedelta(days=days))
    if taken := [str(each) for each in (written.certificate, written.key) if each.exists()]:
        raise TlsError(f"{' and '.join(taken)} exists already; remove it, or name another folder")
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _self_signed(key, hosts, begins, written.ends)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(written.key, _pem(key), 0o600)
        _write(written.certificate, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    except OSError as error:
        raise TlsError(f"{error.filename or folder} cannot be written: {error.strerror}") from error
    return written


def _context(certificate: Path, key: Path, client_ca: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # RFC 8996: the versions before are not to be used; the system's own configuration might allow them.
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, _no_password)
    except (OSError, ValueError) as error:  # what ssl raises is one of the first kind
        raise TlsError(
            f"{certificate} and {key} cannot be used: {error}; give a PEM chain and the private key, without "
            "a password, that belongs to its first certificate"
        ) from error
    if client_ca is None:
        return context
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_verify_locations(client_ca)
    except OSError as error:
        raise TlsError(
            f"{client_ca} cannot be used: {error}; give PEM certificates of the authorities of clients"
        ) from error
    return context


def _no_password() -> str:
    # Without this OpenSSL would ask at the terminal, and a server would wait there for ever.
    return ""


def _fingerprint(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _self_signed(
    key: ec.EllipticCurvePrivateKey, hosts: Sequence[str], begins: datetime, ends: datetime
) -> x509.Certificate:
    public = key.public_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:_MOST_NAME_CHARACTERS])])
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins - _EARLIER)
        .not_valid_after(ends)
        .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
    )
    return builder.sign(key, hashes.SHA256())


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host.encode("idna").decode("ascii") if not host.isascii() else host)
    except (UnicodeError, ValueError) as error:
        raise TlsError(f"{host!r:.200} is no host name and no address") from error


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(file: Path, content: bytes, mode: int) -> None:
    # Made with its mode, so that it is never readable to others, and never through somebody's link.
    with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "wb") as target:
        target.write(content)
