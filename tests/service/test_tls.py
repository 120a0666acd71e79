"""TLS on a real server: versions, renewals, certificates of clients, and one for trying out."""

import os
import socket
import ssl
import stat
import sys
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
import requests
import trustme
from click.testing import CliRunner
from cryptography import x509

import maas_client
from reference_server.cli import main
from reference_server.tls import Certificates, TlsError, expiry, write_self_signed

OPTIONS = ("--tls-cert", "--tls-key")


def write(issued, folder, name="server"):
    """Write a chain and its key as a renewal does, each in one step; return the two files."""
    files = folder / f"{name}.pem", folder / f"{name}.key"
    contents = b"".join(pem.bytes() for pem in issued.cert_chain_pems), issued.private_key_pem.bytes()
    for file, content in zip(files, contents, strict=True):
        unfinished = file.with_suffix(".new")
        unfinished.write_bytes(content)
        unfinished.replace(file)
    return files


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    made = trustme.CA()
    made.path = tmp_path_factory.mktemp("authority") / "ca.pem"
    made.cert_pem.write_to_path(made.path)
    return made


@pytest.fixture
def pair(authority, tmp_path):
    return write(authority.issue_cert("127.0.0.1"), tmp_path)


@pytest.fixture(scope="module")
def secure(serving, authority, tmp_path_factory):
    """A server with a certificate of the authority, and the two files."""
    folder = tmp_path_factory.mktemp("secure")
    files = write(authority.issue_cert("127.0.0.1"), folder)
    with serving(
        folder / "server", *[each for two in zip(OPTIONS, files, strict=True) for each in two]
    ) as running:
        yield running, files


