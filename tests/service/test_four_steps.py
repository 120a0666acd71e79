import time

import pytest

import maas_client
from maas_client.predictions import ClassificationPrediction

MODEL = "text_classification_model"


def test_the_demo_without_a_network_says_so_and_works(demo):
    """It trains on its own few sentences, and says that in the output and in the manifest."""
    assert "cannot be had" in demo.output()
    assert "a few sentences of our own" in demo.output()
    with demo.client(api_key=demo.ready["api_key"]) as client:
        assert {metric.dataset for metric in client.models.get(MODEL).metrics} == {
            "sentences of this repository"
        }


def test_register_log_in_choose_call_and_read(demo):
    """The four steps, with a key made on the way."""
    with demo.client() as person:
        account = person.register(
            email="four@example.com", password="correct horse battery", accept_policy=True
        )
        session = person.login(email="FOUR@example.com", password="correct horse battery")
        assert person.account.get().id == account.id == session.account.id
        key = person.keys.create("program", scopes=["models:read", "predict"])
    with demo.client(api_key=key.secret.get_secret_value()) as program:
        assert MODEL in [model.id for model in program.models.list(task="text-classification")]
        result = program.predict(MODEL, text="I love this wonderful film")
        assert isinstance(result, ClassificationPrediction)
        assert result.label == "positive"
        assert result.score == max(result.scores.values())
        assert sum(result.scores.values()) == pytest.approx(1)
        assert (result.model, result.device) == (MODEL, "cpu")


def test_a_batch_comes_back_in_its_order(ada):
    """Each row gets what it gets alone."""
    texts = ["I love it", "I hate it", "", "!?", "It is good"]
    batch = ada.predict_batch(MODEL, [{"text": text} for text in texts])
    alone = [ada.predict(MODEL, text=text) for text in texts]
    assert [row.label for row in batch] == [row.label for row in alone]
    assert [row.score for row in batch] == pytest.approx([row.score for row in alone], abs=1e-6)


def test_any_version_can_be_asked_for(ada):
    """By number, by alias, as latest; each says which it was."""
    handle = ada.model(MODEL)
    listed = list(handle.versions.list())
    # The demo has two; what other tests of its server publish comes on top.
    last = listed[0].version
    assert [version.version for version in listed] == [*range(last, 0, -1)]
    assert last >= 2
    answers = [handle.predict(text="good", version=version).version for version in (1, 2, "latest")]
    assert answers == [1, 2, last]
    default = next(version.version for version in listed if "default" in version.aliases)
    assert handle.predict(text="good").version == default
    assert handle.versions.get(1).digest != handle.versions.get(2).digest


def test_a_password_change_ends_other_sessions(demo):
    """The old password is worth nothing then, and a session that was elsewhere has ended."""
    old, new = "correct horse battery", "another horse battery"
    with demo.client() as here, demo.client() as there:
        here.register(email="change@example.com", password=old, accept_policy=True)
        here.login(email="change@example.com", password=old)
        there.login(email="change@example.com", password=old)
        here.account.change_password(current_password=old, new_password=new)
        assert here.account.get().email == "change@example.com"
        with pytest.raises(maas_client.AuthenticationError):
            there.account.get()
        with pytest.raises(maas_client.AuthenticationError):
            there.login(email="change@example.com", password=old)
        there.login(email="change@example.com", password=new)


def test_a_key_lives_until_it_is_revoked(demo, ada):
    """Made, used, listed without its secret, rotated with an overlap, revoked."""
    key = ada.keys.create("short", scopes=["predict"])
    secret = key.secret.get_secret_value()
    with demo.client(api_key=secret) as program:
        program.predict(MODEL, text="good")
        rotated = ada.keys.rotate(key.id, overlap_seconds=60)
        program.predict(MODEL, text="good")
        with demo.client(api_key=rotated.secret.get_secret_value()) as successor:
            successor.predict(MODEL, text="good")
            ada.keys.revoke(key.id)
            with pytest.raises(maas_client.AuthenticationError):
                _until_refused(successor)
        with pytest.raises(maas_client.AuthenticationError):
            _until_refused(program)
    assert key.id not in [left.id for left in ada.keys.list()]


def test_the_export_of_an_account_holds_no_secret(ada):
    """One's own data, without what would open it."""
    key = ada.keys.create("exported", scopes=["predict"])
    exported = ada.account.export().model_dump_json()
    assert key.id in exported
    assert key.secret.get_secret_value() not in exported
    assert "argon2" not in exported


def test_logging_out_ends_the_session(demo):
    """It is gone from the account, and the client has no credential left."""
    person = {"email": "leaver@example.com", "password": "correct horse battery"}
    with demo.client() as client, demo.client() as other:
        client.register(**person, accept_policy=True)
        client.login(**person)
        other.login(**person)
        assert len(list(other.sessions.list())) == 2
        client.logout()
        assert len(list(other.sessions.list())) == 1
        with pytest.raises(maas_client.MaasError, match="log in"):
            client.account.get()


def _until_refused(client):
    # A worker may remember a caller for up to a second.
    until = time.monotonic() + 5
    while time.monotonic() < until:
        client.predict(MODEL, text="good")
        time.sleep(0.05)
