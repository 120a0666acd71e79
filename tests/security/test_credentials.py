import dataclasses
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_server.security import credentials


@pytest.mark.parametrize("kind", ["key", "session"])
def test_what_is_issued_parses_back_to_itself(kind):
    """An issued credential is recognised, with its kind."""
    issued = credentials.issue(kind)
    assert credentials.parse(issued.secret) == issued
    assert issued.kind == kind


def test_two_credentials_differ_in_their_random_part():
    """A thousand credentials are a thousand secrets, prefixes included."""
    issued = [credentials.issue("key") for _ in range(1000)]
    assert len({one.secret for one in issued}) == 1000
    assert len({one.prefix for one in issued}) == 1000


@given(st.integers(0, 54), st.sampled_from(string.ascii_letters + string.digits + "_"))
def test_any_single_typo_is_told_offline(position, character):
    """A credential with one character changed is never accepted: CRC-32 finds every error of one byte."""
    secret = credentials.issue("key").secret
    typo = secret[:position] + character + secret[position + 1 :]
    assert (credentials.parse(typo) is None) == (typo != secret)


@given(st.text())
def test_no_text_makes_the_parser_fail(text):
    """Whatever stands in a header, parsing answers; nothing random is taken for a credential."""
    assert credentials.parse(text) is None


def test_only_the_hash_prefix_and_last_characters_derive_from_a_secret():
    """The parts that are stored do not contain the secret, and the representation shows none of it."""
    issued = credentials.issue("key")
    assert issued.secret not in repr(issued)
    assert issued.prefix == issued.secret[:17]
    assert issued.last4 == issued.secret[-4:]
    assert len(issued.hash) == 64
    assert issued.hash not in issued.secret


def test_a_stored_hash_matches_its_own_secret_alone():
    """Comparison is by hash, and the hash of another credential does not match."""
    one, other = credentials.issue("key"), credentials.issue("key")
    assert one.matches(one.hash)
    assert not one.matches(other.hash)


def test_a_credential_cannot_be_changed():
    """A credential is frozen."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        credentials.issue("key").secret = "another"
