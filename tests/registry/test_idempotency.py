import pytest
from sqlalchemy import select

from reference_server.errors import Conflict
from reference_server.registry import housekeeping, idempotency, in_clear, sealing_up
from reference_server.registry.idempotency import StoredReply
from reference_server.registry.tables import IdempotencyRow

REPLY = StoredReply(201, b'{"id": "key_1"}', sealed=True)
DAY = 24 * 3600


def begin(registry, *, owner="acc_1", key="k", fingerprint="POST /v1/keys", lease=30):
    return idempotency.begin(
        registry.db, owner=owner, key_hash=key, fingerprint=fingerprint, lease_seconds=lease
    )


def complete(registry, reply=REPLY, *, owner="acc_1", key="k"):
    idempotency.complete(registry.db, owner=owner, key_hash=key, reply=reply)


def abandon(registry, *, owner="acc_1", key="k"):
    idempotency.abandon(registry.db, owner=owner, key_hash=key)


def conflict(registry, **options):
    with pytest.raises(Conflict) as caught:
        begin(registry, **options)
    return caught.value


def test_the_first_runs_and_the_second_gets_its_reply(registry):
    """A reply comes back byte for byte, with its status, as often as it is asked for."""
    assert begin(registry) is None
    complete(registry)
    for _ in range(3):
        assert begin(registry) == REPLY


@pytest.mark.parametrize(
    "reply", [StoredReply(204, b"", sealed=True), StoredReply(409, b"\x00\xff", sealed=True)]
)
def test_any_reply_is_kept(registry, reply):
    """An empty body, bytes that are no text and a caller's failure are replies too."""
    begin(registry)
    complete(registry, reply)
    assert begin(registry) == reply


def test_a_reply_does_not_show_its_body():
    """What may hold a secret stays out of logs."""
    assert "key_1" not in repr(REPLY)


def test_another_request_under_the_same_key_is_refused(registry):
    """A key means one request, under way or answered; a repeat of the mistake would be refused again."""
    begin(registry)
    for _ in range(2):
        error = conflict(registry, fingerprint="POST /v1/models")
        assert (error.code, error.should_retry) == ("idempotency_key_reused", False)
        complete(registry)
    assert begin(registry) == REPLY


@pytest.mark.parametrize(("waited", "retry_after"), [(0, 1.0), (29, 1.0), (29.75, 0.25)])
def test_a_request_under_way_is_not_run_again(registry, waited, retry_after):
    """A repeat is told to come back soon, and no later than the lease ends."""
    begin(registry, lease=30)
    registry.clock.advance(waited)
    error = conflict(registry)
    assert (error.code, error.should_retry) == ("idempotency_in_flight", True)
    assert error.retry_after == pytest.approx(retry_after)


def test_a_lost_request_runs_again_when_its_lease_ends(registry):
    """A repeat takes the claim over, for a lease of its own."""
    begin(registry, lease=30)
    registry.clock.advance(30)
    assert begin(registry, lease=10) is None
    registry.clock.advance(9.9)
    assert conflict(registry).code == "idempotency_in_flight"
    registry.clock.advance(0.1)
    assert begin(registry) is None
    complete(registry)
    assert begin(registry) == REPLY


def test_the_first_reply_stays(registry):
    """A late second answer to the same request changes nothing of what was promised."""
    begin(registry)
    complete(registry)
    complete(registry, StoredReply(500, b"late", sealed=False))
    abandon(registry)
    assert begin(registry) == REPLY


def test_an_abandoned_request_runs_again(registry):
    """A claim that was given back is free at once, for another request too."""
    begin(registry)
    abandon(registry)
    assert begin(registry, fingerprint="POST /v1/models") is None


def test_without_a_claim_there_is_nothing_to_complete(registry):
    """A reply to a request that nobody began is not kept."""
    complete(registry)
    abandon(registry)
    assert begin(registry) is None


def test_owners_and_keys_do_not_meet(registry):
    """The same key of another owner, and another key of the same owner, are other requests."""
    begin(registry)
    assert begin(registry, owner="acc_2") is None
    assert begin(registry, key="other") is None
    complete(registry)
    abandon(registry, owner="acc_2")
    assert begin(registry) == REPLY
    assert begin(registry, owner="acc_2") is None
    assert conflict(registry, key="other").code == "idempotency_in_flight"


@pytest.mark.parametrize(("age", "kept"), [(DAY - 0.001, True), (DAY, False)])
@pytest.mark.parametrize("purge", [None, idempotency.purge, housekeeping.purge])
def test_a_reply_is_kept_for_a_day(registry, age, kept, purge):
    """After 24 hours, and not before, the key is new; whether its row has been swept makes no difference."""
    begin(registry)
    complete(registry)
    registry.clock.advance(age)
    if purge:
        purge(registry.db)
        with registry.db.read() as session:
            assert (session.scalar(select(IdempotencyRow.key_hash)) is not None) == kept
    assert begin(registry, fingerprint="POST /v1/keys") == (REPLY if kept else None)


def test_a_key_that_is_new_again_may_mean_another_request(registry):
    """A day later nothing of the old request is left, neither its reply nor what it asked for."""
    begin(registry)
    complete(registry)
    registry.clock.advance(DAY)
    assert begin(registry, fingerprint="POST /v1/models") is None
    assert conflict(registry, fingerprint="POST /v1/models").code == "idempotency_in_flight"


@pytest.mark.parametrize("after", ["nothing", "a lost request"])
def test_of_repeats_at_once_one_runs(registry, at_once, after):
    """However many repeats come together, one claims the request."""
    if after == "a lost request":
        begin(registry, lease=5)
        registry.clock.advance(5)

    def attempt():
        try:
            return begin(registry)
        except Conflict as error:
            return error.code

    results = at_once(*[attempt] * 6)
    assert results.count(None) == 1
    assert results.count("idempotency_in_flight") == 5


def test_a_reply_in_clear_is_told_until_all_is_sealed(registry):
    """An older server's is; one that somebody put there afterwards is told to nobody."""
    begin(registry)
    complete(registry, StoredReply(201, b"of then", sealed=False))
    assert conflict(registry).code == "idempotency_reply_lost"
    in_clear.permit_where_nothing_is_sealed(registry.db)
    assert begin(registry).body == b"of then"
    assert sealing_up.seal_up(registry.db, registry.store) == 0
    assert begin(registry).body == b"of then"
    registry.clock.advance(24 * 3600 + 1)
    idempotency.purge(registry.db)
    sealing_up.seal_up(registry.db, registry.store)
    with registry.db.read() as session:
        assert not in_clear.is_permitted(session)
