import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_server.security.sealing import seal, unseal


@given(st.binary(), st.text(min_size=1, alphabet=st.characters(exclude_categories=["Cs"])), st.binary())
def test_what_is_sealed_opens_with_the_same_secret_and_context(plain, secret, context):
    """Sealing and unsealing are inverse, and the box does not show what it holds."""
    box = seal(plain, secret=secret, bound_to=context)
    assert unseal(box, secret=secret, bound_to=context) == plain
    assert len(plain) < 8 or plain not in box


@pytest.mark.parametrize(("secret", "context"), [("other", b"context"), ("secret", b"other")])
def test_another_secret_or_context_opens_nothing(secret, context):
    """A box opens only with what it was sealed with."""
    box = seal(b"plain", secret="secret", bound_to=b"context")
    with pytest.raises(ValueError, match="does not open"):
        unseal(box, secret=secret, bound_to=context)


@given(st.integers(0, 32), st.integers(1, 255))
def test_a_changed_byte_is_noticed(position, change):
    """Every byte of the box is authenticated."""
    box = bytearray(seal(b"plain", secret="secret", bound_to=b""))
    box[position] ^= change
    with pytest.raises(ValueError, match="does not open"):
        unseal(bytes(box), secret="secret", bound_to=b"")


def test_the_same_plain_text_is_sealed_differently_each_time():
    """Nonces are fresh."""
    assert seal(b"plain", secret="s", bound_to=b"") != seal(b"plain", secret="s", bound_to=b"")
