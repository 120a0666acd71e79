import pytest
import trustme

import maas_client


def test_the_sdk_trusts_whom_it_is_told_to_trust(serve, tmp_path):
    """With the authority's certificate a call succeeds; without it the connection is refused, named so."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    for pem in certificate.cert_chain_pems:
        pem.write_to_path(tmp_path / "cert.pem", append=True)
    with serve("--tls-cert", tmp_path / "cert.pem", "--tls-key", tmp_path / "key.pem") as running:
        assert running.url.startswith("https://127.0.0.1:")
        with running.client(verify=str(tmp_path / "ca.pem")) as client:
            client.register(email="tls@example.com", password="correct horse battery", accept_policy=True)
            client.login(email="tls@example.com", password="correct horse battery")
            assert client.account.get().email == "tls@example.com"
        with (
            running.client(max_retries=0) as client,
            pytest.raises(maas_client.MaasError, match=r"(?i)certificate"),
        ):
            client.service.health()
