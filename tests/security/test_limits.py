from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas_client.types import KeyCreate
from reference_server.errors import Forbidden
from reference_server.security.limits import (
    Budget,
    Limits,
    WantedLimits,
    models_expression,
    parse_networks,
    require_no_wider,
)

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("patterns", "reached_as", "owner", "name", "permitted"),
    [
        (("words",), "words", "ada", "words", True),
        (("words",), "wordsmith", "ada", "wordsmith", False),
        (("words",), "Words", "ada", "Words", False),
        (("w.rds",), "words", "ada", "words", False),
        (("sent-*",), "sent-en", "ada", "sent-en", True),
        (("*-en",), "sent-en", "ada", "sent-en", True),
        (("*",), "words", "bob", "words", True),
        (("*",), "bob~words", "bob", "words", False),
        (("words",), "bob~words", "bob", "words", False),
        (("bob~words",), "words", "bob", "words", True),
        (("bob~*",), "bob~words", "bob", "words", True),
        (("b*~words",), "words", "bob", "words", True),
        (("bob~*",), "words", "ada", "words", False),
        (("b*",), "bob~secret", "bob", "secret", False),
        (("a", "b"), "b", "ada", "b", True),
        (("a", "b"), "ab", "ada", "ab", False),
    ],
)
def test_which_models_exist_for_a_key(patterns, reached_as, owner, name, permitted):
    """A bare pattern means what the account reaches by a bare name, one with an account exact names alone."""
    assert Limits(models=patterns).permits_model(reached_as, owner, name) is permitted


def test_without_limits_everything_is_permitted():
    """None is no limit, and not an empty list."""
    assert Limits().permits_model("words", "ada", "words")
    assert Limits().permits_address("")


@pytest.mark.parametrize(
    ("networks", "address", "permitted"),
    [
        (["10.0.0.0/8"], "10.1.2.3", True),
        (["10.0.0.0/8"], "11.1.2.3", False),
        (["203.0.113.7"], "203.0.113.7", True),
        (["203.0.113.7"], "203.0.113.8", False),
        (["2001:db8::/32"], "2001:db8::1", True),
        (["2001:db8::/32"], "2001:db9::1", False),
        (["10.0.0.0/8"], "::ffff:10.1.2.3", True),
        (["10.0.0.0/8", "2001:db8::/32"], "2001:db8::1", True),
        (["0.0.0.0/0"], "2001:db8::1", False),
        (["0.0.0.0/0", "::/0"], "", False),
        (["0.0.0.0/0", "::/0"], "10.0.0.1, 10.0.0.2", False),
    ],
)
def test_from_where_a_key_may_be_used(networks, address, permitted):
    """Both families, single addresses too; what is no address is nowhere."""
    assert Limits(networks=parse_networks(networks)).permits_address(address) is permitted


MAKER = Limits(
    models=("sent-*", "bob~words"),
    networks=parse_networks(["10.0.0.0/8", "2001:db8::/32"]),
    expires_at=NOW,
    budgets=(Budget("key", "key key_1", 60, 1000), Budget("maker", "key key_0", 600, 500)),
)


@pytest.mark.parametrize(
    ("wanted", "param"),
    [
        ({"models": ("*",)}, "models"),
        ({"models": ("sent-en", "other")}, "models"),
        ({"models": ("sen*",)}, "models"),
        ({"models": ("bob~*",)}, "models"),
        ({"models": ("*~words",)}, "models"),
        ({"networks": ("10.0.0.0/7",)}, "networks"),
        ({"networks": ("10.0.0.0/9", "192.0.2.1/32")}, "networks"),
        ({"networks": ("::/0",)}, "networks"),
        ({"expires_at": NOW + timedelta(seconds=1)}, "expires_at"),
        ({"requests_per_minute": 61}, "requests_per_minute"),
        ({"rows_per_day": 501}, "rows_per_day"),
    ],
)
def test_a_key_is_never_wider_than_its_maker(wanted, param):
    """Whatever is wider in one way is refused, and the answer names the way."""
    with pytest.raises(Forbidden) as caught:
        WantedLimits(**wanted).within(MAKER)
    assert (caught.value.code, caught.value.param) == ("limit_not_held", param)


