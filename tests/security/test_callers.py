import pytest

from reference_server.errors import Forbidden
from reference_server.security.callers import ALL_SCOPES, Caller


def caller(kind="key", scopes=("predict", "keys")):
    return Caller("acc_1", "ada", "user", "key_1", kind, frozenset(scopes))


def test_a_missing_scope_is_named():
    """A caller without the scope is refused, with the scope in the message."""
    caller().require("predict")
    with pytest.raises(Forbidden, match="models:write"):
        caller().require("models:write")


def test_a_key_is_no_session():
    """What needs a session refuses a key of any scope."""
    caller(kind="session").require_session()
    with pytest.raises(Forbidden, match="log-in session"):
        caller(scopes=ALL_SCOPES).require_session()


def test_scopes_are_handed_on_in_order_and_only_those_held():
    """A key's scopes are a subset of its maker's, without doubles, in their canonical order."""
    assert caller().grant(["keys", "predict", "keys"]) == ["predict", "keys"]
    with pytest.raises(Forbidden, match="audit, jobs"):
        caller().grant(["predict", "jobs", "audit"])
