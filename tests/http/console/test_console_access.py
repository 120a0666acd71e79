"""Access: every page of the console held against the written table."""

import importlib.util
import re
from pathlib import Path

import pytest

from reference_server.console.mount import PAGES

spec = importlib.util.spec_from_file_location("page_table", Path(__file__).with_name("page_table.py"))
page_table = importlib.util.module_from_spec(spec)
spec.loader.exec_module(page_table)
ROWS = page_table.ROWS
CLOSED = [row for row in ROWS if row.needs == "session"]
FORMS = [row for row in ROWS if row.method == "POST"]
# It ends the session that asks.
LOG_OUT = "/console/logout"


def named(row):
    return row.route


@pytest.fixture(scope="module")
def things(site):
    """What is ada's, for paths to name."""
    key = site.post("/v1/keys", {"name": "k", "scopes": ["predict"]}, headers=site.ada).json["id"]
    session = site.through_flask("GET", "/v1/sessions", headers=site.ada).json["data"][0]["id"]
    return {
        "model": "ada~private",
        "version": "1",
        "alias": "default",
        "account": "eve",
        "key": key,
        "job": "job_absent",
        "session": session,
        "erasure": "era_absent",
    }


def filled(row, things):
    return re.sub(r"{(\w+)}", lambda found: things[found[1]], row.path)


def send(visitor, row, things, **options):
    if row.method == "GET":
        return visitor.get(filled(row, things))
    return visitor.post(filled(row, things), row.form, **options)


def test_every_page_has_its_row(site):
    """A new page without a row is a failure; the URL map has no page beside them."""
    said = {f"{page.method} {page.template}": page.access for page in PAGES}
    assert {row.route: row.needs for row in ROWS} == said
    assert len(ROWS) == len(PAGES)
    there = {
        f"{method} {rule.rule.replace('<', '{').replace('>', '}')}"
        for rule in site.flask.url_map.iter_rules()
        for method in rule.methods - {"HEAD"}
        if rule.rule.startswith("/console")
    }
    assert there == said.keys()


def test_names_of_pages_are_unique():
    """Flask finds views by them."""
    assert len({page.name for page in PAGES}) == len(PAGES)


@pytest.fixture
def ended(make_session, make_key):
    """Return cookies that let nobody in."""
    return {"malformed": "not-a-token", "expired": make_session(-1)[1], "key": make_key()[1]}


@pytest.mark.parametrize("row", CLOSED, ids=named)
def test_what_does_not_hold_is_sent_to_the_log_in(site, visitor_of, ended, row, things):
    """No cookie, a wrong one, an ended session and an API key in its place; nothing of the page is shown."""
    wrong = {"none": visitor_of(site)}
    wrong |= {kind: visitor_of(site).with_cookie(value) for kind, value in ended.items()}
    for kind, visitor in wrong.items():
        shown = send(visitor, row, things)
        assert (shown.status, shown.text) == (303, ""), kind
        assert shown.headers["Location"].partition("?")[0] == "/console/login", kind
        gone = [cookie for cookie in shown.cookies if cookie.startswith("maas_session=;")]
        assert len(gone) == (kind != "none"), kind


@pytest.mark.parametrize("row", ROWS, ids=named)
def test_another_account_gets_what_the_table_says(visitor_of, site, row, things):
    """What is ada's and private is not there for eve, by any page."""
    visitor = visitor_of(site).with_cookie(site.eve["authorization"].removeprefix("Bearer "))
    if row.path == LOG_OUT:
        visitor.log_in("eve")
    shown = send(visitor, row, things)
    assert shown.status == row.other, shown.text
    assert "private" not in re.sub(r'value="private"|ada~private', "", shown.text) or row.other != 404


@pytest.mark.parametrize("row", FORMS, ids=named)
def test_a_form_of_elsewhere_is_refused(visitor_of, site, row, things):
    """Without the token, with another browser's, from another site, and from nowhere; nothing is done."""
    token = site.ada["authorization"].removeprefix("Bearer ")
    visitor = visitor_of(site).with_cookie(token)
    others = visitor_of(site).token
    before = state(site)
    for options in (
        {"token": ""},
        {"token": others},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": None},
        {"origin": None, "headers": {"sec-fetch-site": "cross-site"}},
        {"origin": "https://localhost.evil.example"},
    ):
        assert send(visitor, row, things, **options).status == 403, options
    assert state(site) == before


def state(site):
    """Return what ada has."""
    paths = (
        "/v1/keys",
        "/v1/models/private/aliases",
        "/v1/models/private/shares",
        "/v1/models/private/traffic",
    )
    return [site.through_flask("GET", path, headers=site.ada).json for path in paths]


def test_a_browser_behind_a_proxy_that_drops_origin_is_let_in(ada):
    """Fetch metadata says the same, and no page can set it."""
    shown = ada.post("/console/language", {}, origin=None, headers={"sec-fetch-site": "same-origin"})
    assert shown.status == 303