def handshake(url, context):
    """Return the version and the certificate's serial number that a handshake gives."""
    parts = urlsplit(url)
    with (
        socket.create_connection((parts.hostname, parts.port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname=parts.hostname) as secure,
    ):
        certificate = x509.load_der_x509_certificate(secure.getpeercert(binary_form=True))
        return secure.version(), certificate.serial_number


def client_context(authority, **versions):
    context = ssl.create_default_context(cafile=authority.path)
    for name, version in versions.items():
        setattr(context, name, version)
    return context


def test_tls_is_spoken_from_1_2_on_and_renewed_without_a_restart(secure, authority):
    """1.1 is refused; a new certificate serves within seconds, and half of a renewal changes nothing."""
    running, files = secure
    assert running.url.startswith("https://127.0.0.1:")
    for name in ("TLSv1_2", "TLSv1_3"):
        only = ssl.TLSVersion[name]
        context = client_context(authority, minimum_version=only, maximum_version=only)
        version, before = handshake(running.url, context)
        assert version == name.replace("_", ".")
    old = client_context(authority)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(running.url, old)

    session = requests.Session()
    session.trust_env, session.verify = False, str(authority.path)
    reply = session.get(running.url + "/healthz", timeout=20)
    assert reply.headers["strict-transport-security"] == "max-age=31536000"

    renewed = authority.issue_cert("127.0.0.1")
    other_key = authority.issue_cert("127.0.0.1")
    context = client_context(authority)
    write(other_key, files[0].parent, "other")[0].replace(files[0])
    until = time.monotonic() + 30
    while "is not taken up" not in running.output():
        assert time.monotonic() < until
        time.sleep(0.05)
    assert handshake(running.url, context)[1] == before
    write(renewed, files[0].parent)
    expected = x509.load_pem_x509_certificate(renewed.cert_chain_pems[0].bytes()).serial_number
    until = time.monotonic() + 30
    while handshake(running.url, context)[1] != expected:
        assert time.monotonic() < until
        time.sleep(0.05)
    # A connection from before goes on.
    assert session.get(running.url + "/healthz", timeout=20).status_code == 200
    session.close()


def test_the_sdk_trusts_whom_it_is_told_to_trust(secure, authority):
    """With the authority's certificate a call succeeds; without it the connection is refused, named so."""
    running, _ = secure
    with running.client(verify=str(authority.path)) as client:
        client.register(email="tls@example.com", password="correct horse battery", accept_policy=True)
        client.login(email="tls@example.com", password="correct horse battery")
        assert client.account.get().email == "tls@example.com"
    with (
        running.client(max_retries=0) as client,
        pytest.raises(maas_client.MaasError, match=r"(?i)certificate"),
    ):
        client.service.health()


def test_only_clients_with_a_certificate_of_the_authority_are_let_in(serve, authority, pair, tmp_path):
    """With one a request is answered; without one, and with one of somebody else, the handshake fails."""
    known = write(authority.issue_cert("client@example.com"), tmp_path, "client")
    stranger = write(trustme.CA().issue_cert("client@example.com"), tmp_path, "stranger")
    options = [each for two in zip(OPTIONS, pair, strict=True) for each in two]
    with serve(*options, "--tls-client-ca", authority.path) as running:
        with requests.Session() as session:
            session.trust_env = False
            session.verify, session.cert = str(authority.path), tuple(map(str, known))
            assert session.get(running.url + "/healthz", timeout=20).status_code == 200
        for certificate in (None, tuple(map(str, stranger))):
            with requests.Session() as session:
                session.trust_env = False
                session.verify, session.cert = str(authority.path), certificate
                with pytest.raises(requests.ConnectionError):
                    session.get(running.url + "/healthz", timeout=20)


def test_a_self_signed_certificate_serves_those_who_are_told(serve, tmp_path):
    """As the command says: the key is its owner's alone, and the SDK's environment names the certificate."""
    made = CliRunner().invoke(main, ["tls", "self-signed", str(tmp_path / "tls")])
    assert made.exit_code == 0, made.output
    certificate, key = tmp_path / "tls" / "cert.pem", tmp_path / "tls" / "key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(certificate.parent.stat().st_mode) == 0o700
    assert f"--tls-cert {certificate} --tls-key {key}" in made.output
    assert f"REQUESTS_CA_BUNDLE={certificate}" in made.output
    with serve("--tls-cert", certificate, "--tls-key", key) as running:
        script = "import maas_client; print(maas_client.Client().service.health().status)"
        done = running.run(sys.executable, "-c", script, REQUESTS_CA_BUNDLE=str(certificate))
        assert done.stdout == "ok\n", done.stderr
        with running.client(verify=str(certificate)) as client:
            assert client.service.health().status == "ok"
        context = ssl.create_default_context(cafile=certificate)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        handshake(running.url, context)


def test_a_self_signed_certificate_names_its_hosts_and_overwrites_nothing(tmp_path):
    """Names and addresses are alternative names of their own kinds; a second one needs another folder."""
    now = datetime(2030, 1, 1, tzinfo=UTC)
    written = write_self_signed(tmp_path / "tls", ["models.example.com", "192.0.2.1", "::1"], days=5, now=now)
    certificate = x509.load_pem_x509_certificate(written.certificate.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["models.example.com"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.1", "::1"]
    assert expiry(written.certificate) == now + timedelta(days=5)
    before = written.key.read_bytes()
    with pytest.raises(TlsError, match="exists already"):
        write_self_signed(tmp_path / "tls", ["localhost"], days=5)
    assert written.key.read_bytes() == before
    with pytest.raises(TlsError, match="no host name"):
        write_self_signed(tmp_path / "other", ["bücher..example"], days=5)


def test_what_cannot_be_used_is_told_before_anything_starts(authority, pair, tmp_path):
    """A key of another certificate ends the start, with both files named."""
    _, other = write(authority.issue_cert("127.0.0.1"), tmp_path, "other")
    options = ["--tls-cert", str(pair[0]), "--tls-key", str(other), "--data-dir", str(tmp_path / "data")]
    ended = CliRunner().invoke(main, ["serve", *options])
    assert ended.exit_code == 1
    assert str(other) in ended.output
    assert not (tmp_path / "data").exists()


def test_a_context_takes_no_old_version_whatever_the_system_says(pair):
    """The least version is ours; a file that is not there, and an authority that is none, are named."""
    assert Certificates(*pair).context.minimum_version == ssl.TLSVersion.TLSv1_2
    with pytest.raises(TlsError, match="nothing"):
        Certificates(pair[0], pair[1].with_name("nothing.key"))
    with pytest.raises(TlsError, match=os.fspath(pair[1])):
        Certificates(*pair, client_ca=pair[1])
