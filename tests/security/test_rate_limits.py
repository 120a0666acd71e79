import pytest

from reference_server.errors import TooManyRequests
from reference_server.security import rate_limits
from reference_server.security.rate_limits import RateLimit


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def limit(clock):
    return RateLimit(per_minute=60, burst=2, what="tries", clock=clock)


def test_a_burst_passes_and_the_next_call_is_told_when_to_come_back(limit):
    """Two calls at once are allowed, the third is not, with the seconds until it would be."""
    limit.take("ada")
    limit.take("ada")
    with pytest.raises(TooManyRequests, match="too many tries") as caught:
        limit.take("ada")
    assert caught.value.retry_after == pytest.approx(1.0)


def test_time_gives_calls_back_at_the_rate(limit, clock):
    """After a second at 60 a minute, one more call passes and not two."""
    for _ in range(2):
        limit.take("ada")
    clock.now = 1.0
    limit.take("ada")
    with pytest.raises(TooManyRequests):
        limit.take("ada")


def test_refused_calls_do_not_push_the_next_one_away(limit, clock):
    """Trying while refused costs nothing."""
    for _ in range(2):
        limit.take("ada")
    for _ in range(50):
        with pytest.raises(TooManyRequests):
            limit.take("ada")
    clock.now = 1.0
    limit.take("ada")


def test_callers_do_not_share_a_bucket(limit):
    """One caller's calls leave another's alone."""
    for _ in range(2):
        limit.take("ada")
    limit.take("bob")


def test_a_forgotten_caller_has_the_whole_burst_again(limit):
    """After a log-in that succeeds nothing is held against the caller."""
    for _ in range(2):
        limit.take("ada")
    limit.forget("ada")
    for _ in range(2):
        limit.take("ada")


def test_the_number_of_buckets_is_bounded(limit, monkeypatch):
    """Who sends from ever new addresses does not fill the memory."""
    monkeypatch.setattr(rate_limits, "_MOST_SUBJECTS", 10)
    for number in range(100):
        limit.take(f"caller {number}")
    assert len(limit._buckets._levels) == 10