@pytest.mark.parametrize(
    "wanted",
    [
        {"models": ("sent-*", "bob~words")},
        {"models": ("sent-*-en",)},
        {"models": ("sent-x",)},
        {"networks": ("10.1.0.0/16", "2001:db8:1::/48")},
        {"expires_at": NOW},
        {"requests_per_minute": 60, "rows_per_day": 500},
    ],
)
def test_a_key_may_be_as_wide_as_its_maker(wanted):
    """What is within is granted as it was asked for."""
    granted = WantedLimits(**wanted).within(MAKER)
    assert all(getattr(granted, field) == value for field, value in wanted.items())


def test_where_a_key_has_no_limit_it_has_its_makers():
    """What is left out is not without limit."""
    assert WantedLimits().within(MAKER) == WantedLimits(
        models=MAKER.models,
        networks=("10.0.0.0/8", "2001:db8::/32"),
        expires_at=NOW,
        requests_per_minute=60,
        rows_per_day=500,
    )
    assert WantedLimits().within(Limits()) == WantedLimits()


NAMES = st.text("ab.-", min_size=1, max_size=6)
PATTERNS = st.text("ab*", min_size=1, max_size=5).filter(lambda text: text.count("*") <= 2)


@given(wanted=PATTERNS, held=PATTERNS, name=NAMES)
def test_what_a_granted_pattern_permits_its_makers_permits_too(wanted, held, name):
    """No pattern that is granted lets a name through that the maker's does not."""
    try:
        WantedLimits(models=(wanted,)).within(Limits(models=(held,)))
    except Forbidden:
        return
    if Limits(models=(wanted,)).permits_model(name, "x", name):
        assert Limits(models=(held,)).permits_model(name, "x", name)


def test_an_expression_means_nothing_but_its_patterns():
    """A dot is a dot, for Python and for databases alike."""
    assert models_expression(("a.b*", "bob~c")) == r"^(a\.b[^~]*|bob~c)$"


@pytest.mark.parametrize(
    "other",
    [
        Limits(),
        Limits(MAKER.models, MAKER.networks, NOW, ()),
        Limits(MAKER.models, MAKER.networks, NOW, (Budget("key", "key key_9", 1, 1),)),
        Limits(None, MAKER.networks, NOW, MAKER.budgets),
        Limits(MAKER.models, None, NOW, MAKER.budgets),
        Limits(MAKER.models, MAKER.networks, None, MAKER.budgets),
        Limits(MAKER.models, MAKER.networks, NOW + timedelta(seconds=1), MAKER.budgets),
    ],
)
def test_nobody_takes_over_a_key_that_is_wider(other):
    """Nor one that is counted apart, whose requests would come on top of one's own."""
    with pytest.raises(Forbidden):
        require_no_wider(other, MAKER)


def test_a_key_takes_over_itself_and_what_is_counted_with_it():
    """A limited key may rotate itself, and what it made."""
    require_no_wider(MAKER, MAKER)
    require_no_wider(
        Limits(("sent-x",), MAKER.networks, NOW, (Budget("key", "key key_2", 1, 1), *MAKER.budgets)), MAKER
    )
    require_no_wider(Limits(), Limits())


@pytest.mark.parametrize(
    "field",
    [
        {"models": []},
        {"models": ["a b"]},
        {"models": ["a[b]"]},
        {"models": ["a?"]},
        {"models": ["***"]},
        {"models": ["a~b~c"]},
        {"networks": ["10.0.0.1/8"]},
        {"networks": ["example.com"]},
        {"networks": []},
        {"requests_per_minute": 0},
        {"rows_per_day": 0},
    ],
)
def test_limits_that_mean_nothing_are_refused(field):
    """Before a key is made that nobody can use, or that is wider than it looks."""
    with pytest.raises(ValueError, match="validation error"):
        KeyCreate(name="k", **field)
