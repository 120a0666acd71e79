import threading

import pytest

from reference_server.errors import Unavailable
from reference_server.security import passwords
from reference_server.security.passwords import Passwords


def test_a_password_verifies_against_its_own_hash_alone():
    """The right password fits, another does not, and neither stands in the hash."""
    hasher = Passwords()
    stored = hasher.hash("correct horse battery")
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert hasher.verify(stored, "correct horse battery")
    assert not hasher.verify(stored, "correct horse batterz")


def test_equal_passwords_have_different_hashes():
    """Each hash has a salt of its own."""
    hasher = Passwords()
    assert hasher.hash("correct horse battery") != hasher.hash("correct horse battery")


def test_an_unknown_account_costs_a_hash_and_says_no(monkeypatch):
    """Without a stored hash the same work is done, so that time tells nobody who has an account."""
    hasher = Passwords()
    verified = []
    original = type(hasher._hasher).verify

    def watch(self, stored, password):
        verified.append(stored)
        return original(self, stored, password)

    monkeypatch.setattr(type(hasher._hasher), "verify", watch)
    assert not hasher.verify(None, "the password of an account that does not exist")
    assert len(verified) == 1


def test_a_damaged_hash_is_a_wrong_password():
    """A hash that cannot be read never lets anyone in."""
    assert not Passwords().verify("not a hash", "anything")


def test_lone_surrogates_are_as_good_as_any_character():
    """JSON may carry what UTF-8 cannot; such a password works and differs from others."""
    hasher = Passwords()
    stored = hasher.hash("\ud800 and more")
    assert hasher.verify(stored, "\ud800 and more")
    assert not hasher.verify(stored, "\ud801 and more")


def test_when_all_lanes_are_taken_the_answer_is_try_again(monkeypatch):
    """Only so many hashes are computed at once; who waits too long hears when to come back."""
    monkeypatch.setattr(passwords, "_WAIT_SECONDS", 0.01)
    hasher = Passwords(concurrency=1)
    entered, leave = threading.Event(), threading.Event()

    def hold():
        with hasher._lane("203.0.113.1"):
            entered.set()
            leave.wait(5)

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait(5)
    with pytest.raises(Unavailable) as caught:
        hasher.hash("correct horse battery")
    leave.set()
    holder.join()
    assert caught.value.retry_after == 1.0
