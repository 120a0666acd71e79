"""What a browser may do with the pages: run nothing, frame nothing, guess nothing, tell nobody."""

import base64
import hashlib
import re

import pytest

from reference_server.app import ROUTES
from reference_server.http.pages import page

PAGES = [each.path for routes in ROUTES for each in routes.endpoints if each.produces == "text/html"]


def policy_of(answer):
    """Return a page's policy by directive."""
    parts = answer.headers["content-security-policy"].split("; ")
    return dict(part.split(" ", 1) for part in parts)


def test_the_pages_are_these_and_no_others(shared):
    """What answers HTML says so in its table, and is looked at below."""
    answering = set()
    for path in {each.path for routes in ROUTES for each in routes.endpoints if each.method == "GET"}:
        if "<" not in path:
            kind = shared.through_flask("GET", path, headers=shared.ada).headers["content-type"]
            answering |= {path} if "html" in kind else set()
    assert answering == set(PAGES) == {"/docs"}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_lets_in_nothing_but_what_it_brings(shared, path):
    """No script of any kind, no frame, no form, no other host; and no browser guesses what it is."""
    answer = shared.through_front("GET", path)
    policy = policy_of(answer)
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["form-action"] == "'none'"
    assert not any("unsafe" in value or "http" in value or "*" in value for value in policy.values())
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "geolocation=()" in answer.headers["permissions-policy"]
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"


@pytest.mark.parametrize("path", PAGES)
def test_a_page_holds_to_its_own_policy(shared, path):
    """A browser would show it whole: its one style has the hash that is let in, and there is nothing else."""
    answer = shared.through_flask("GET", path)
    html = answer.body.decode()
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy_of(answer)["style-src"] == f"'sha256-{digest}'"
    assert not re.search(r"<script|<iframe|<form|<img|<link|<base|\bon\w+=|\bstyle=|javascript:|src=", html)


def test_no_page_can_let_itself_into_a_frame():
    """Whatever more a page asks for, frames stay closed and scripts come from this server's files alone."""
    answer = page("<p>", sources={"script-src": "'self'", "frame-ancestors": "*"})
    assert policy_of(answer)["frame-ancestors"] == "'none'"
    assert policy_of(answer)["script-src"] == "'self'"


def test_answers_that_are_no_pages_are_not_guessed_to_be(shared):
    """JSON, text and failures of either door say that their type is meant."""
    for path in ("/", "/healthz", "/openapi.json", "/nowhere", "/v1/models", "/v2"):
        for way in (shared.through_flask, shared.through_front):
            assert way("GET", path).headers["x-content-type-options"] == "nosniff"
