"""`maas account delete`, `maas erasure` and `maas verify-receipt`, with receipts of a server's signing."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from maas_client._receipts import ERASURE, name_sha256
from maas_client.cli import main
from maas_client.testing import FakeMaas
from maas_client.types import ErasureStatement
from reference_server.security.encryption import DataKey
from reference_server.security.signing import Signer

AT = "2030-01-02T03:04:05Z"
EMAIL = "ada@example.com"
SIGNER, OTHER = Signer(DataKey(bytes(range(32)))), Signer(DataKey(bytes(32)))
PLAN = {
    "models": ["ada~words"],
    "public_models": [],
    "shared_models": [],
    "counts": {"models": 1, "usage_days": 3},
    "left_to_others": 2,
    "not_covered": ["backups that were made before"],
}


def receipt():
    """Return a signed receipt as a server answers it."""
    statement = ErasureStatement(
        erasure="era_1",
        what="account",
        object="acc_1",
        name_sha256=name_sha256("era_1", EMAIL),
        counts={"models": 1},
        requested_at=AT,
        erased_at=AT,
        how=["its keys were destroyed"],
        not_covered=["backups that were made before"],
        public_key=SIGNER.public_key,
    )
    signed = SIGNER.sign(statement.model_dump_json().encode(), payload_type=ERASURE)
    return signed.model_dump(mode="json")


def erasure(**changed):
    made = {"id": "era_1", "what": "account", "state": "done", "counts": {"models": 1}, "requested_at": AT}
    return {**made, "finished_at": AT, "receipt": receipt(), **changed}


@pytest.fixture
def fake():
    """A platform on which the account can be erased."""
    made = FakeMaas()
    account = {"id": "acc_1", "name": "ada", "email": EMAIL, "role": "user", "policy_version": "1"}
    session = {"id": "ses_1", "token": "maas_ses_x", "expires_at": AT, "created_at": AT}
    made.reply("POST /v1/sessions", {**session, "account": {**account, "created_at": AT}})
    made.reply("GET /v1/account/erasure", PLAN)
    made.reply("DELETE /v1/account", erasure())
    return made


@pytest.fixture
def maas(fake):
    """Run the command against it."""

    def run(*arguments, code=0, text=None):
        with fake.installed():
            done = CliRunner().invoke(main, [str(each) for each in arguments], input=text)
        assert done.exit_code == code, done.output
        return done

    return run


def delete(maas, *more, text="correct horse battery\n", **options):
    return maas("account", "delete", "--email", EMAIL, "--password-stdin", *more, text=text, **options)


def asked(fake):
    return [call.route for call in fake.calls]


def test_a_dry_run_tells_what_would_go_and_erases_nothing(fake, maas):
    """With what it does not reach."""
    shown = delete(maas, "--dry-run").stdout
    for part in (
        "usage days",
        "ada~words",
        "2, which stay without your name",
        "backups that were made before",
    ):
        assert part in shown
    assert json.loads(delete(maas, "--dry-run", "--json").stdout) == PLAN
    assert "DELETE /v1/account" not in asked(fake)


def test_whoever_does_not_confirm_keeps_the_account(fake, maas):
    """What would go is shown before the question."""
    done = delete(maas, code=1)
    assert "There is no way back" in done.stderr
    assert "ada~words" in done.output
    assert "DELETE /v1/account" not in asked(fake)


def test_an_erased_accounts_receipt_is_saved_and_holds(fake, maas, tmp_path):
    """Checked by the server's key and the e-mail that only its owner knows, without asking anybody."""
    file = tmp_path / "receipt.json"
    assert "is erased" in delete(maas, "--yes", "--receipt", file).stdout
    (sent,) = (call for call in fake.calls if call.route == "DELETE /v1/account")
    assert sent.json["password"] == "correct horse battery"
    fake.calls.clear()
    checked = maas("verify-receipt", file, "--key", SIGNER.public_key, "--of", EMAIL)
    assert "The receipt holds: account erased" in checked.stdout
    assert checked.stderr == ""
    assert "only --key can tell" in maas("verify-receipt", file).stderr
    assert json.loads(maas("verify-receipt", file, "--json").stdout)["object"] == "acc_1"
    assert fake.calls == []


def test_what_does_not_hold_ends_with_one_and_says_why(maas, tmp_path):
    """Another's key, another name, a changed statement, no receipt; a key that is none is wrong usage."""
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(receipt()))
    assert "another server's key" in maas("verify-receipt", file, "--key", OTHER.public_key, code=1).stderr
    assert "is not about" in maas("verify-receipt", file, "--of", "bob@example.com", code=1).stderr
    maas("verify-receipt", file, "--key", "none", code=2)
    signed = receipt()
    file.write_text(json.dumps({**signed, "payload": "e30="}))
    assert "no receipt of an erasure" in maas("verify-receipt", file, code=1).stderr
    file.write_text("{}")
    assert "holds no receipt" in maas("verify-receipt", file, code=1).stderr
    file.write_text(json.dumps(erasure(state="pending", receipt=None, finished_at=None)))
    assert "still pending" in maas("verify-receipt", file, code=1).stderr


def test_a_pending_erasure_is_looked_up_later(fake, maas, tmp_path):
    """Its id is told, and gets the receipt once it is done."""
    file = tmp_path / "receipt.json"
    fake.reply("DELETE /v1/account", erasure(state="pending", receipt=None, finished_at=None), status=202)
    assert "maas erasure era_1 --receipt FILE" in delete(maas, "--yes", "--receipt", file).stderr
    assert not file.exists()
    fake.reply("GET /v1/erasures/{erasure}", erasure())
    assert maas("erasure", "era_1", "--receipt", file).stdout == "account: done\n"
    maas("verify-receipt", file, "--key", SIGNER.public_key)
    assert json.loads(maas("erasure", "era_1", "--json").stdout)["state"] == "done"
