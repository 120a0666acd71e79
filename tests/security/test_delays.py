import pytest

from reference_server.errors import TooManyRequests
from reference_server.security import delays
from reference_server.security.delays import LocalFailures, LogInDelays, delay_after


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def guard(clock):
    return LogInDelays(LocalFailures(clock=clock), free=5)


def wait(guard, email="ada@example.com", address="203.0.113.1"):
    """Return the seconds that a try has to wait; 0 where it was made, and failed."""
    try:
        guard.begin(email, address)
    except TooManyRequests as error:
        return error.retry_after
    return 0


def test_each_failure_waits_twice_as_long_as_the_one_before(guard, clock):
    """Five are free, then 1, 2, 4, … seconds, up to a quarter of an hour."""
    assert [wait(guard) for _ in range(5)] == [0] * 5
    for expected in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900):
        assert wait(guard) == pytest.approx(expected)
        clock.now += expected
        assert wait(guard) == 0


def test_tries_while_one_has_to_wait_change_nothing(guard, clock):
    """The delay runs from the last try that was made."""
    for _ in range(5):
        wait(guard)
    clock.now += 0.5
    assert [wait(guard) for _ in range(20)] == [pytest.approx(0.5)] * 20


def test_many_addresses_that_guess_at_one_account_are_slowed_down_together(guard):
    """Guesses are counted by e-mail, wherever they come from, and whether there is such an account or not."""
    assert [wait(guard, address=f"203.0.113.{each}") for each in range(5)] == [0] * 5
    assert wait(guard, address="203.0.113.99") == 1


def test_one_address_that_guesses_at_many_accounts_is_slowed_down(guard):
    """A whole office may fail now and then, and nobody may try a list of addresses."""
    made = [wait(guard, f"user{each}@example.com") for each in range(21)]
    assert made == [0] * 20 + [1]
    assert wait(guard, "user99@example.com", "203.0.113.2") == 0


def test_an_owner_logs_in_from_home_whatever_others_guess(guard):
    """An address from which the account was logged in to is counted apart from strangers."""
    guard.begin("ada@example.com", "198.51.100.7")
    guard.succeeded("ada@example.com", "198.51.100.7")
    for each in range(10):
        wait(guard, address=f"203.0.113.{each}")
    assert wait(guard, address="203.0.113.99") > 0
    assert wait(guard, address="198.51.100.7") == 0


def test_home_is_slowed_down_as_well(guard):
    """Being known gives a count of one's own, not freedom."""
    guard.begin("ada@example.com", "198.51.100.7")
    guard.succeeded("ada@example.com", "198.51.100.7")
    assert [wait(guard, address="198.51.100.7") for _ in range(5)] == [0] * 5
    assert wait(guard, address="198.51.100.7") == 1


def test_a_success_forgets_the_accounts_failures(guard):
    """Who remembered the password at last begins anew."""
    for _ in range(5):
        wait(guard, address="203.0.113.9")
    guard.succeeded("ada@example.com", "203.0.113.9")
    assert wait(guard, address="203.0.113.8") == 0


def test_an_own_account_is_no_way_to_guess_at_others(guard):
    """Logging in between guesses does not give the address its free tries back."""
    for each in range(20):
        assert wait(guard, f"user{each}@example.com") == 0
        if each < 19:
            guard.begin("mine@example.com", "203.0.113.1")
            guard.succeeded("mine@example.com", "203.0.113.1")
    assert wait(guard, "mine@example.com") == 1


def test_a_try_that_was_not_made_is_not_counted(guard):
    """Where the server was too busy to look at the password."""
    for _ in range(50):
        guard.begin("ada@example.com", "203.0.113.1")
        guard.undecided("ada@example.com", "203.0.113.1")


def test_an_hour_of_quiet_is_forgiven(guard, clock):
    """What was long ago counts no more."""
    for _ in range(5):
        wait(guard)
    clock.now += delays.FORGOTTEN_SECONDS
    assert [wait(guard) for _ in range(5)] == [0] * 5


def test_each_of_several_workers_does_its_part(clock):
    """Tries are spread over workers: each counts fewer as free, and lets them wait longer."""
    guard = LogInDelays(LocalFailures(processes=2, clock=clock), free=4)
    assert [wait(guard) for _ in range(3)] == [0, 0, 2]


def test_what_is_remembered_is_bounded(guard, monkeypatch):
    """Whoever makes up addresses does not fill the memory."""
    monkeypatch.setattr(delays, "_MOST_SUBJECTS", 10)
    for each in range(100):
        guard.begin(f"user{each}@example.com", f"203.0.113.{each}")
        guard.succeeded(f"user{each}@example.com", f"203.0.113.{each}")
    failures = guard._failures
    assert len(failures._tries) <= 10
    assert len(failures._known) <= 10


def test_no_number_of_failures_is_too_large():
    """Neither a number that overflows nor a wait without end."""
    assert delay_after(10**9, free=5) == delays.LONGEST_SECONDS
