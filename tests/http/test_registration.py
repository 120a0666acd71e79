"""Who may register: anybody, who is invited, or nobody."""

from datetime import timedelta

import pytest

from reference_server.registry import invitations
from reference_server.security import credentials

PASSWORD = "correct horse battery"


@pytest.fixture
def opened(tmp_path, make_server):
    """Return a function that makes a server where registration is as it is told."""
    made = []

    def make(registration):
        made.append(make_server(tmp_path / registration, registration=registration))
        return made[-1]

    yield make
    for each in made:
        each.close()


def register(server, email="ada@example.com", invitation=None, **more):
    account = {
        "email": email,
        "password": PASSWORD,
        "accept_policy": server.services.settings.policy_version,
        **({} if invitation is None else {"invitation": invitation}),
        **more,
    }
    return server.post("/v1/accounts", account)


def invite(server, *, email=None, hours=1):
    secret = credentials.issue("invitation")
    database = server.services.database
    expires_at = database.clock() + timedelta(hours=hours)
    made = invitations.create(database, secret, email=email, expires_at=expires_at)
    return secret.secret, made


def code(answer):
    return answer.status, answer.json["error"]["code"]


@pytest.mark.parametrize("registration", ["open", "invitation", "closed"])
def test_anybody_can_see_who_may_register(opened, registration):
    """Before a form is filled in for nothing."""
    assert opened(registration).through_flask("GET", "/").json["registration"] == registration


def test_a_closed_service_takes_nobody_and_tells_nothing(opened):
    """Not even whether there is an account, nor with an invitation of before."""
    server = opened("closed")
    secret, _ = invite(server)
    for answer in (register(server), register(server, invitation=secret)):
        assert code(answer) == (403, "registration_closed")


def test_an_invitation_is_good_for_one_account(opened):
    """The second one to use it is refused, and the operator sees who was the first."""
    server = opened("invitation")
    assert code(register(server)) == (403, "invitation_required")
    secret, made = invite(server)
    assert register(server, invitation=secret, name="ada").status == 201
    assert code(register(server, "bob@example.com", secret)) == (403, "invitation_not_valid")
    (listed,) = invitations.list_invitations(server.services.database)
    assert (listed.id, listed.state, listed.used_by) == (made.id, "used", "ada")


def test_whatever_is_wrong_with_an_invitation_the_answer_is_one(opened):
    """Unknown, malformed, expired, revoked, used, or somebody else's; also whether the address is taken."""
    server = opened("invitation")
    used, _ = invite(server)
    assert register(server, invitation=used).status == 201
    expired, _ = invite(server, hours=-1)
    revoked, made = invite(server)
    invitations.revoke(server.services.database, made.prefix)
    another, _ = invite(server, email="carl@example.com")
    unknown, key = (credentials.issue(kind).secret for kind in ("invitation", "key"))
    answers = [
        register(server, email, secret)
        for secret in (used, expired, revoked, another, unknown, key, "maas_inv_x")
        for email in ("ada@example.com", "bob@example.com")
    ]
    assert {answer.status for answer in answers} == {403}
    assert len({str({**answer.json["error"], "request_id": ""}) for answer in answers}) == 1


def test_an_invitation_for_an_address_is_used_by_that_address(opened):
    """Capitals do not matter, as at log-in."""
    server = opened("invitation")
    secret, _ = invite(server, email="carl@example.com")
    assert register(server, "Carl@Example.com", secret).status == 201


def test_who_is_invited_keeps_the_invitation_when_nothing_came_of_it(opened):
    """A name that is taken, a policy that was not accepted: the next try may use it."""
    server = opened("invitation")
    first, _ = invite(server)
    assert register(server, invitation=first, name="ada").status == 201
    secret, _ = invite(server)
    assert code(register(server, "bob@example.com", secret, name="ada")) == (409, "name_taken")
    assert code(register(server, "bob@example.com", secret, accept_policy="0")) == (
        422,
        "policy_not_accepted",
    )
    assert register(server, "bob@example.com", secret, name="bob").status == 201


def test_of_the_secret_only_a_hash_is_kept(opened):
    """Who reads the store can register nobody."""
    server = opened("invitation")
    secret, _ = invite(server)
    with server.services.database.read() as session:
        rows = session.connection().exec_driver_sql("SELECT * FROM invitations").fetchall()
    assert secret[:17] in str(rows)
    assert secret not in str(rows)


def test_an_invitation_is_no_credential(opened):
    """It opens nothing but the door to registration."""
    server = opened("invitation")
    secret, _ = invite(server)
    answer = server.through_flask("GET", "/v1/models", headers={"authorization": f"Bearer {secret}"})
    assert code(answer) == (401, "invalid_credential")


def test_a_used_invitation_cannot_be_revoked(opened):
    """What came of it is an account; the operator is told so."""
    server = opened("open")
    secret, made = invite(server)
    assert register(server, invitation=secret).status == 201
    with pytest.raises(Exception, match="used already"):
        invitations.revoke(server.services.database, made.id)
    with pytest.raises(Exception, match="there is no invitation"):
        invitations.revoke(server.services.database, "inv_none")


def test_where_registration_is_open_an_invitation_that_is_given_must_hold(opened):
    """Nothing that was sent is passed over in silence."""
    server = opened("open")
    assert code(register(server, invitation="maas_inv_x")) == (403, "invitation_not_valid")
    assert register(server).status == 201
