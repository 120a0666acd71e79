"""The texts: every language has all of them, pages use no others, and none is left over."""

import re
from importlib.resources import files

import pytest

from reference_server.console.languages import LANGUAGES, chosen, texts

ROOT = files("reference_server.console")
CODE = {
    each.name: each.read_text("utf-8")
    for folder in (ROOT, ROOT.joinpath("templates"))
    for each in folder.iterdir()
    if each.name.endswith((".html", ".py"))
}
# Found by a name that is put together: `t("state." ~ model.state)`.
PARTS = {"fault_code", "failure", "done", "order", "visibility", "state", "role", "event", "scope"}
PARTS |= {
    "job_state",
    "act",
    "outcome",
    "rows_part",
    "features",
    "loss",
    "schedule",
    "measured_on",
    "objective",
}
USED = {key for text in CODE.values() for key in re.findall(r"""\bt(?:exts)?\(['"](\w+\.[\w-]+)['"]""", text)}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_has_every_text_with_the_same_gaps(language):
    """Otherwise a page would fail in that language alone."""
    first, other = texts(next(iter(LANGUAGES))), texts(language)
    assert first.by_key.keys() == other.by_key.keys()
    for key, text in first.by_key.items():
        assert set(re.findall(r"{(\w+)}", text)) == set(re.findall(r"{(\w+)}", other.by_key[key])), key
        assert other.by_key[key].strip()


def test_pages_use_texts_that_there_are():
    """A misspelt key fails here and not before a visitor."""
    assert USED
    assert set() == USED - texts("en").by_key.keys()


def test_no_text_is_left_over():
    """What no page shows any more goes."""
    dynamic = {
        f"page.{name}"
        for name in ("models", "fine-tunes", "keys", "jobs", "usage", "audit", "account", "login", "register")
    }
    dynamic |= {f"model.{name}" for name in ("overview", "versions", "try", "evaluate", "advise", "capture")}
    left = {key for key in texts("en").by_key if key not in USED and key.partition(".")[0] not in PARTS}
    assert left - dynamic == set()


def test_done_texts_are_said_by_pages():
    """Each of them by some change."""
    said = {key for text in CODE.values() for key in re.findall(r'said="(\w+)"', text)}
    there = {key.partition(".")[2] for key in texts("en").by_key if key.startswith("done.")}
    assert said == there


def test_what_the_contract_names_has_texts():
    """Scopes, states, roles and orders are shown in the visitor's language."""
    from typing import get_args

    from maas_client.types import SCOPES, SHARE_ROLES, JobState, ModelSort, VersionState

    there = texts("zh").by_key.keys()
    assert {f"scope.{scope.replace(':', '_')}" for scope in SCOPES} <= there
    assert {f"role.{role}" for role in SHARE_ROLES} <= there
    assert {f"order.{order}" for order in get_args(ModelSort)} <= there
    assert {f"state.{state}" for state in get_args(VersionState)} <= there
    assert {f"job_state.{state}" for state in get_args(JobState)} <= there


def test_a_damaged_choice_is_no_choice():
    """Neither a cookie nor a header that makes no sense does harm."""
    assert chosen("xx", ";;;q=,,") == "en"
