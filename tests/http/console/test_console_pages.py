"""What all pages have in common: their headers, what they never show, and what they do not believe."""

import re
from html import unescape
from urllib.parse import quote

import pytest

HOSTILE = "<script>alert('x')</script>"
PAGES = (
    "login",
    "register",
    "models",
    "models/words",
    "models/words/versions?a=1&b=2",
    "models/words/versions/1",
    "models/words/try",
    "models/words/erase",
    "models/words/evaluate",
    "models/words/capture",
    "models/words/advise",
    "publish?model=words",
    "fine-tunes",
    "keys",
    "jobs",
    "usage",
    "audit",
    "account",
    "account/erase",
    "models/absent",
    "nowhere",
)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_lets_in_nothing_but_files_of_this_host(ada, path):
    """No inline script or style, no frame, no other host, no guess, nothing kept; failures among them."""
    shown = ada.get(f"/console/{path}")
    policy = dict(part.split(" ", 1) for part in shown.headers["content-security-policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": "'self'",
        "img-src": "'self' data:",
        "require-trusted-types-for": "'script'",
        "frame-ancestors": "'none'",
    }
    assert shown.headers["x-frame-options"] == "DENY"
    assert shown.headers["x-content-type-options"] == "nosniff"
    assert shown.headers["referrer-policy"] == "same-origin"
    assert shown.headers["cache-control"] == "no-store"
    assert shown.headers["content-type"] == "text/html; charset=utf-8"
    assert shown.headers["x-request-id"].startswith("req_")
    assert not re.search(
        r"<script(?! src=\"/console/)|<style|\bon\w+=|\bstyle=|javascript:|<iframe", shown.text
    )
    assert not re.search(r'(?:src|href|action)="(?:https?:|//)', shown.text)


@pytest.mark.parametrize("path", PAGES)
def test_no_page_shows_a_secret(ada, path):
    """Neither the session's token nor any key is in a page, nor in an address that it sends on to."""
    shown = ada.get(f"/console/{path}")
    assert not re.search(r"maas_(?:ses|key|inv)_[0-9A-Za-z]{20}", shown.text + str(shown.headers))


def test_files_are_kept_by_browsers_until_they_change(anybody):
    """Their addresses hold what is in them."""
    html = anybody.get("/console/login").text
    for name, kind in (("style.css", "text/css"), ("script.js", "text/javascript")):
        (address,) = re.findall(rf'"(/console/{re.escape(name)}\?v=[0-9a-f]+)"', html)
        shown = anybody.get(address)
        assert shown.headers["content-type"] == f"{kind}; charset=utf-8"
        assert "immutable" in shown.headers["cache-control"]
        assert shown.headers["x-content-type-options"] == "nosniff"


def test_a_hostile_model_is_shown_as_it_is_written(site, ada, hostile_package, model):
    """Cards, labels, notes, reasons and what is typed in: all of it text, in every page."""
    name = model(hostile_package)
    ada.post(f"/console/models/{name}/aliases", {"alias": "best", "version": "1", "note": HOSTILE})
    body = {"state": "deprecated", "reason": HOSTILE}
    assert ada.post(f"/console/models/{name}/versions/1/state", body).status == 303
    tried = ada.post(f"/console/models/{name}/try", {"input.text": HOSTILE, "act": "predict"})
    assert tried.status == 200
    assert tried.text.count("&lt;script&gt;") >= 4
    shown = [tried]
    for path in ("", "/versions?a=1&b=2", "/versions/1", "/try", "/erase", "/evaluate", "/capture"):
        shown.append(ada.get(f"/console/models/{name}{path}"))
        assert shown[-1].status == 200
    shown.append(ada.get("/console/models"))
    for page in shown:
        assert "<script>alert" not in page.text
    assert sum(HOSTILE in unescape(page.text) for page in shown) >= 5


@pytest.mark.parametrize(
    "path",
    [
        "models?q={}&tag={}&owner={}",
        "models/{}",
        "models/words/versions?a={}&b={}",
        "models/words/versions/{}",
        "models/words/try?version={}",
        "models/{}/evaluate",
        "models/{}/advise",
        "models/{}/capture",
        "models/words/capture?calls=yes&cursor={}",
        "publish?model={}",
        "fine-tunes?base={}",
        "usage?model={}",
        "audit?act={}",
        "jobs/{}",
        "jobs?state={}",
        "login?done={}",
        "erasures/{}",
    ],
)
def test_what_an_address_says_is_not_believed(ada, path):
    """Parameters come back escaped, or not at all; and a wrong one is no fault of the server."""
    for text in (HOSTILE, '"><img src=x>', "{{7*7}}", "%00", "../..", "\u202e"):
        shown = ada.get("/console/" + path.replace("{}", quote(text, safe="")))
        assert shown.status in (200, 400, 404, 422), (text, shown.status)
        if shown.headers["content-type"].startswith("text/html"):
            assert "<script>alert" not in shown.text
            assert "<img" not in shown.text
        assert text != "{{7*7}}" or 'value="49"' not in shown.text


def test_a_key_with_a_hostile_name_is_harmless(ada):
    """In the answer that shows it, and in the list."""
    shown = ada.post("/console/keys", {"name": HOSTILE, "scopes": "predict"})
    assert shown.status == 201
    listed = ada.get("/console/keys")
    for page in (shown, listed):
        assert page.has(HOSTILE)
        assert "<script>alert" not in page.text


def test_a_failure_is_a_page_that_shows_nothing_of_the_inside(ada, monkeypatch):
    """A defect is logged whole; the page has an id to ask by."""
    from reference_server.console import keys

    def fail(*_, **__):
        raise RuntimeError("the inside of it")

    monkeypatch.setattr(keys, "_render", fail)
    shown = ada.get("/console/keys")
    assert shown.status == 500
    assert shown.has("A fault of the server", "req_")
    assert "the inside of it" not in shown.text


def test_a_form_that_is_too_large_is_refused(make_server, tmp_path, visitor_of):
    """By the limit of every body."""
    server = make_server(tmp_path / "data", max_body_bytes=2048)
    try:
        shown = visitor_of(server).post("/console/login", {"email": "x" * 4000})
        assert shown.status == 413
        assert shown.has("Too large")
    finally:
        server.close()


def test_every_page_can_be_reached_through_the_front(site, ada):
    """The event loop hands them on, cookies and all."""
    cookie = {"cookie": f"maas_session={ada.session}"}
    for path in ("login", "models", "keys"):
        answer = site.through_front("GET", f"/console/{path}", headers=cookie)
        assert answer.status == 200
        assert b"</html>" in answer.body
    assert site.through_front("HEAD", "/console/models", headers=cookie).body == b""


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_mistyped_address_is_told_on_a_page(ada, anybody, method):
    """To whoever asks; an address beside the console is told as the API tells it."""
    for visitor in (ada, anybody):
        shown = visitor.open("/console/modles/words", method=method)
        assert shown.status == 404
        assert shown.has("There is no such page", "</html>", "req_")
    beside = ada.open("/consoles", method=method)
    assert (beside.status, beside.headers["content-type"]) == (404, "application/json")


def test_the_cookie_opens_no_endpoint_of_the_api(site, ada):
    """Under TLS it comes with calls of the API too, which read no cookie."""
    for name in ("maas_session", "__Host-maas_session"):
        cookie = {"cookie": f"{name}={ada.session}"}
        for way in (site.through_flask, site.through_front):
            for path in ("/v1/account", "/v1/models/private", "/v1/jobs/job_x/events"):
                assert way("GET", path, headers=cookie).status == 401
